//! A reader that retains messages after it has read them: it passes them on, and keeps them until
//! they are confirmed.

#![allow(unsafe_code)]

use super::consumer::{Consumer, Peek};
use super::entry::ReaderWords;
use super::slot::{borrow, is_after};
use super::storage::{Storage, may_be_foreign};
use super::{Broadcast, BroadcastHandle};
use crate::sync::order;

/// A reader's end with two positions: the *cursor*, which moves at
/// [`advance`](RetainingConsumer::advance), and behind it the first *retained* message, which moves
/// at [`release`](RetainingConsumer::release). A gating reader blocks the writer at the messages
/// that it retains; those between the two positions can be read again after
/// [`rewind`](RetainingConsumer::rewind). Messages that an observer retains may be overwritten, and
/// are then a gap. Dropping it lets the writer pass.
///
/// ```
/// use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
///
/// let ring = Broadcast::boxed(Layout::exact(2, 8), 1)?;
/// let mut writer = Broadcast::producer(&ring).expect("the only writer");
/// let mut reader = Broadcast::gating(&ring).expect("one entry is free").retaining();
///
/// for message in [7, 8] {
///     writer.try_push(&[message], 8).expect("there is room");
///     assert!(matches!(reader.peek(&mut [0]), Peek::Message { .. }));
///     reader.advance();
/// }
/// assert!(writer.try_push(&[9], 8).is_err(), "both are retained");
/// reader.release(1);
/// writer.try_push(&[9], 8).expect("the first one was released");
/// reader.rewind(1);
/// let mut message = [0];
/// assert_eq!(reader.peek(&mut message), Peek::Message { sequence: 1, length: 8 });
/// assert_eq!(message, [8]);
/// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
/// ```
#[derive(Debug)]
pub struct RetainingConsumer<H: BroadcastHandle> {
    pub(super) held: Held<H>,
    pub(super) kept: usize,
    /// Whether no thread writes to the messages that it retains.
    pub(super) may_borrow: bool,
}

/// A reader that reads like an observer, because its entry shows another position than the cursor.
/// Dropping it lets the writer pass.
#[derive(Debug)]
pub(super) struct Held<H: BroadcastHandle> {
    pub(super) reader: Consumer<H>,
    pub(super) entry: Option<usize>,
    /// Whether the writer may stop waiting for the entry's reader in this process.
    pub(super) can_be_evicted: bool,
}

impl<H: BroadcastHandle> Held<H> {
    pub(super) fn words(&self) -> Option<&ReaderWords> {
        let ring: &Broadcast<H::Storage> = self.reader.ring();
        self.entry.and_then(|index| ring.storage.reader(index))
    }
}

impl<H: BroadcastHandle> Drop for Held<H> {
    fn drop(&mut self) {
        let ring: &Broadcast<H::Storage> = self.reader.ring();
        self.entry.into_iter().for_each(|entry| ring.leave(entry));
    }
}

impl<H: BroadcastHandle> Consumer<H> {
    /// This reader as one that retains messages after it has read them, until they are released.
    #[must_use]
    pub fn retaining(mut self) -> RetainingConsumer<H> {
        self.flush();
        let (may_borrow, kept) = (self.ring.may_borrow(), self.cursor());
        let can_be_evicted = self.ring.evictable_entry().is_some();
        let entry = self.ring.take_entry();
        let held = Held { reader: self, entry, can_be_evicted };
        RetainingConsumer { held, kept, may_borrow }
    }
}

impl<H: BroadcastHandle> RetainingConsumer<H> {
    /// The same as [`Consumer::peek`].
    #[inline]
    pub fn peek(&mut self, message: &mut [usize]) -> Peek {
        self.held.reader.peek(message)
    }

    /// The same as [`Consumer::advance`]; the message is retained.
    #[inline]
    pub fn advance(&mut self) -> bool {
        self.held.reader.advance()
    }

    /// Releases the messages before this sequence, which is at most the cursor.
    pub fn release(&mut self, sequence: usize) {
        if is_after(sequence, self.held.reader.cursor()) || !is_after(sequence, self.kept) {
            return;
        }
        self.kept = sequence;
        if let Some(words) = self.held.words() {
            words.show(sequence);
        }
    }

    /// Moves the cursor back to a retained message.
    pub fn rewind(&mut self, sequence: usize) {
        if !is_after(sequence, self.held.reader.cursor()) && !is_after(self.kept, sequence) {
            self.held.reader.go_to(sequence);
        }
    }

    /// Moves the cursor to a later message, at most the next one to be published. The messages in
    /// between are retained.
    pub fn skip_to(&mut self, sequence: usize) {
        let ring: &Broadcast<H::Storage> = self.held.reader.ring();
        if is_after(sequence, self.held.reader.cursor()) && !is_after(sequence, ring.tail()) {
            self.held.reader.go_to(sequence);
        }
    }

    /// The sequence of the message that it reads next.
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.held.reader.cursor()
    }

    /// The sequence of the first message that is retained.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// How many messages wait for this reader, and how many are retained, together.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.held.reader.depth() + self.cursor().wrapping_sub(self.kept)
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        self.held.reader.ring()
    }

    /// How many messages from the cursor on, at most `most`, are published and can be
    /// [borrowed](RetainingConsumer::borrow): 0 for an observer, because the writer does not wait
    /// for it.
    #[must_use]
    pub fn ready(&self, most: usize) -> usize {
        if !self.can_borrow() {
            return 0;
        }
        let ring: &Broadcast<H::Storage> = self.ring();
        let waiting = ring.published(self.cursor()).wrapping_sub(self.cursor());
        let mut count = waiting.min(most).min(ring.capacity());
        // The tail may be visible before the last messages are.
        while count > 0 && !self.is_published(self.cursor().wrapping_add(count - 1)) {
            count -= 1;
        }
        count
    }

    /// Moves the cursor past `count` messages that are [ready](RetainingConsumer::ready). They are
    /// retained.
    pub fn pass(&mut self, count: usize) {
        let count = self.ready(count);
        self.skip_to(self.cursor().wrapping_add(count));
    }

    /// Whether this reader can borrow messages: the writer waits for it in any case, and no other
    /// process writes to the ring. If not, messages must be copied by
    /// [`peek`](RetainingConsumer::peek).
    #[must_use]
    pub fn can_borrow(&self) -> bool {
        self.may_borrow
    }

    /// Borrows whole slots in place, for a caller that passes them on unchanged: those of `count`
    /// messages from `first` on, all of which are retained or [ready](RetainingConsumer::ready).
    /// Each slot begins with a stamp, and the message follows
    /// ([`Layout::slot_words`](super::Layout::slot_words)). There are two pieces if the slots wrap
    /// around the end of the ring; otherwise the second piece is empty.
    ///
    /// `None` if not all of them can be borrowed.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(2, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free").retaining();
    /// writer.try_push(&[7], size_of::<usize>()).expect("there is room");
    /// assert_eq!(reader.ready(2), 1);
    /// reader.pass(1);
    /// let [slots, rest] = reader.borrow(0, 1).expect("it is retained");
    /// assert_eq!((slots[1], slots.len(), rest.len()), (7, 2, 0));
    /// assert_eq!(reader.borrow(0, 2), None, "there is one");
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[must_use]
    pub fn borrow(&self, first: usize, count: usize) -> Option<[&[usize]; 2]> {
        let ring: &Broadcast<H::Storage> = self.ring();
        // A released message counts as far ahead, too.
        let (capacity, ahead) = (ring.capacity(), first.wrapping_sub(self.kept()));
        let is_kept = ahead <= capacity && count <= capacity - ahead;
        let is_there = count == 0 || self.is_published(first.wrapping_add(count - 1));
        if !self.can_borrow() || !is_kept || !is_there {
            return None;
        }
        let (place, slot_words) = (first & (capacity - 1), ring.layout.slot_words());
        let here = count.min(capacity - place);
        let words = ring.storage.slots();
        let one = words.get(place * slot_words..(place + here) * slot_words)?;
        let other = words.get(..(count - here) * slot_words)?;
        // SAFETY: the stamp of the last of these slots says that it was written, and so were all
        // before it, because there is one writer. It does not use any of them again before this
        // gating reader has released them (`kept`), which needs an exclusive reference, and nothing
        // else writes to this storage (it is not foreign).
        let one = unsafe { borrow(one) };
        // SAFETY: as above.
        let other = unsafe { borrow(other) };
        Some([one, other])
    }

    /// Whether a message that is not released can be read.
    #[inline]
    fn is_published(&self, sequence: usize) -> bool {
        let ring: &Broadcast<H::Storage> = self.ring();
        // Acquire, pairs with the Release of `broadcast.publish`: the words of this message and of
        // all before it.
        let foreign = may_be_foreign::<H::Storage>();
        let stamp = ring.stamp_of(sequence).0.acquire(foreign, order!("broadcast.look", Acquire));
        stamp == sequence.wrapping_add(1)
    }
}
