//! Batches of the writer: slots that are granted, filled and committed together, and copies of
//! slices.

#![allow(unsafe_code)]

use super::Producer;
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
