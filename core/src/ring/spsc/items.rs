//! Batches of the reader: items that are taken together, borrowed in place, or copied to a slice.

#![allow(unsafe_code)]

use core::marker::PhantomData;

use super::Consumer;
#[cfg(not(loom))]
use super::Slot;
use super::layout::{ItemOf, Ring, SlotOf};
use crate::ring::cell::{Cell, InPlace};
use crate::ring::{Handle, PopError};

impl<H: Handle<Target: Ring>> Consumer<H> {
    /// Takes up to `most` items, gives each to `take`, and returns how many there were. If `take`
    /// panics, the items that it has not been given stay in the ring.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn pop_many(
        &mut self,
        most: usize,
        mut take: impl FnMut(ItemOf<H>),
    ) -> Result<usize, PopError> {
        let count = self.items_for_batch(most)?;
        // Before the head moves, so that this holds if `take` panics.
        self.stop = self.head.wrapping_add(count);
        let consumer = ShowOnDrop(self);
        for _ in 0..count {
            // SAFETY: the ring is alive.
            let slot = unsafe { consumer.0.slots.at(consumer.0.head) };
            // SAFETY: `items_for_batch` saw `count` items, and each is taken once.
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
        let count = self.items_for_batch(items.len())?;
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.slots.range(self.head, count) };
        let (first, second) = items[..count].split_at_mut(before.len());
        // SAFETY: `items_for_batch` saw these items, and each is taken once: the head moves past
        // them.
        unsafe { SlotOf::<H>::take_all(before, first) };
        // SAFETY: as above.
        unsafe { SlotOf::<H>::take_all(after, second) };
        self.head = self.head.wrapping_add(count);
        self.stop = self.head;
        self.show_if_due();
        Ok(count)
    }

    /// Borrows up to `most` items in place. They stay in the ring until [`Items::release`].
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn read(&mut self, most: usize) -> Result<Items<'_, H>, PopError>
    where
        SlotOf<H>: InPlace,
    {
        let count = self.items_for_batch(most)?;
        Ok(Items { consumer: self, count, items: PhantomData })
    }
}

/// Items that the reader borrows in place. See [`Consumer::read`].
#[derive(Debug)]
pub struct Items<'a, H: Handle<Target: Ring>> {
    consumer: &'a mut Consumer<H>,
    count: usize,
    /// This gives out references to items, so it may go only where they may go.
    items: PhantomData<&'a ItemOf<H>>,
}

impl<H: Handle<Target: Ring>> Items<'_, H>
where
    SlotOf<H>: InPlace,
{
    /// How many items are borrowed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no item is borrowed, which happens only if none was requested.
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

    /// All borrowed items, in order.
    pub fn iter<'a>(&'a self) -> impl Iterator<Item = &'a ItemOf<H>>
    where
        H: 'a,
    {
        (0..self.count).filter_map(|index| self.get(index))
    }

    /// Drops the first `count` items, or all if there are fewer, and gives their slots back to the
    /// writer.
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

/// A reader that takes items while user code runs. Its position is shown when it is due, even if
/// that code panics.
struct ShowOnDrop<'a, H: Handle<Target: Ring>>(&'a mut Consumer<H>);

impl<H: Handle<Target: Ring>> Drop for ShowOnDrop<'_, H> {
    #[inline]
    fn drop(&mut self) {
        self.0.show_if_due();
    }
}

#[cfg(not(loom))]
impl<T, H: Handle<Target: Ring<Slot = Slot<T>>>> Items<'_, H> {
    /// All borrowed items, in order, in up to two pieces.
    #[must_use]
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.consumer.slots.range(self.consumer.head, self.count) };
        crate::sync::seen!(Load, before);
        crate::sync::seen!(Load, after);
        // SAFETY: a slot is a cell of a value and nothing else (`repr(transparent)` at every
        // level); `read` saw these items, and they stay until this value is gone.
        let before = unsafe { core::slice::from_raw_parts(before.as_ptr().cast(), before.len()) };
        // SAFETY: as above.
        let after = unsafe { core::slice::from_raw_parts(after.as_ptr().cast(), after.len()) };
        (before, after)
    }
}
