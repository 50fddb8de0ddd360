//! The readers: those that the writer waits for, and those that it does not.

use super::ring_ref::RingRef;
use super::slot::{Slot, Stamp, is_after};
use super::storage::{CLOSED, FREE, Storage};
use super::{BroadcastHandle, RetainingConsumer, Word};
use crate::sync::{Ordering, barrier, order};

/// What a reader found at its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// A message; it was copied out. The cursor moves at [`Consumer::advance`].
    Message {
        /// Its sequence.
        sequence: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// The writer was faster than this observer, which goes on with the oldest message that is left.
    Gap {
        /// How many messages it missed, exactly.
        missed: usize,
    },
    /// Nothing yet.
    Empty,
    /// Nothing more will come.
    Closed,
}

/// A reader's end of a ring. Dropping it lets the writer pass.
///
/// A gating reader shows the writer how far it is only now and then, because a look at its position takes the cache
/// line away from it: after an eighth of the capacity, at most 16 messages ([`with_lag`](Consumer::with_lag) sets another
/// number), when it finds nothing more, and at [`flush`](Consumer::flush). Until then
/// [`try_push`](super::Producer::try_push) may refuse a message although up to that many were taken;
/// [`Producer::find_room`](super::Producer::find_room) sees the exact position. Rings of fewer than 16 messages show each one.
#[derive(Debug)]
pub struct Consumer<H: BroadcastHandle> {
    pub(super) ring: RingRef<H>,
    pub(super) cursor: usize,
    pub(super) looked: bool,
    /// The cursor that a gating reader has shown last.
    shown: usize,
    /// After how many messages a gating reader shows its cursor again.
    lag: usize,
}

/// What is in the slot of the next message.
enum Found {
    Message {
        length: usize,
    },
    /// No message that can be read, or no more.
    Other {
        stamp: usize,
    },
}

impl<H: BroadcastHandle> Consumer<H> {
    pub(super) fn new(ring: H, entry: Option<usize>, cursor: usize) -> Consumer<H> {
        let lag = (ring.capacity() / 8).clamp(1, 16);
        let ring = match entry {
            Some(entry) => RingRef::of_reader(ring, entry),
            None => RingRef::new(ring),
        };
        Consumer { ring, cursor, looked: false, shown: cursor, lag }
    }

    /// This reader, which shows the writer its position after every `messages` messages, at most the capacity, instead
    /// of the default; 1 shows each at once.
    #[must_use]
    pub fn with_lag(mut self, messages: usize) -> Consumer<H> {
        self.lag = messages.clamp(1, self.ring.capacity());
        self
    }

    /// Looks at the next message and copies it to `message`, as many words as that holds; looking again gives the
    /// same message until [`advance`](Consumer::advance).
    #[inline(always)]
    pub fn peek(&mut self, message: &mut [usize]) -> Peek {
        match self.find_in(self.ring.slot(self.cursor), message) {
            Found::Message { length } => self.found(length),
            Found::Other { stamp } => self.look_further(stamp, message),
        }
    }

    /// As [`look`](Consumer::look) where the next message is there and all messages of the ring have `length` bytes, and
    /// returns its sequence. After `None`, call [`look`](Consumer::look): there may be a message all the same.
    ///
    /// Where the length is a constant, and `message` an array by its only name, the words go from the slot to where they
    /// are used without a stay in memory.
    #[inline(always)]
    pub fn peek_exact(&mut self, message: &mut [usize], length: usize) -> Option<usize> {
        match self.find_in(self.ring.slot_of(self.cursor, length)?, message) {
            Found::Message { .. } => {
                self.looked = true;
                Some(self.cursor)
            }
            Found::Other { .. } => None,
        }
    }

    /// Goes on to the message after the one that [`look`](Consumer::look) gave. Says whether it did: without a message
    /// looked at, the cursor stays.
    #[inline(always)]
    pub fn advance(&mut self) -> bool {
        let looked = core::mem::take(&mut self.looked);
        if looked {
            self.move_to(self.cursor.wrapping_add(1));
        }
        looked
    }

    /// Shows the writer all messages that this gating reader has taken, before the lag would.
    #[inline]
    pub fn flush(&mut self) {
        if self.shown != self.cursor
            && let Some(words) = self.ring.reader()
        {
            words.show(self.cursor);
            self.shown = self.cursor;
        }
    }

    /// Goes on to the newest message and returns how many were skipped.
    pub fn skip_to_latest(&mut self) -> usize {
        let published = self.ring.published(self.cursor);
        let waiting = published.wrapping_sub(self.cursor);
        if waiting < 2 {
            return 0;
        }
        let last = published.wrapping_sub(1);
        // If the writer has passed even this one, the newest message is yet to come.
        let is_gone = matches!(self.ring.stamp_at(last), Stamp::Overwritten { .. });
        let skipped = if is_gone { waiting } else { waiting - 1 };
        self.looked = false;
        self.move_to(self.cursor.wrapping_add(skipped));
        skipped
    }

    /// Whether the next message is yet to come, as far as this thread can see. It costs less than to
    /// [`look`](Self::look), which says whatever else there is; as there, a gating reader that finds nothing shows the
    /// writer its position.
    #[inline]
    #[must_use]
    pub fn is_waiting(&mut self) -> bool {
        let waiting = self.ring.stamp_at(self.cursor) == Stamp::Before && !self.is_closed();
        if waiting {
            self.flush();
        }
        waiting
    }

    /// How many messages wait for this reader, as far as this thread can see.
    #[must_use]
    pub fn depth(&self) -> usize {
        let waiting = self.ring.published(self.cursor).wrapping_sub(self.cursor);
        // The tail that another process says may be anywhere.
        if self.ring.entry().is_some() { waiting.min(self.ring.capacity()) } else { waiting }
    }

    /// The sequence of the message that this reader wants next.
    #[inline]
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// The entry of a gating reader, as [`Full::reader`](super::Full::reader) names it.
    #[must_use]
    pub fn entry(&self) -> Option<usize> {
        self.ring.entry()
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        self.ring.handle()
    }

    /// This reader, which from now on keeps messages until it is told that they have arrived.
    #[must_use]
    pub fn retaining(mut self) -> RetainingConsumer<H> {
        self.flush();
        let entry = self.ring.give_up_entry();
        RetainingConsumer::new(self, entry)
    }

    /// Looks at another message next. For readers without an entry.
    pub(super) fn go_to(&mut self, sequence: usize) {
        self.looked = false;
        self.cursor = sequence;
    }

    /// The length of the message in a slot.
    #[inline(always)]
    pub(super) fn length(&self, slot: Slot<'_>) -> usize {
        let most = self.ring.message_bytes();
        // A writer in another process may write what it likes: what it says is clamped.
        slot.length.map_or(most, |length| length.load(Ordering::Relaxed).min(most))
    }

    /// Copies the next message out, if there is one.
    #[inline(always)]
    fn find_in(&self, slot: Slot<'_>, message: &mut [usize]) -> Found {
        // Acquire, with the Release of a commit: the words of the message.
        let stamp = slot.stamp.acquire(H::Storage::FOREIGN, order!("broadcast.look", Acquire));
        if stamp != self.cursor.wrapping_add(1) {
            return Found::Other { stamp };
        }
        let length = self.length(slot);
        if let Some(words) = self.borrowed(slot) {
            // In the pieces that processors move best: who copies on does it in the same ones.
            message.iter_mut().zip(words).for_each(|(to, word)| *to = *word);
            return Found::Message { length };
        }
        copy_out(slot.words, message);
        // The writer does not wait for an observer, and one in another process need not wait for anybody: was it at work
        // in this slot meanwhile?
        barrier!("broadcast.recheck-fence", Acquire);
        let stamp = slot.stamp.load(Ordering::Relaxed);
        if stamp != self.cursor.wrapping_add(1) {
            return Found::Other { stamp };
        }
        Found::Message { length }
    }

    #[inline]
    fn found(&mut self, length: usize) -> Peek {
        self.looked = true;
        Peek::Message { sequence: self.cursor, length }
    }

    /// Says what there is to say when there is no message.
    #[inline(never)]
    fn look_further(&mut self, mut stamp: usize, message: &mut [usize]) -> Peek {
        let mut closed = false;
        // At most once more after the ring was seen closed: everything published before that is visible then.
        loop {
            if let Stamp::Overwritten { .. } = self.judge(stamp) {
                // The writer waits for a gating reader: only one in another process may break that.
                return Peek::Gap { missed: self.go_to_oldest() };
            }
            self.flush();
            if closed {
                return Peek::Closed;
            }
            if !self.is_closed() {
                return Peek::Empty;
            }
            closed = true;
            match self.find_in(self.ring.slot(self.cursor), message) {
                Found::Message { length } => return self.found(length),
                Found::Other { stamp: now } => stamp = now,
            }
        }
    }

    #[inline]
    fn judge(&self, stamp: usize) -> Stamp {
        Stamp::judge(stamp, self.cursor, self.ring.capacity())
    }

    fn is_closed(&self) -> bool {
        let state = &self.ring.storage.writer().state.state;
        // Acquire, with the Release of `close`: all that was published before it.
        state.acquire(H::Storage::FOREIGN, order!("broadcast.closed", Acquire)) & CLOSED != 0
    }

    /// Goes on with the oldest message that is left, and returns how many were missed.
    #[cold]
    #[inline(never)]
    fn go_to_oldest(&mut self) -> usize {
        let ring = &*self.ring;
        // At least the message at the cursor is gone, though this thread may not see yet what was published since.
        let next = self.cursor.wrapping_add(1);
        let last_lap = ring.published(next).wrapping_sub(ring.capacity());
        let mut oldest = if is_after(last_lap, next) { last_lap } else { next };
        // The writer has begun to write in some of the slots.
        for _ in 0..ring.capacity() {
            match ring.stamp_at(oldest) {
                Stamp::Overwritten { .. } => oldest = oldest.wrapping_add(1),
                Stamp::Before | Stamp::Published => break,
            }
        }
        let missed = oldest.wrapping_sub(self.cursor);
        self.looked = false;
        self.move_to(oldest);
        missed
    }

    #[inline(always)]
    pub(super) fn move_to(&mut self, sequence: usize) {
        self.cursor = sequence;
        if let Some(words) = self.ring.reader() {
            if sequence.wrapping_sub(self.shown) >= self.lag {
                words.show(sequence);
                self.shown = sequence;
            } else {
                words.take(sequence);
            }
        }
    }
}

/// Copies the words of a slot, as many as `message` holds.
#[inline(always)]
fn copy_out(words: &[Word], message: &mut [usize]) {
    let copy = |(to, from): (&mut usize, &Word)| *to = from.0.load(Ordering::Relaxed);
    match words.get(..message.len()) {
        // Nearly always `message` has no more words than a slot. Where its length is a constant, this is no loop.
        Some(words) => message.iter_mut().zip(words).for_each(copy),
        None => message.iter_mut().zip(words).for_each(copy),
    }
}

impl<H: BroadcastHandle> Drop for Consumer<H> {
    fn drop(&mut self) {
        if let Some(words) = self.ring.reader() {
            // Release: this reader is done with the ring, and the entry with it.
            words.shown.state.store(FREE, order!("broadcast.leave", Release));
        }
    }
}
