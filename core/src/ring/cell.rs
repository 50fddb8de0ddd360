//! How a value lies in a slot: moved in, moved out, or lent in place.

#![allow(unsafe_code)]

use core::mem::MaybeUninit;

use crate::sync::{SharedCell, const_unless_loom};

/// A place for one value, which the protocol of a ring gives to one side at a time.
///
/// # Safety
/// `take` returns what `put` was given, if nothing else reached the cell meanwhile.
pub unsafe trait Cell {
    /// What is kept.
    type Item;

    /// Moves a value in. One that is in the cell is forgotten.
    ///
    /// # Safety
    /// Nobody else is at this cell.
    unsafe fn put(&self, item: Self::Item);

    /// Moves the value out.
    ///
    /// # Safety
    /// There is one, nobody else is at this cell, and nobody takes the value again.
    unsafe fn take(&self) -> Self::Item;
}

/// A slot in memory that belongs to this process alone.
#[derive(Debug)]
#[repr(transparent)]
pub struct Slot<T>(SharedCell<MaybeUninit<T>>);

// SAFETY: the value inside is reached by one thread at a time (the contract of `Cell`), and may be sent between them.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    const_unless_loom! {
        /// An empty slot.
        #[must_use]
        pub const fn new() -> Slot<T> {
            Slot(SharedCell::new(MaybeUninit::uninit()))
        }
    }

    /// The value in place.
    ///
    /// # Safety
    /// There is one, and nobody takes it or puts another one while the reference lives.
    #[inline]
    pub(super) unsafe fn lend(&self) -> &T {
        // SAFETY: nobody writes to the cell while the reference lives (this function's contract).
        let value = unsafe { self.0.with(|value| value) };
        // SAFETY: there is a value, and it stays (this function's contract).
        unsafe { (*value).assume_init_ref() }
    }

    /// The values of neighbours in place.
    ///
    /// # Safety
    /// As for `lend`, of all of them.
    #[cfg(not(loom))]
    #[inline]
    pub(super) unsafe fn lend_all(slots: &[Slot<T>]) -> &[T] {
        // SAFETY: a slot is a cell of a value and nothing else (`repr(transparent)` all the way down), each holds a
        // value, and nobody writes to them while the reference lives (this function's contract).
        unsafe { core::slice::from_raw_parts(slots.as_ptr().cast(), slots.len()) }
    }

    /// Copies values into neighbours.
    ///
    /// # Safety
    /// Nobody else is at these slots, and there are as many as values.
    #[inline]
    pub(super) unsafe fn put_all(slots: &[Slot<T>], values: &[T])
    where
        T: Copy,
    {
        debug_assert_eq!(slots.len(), values.len());
        #[cfg(not(loom))]
        {
            let to = slots.as_ptr().cast::<T>().cast_mut();
            // SAFETY: `to` leads to as many slots as there are values, which may be written through a shared reference
            // because they are cells, and which nobody else is at; an exclusive place cannot overlap `values`.
            unsafe { core::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len()) };
        }
        #[cfg(loom)]
        for (slot, value) in slots.iter().zip(values) {
            // SAFETY: this function's contract.
            unsafe { slot.put(*value) };
        }
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot::new()
    }
}

// SAFETY: the value is moved as it is.
unsafe impl<T> Cell for Slot<T> {
    type Item = T;

    #[inline]
    unsafe fn put(&self, item: T) {
        // SAFETY: nobody else is at the cell (this function's contract).
        unsafe { self.0.with_mut(|value| _ = value.write(item)) };
    }

    #[inline]
    unsafe fn take(&self) -> T {
        // SAFETY: nobody else is at the cell; there is a value, and nobody takes it again (this function's contract).
        unsafe { self.0.with_mut(|value| value.assume_init_read()) }
    }
}
