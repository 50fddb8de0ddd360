//! The shared form: many writers, which claim sequences by compare-and-swap on one word.
//!
//! A claim of sequence `s` needs two things. No gating reader wants the message of a lap ago any more: `s` is before
//! the *limit*, which some writer has found by a look at the readers, and which holds forever, because cursors only
//! move on and whoever joins starts no earlier than the claims that it sees (the handshake in `Broadcast::gating`).
//! And the writer of a lap ago is finished with the slot: its stamp says so. Without the second, a writer that sleeps
//! between claim and commit would wake up and write into somebody else's message.
//!
//! Both hold as long as nobody claims `s`, so the compare-and-swap, from `s` to `s + 1`, is the last step; a value of
//! the claim word comes back only after all sequences were used.

use super::error::Blocked;
use super::lead::Lead;
use super::slot::{Slot, is_after, skip_mark};
use super::storage::{CLOSED, HEADER_WORDS, SHARED, Storage};
use super::{Broadcast, Handle};
use crate::ring::backoff::Backoff;
use crate::sync::{Ordering, barrier, order};

/// The end of one writer of many. A clone is one writer more.
///
/// ```
/// use mycelium_core::ring::broadcast::{Broadcast, Inline, Look, slot_words};
///
/// let ring = Broadcast::new(Inline::<{ 4 * slot_words(8) }, 1>::new(), 4, 8)?;
/// let mut first = Broadcast::shared_producer(&ring).expect("no single writer is there");
/// let mut second = first.clone();
/// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
///
/// assert_eq!(first.try_push(&[1], 8), Ok(0));
/// drop(second.grant());
/// assert_eq!(second.try_push(&[2], 8), Ok(2));
/// let mut message = [0];
/// assert_eq!(reader.look(&mut message), Look::Message { sequence: 0, length: 8 });
/// reader.advance();
/// // What was given up is passed over.
/// assert_eq!(reader.look(&mut message), Look::Message { sequence: 2, length: 8 });
/// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
/// ```
#[derive(Debug)]
pub struct SharedProducer<H: Handle> {
    ring: Lead<H>,
    /// The limit, as this writer last saw it.
    limit: usize,
    /// What is left of the state if this is the last writer that leaves.
    last: usize,
}

impl<H: Handle> SharedProducer<H> {
    /// For who was counted as a writer.
    pub(super) fn take_up(ring: H) -> SharedProducer<H> {
        let limit = limit(&ring);
        SharedProducer { ring: Lead::new(ring), limit, last: 0 }
    }

    /// Appends a message: `words` are copied, `length` is its length in bytes. Returns its sequence.
    ///
    /// # Errors
    /// [`Blocked`] if a gating reader, or another writer, is in the way; nothing was written then.
    ///
    /// # Panics
    /// If the message has more words than a slot, or `length` is more than `words` have.
    #[inline(always)]
    pub fn try_push(&mut self, words: &[usize], length: usize) -> Result<usize, Blocked> {
        let mut grant = self.grant_for(words.len())?;
        grant.write(words, length);
        Ok(grant.commit())
    }

    /// The next slot, to be written in place. Readers see it after [`SharedGrant::commit`], and they see nothing that
    /// was claimed later before that: it should not take long. Dropping the grant leaves a mark that readers pass over.
    ///
    /// # Errors
    /// [`Blocked`] if a gating reader, or another writer, is in the way.
    #[inline]
    pub fn grant(&mut self) -> Result<SharedGrant<'_, H::Storage>, Blocked> {
        let words = self.ring.slot_words - HEADER_WORDS;
        let grant = self.grant_for(words)?;
        // Without a write, this is an empty message, and not that of a lap ago.
        grant.slot.set_length(0);
        Ok(grant)
    }

    /// The next slot, for a message of so many words. If they are too many, that is found before the claim.
    #[inline(always)]
    fn grant_for(&mut self, words: usize) -> Result<SharedGrant<'_, H::Storage>, Blocked> {
        assert!(
            HEADER_WORDS + words <= self.ring.slot_words,
            "the message has more words than a slot"
        );
        let sequence = self.claim()?;
        let (ring, slot) = (&*self.ring, self.ring.slot_for(sequence, words));
        // From here on no observer may take what it copies for the message of a lap ago. Release: who sees this stamp
        // also sees what the writer of a lap ago said of itself.
        slot.stamp.store(sequence, order!("shared.begin", Release));
        barrier!("shared.overwrite-fence", Release);
        Ok(SharedGrant { ring, slot, sequence })
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        self.ring.handle()
    }

    /// Says that this writer has no more messages. If it is the last one that is left, the ring is closed: readers get
    /// what is in it, then [`Look::Closed`](super::Look). A writer that is dropped instead leaves the ring open.
    pub fn close(mut self) {
        self.last = CLOSED;
    }

    #[inline]
    fn claim(&mut self) -> Result<usize, Blocked> {
        let claim = &self.ring.storage.writer().shared.claim;
        let mut backoff = Backoff::new();
        let mut next = claim.load(Ordering::Relaxed);
        loop {
            if !is_after(self.limit, next) {
                self.limit = self.look_for_room(next)?;
            }
            // Acquire, with the Release of a commit: the writer of a lap ago is done with the slot.
            let stamp = self.ring.slot(next).stamp.load(order!("shared.free", Acquire));
            let free = next.wrapping_sub(self.ring.capacity).wrapping_add(1);
            // It is its own sequence if the single writer gave a grant back.
            if stamp != free && stamp != next {
                let now = claim.load(Ordering::Relaxed);
                if now == next {
                    return Err(Blocked::Writer);
                }
                next = now;
                continue;
            }
            // Release and Acquire: who sees a later message knows how many claims were given up before it.
            let order = order!("shared.claim", AcqRel);
            let after = next.wrapping_add(1);
            match claim.compare_exchange_weak(next, after, order, Ordering::Relaxed) {
                Ok(_) => return Ok(next),
                Err(now) => {
                    backoff.wait();
                    next = now;
                }
            }
        }
    }

    /// Looks whether `next` may be claimed: at what other writers have seen, then at the readers.
    #[cold]
    #[inline(never)]
    fn look_for_room(&self, next: usize) -> Result<usize, Blocked> {
        let limit = limit(&self.ring);
        if is_after(limit, next) {
            return Ok(limit);
        }
        let words = self.ring.storage.writer();
        let tail = words.shared.claim.load(Ordering::Relaxed);
        // See `Broadcast::gating`: the other half of the handshake with a reader that joins. It begins at what this
        // writer has seen claimed, or later.
        barrier!("shared.room-fence", SeqCst);
        // What was claimed a lap ago is finished, or there would be no claim of `tail`: a hint for who joins.
        words.own.tail.store(tail.wrapping_sub(self.ring.capacity), Ordering::Relaxed);
        let (seen, reader) = self.ring.room(tail);
        let mut known = words.shared.limit.load(Ordering::Relaxed);
        while is_after(seen, known) {
            // Release, with the Acquire of `limit`: the readers are done with the slots before it.
            let order = order!("shared.show-limit", Release);
            match words.shared.limit.compare_exchange_weak(known, seen, order, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => known = now,
            }
        }
        if is_after(seen, next) { Ok(seen) } else { Err(Blocked::Reader { reader }) }
    }
}

/// How far the writers may go, as one of them has seen.
fn limit<T: Storage>(ring: &Broadcast<T>) -> usize {
    // Acquire, with the Release of `look_for_room`: the readers are done with the slots before it.
    ring.storage.writer().shared.limit.load(order!("shared.limit", Acquire))
}

impl<H: Handle + Clone> Clone for SharedProducer<H> {
    fn clone(&self) -> SharedProducer<H> {
        // This one is there, so the ring is shared and open. Nothing has to be seen: the clone begins with what this
        // writer knows.
        self.ring.storage.writer().own.state.fetch_add(SHARED, Ordering::Relaxed);
        SharedProducer { ring: Lead::new(self.ring.handle().clone()), limit: self.limit, last: 0 }
    }
}

impl<H: Handle> Drop for SharedProducer<H> {
    fn drop(&mut self) {
        let state = &self.ring.storage.writer().own.state;
        let mut found = state.load(Ordering::Relaxed);
        loop {
            let left = if found == SHARED { self.last } else { found - SHARED };
            // Release: who sees the ring closed, or takes it over, also sees every message in it.
            let order = order!("shared.leave", Release);
            match state.compare_exchange_weak(found, left, order, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => found = now,
            }
        }
    }
}

/// A slot that a shared writer may fill. See [`SharedProducer::grant`].
///
/// One that is forgotten (`mem::forget`) holds up the ring for good.
#[derive(Debug)]
pub struct SharedGrant<'a, T: Storage> {
    ring: &'a Broadcast<T>,
    slot: Slot<'a>,
    sequence: usize,
}

impl<T: Storage> SharedGrant<'_, T> {
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

    /// Shows the message to the readers, as soon as all before it can be seen, and returns its sequence.
    #[inline]
    pub fn commit(self) -> usize {
        let sequence = self.sequence;
        self.publish();
        core::mem::forget(self);
        sequence
    }

    #[inline]
    fn publish(&self) {
        // Release, with the Acquire of `Consumer::look`: the words of the message.
        let stamp = self.sequence.wrapping_add(1);
        self.slot.stamp.store(stamp, order!("shared.publish", Release));
    }
}

impl<T: Storage> Drop for SharedGrant<'_, T> {
    fn drop(&mut self) {
        // Counted before it can be passed: see `Broadcast::skips_from`.
        self.ring.storage.writer().shared.skips.fetch_add(1, Ordering::Relaxed);
        self.slot.set_length(skip_mark(self.sequence, self.ring.capacity));
        self.publish();
    }
}
