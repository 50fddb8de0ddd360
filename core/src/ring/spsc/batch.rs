//! Many items at a time: slots granted to the writer, items borrowed to the reader, and plain copies of both.

#![allow(unsafe_code)]

use core::marker::PhantomData;
#[cfg(not(loom))]
use core::mem::MaybeUninit;

#[cfg(not(loom))]
use zerocopy::FromZeros;

#[cfg(not(loom))]
use super::Slot;
use super::{Consumer, ItemOf, Producer, Ring, SlotOf};
use crate::ring::cell::{Cell, InPlace};
use crate::ring::pair::Memory;
use crate::ring::{self, GrantError, Handle, PopError, PushError};

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

    /// Appends as many of `items` as there is room for, shows them all at once, and returns how many.
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
    /// [`PushError`] if there is no room for any of them or the reader is gone for good.
    #[inline]
    pub fn push_slice(&mut self, items: &[ItemOf<H>]) -> Result<usize, PushError<()>>
    where
        ItemOf<H>: Copy,
    {
        if self.is_closed() {
            return Err(PushError::Closed(()));
        }
        if self.limit.wrapping_sub(self.tail) < items.len() {
            self.look_for_room();
        }
        let count = items.len().min(self.limit.wrapping_sub(self.tail));
        if count == 0 {
            return if items.is_empty() { Ok(0) } else { Err(PushError::Full(())) };
        }
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.slots.range(self.tail, count) };
        // SAFETY: these slots are before the limit: the reader is done with them until they are shown.
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
    /// The item, if all are filled.
    #[inline]
    pub fn push(&mut self, item: ItemOf<H>) -> Result<(), ItemOf<H>> {
        if self.filled == self.count {
            return Err(item);
        }
        let producer = &*self.producer;
        // SAFETY: the ring is alive.
        let slot = unsafe { producer.slots.at(producer.tail.wrapping_add(self.filled)) };
        // SAFETY: `grant` saw that the reader is done with `count` slots, which are not shown yet.
        unsafe { slot.put(item) };
        self.filled += 1;
        Ok(())
    }

    /// How many slots are left to fill.
    #[must_use]
    pub fn room(&self) -> usize {
        self.count - self.filled
    }

    /// Drops what was filled after the first `count` slots. These slots can be filled again.
    pub fn truncate(&mut self, count: usize) {
        while self.filled > count {
            self.filled -= 1;
            let producer = &*self.producer;
            // SAFETY: the ring is alive.
            let slot = unsafe { producer.slots.at(producer.tail.wrapping_add(self.filled)) };
            // SAFETY: this grant put an item there, and counts it no more.
            drop(unsafe { slot.take() });
        }
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

#[cfg(not(loom))]
impl<T, H: Handle<Target: Ring<Slot = Slot<T>>>> Grant<'_, H> {
    /// The slots that are left to fill, in order, in up to two pieces: for `read(2)`, say, or `memcpy`. What was written
    /// to the first of them becomes items by [`assume_filled`](Grant::assume_filled).
    ///
    /// ```
    /// use mycelium_core::ring::spsc;
    ///
    /// let (mut writer, mut reader) = spsc::pair::<u8>(64)?;
    /// let mut grant = writer.grant(64).expect("the ring is empty");
    /// let (first, _) = grant.uninit();
    /// first[0].write(7);
    /// first[1].write(8);
    /// // SAFETY: two slots were written to, the first ones.
    /// unsafe { grant.assume_filled(2) };
    /// grant.commit();
    /// assert_eq!(reader.by_ref().collect::<Vec<_>>(), [7, 8]);
    /// # Ok::<(), mycelium_core::ring::CapacityError>(())
    /// ```
    #[inline]
    pub fn uninit(&mut self) -> (&mut [MaybeUninit<T>], &mut [MaybeUninit<T>]) {
        self.places(self.filled, self.room())
    }

    /// Says that the first `count` of the slots that are left to fill hold items now.
    ///
    /// # Panics
    /// If fewer are left.
    ///
    /// # Safety
    /// A valid item was written to each of them.
    #[inline]
    pub unsafe fn assume_filled(&mut self, count: usize) {
        assert!(count <= self.room(), "more slots than were granted");
        self.filled += count;
    }

    /// Fills the slots that are left with zeros, and returns them as items, in order, in up to two pieces: for a `Read`,
    /// which takes no uninitialized bytes. Those that remain zeros are taken back by [`truncate`](Grant::truncate).
    ///
    /// ```
    /// use mycelium_core::ring::spsc;
    /// use std::io::Read;
    ///
    /// # fn copy(mut source: impl Read) -> std::io::Result<Vec<u8>> {
    /// let (mut writer, reader) = spsc::pair::<u8>(64).expect("a power of two");
    /// let mut grant = writer.grant(64).expect("the ring is empty");
    /// let count = source.read(grant.zeroed().0)?;
    /// grant.truncate(count);
    /// grant.commit();
    /// # Ok(reader.collect())
    /// # }
    /// # assert_eq!(copy(&[1, 2, 3][..]).unwrap(), [1, 2, 3]);
    /// ```
    #[inline]
    pub fn zeroed(&mut self) -> (&mut [T], &mut [T])
    where
        T: FromZeros,
    {
        let (from, count) = (self.filled, self.room());
        let (first, second) = self.places(from, count);
        for pieces in [&mut *first, &mut *second] {
            // SAFETY: as many places as the slice has, and nobody else is there.
            unsafe { pieces.as_mut_ptr().write_bytes(0, pieces.len()) };
        }
        self.filled = self.count;
        let (first, second) = self.places(from, count);
        // SAFETY: zeros were written to each place, and zeros are an item (`FromZeros`).
        let first = unsafe { first.assume_init_mut() };
        // SAFETY: as above.
        (first, unsafe { second.assume_init_mut() })
    }

    /// Places of this grant, whether filled or not, after `from` others.
    #[inline]
    fn places(
        &mut self,
        from: usize,
        count: usize,
    ) -> (&mut [MaybeUninit<T>], &mut [MaybeUninit<T>]) {
        debug_assert!(from + count <= self.count);
        let producer = &*self.producer;
        // SAFETY: the ring is alive.
        let (first, second) =
            unsafe { producer.slots.range(producer.tail.wrapping_add(from), count) };
        let place = |slots: &[Slot<T>]| slots.as_ptr().cast::<MaybeUninit<T>>().cast_mut();
        // SAFETY: a slot is a cell of a `MaybeUninit<T>` and nothing else (`repr(transparent)` all the way down), so it may be
        // written through a shared reference; `grant` saw that the reader is done with these slots, which are not shown
        // yet, and this borrows the only end that reaches them.
        let first = unsafe { core::slice::from_raw_parts_mut(place(first), first.len()) };
        // SAFETY: as above, and no slot is in both pieces.
        let second = unsafe { core::slice::from_raw_parts_mut(place(second), second.len()) };
        (first, second)
    }
}

impl<H: Handle<Target: Ring>> Drop for Grant<'_, H> {
    fn drop(&mut self) {
        self.truncate(0);
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
        let consumer = ShowOnDrop(self);
        for _ in 0..count {
            // SAFETY: the ring is alive.
            let slot = unsafe { consumer.0.slots.at(consumer.0.head) };
            // SAFETY: `find` saw `count` items, and each is taken once.
            let item = unsafe { slot.take() };
            consumer.0.head = consumer.0.head.wrapping_add(1);
            take(item);
        }
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
        SlotOf<H>: InPlace,
    {
        let count = self.find(most)?;
        Ok(Items { consumer: self, count, items: PhantomData })
    }
}

/// Items that are borrowed to the reader in place. See [`Consumer::read`].
#[derive(Debug)]
pub struct Items<'a, H: Handle<Target: Ring>> {
    consumer: &'a mut Consumer<H>,
    count: usize,
    /// Goes where references to items may go: this gives them out.
    items: PhantomData<&'a ItemOf<H>>,
}

impl<H: Handle<Target: Ring>> Items<'_, H>
where
    SlotOf<H>: InPlace,
{
    /// How many are borrowed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none is borrowed, which happens only if none was asked for.
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
        // SAFETY: `read` saw `count` items, and they stay until this value is gone.
        Some(unsafe { slot.borrow() })
    }

    /// All that is borrowed, in order.
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
        let consumer = ShowOnDrop(self.consumer);
        // Before the head moves, so that this holds if the drop of an item panics.
        consumer.0.stop = consumer.0.head.wrapping_add(count);
        for _ in 0..count {
            let head = consumer.0.head;
            // Moved first: an item whose drop panics is not taken again.
            consumer.0.head = head.wrapping_add(1);
            // SAFETY: the ring is alive.
            let slot = unsafe { consumer.0.slots.at(head) };
            // SAFETY: `read` saw at least `count` items, and each is taken once.
            drop(unsafe { slot.take() });
        }
    }
}

/// A reader that takes items while user code runs: what it took is shown when it is time to, even if that code panics.
struct ShowOnDrop<'a, H: Handle<Target: Ring>>(&'a mut Consumer<H>);

impl<H: Handle<Target: Ring>> Drop for ShowOnDrop<'_, H> {
    #[inline]
    fn drop(&mut self) {
        self.0.moved();
    }
}

#[cfg(not(loom))]
impl<T, H: Handle<Target: Ring<Slot = Slot<T>>>> Items<'_, H> {
    /// All that is borrowed, in order, in up to two pieces.
    #[must_use]
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.consumer.slots.range(self.consumer.head, self.count) };
        crate::sync::seen!(Load, before);
        crate::sync::seen!(Load, after);
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

    #[inline]
    fn force_check(&mut self) {
        Consumer::force_check(self);
    }

    fn capacity(&self) -> usize {
        Consumer::capacity(self)
    }

    fn len(&self) -> usize {
        Consumer::len(self)
    }

    fn refuse_pushes(&mut self) {
        self.ring().memory().reader().close();
    }

    fn close(self) {
        Consumer::close(self);
    }
}
