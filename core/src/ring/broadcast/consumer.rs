//! The readers: those that the writer waits for, and those that it does not.

use super::lead::Lead;
use super::slot::{LENGTH, LONGEST, Slot, Stamp, is_after, is_skip};
use super::storage::{CLOSED, FREE, Storage};
use super::{Broadcast, Handle, Keeping, Word};
use crate::sync::{Ordering, barrier, order};

/// What a reader found at its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A message; it was copied out. The cursor moves at [`Consumer::advance`].
    Message {
        /// Its sequence.
        sequence: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// The writer was faster than this observer, which goes on with the oldest message that is left.
    Gap {
        /// How many messages it missed, exactly. Claims that were given up are none.
        missed: usize,
    },
    /// Nothing yet.
    Empty,
    /// Nothing more will come.
    Closed,
}

/// A reader's end of a ring. Dropping it lets the writer pass.
#[derive(Debug)]
pub struct Consumer<H: Handle> {
    pub(super) ring: Lead<H>,
    pub(super) cursor: usize,
    pub(super) looked: bool,
    /// How many claims before the cursor were given up, as far as an observer needs it.
    skips: usize,
}

/// What is in the slot of the next message.
enum Found {
    Message {
        length: usize,
    },
    Skip,
    /// No message that can be read, or no more.
    Other {
        stamp: usize,
    },
}

impl<H: Handle> Consumer<H> {
    pub(super) fn new(ring: H, entry: Option<usize>, cursor: usize, skips: usize) -> Consumer<H> {
        let ring = match entry {
            Some(entry) => Lead::of_reader(ring, entry),
            None => Lead::new(ring),
        };
        Consumer { ring, cursor, looked: false, skips }
    }

    /// Looks at the next message and copies it to `message`, as many words as that holds; looking again gives the
    /// same message until [`advance`](Consumer::advance).
    #[inline(always)]
    pub fn look(&mut self, message: &mut [usize]) -> Look {
        match self.find(message) {
            Found::Message { length } => self.found(length),
            other => self.look_further(other, message),
        }
    }

    /// As [`look`](Consumer::look) where the next message is there, and returns its sequence and its length. `None` says
    /// nothing: look then. Given an array by its only name, it takes the words from the slot to where they are used without a
    /// stay in memory.
    #[inline(always)]
    pub fn glance(&mut self, message: &mut [usize]) -> Option<(usize, usize)> {
        if size_of_val(message) > self.ring.message_bytes() {
            return None;
        }
        match self.find_in(self.ring.slot_for(self.cursor, message.len()), message) {
            Found::Message { length } => {
                self.looked = true;
                Some((self.cursor, length))
            }
            _ => None,
        }
    }

    /// Goes on to the message after the one that [`look`](Consumer::look) gave. Says whether it did: without a message
    /// looked at, the cursor stays.
    #[inline]
    pub fn advance(&mut self) -> bool {
        let looked = core::mem::take(&mut self.looked);
        if looked {
            self.move_to(self.cursor.wrapping_add(1));
        }
        looked
    }

    /// Goes on to the newest message and returns how many were skipped.
    pub fn skip_to_latest(&mut self) -> usize {
        let cursor = self.cursor;
        let newest = |ring: &Broadcast<H::Storage>, slack| {
            let published = ring.published(cursor);
            let mut newest = published;
            while slack == 0 && newest != cursor {
                newest = newest.wrapping_sub(1);
                if matches!(ring.stamp_at(newest), Stamp::Overwritten { .. }) {
                    break;
                }
                if newest == cursor || !is_given_up(ring, newest) {
                    return newest;
                }
            }
            // Writers are faster than this look: the newest message is yet to come.
            published
        };
        let (newest, skipped) = if self.ring.entry().is_none() || H::Storage::FOREIGN {
            self.passed(newest)
        } else {
            // Nobody overwrites what lies before a gating reader: it counts where it goes.
            let newest = newest(&self.ring, 0);
            let waiting = (0..newest.wrapping_sub(cursor)).map(|ahead| cursor.wrapping_add(ahead));
            (newest, waiting.filter(|sequence| !is_given_up(&self.ring, *sequence)).count())
        };
        if newest != cursor {
            self.looked = false;
            self.move_to(newest);
        }
        skipped
    }

    /// Whether the next message is yet to come, as far as this thread can see. It costs less than to [`look`](Self::look),
    /// which says whatever else there is.
    #[inline]
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.ring.stamp_at(self.cursor), Stamp::Before) && !self.is_closed()
    }

    /// How many messages wait for this reader, as far as this thread can see; claims that were given up are among them
    /// until the reader comes to them.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.ring.published(self.cursor).wrapping_sub(self.cursor)
    }

    /// The sequence of the message that this reader wants next.
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

    /// This reader, which from now on keeps messages until it says that they have arrived.
    #[must_use]
    pub fn keeping(mut self) -> Keeping<H> {
        let entry = self.ring.give_up_entry();
        Keeping::new(self, entry)
    }

    /// Looks again at what came before. (Of a ring with a single writer nothing was given up.)
    pub(super) fn go_back(&mut self, sequence: usize) {
        self.looked = false;
        self.cursor = sequence;
    }

    /// Copies the next message out, if there is one.
    #[inline(always)]
    fn find(&self, message: &mut [usize]) -> Found {
        self.find_in(self.ring.slot(self.cursor), message)
    }

    #[inline(always)]
    fn find_in(&self, slot: Slot<'_>, message: &mut [usize]) -> Found {
        // Acquire, with the Release of a commit: the words of the message.
        let stamp = slot.stamp.acquire(H::Storage::FOREIGN, order!("broadcast.look", Acquire));
        if stamp != self.cursor.wrapping_add(1) {
            return Found::Other { stamp };
        }
        let length = slot.length.load(Ordering::Relaxed) & LENGTH;
        #[cfg(not(loom))]
        if let Some(words) = self.lent(slot) {
            // In the pieces that processors move best: who copies on does it in the same ones.
            message.iter_mut().zip(words).for_each(|(to, word)| *to = *word);
            return if length > LONGEST { Found::Skip } else { Found::Message { length } };
        }
        copy_out(slot.words, message);
        if self.ring.entry().is_none() {
            // The writer does not wait for an observer: was it at work in this slot meanwhile?
            barrier!("broadcast.recheck-fence", Acquire);
            let stamp = slot.stamp.load(Ordering::Relaxed);
            if let Stamp::Overwritten { .. } = self.ring.judge(stamp, self.cursor) {
                return Found::Other { stamp };
            }
        }
        if length > LONGEST && !H::Storage::FOREIGN {
            return Found::Skip;
        }
        // A writer in another process may write what it likes: what it says is clamped.
        Found::Message { length: length.min(self.ring.message_bytes()) }
    }

    #[inline]
    fn found(&mut self, length: usize) -> Look {
        self.looked = true;
        Look::Message { sequence: self.cursor, length }
    }

    /// Passes skips, and says what there is to say when there is no message.
    #[inline(never)]
    fn look_further(&mut self, mut found: Found, message: &mut [usize]) -> Look {
        let mut closed = false;
        // Each round moves the cursor on, or is the one after the ring was seen closed, or the last.
        loop {
            match found {
                Found::Message { length } => return self.found(length),
                Found::Skip => {
                    self.skips = self.skips.wrapping_add(1) & LENGTH;
                    self.looked = false;
                    self.move_to(self.cursor.wrapping_add(1));
                }
                Found::Other { stamp } => {
                    if let Stamp::Overwritten { .. } = self.ring.judge(stamp, self.cursor) {
                        let missed = self.go_to_oldest();
                        if missed > 0 {
                            return Look::Gap { missed };
                        }
                        if H::Storage::FOREIGN {
                            // The writer takes a stamp back, to no end.
                            return Look::Empty;
                        }
                        // All that was passed had been given up.
                    } else if closed {
                        return Look::Closed;
                    } else if self.is_closed() {
                        closed = true;
                    } else {
                        return Look::Empty;
                    }
                }
            }
            found = self.find(message);
        }
    }

    fn is_closed(&self) -> bool {
        let state = &self.ring.storage.writer().own.state;
        // Acquire, with the Release of `close`: all that was published before it.
        state.acquire(H::Storage::FOREIGN, order!("broadcast.closed", Acquire)) & CLOSED != 0
    }

    /// Goes on with the oldest message that is left, and returns how many were missed.
    #[cold]
    #[inline(never)]
    fn go_to_oldest(&mut self) -> usize {
        let cursor = self.cursor;
        let (oldest, missed) = self.passed(|ring, slack| {
            let later = |a, b| if is_after(a, b) { a } else { b };
            let published = ring.published(cursor);
            // At least the message at the cursor is gone, though this thread may not see yet what was published since.
            let last = published.wrapping_sub(ring.capacity());
            let mut oldest = later(last, cursor.wrapping_add(1));
            // Writers have begun to write in some of the slots.
            for _ in 0..ring.capacity() {
                match ring.stamp_at(oldest) {
                    Stamp::Overwritten { .. } => oldest = oldest.wrapping_add(1),
                    Stamp::Before | Stamp::Published => break,
                }
            }
            let newer = oldest.wrapping_add(slack);
            if is_after(newer, published) { later(published, oldest) } else { newer }
        });
        self.looked = false;
        self.move_to(oldest);
        missed
    }

    /// The sequence that `choose` chooses (see `Broadcast::skips_from`), and how many messages lie before it.
    fn passed(
        &mut self,
        choose: impl Fn(&Broadcast<H::Storage>, usize) -> usize,
    ) -> (usize, usize) {
        let ring = &*self.ring;
        let (sequence, skips) = ring.skips_from(|slack| choose(ring, slack), self.skips);
        let given_up = skips.wrapping_sub(self.skips) & LENGTH;
        self.skips = skips;
        (sequence, sequence.wrapping_sub(self.cursor).wrapping_sub(given_up))
    }

    #[inline]
    pub(super) fn move_to(&mut self, sequence: usize) {
        self.cursor = sequence;
        if let Some(words) = self.ring.reader() {
            // Release, with the Acquire of the writer's look: this reader is done with the slots before it.
            words.0.cursor.store(sequence, order!("broadcast.advance", Release));
        }
    }
}

/// Copies the words of a slot, as many as `message` holds.
#[inline(always)]
fn copy_out(words: &[Word], message: &mut [usize]) {
    let copy = |(to, from): (&mut usize, &Word)| *to = from.0.load(Ordering::Relaxed);
    match words.get(..message.len()) {
        // Nearly always the caller has room for so many, and that is a constant: then this is no loop.
        Some(words) => message.iter_mut().zip(words).for_each(copy),
        None => message.iter_mut().zip(words).for_each(copy),
    }
}

/// Whether this claim was given up, as far as this thread can see.
fn is_given_up<T: Storage>(ring: &Broadcast<T>, sequence: usize) -> bool {
    let slot = ring.slot(sequence);
    !T::FOREIGN
        && slot.stamp.load(order!("skips.given-up", Acquire)) == sequence.wrapping_add(1)
        && is_skip(slot.length.load(Ordering::Relaxed))
}

impl<H: Handle> Drop for Consumer<H> {
    fn drop(&mut self) {
        if let Some(words) = self.ring.reader() {
            // Release: this reader is done with the ring, and the entry with it.
            words.0.state.store(FREE, order!("broadcast.leave", Release));
        }
    }
}
