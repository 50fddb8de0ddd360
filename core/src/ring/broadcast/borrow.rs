//! Messages that a gating reader borrows in place.

#![allow(unsafe_code)]

use zerocopy::IntoBytes;

use super::BroadcastHandle;
use super::consumer::Consumer;
use super::slot::Slot;
use crate::sync::order;

impl<H: BroadcastHandle> Consumer<H> {
    /// Borrows up to `most` of the next messages in place. They stay in the ring until
    /// [`Messages::release`], and the writer waits for that. Only a gating reader of a ring within
    /// one process may borrow: messages that may be overwritten at the same time must be copied.
    ///
    /// After `None`, call [`peek`](Consumer::peek), which finds the reason: there may be a message.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Layout};
    ///
    /// let ring = Broadcast::boxed(Layout::exact(4, size_of::<usize>()), 1)?;
    /// let mut writer = Broadcast::producer(&ring).expect("the only writer");
    /// let mut reader = Broadcast::gating(&ring).expect("one entry is free");
    /// for number in [7, 8, 9] {
    ///     writer.try_push(&[number], size_of::<usize>()).expect("there is room");
    /// }
    /// let messages = reader.read(2).expect("there are three");
    /// let bytes = [7_usize.to_ne_bytes(), 8_usize.to_ne_bytes()];
    /// assert_eq!(messages.iter().collect::<Vec<_>>(), bytes);
    /// messages.release(2);
    /// assert_eq!(reader.read(2).map(|messages| messages.count()), Some(1));
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    #[inline(always)]
    pub fn read(&mut self, most: usize) -> Option<Messages<'_, H>> {
        if !self.ring.may_borrow() {
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

    /// Whether this is a reader that may borrow: [`read`](Consumer::read) returns messages.
    #[inline]
    #[must_use]
    pub fn borrows(&self) -> bool {
        self.ring.may_borrow()
    }

    /// The words of the next message in place, after its stamp was seen; `None` if other threads
    /// may write to them.
    #[inline(always)]
    pub(super) fn borrowed<'a>(&'a self, slot: Slot<'a>) -> Option<&'a [usize]> {
        // SAFETY: the stamp says that the message was written, and no writer uses the slot again
        // before this gating reader's cursor has passed it, which needs an exclusive reference.
        self.ring.may_borrow().then(|| unsafe { slot.borrow() })
    }

    /// Whether the message with this sequence is published.
    #[inline(always)]
    fn is_there(&self, sequence: usize) -> bool {
        let slot = self.ring.slot_for(sequence, 0);
        // Acquire, pairs with the Release of `broadcast.publish`: the words of the message.
        slot.stamp.load(order!("broadcast.look", Acquire)) == sequence.wrapping_add(1)
    }
}

/// Messages that a reader borrows in place. See [`Consumer::read`].
#[derive(Debug)]
pub struct Messages<'a, H: BroadcastHandle> {
    consumer: &'a mut Consumer<H>,
    count: usize,
}

impl<H: BroadcastHandle> Messages<'_, H> {
    /// How many messages are borrowed, at least one.
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
        // SAFETY: `read` saw the message, and no writer uses its slot again before this gating
        // reader's cursor has passed it, which needs the exclusive reference that this value has.
        let words = unsafe { slot.borrow() };
        words.as_bytes().get(..self.consumer.length(slot))
    }

    /// The bytes of all messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).filter_map(|index| self.get(index))
    }

    /// Moves past the first `count` messages, or all if there are fewer. The writer may use their
    /// slots again.
    #[inline]
    pub fn release(self, count: usize) {
        let cursor = self.consumer.cursor.wrapping_add(count.min(self.count));
        self.consumer.peeked = false;
        self.consumer.move_to(cursor);
    }
}
