//! The writing end of a ring: single items; and batches, by slots that are granted, filled and
//! committed together, or by copies of slices.

#![allow(unsafe_code)]

use super::layout::{ItemOf, Ring, SlotLayout, SlotOf};
use crate::ring::cell::Cell;
use crate::ring::slots::Slots;
use crate::ring::{self, GrantError, Handle, PushError};
use crate::sync::{Ordering, order};

/// The writer's end of a ring. Dropping it leaves the ring open for the next producer, which
/// continues in its place.
#[derive(Debug)]
pub struct Producer<H: Handle<Target: Ring>> {
    ring: H,
    slots: Slots<SlotOf<H>>,
    tail: usize,
    /// The writer has room before this position, as of its last check.
    limit: usize,
    /// The position, between `tail` and `limit`, at which `try_push` checks again. Code that moves
    /// the tail past `stop` must move `stop` too.
    stop: usize,
    /// Whether at least a quarter of the slots was full at the last check.
    is_ahead: bool,
}

impl<H: Handle<Target: Ring>> Producer<H> {
    /// Creates the end. The caller has taken the writer's side.
    pub(super) fn new(ring: H) -> Producer<H> {
        let slots = Slots::new(ring.slots());
        let tail = ring.writer().position.load(Ordering::Relaxed);
        Producer { slots, tail, limit: tail, stop: tail, is_ahead: false, ring }
    }

    /// Appends an item.
    ///
    /// # Errors
    /// [`PushError`] with the item, if the ring is full or the reader has closed the ring.
    // Always inlined, like `Consumer::try_pop`.
    #[inline(always)]
    pub fn try_push(&mut self, item: ItemOf<H>) -> Result<(), PushError<ItemOf<H>>> {
        if self.is_closed() {
            return Err(PushError::Closed(item));
        }
        if self.tail == self.stop && !self.move_stop() {
            return Err(PushError::Full(item));
        }
        // SAFETY: the ring is alive.
        let slot = unsafe { self.slots.at(self.tail) };
        // SAFETY: it is before the limit, so the reader does not use it until it is shown.
        unsafe { slot.put(item) };
        SlotLayout::show(self.ring.writer(), &self.slots, self.tail, 1);
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Returns how many items can be pushed now.
    #[inline]
    pub fn room(&mut self) -> usize {
        if self.limit.wrapping_sub(self.tail) < self.slots.capacity() {
            self.check_room();
        }
        self.limit.wrapping_sub(self.tail)
    }

    /// Returns whether the reader has closed the ring.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ring.reader().is_closed()
    }

    /// Returns whether a push would be refused with [`PushError::Full`], as far as this end can
    /// see. The slots of items that the reader has popped and not published do not count as room.
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.limit == self.tail && self.check_room() == 0
    }

    /// Returns how many items are in the ring, as far as this end can see, including items that
    /// were popped but not published.
    #[must_use]
    pub fn len(&self) -> usize {
        let head = self.ring.reader().position.load(Ordering::Relaxed);
        self.tail.wrapping_sub(head).min(self.slots.capacity())
    }

    /// Returns whether nothing is in the ring, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many items the ring has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Closes the ring: no more items follow. The reader gets the items in the ring, then
    /// [`PopError::Closed`](crate::ring::PopError::Closed).
    pub fn close(self) {
        self.ring.writer().close();
    }

    /// Publishes a batch of `count` items, all before the limit.
    #[inline]
    fn show(&mut self, count: usize) {
        SlotLayout::show(self.ring.writer(), &self.slots, self.tail, count);
        self.tail = self.tail.wrapping_add(count);
        self.stop = self.tail;
    }

    /// Checks for room and prefetches the next slots. Returns whether there is room.
    #[inline]
    fn move_stop(&mut self) -> bool {
        let has_room = self.tail != self.limit || self.check_room() > 0;
        // The result is at most the limit, and at least the tail.
        self.stop = SlotLayout::prefetch_put(&self.slots, self.tail, self.limit, self.is_ahead);
        has_room
    }

    /// Loads the reader's position. Returns how much room there is.
    #[inline]
    fn check_room(&mut self) -> usize {
        // Acquire, pairs with the Release of `spsc.pop`: the reader no longer uses the slots before
        // its position.
        let reader = self.ring.reader();
        let head = reader.position.load(order!("spsc.room", Acquire));
        let capacity = self.slots.capacity();
        let used = self.tail.wrapping_sub(head);
        debug_assert!(used <= capacity, "the reader is ahead of the writer");
        if !SlotOf::<H>::COUNTS {
            self.ring.writer().note_depth(used);
        }
        self.limit = self.tail.wrapping_add(capacity - used);
        self.is_ahead = used >= capacity.div_ceil(4);
        self.stop = self.tail;
        capacity - used
    }
}

impl<H: Handle<Target: Ring>> Drop for Producer<H> {
    fn drop(&mut self) {
        let writer = self.ring.writer();
        SlotOf::<H>::save_position(writer, self.tail);
        writer.release();
    }
}

impl<H: Handle<Target: Ring>> ring::Producer for Producer<H> {
    type Item = ItemOf<H>;

    #[inline(always)]
    fn try_push(&mut self, item: ItemOf<H>) -> Result<(), PushError<ItemOf<H>>> {
        Producer::try_push(self, item)
    }

    #[inline]
    fn is_full(&mut self) -> bool {
        Producer::is_full(self)
    }

    #[inline]
    fn is_closed(&self) -> bool {
        Producer::is_closed(self)
    }

    fn capacity(&self) -> usize {
        Producer::capacity(self)
    }

    fn len(&self) -> usize {
        Producer::len(self)
    }

    fn close(self) {
        Producer::close(self);
    }
}

impl<H: Handle<Target: Ring>> Producer<H> {
    /// Grants `count` slots to fill. [`Grant::commit`] publishes all items at once; dropping the
    /// grant drops the items, and the reader never sees them.
    ///
    /// # Errors
    /// [`GrantError`] if there is less room now, or the ring has fewer slots.
    #[inline]
    pub fn grant(&mut self, count: usize) -> Result<Grant<'_, H>, GrantError> {
        if count == 0 || count > self.slots.capacity() {
            return Err(GrantError::Count { asked: count, capacity: self.slots.capacity() });
        }
        if self.is_closed() {
            return Err(GrantError::Closed);
        }
        if self.limit.wrapping_sub(self.tail) < count {
            let room = self.check_room();
            if room < count {
                return Err(GrantError::Full { room });
            }
        }
        Ok(Grant { producer: self, count, filled: 0 })
    }

    /// Appends as many of `items` as there is room for, and publishes them at once. Returns how
    /// many.
    ///
    /// ```
    /// use mycelium_core::ring::{PushError, spsc};
    ///
    /// let (mut writer, reader) = spsc::pair(2)?;
    /// assert_eq!(writer.push_slice(&[1, 2, 3]), Ok(2));
    /// assert_eq!(writer.push_slice(&[3]), Err(PushError::Full(())));
    /// reader.close();
    /// assert_eq!(writer.push_slice(&[3]), Err(PushError::Closed(())));
    /// # Ok::<(), mycelium_core::ring::CapacityError>(())
    /// ```
    ///
    /// # Errors
    /// [`PushError`] if the ring is full or the reader has closed the ring.
    #[inline]
    pub fn push_slice(&mut self, items: &[ItemOf<H>]) -> Result<usize, PushError<()>>
    where
        ItemOf<H>: Copy,
    {
        if self.is_closed() {
            return Err(PushError::Closed(()));
        }
        if self.limit.wrapping_sub(self.tail) < items.len() {
            self.check_room();
        }
        let count = items.len().min(self.limit.wrapping_sub(self.tail));
        if count == 0 {
            return if items.is_empty() { Ok(0) } else { Err(PushError::Full(())) };
        }
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.slots.range(self.tail, count) };
        // SAFETY: these slots are before the limit: the reader does not use them until they are
        // shown.
        unsafe { SlotOf::<H>::put_all(before, &items[..before.len()]) };
        // SAFETY: as above.
        unsafe { SlotOf::<H>::put_all(after, &items[before.len()..count]) };
        self.show(count);
        Ok(count)
    }
}

/// Slots that the writer may fill, one after the other. See [`Producer::grant`].
#[derive(Debug)]
pub struct Grant<'a, H: Handle<Target: Ring>> {
    producer: &'a mut Producer<H>,
    count: usize,
    filled: usize,
}

impl<H: Handle<Target: Ring>> Grant<'_, H> {
    /// Fills the next slot.
    ///
    /// # Errors
    /// The item, if all slots are already filled.
    #[inline]
    pub fn push(&mut self, item: ItemOf<H>) -> Result<(), ItemOf<H>> {
        if self.filled == self.count {
            return Err(item);
        }
        let producer = &*self.producer;
        // SAFETY: the ring is alive.
        let slot = unsafe { producer.slots.at(producer.tail.wrapping_add(self.filled)) };
        // SAFETY: `grant` saw that the reader does not use the `count` slots, which are not shown
        // yet.
        unsafe { slot.put(item) };
        self.filled += 1;
        Ok(())
    }

    /// Returns how many slots are left to fill.
    #[must_use]
    pub fn room(&self) -> usize {
        self.count - self.filled
    }

    /// Publishes all items and returns how many; slots that were not filled are returned.
    #[inline]
    pub fn commit(mut self) -> usize {
        let filled = core::mem::take(&mut self.filled);
        if filled > 0 {
            self.producer.show(filled);
        }
        filled
    }
}

impl<H: Handle<Target: Ring>> Drop for Grant<'_, H> {
    fn drop(&mut self) {
        while self.filled > 0 {
            self.filled -= 1;
            let producer = &*self.producer;
            // SAFETY: the ring is alive.
            let slot = unsafe { producer.slots.at(producer.tail.wrapping_add(self.filled)) };
            // SAFETY: this grant put an item there, and no longer counts it.
            drop(unsafe { slot.take() });
        }
    }
}
