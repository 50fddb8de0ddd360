//! Many items at a time: slots granted to the writer, items lent to the reader, and plain copies of both.

#![allow(unsafe_code)]

use core::marker::PhantomData;

#[cfg(not(loom))]
use super::Slot;
use super::{Consumer, ItemOf, Layout, Producer, Ring, SlotOf};
use crate::ring::cell::{Cell, Lend};
use crate::ring::pair::Memory;
use crate::ring::{self, GrantError, Handle, PopError, PushError};
use crate::sync::Ordering;

impl<H: Handle<Target: Ring>> Producer<H> {
    /// `count` slots to fill. The reader sees what was put there at [`Grant::commit`], all at once; dropping the grant
    /// drops it, unseen.
    ///
    /// # Errors
    /// [`GrantError`] if there is not so much room, or never will be.
    #[inline]
    pub fn grant(&mut self, count: usize) -> Result<Grant<'_, H>, GrantError> {
        if count == 0 || count > self.slots.capacity() {
            return Err(GrantError::Count { asked: count, capacity: self.slots.capacity() });
        }
        if self.is_closed() {
            return Err(GrantError::Closed);
        }
        if self.limit.wrapping_sub(self.tail) < count {
            let room = self.look_for_room();
            if room < count {
                return Err(GrantError::Full { room });
            }
        }
        Ok(Grant { producer: self, count, filled: 0 })
    }

    /// Appends as many of `items` as there is room for, shows them all at once, and returns how many; none after the
    /// reader has closed the ring.
    #[inline]
    pub fn push_slice(&mut self, items: &[ItemOf<H>]) -> usize
    where
        ItemOf<H>: Copy,
    {
        if self.is_closed() {
            return 0;
        }
        if self.limit.wrapping_sub(self.tail) < items.len() {
            self.look_for_room();
        }
        let count = items.len().min(self.limit.wrapping_sub(self.tail));
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.slots.range(self.tail, count) };
        // SAFETY: these slots are before the limit: the reader is done with them until they are shown.
        unsafe { SlotOf::<H>::put_all(before, &items[..before.len()]) };
        // SAFETY: as above.
        unsafe { SlotOf::<H>::put_all(after, &items[before.len()..count]) };
        if count > 0 {
            self.show(count);
        }
        count
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
    /// The item, if all are filled.
    #[inline]
    pub fn push(&mut self, item: ItemOf<H>) -> Result<(), ItemOf<H>> {
        if self.filled == self.count {
            return Err(item);
        }
        let producer = &*self.producer;
        // SAFETY: the ring is alive.
        let slot = unsafe { producer.slots.at(producer.tail.wrapping_add(self.filled)) };
        // SAFETY: `grant` saw that the reader is done with so many slots, which are not shown yet.
        unsafe { slot.put(item) };
        self.filled += 1;
        Ok(())
    }

    /// How many slots are left to fill.
    #[must_use]
    pub fn room(&self) -> usize {
        self.count - self.filled
    }

    /// Shows the reader all that was filled, and returns how many; the slots that were not filled go back.
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
            // SAFETY: this grant put an item there, and counts it no more.
            drop(unsafe { slot.take() });
        }
    }
}

impl<H: Handle<Target: Ring>> Consumer<H> {
    /// Takes up to `most` items, gives each to `take`, and returns how many there were. If `take` panics, the items that
    /// it has not been given stay in the ring.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn pop_many(
        &mut self,
        most: usize,
        mut take: impl FnMut(ItemOf<H>),
    ) -> Result<usize, PopError> {
        let count = self.find(most)?;
        // Before the head moves, so that this holds if `take` panics.
        self.stop = self.head.wrapping_add(count);
        for _ in 0..count {
            // SAFETY: the ring is alive.
            let slot = unsafe { self.slots.at(self.head) };
            // SAFETY: `find` saw so many items, and each is taken once.
            let item = unsafe { slot.take() };
            self.head = self.head.wrapping_add(1);
            take(item);
        }
        self.moved();
        Ok(count)
    }

    /// Copies the next items to `items`, as many as there are and fit, and returns how many.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn pop_slice(&mut self, items: &mut [ItemOf<H>]) -> Result<usize, PopError>
    where
        ItemOf<H>: Copy,
    {
        let count = self.find(items.len())?;
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.slots.range(self.head, count) };
        let (first, second) = items[..count].split_at_mut(before.len());
        // SAFETY: `find` saw these items, and each is taken once: the head moves past them.
        unsafe { SlotOf::<H>::take_all(before, first) };
        // SAFETY: as above.
        unsafe { SlotOf::<H>::take_all(after, second) };
        self.head = self.head.wrapping_add(count);
        self.stop = self.head;
        self.moved();
        Ok(count)
    }

    /// Lends up to `most` items in place. They stay in the ring until [`Items::release`].
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn read(&mut self, most: usize) -> Result<Items<'_, H>, PopError>
    where
        SlotOf<H>: Lend,
    {
        let count = self.find(most)?;
        Ok(Items { consumer: self, count, items: PhantomData })
    }

    /// How many items there are, at most `most`.
    #[inline]
    fn find(&mut self, most: usize) -> Result<usize, PopError> {
        if self.limit.wrapping_sub(self.head) < most && self.look_for_items(most) == 0 {
            self.nothing()?;
        }
        Ok(most.min(self.limit.wrapping_sub(self.head)))
    }
}

/// Items that are lent to the reader in place. See [`Consumer::read`].
#[derive(Debug)]
pub struct Items<'a, H: Handle<Target: Ring>> {
    consumer: &'a mut Consumer<H>,
    count: usize,
    /// Goes where references to items may go: this gives them out.
    items: PhantomData<&'a ItemOf<H>>,
}

impl<H: Handle<Target: Ring>> Items<'_, H>
where
    SlotOf<H>: Lend,
{
    /// How many are lent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none is lent, which happens only if none was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The item after `index` others.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&ItemOf<H>> {
        if index >= self.count {
            return None;
        }
        // SAFETY: the ring is alive.
        let slot = unsafe { self.consumer.slots.at(self.consumer.head.wrapping_add(index)) };
        // SAFETY: `read` saw so many items, and they stay until this value is gone.
        Some(unsafe { slot.lend() })
    }

    /// All that is lent, in order.
    pub fn iter<'a>(&'a self) -> impl Iterator<Item = &'a ItemOf<H>>
    where
        H: 'a,
    {
        (0..self.count).filter_map(|index| self.get(index))
    }

    /// Drops the first `count` items, or all if that is more, and gives their slots back to the writer.
    #[inline]
    pub fn release(self, count: usize) {
        let count = count.min(self.count);
        let consumer = self.consumer;
        // Before the head moves, so that this holds if the drop of an item panics.
        consumer.stop = consumer.head.wrapping_add(count);
        for _ in 0..count {
            let head = consumer.head;
            // Moved first: an item whose drop panics is not taken again.
            consumer.head = head.wrapping_add(1);
            // SAFETY: the ring is alive.
            let slot = unsafe { consumer.slots.at(head) };
            // SAFETY: `read` saw so many items, and each is taken once.
            drop(unsafe { slot.take() });
        }
        consumer.moved();
    }
}

#[cfg(not(loom))]
impl<T, H: Handle<Target: Ring<Slot = Slot<T>>>> Items<'_, H> {
    /// All that is lent, in order, in up to two pieces.
    #[must_use]
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.consumer.slots.range(self.consumer.head, self.count) };
        // SAFETY: a slot is a cell of a value and nothing else (`repr(transparent)` all the way down); `read` saw these
        // items, and they stay until this value is gone.
        let before = unsafe { core::slice::from_raw_parts(before.as_ptr().cast(), before.len()) };
        // SAFETY: as above.
        let after = unsafe { core::slice::from_raw_parts(after.as_ptr().cast(), after.len()) };
        (before, after)
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
        self.limit == self.tail && self.look_for_room() == 0
    }

    #[inline]
    fn is_closed(&self) -> bool {
        Producer::is_closed(self)
    }

    fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    fn len(&self) -> usize {
        let head = self.ring.memory().reader().position.load(Ordering::Relaxed);
        self.tail.wrapping_sub(head).min(self.slots.capacity())
    }

    fn close(self) {
        Producer::close(self);
    }
}

impl<H: Handle<Target: Ring>> ring::Consumer for Consumer<H> {
    type Item = ItemOf<H>;

    #[inline(always)]
    fn try_pop(&mut self) -> Result<ItemOf<H>, PopError> {
        Consumer::try_pop(self)
    }

    #[inline]
    fn pop_many(&mut self, most: usize, take: impl FnMut(ItemOf<H>)) -> Result<usize, PopError> {
        Consumer::pop_many(self, most, take)
    }

    #[inline]
    fn flush(&mut self) {
        Consumer::flush(self);
    }

    fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    fn len(&self) -> usize {
        Layout::count(self.ring.memory().writer(), &self.slots, self.head)
    }

    fn refuse(&mut self) {
        self.ring.memory().reader().close();
    }

    fn close(self) {
        Consumer::close(self);
    }
}
