//! The single writer: its position is its own, and it looks at its readers once a lap.

use super::Handle;
use super::error::Full;
use super::lead::Lead;
use super::slot::Slot;
use super::storage::{CLOSED, HEADER_WORDS, SINGLE, Storage};
use crate::sync::{Ordering, barrier, order};

/// The writer's end of a ring. Dropping it leaves the ring open for the next producer, which goes on in its place.
#[derive(Debug)]
pub struct Producer<H: Handle> {
    ring: Lead<H>,
    next: usize,
    /// The writer has seen room before this sequence.
    limit: usize,
}

impl<H: Handle> Producer<H> {
    /// For who took the writer's end.
    pub(super) fn take_up(ring: H, next: usize) -> Producer<H> {
        Producer { ring: Lead::new(ring), next, limit: next }
    }

    /// Appends a message: `words` are copied, `length` is its length in bytes. Returns its sequence.
    ///
    /// # Errors
    /// [`Full`] if a gating reader holds the writer; nothing was written then.
    ///
    /// # Panics
    /// If the message has more words than a slot, or `length` is more than `words` have.
    #[inline(always)]
    pub fn try_push(&mut self, words: &[usize], length: usize) -> Result<usize, Full> {
        let mut grant = self.grant_for(words.len())?;
        grant.write(words, length);
        Ok(grant.commit())
    }

    /// As [`try_push`](Producer::try_push) where that takes nothing but a few stores, which is nearly always: there is room
    /// that was seen before, and the message is as long as the one of a lap ago. False says that nothing was done:
    /// `try_push` then. Nothing in it is called, so its caller need not keep anything for after a call.
    ///
    /// # Panics
    /// As `try_push`.
    #[inline(always)]
    pub fn push_as_usual(&mut self, words: &[usize], length: usize) -> bool {
        assert!(length <= size_of_val(words), "the length is more than that of the words");
        if self.next == self.limit {
            return false;
        }
        let slot = self.ring.slot_for(self.next, words.len());
        if slot.length.load(Ordering::Relaxed) != length {
            return false;
        }
        let grant = Grant::begin(slot, &mut self.next);
        grant.slot.copy_in(words);
        grant.commit();
        true
    }

    /// The next slot, to be written in place. Readers see it after [`Grant::commit`]; dropping the grant gives the slot
    /// back, unseen.
    ///
    /// # Errors
    /// [`Full`] if a gating reader holds the writer.
    #[inline]
    pub fn grant(&mut self) -> Result<Grant<'_>, Full> {
        let words = self.ring.slot_words - HEADER_WORDS;
        let grant = self.grant_for(words)?;
        // Without a write, this is an empty message, and not that of a lap ago.
        grant.slot.set_length(0);
        Ok(grant)
    }

    /// The next slot, for a message of so many words.
    #[inline(always)]
    fn grant_for(&mut self, words: usize) -> Result<Grant<'_>, Full> {
        if self.next == self.limit {
            self.look_for_room()?;
        }
        Ok(Grant::begin(self.ring.slot_for(self.next, words), &mut self.next))
    }

    /// The sequence of the next message: the number of messages, and of claims that were given up, so far (modulo
    /// wrap-around).
    #[must_use]
    pub fn sequence(&self) -> usize {
        self.next
    }

    /// How many messages the gating readers leave room for, as this thread sees it now.
    #[must_use]
    pub fn room(&mut self) -> usize {
        match self.look_for_room() {
            Ok(()) => self.limit.wrapping_sub(self.next),
            Err(_) => 0,
        }
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        self.ring.handle()
    }

    /// Says that there will be no more messages. Readers get what is in the ring, then [`Look::Closed`](super::Look).
    pub fn close(self) {
        // Release: who sees the ring closed also sees every message in it. While this end is out, nobody else stores.
        let state = &self.ring.storage.writer().own.state;
        state.store(SINGLE | CLOSED, order!("broadcast.close", Release));
    }

    /// Says where the writer is, to who joins, and to writers of the shared form that may come later. Once a lap: what is
    /// more than half of all sequences old would be taken for what is yet to come.
    fn keep_position(&self) {
        let words = self.ring.storage.writer();
        words.own.tail.store(self.next, Ordering::Relaxed);
        words.shared.claim.store(self.next, Ordering::Relaxed);
        words.shared.limit.store(self.next, Ordering::Relaxed);
    }

    /// Once a lap, and whenever a gating reader holds the writer: how far may it go?
    #[cold]
    #[inline(never)]
    fn look_for_room(&mut self) -> Result<(), Full> {
        self.keep_position();
        // See `Broadcast::gating`: the other half of the handshake with a reader that joins.
        barrier!("broadcast.room-fence", SeqCst);
        let (limit, reader) = self.ring.room(self.next);
        if limit == self.next {
            return Err(Full { reader });
        }
        self.limit = limit;
        Ok(())
    }
}

impl<H: Handle> Drop for Producer<H> {
    fn drop(&mut self) {
        let words = self.ring.storage.writer();
        self.keep_position();
        let state = words.own.state.load(Ordering::Relaxed) & !SINGLE;
        // Release: the next writers go on where this one was.
        words.own.state.store(state, order!("broadcast.hand-over", Release));
    }
}

/// A slot that the writer may fill. See [`Producer::grant`].
#[derive(Debug)]
pub struct Grant<'a> {
    slot: Slot<'a>,
    /// The producer's next sequence: this slot's.
    next: &'a mut usize,
}

impl<'a> Grant<'a> {
    #[inline(always)]
    fn begin(slot: Slot<'a>, next: &'a mut usize) -> Grant<'a> {
        // From here on no observer may take what it copies for the message of a lap ago.
        slot.stamp.store(*next, Ordering::Relaxed);
        barrier!("broadcast.overwrite-fence", Release);
        Grant { slot, next }
    }

    /// Writes the message: `words` are copied, `length` is its length in bytes.
    ///
    /// # Panics
    /// If the message has more words than a slot, or `length` is more than `words` have.
    #[inline(always)]
    pub fn write(&mut self, words: &[usize], length: usize) {
        assert!(length <= size_of_val(words), "the length is more than that of the words");
        // In this order: the words need not be kept for after the call that a new length takes.
        self.slot.copy_in(words);
        self.slot.set_length(length);
    }

    /// Shows the message to the readers and returns its sequence.
    #[inline]
    pub fn commit(self) -> usize {
        let sequence = *self.next;
        let next = sequence.wrapping_add(1);
        // Release, with the Acquire of `Consumer::look`: the words of the message. Before this end's own word: a store
        // elsewhere in between costs the slot's line a second way over.
        self.slot.stamp.store(next, order!("broadcast.publish", Release));
        *self.next = next;
        sequence
    }
}
