//! Batches of the writer: slots that are granted, filled and committed together, and copies of
//! slices.

#![allow(unsafe_code)]

#[cfg(not(loom))]
use core::mem::MaybeUninit;

#[cfg(not(loom))]
use zerocopy::FromZeros;

use super::Producer;
#[cfg(not(loom))]
use super::Slot;
use super::layout::{ItemOf, Ring, SlotOf};
use crate::ring::cell::Cell;
use crate::ring::{GrantError, Handle, PushError};

impl<H: Handle<Target: Ring>> Producer<H> {
    /// `count` slots to fill. [`Grant::commit`] shows the reader all items at once; dropping the
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

    /// Appends as many of `items` as there is room for, shows them all at once, and returns how
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
    /// The item, if all slots are filled.
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

    /// How many slots are left to fill.
    #[must_use]
    pub fn room(&self) -> usize {
        self.count - self.filled
    }

    /// Drops the items after the first `count` slots. These slots can be filled again.
    pub fn truncate(&mut self, count: usize) {
        while self.filled > count {
            self.filled -= 1;
            let producer = &*self.producer;
            // SAFETY: the ring is alive.
            let slot = unsafe { producer.slots.at(producer.tail.wrapping_add(self.filled)) };
            // SAFETY: this grant put an item there, and no longer counts it.
            drop(unsafe { slot.take() });
        }
    }

    /// Shows the reader all items, and returns how many; slots that were not filled are given back.
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
    /// The slots that are left to fill, in order, in up to two pieces: for `read(2)`, for example,
    /// or `memcpy`. Call [`assume_filled`](Grant::assume_filled) for the slots that were written.
    ///
    /// ```
    /// use mycelium_core::ring::spsc;
    ///
    /// let (mut writer, mut reader) = spsc::pair::<u8>(64)?;
    /// let mut grant = writer.grant(64).expect("the ring is empty");
    /// let (first, _) = grant.uninit();
    /// first[0].write(7);
    /// first[1].write(8);
    /// // SAFETY: the first two slots were written.
    /// unsafe { grant.assume_filled(2) };
    /// grant.commit();
    /// assert_eq!(reader.by_ref().collect::<Vec<_>>(), [7, 8]);
    /// # Ok::<(), mycelium_core::ring::CapacityError>(())
    /// ```
    #[inline]
    pub fn uninit(&mut self) -> (&mut [MaybeUninit<T>], &mut [MaybeUninit<T>]) {
        self.places(self.filled, self.room())
    }

    /// Declares that the first `count` of the slots that are left to fill contain items now.
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

    /// Fills the slots that are left with zeros, and returns them as items, in order, in up to two
    /// pieces: for a `Read`, which takes no uninitialized bytes. [`truncate`](Grant::truncate)
    /// takes back those that remain zeros.
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
            // SAFETY: as many places as the slice has, and no other reference to them exists.
            unsafe { pieces.as_mut_ptr().write_bytes(0, pieces.len()) };
        }
        self.filled = self.count;
        let (first, second) = self.places(from, count);
        // SAFETY: zeros were written to each place, and zeros are an item (`FromZeros`).
        let first = unsafe { first.assume_init_mut() };
        // SAFETY: as above.
        (first, unsafe { second.assume_init_mut() })
    }

    /// `count` places of this grant after `from` others, filled or not.
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
        // SAFETY: a slot is a cell of a `MaybeUninit<T>` and nothing else (`repr(transparent)` at
        // every level), so it may be written through a shared reference. `grant` saw that the
        // reader does not use these slots, which are not shown yet, and this borrows the only end
        // that reaches them.
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
