//! Messages that are lent to a gating reader where they lie.

#![allow(unsafe_code)]

use zerocopy::IntoBytes;

use super::consumer::Consumer;
use super::slot::{Slot, lend};
use super::storage::Storage;
use super::{Broadcast, Handle, Keeping};
use crate::sync::order;

impl<H: Handle> Consumer<H> {
    /// Lends up to `most` of the next messages where they lie. They stay in the ring until [`Messages::release`], and the
    /// writers wait for that. Only a gating reader of a ring that one process has to itself is lent any: what others may
    /// write to at the same time is copied first.
    ///
    /// After `None`, call [`look`](Consumer::look), which says why: there may be a message all the same.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(4, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("nobody else writes");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
    /// for number in [7, 8, 9] {
    ///     writer.try_push(&[number], size_of::<usize>()).expect("there is room");
    /// }
    /// let messages = reader.read(2).expect("there are three");
    /// assert_eq!(messages.iter().collect::<Vec<_>>(), [7_usize.to_ne_bytes(), 8_usize.to_ne_bytes()]);
    /// messages.release(2);
    /// assert_eq!(reader.read(2).map(|messages| messages.count()), Some(1));
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[inline(always)]
    pub fn read(&mut self, most: usize) -> Option<Messages<'_, H>> {
        if !self.is_lent_to() {
            return None;
        }
        let mut count = 0;
        while count < most && self.is_there(self.cursor.wrapping_add(count)) {
            count += 1;
        }
        if count == 0 {
            self.flush();
            return None;
        }
        Some(Messages { consumer: self, count })
    }

    /// Whether nobody writes to what this reader has before it.
    #[inline(always)]
    fn is_lent_to(&self) -> bool {
        self.ring.entry().is_some() && !H::Storage::FOREIGN
    }

    /// The words of the next message where they lie, once its stamp was seen; `None` if others may write to them.
    #[inline(always)]
    pub(super) fn lent<'a>(&'a self, slot: Slot<'a>) -> Option<&'a [usize]> {
        // SAFETY: the stamp says that it was written, and no writer comes back before this gating reader's cursor has passed
        // it, which takes an exclusive reference.
        self.is_lent_to().then(|| unsafe { slot.lend() })
    }

    /// Whether there is a message with this sequence.
    #[inline(always)]
    fn is_there(&self, sequence: usize) -> bool {
        let slot = self.ring.slot_for(sequence, 0);
        // Acquire, with the Release of a commit: the words of the message.
        slot.stamp.load(order!("broadcast.look", Acquire)) == sequence.wrapping_add(1)
    }
}

impl<H: Handle> Keeping<H> {
    /// Lends slots as they lie, for whoever hands them on whole: those of `count` messages from `first` on, all of which
    /// are kept or [ready](Keeping::ready). Each begins with a stamp, behind which the message follows
    /// ([`Layout::slot_words`](super::Layout::slot_words)). There are two pieces where they go over the end of the ring; the
    /// second is empty otherwise.
    ///
    /// `None` if not all of them can be lent.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(2, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("nobody else writes");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free").keeping();
    /// writer.try_push(&[7], size_of::<usize>()).expect("there is room");
    /// assert_eq!(reader.ready(2), 1);
    /// reader.pass(1);
    /// let [slots, rest] = reader.lend(0, 1).expect("it is kept");
    /// assert_eq!((slots[1], slots.len(), rest.len()), (7, 2, 0));
    /// assert_eq!(reader.lend(0, 2), None, "there is one");
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[must_use]
    pub fn lend(&self, first: usize, count: usize) -> Option<[&[usize]; 2]> {
        let ring: &Broadcast<H::Storage> = self.ring();
        // One that was let go is far ahead, too.
        let (capacity, ahead) = (ring.capacity(), first.wrapping_sub(self.kept()));
        let is_kept = ahead <= capacity && count <= capacity - ahead;
        let is_there = count == 0 || self.is_published(first.wrapping_add(count - 1));
        if !self.can_lend() || !is_kept || !is_there {
            return None;
        }
        let (place, slot_words) = (first & (capacity - 1), ring.layout.slot_words());
        let here = count.min(capacity - place);
        let words = ring.storage.slots();
        let one = words.get(place * slot_words..(place + here) * slot_words)?;
        let other = words.get(..(count - here) * slot_words)?;
        // SAFETY: the stamp of the last of these slots says that it was written, and so all before it were: there is one
        // writer. It does not come back to any of them before this gating reader has released them (`kept`), which takes
        // an exclusive reference, and nobody else writes to this storage (it is not foreign).
        let one = unsafe { lend(one) };
        // SAFETY: as above.
        let other = unsafe { lend(other) };
        Some([one, other])
    }

    /// Whether the message of a sequence can be read, if it is none that a gating reader has let go.
    #[inline]
    pub(super) fn is_published(&self, sequence: usize) -> bool {
        let ring: &Broadcast<H::Storage> = self.ring();
        // Acquire, with the Release of a commit: the words of this message and of all before it.
        let stamp = ring.stamp_of(sequence).0.load(order!("broadcast.look", Acquire));
        stamp == sequence.wrapping_add(1)
    }
}

/// Messages that are lent to a reader in place. See [`Consumer::read`].
#[derive(Debug)]
pub struct Messages<'a, H: Handle> {
    consumer: &'a mut Consumer<H>,
    count: usize,
}

impl<H: Handle> Messages<'_, H> {
    /// How many are lent, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The sequence of the first one; the others follow.
    #[must_use]
    pub fn sequence(&self) -> usize {
        self.consumer.cursor
    }

    /// The bytes of the message after `index` others. They begin at a multiple of a word.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if index >= self.count {
            return None;
        }
        let slot = self.consumer.ring.slot(self.consumer.cursor.wrapping_add(index));
        // SAFETY: `read` saw the message, and no writer comes back to its slot before this gating reader's cursor has
        // passed it, which takes the exclusive reference that this value has.
        let words = unsafe { slot.lend() };
        words.as_bytes().get(..self.consumer.length(slot))
    }

    /// The bytes of all messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).filter_map(|index| self.get(index))
    }

    /// Goes on after the first `count` messages, or all if that is more. The writer may write there again.
    #[inline]
    pub fn release(self, count: usize) {
        let cursor = self.consumer.cursor.wrapping_add(count.min(self.count));
        self.consumer.looked = false;
        self.consumer.move_to(cursor);
    }
}
