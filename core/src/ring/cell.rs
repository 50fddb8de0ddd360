//! A cell for one value, which is moved in, moved out, or borrowed in place.

#![allow(unsafe_code)]

use core::mem::MaybeUninit;

use crate::sync::{SharedCell, const_unless_loom, seen};

/// A cell for one value. The protocol of a ring gives each cell to one side at a time.
///
/// # Safety
/// `take` and `borrow` return the value given to `put`, if nothing else accessed the cell
/// meanwhile.
pub unsafe trait Cell {
    /// The value.
    type Item;

    /// Moves a value in. An old value in the cell is forgotten, not dropped.
    ///
    /// # Safety
    /// No other thread accesses this cell.
    unsafe fn put(&self, item: Self::Item);

    /// Moves the value out.
    ///
    /// # Safety
    /// The cell contains a value that is not taken again, and no other thread accesses this cell.
    unsafe fn take(&self) -> Self::Item;

    /// Borrows the value in place.
    ///
    /// # Safety
    /// The cell contains a value, and no thread takes it or puts another one while the reference
    /// lives.
    unsafe fn borrow(&self) -> &Self::Item;

    /// Copies values into consecutive cells.
    ///
    /// # Safety
    /// As for `put`, for all cells. There are as many cells as values.
    #[inline]
    unsafe fn put_all(cells: &[Self], items: &[Self::Item])
    where
        Self: Sized,
        Self::Item: Copy,
    {
        for (cell, item) in cells.iter().zip(items) {
            // SAFETY: this function's contract.
            unsafe { cell.put(*item) };
        }
    }

    /// Copies values out of consecutive cells.
    ///
    /// # Safety
    /// As for `take`, for all cells. There are as many cells as values.
    #[inline]
    unsafe fn take_all(cells: &[Self], items: &mut [Self::Item])
    where
        Self: Sized,
        Self::Item: Copy,
    {
        for (cell, item) in cells.iter().zip(items) {
            // SAFETY: this function's contract.
            *item = unsafe { cell.take() };
        }
    }
}

/// A slot: a cell for one value.
#[derive(Debug)]
#[repr(transparent)]
pub struct Slot<T>(SharedCell<MaybeUninit<T>>);

// SAFETY: one thread at a time accesses the value (the contract of `Cell`), and it may be sent
// between threads.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    const_unless_loom! {
        /// Creates an empty slot.
        #[must_use]
        pub const fn new() -> Slot<T> {
            Slot(SharedCell::new(MaybeUninit::uninit()))
        }
    }

    /// Does the same as `put`, but stores a value of whole words from its first word to its last,
    /// in as few stores as possible. `docs/decisions/cache-lines.md` gives the reason.
    ///
    /// # Safety
    /// As for `put`. The cell is aligned to [`Piece`].
    #[inline]
    pub(super) unsafe fn put_in_order(&self, item: T) {
        const WORD: usize = size_of::<usize>();
        if cfg!(loom) || size_of::<T>() < 2 * WORD || !size_of::<T>().is_multiple_of(WORD) {
            // SAFETY: this function's contract.
            return unsafe { self.put(item) };
        }
        let item = MaybeUninit::new(item);
        let copy = |value: &mut MaybeUninit<T>| {
            let (from, to) = (item.as_ptr(), value.as_mut_ptr());
            let pieces = size_of::<T>() / size_of::<Piece>();
            // SAFETY: the item has `pieces` pieces, and so has the cell, which is equally long and
            // aligned to them.
            unsafe { store::<Piece>(from.cast(), to.cast(), 0..pieces) };
            let words = pieces * (size_of::<Piece>() / WORD)..size_of::<T>() / WORD;
            // SAFETY: as above, of words.
            unsafe { store::<usize>(from.cast(), to.cast(), words) };
        };
        // SAFETY: no other thread accesses the cell (this function's contract).
        unsafe { self.0.with_mut_unseen(copy) };
    }
}

/// The largest store that every processor of this architecture has.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(super) type Piece = core::arch::x86_64::__m128i;
/// The largest store that every processor of this architecture has.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
pub(super) type Piece = usize;

/// Stores a range of the pieces at `from` to their places at `to`, in order.
///
/// # Safety
/// `from` and `to` point to at least as many pieces as the end of the range; `to` is aligned to
/// them, and no other thread reads or writes there.
#[inline(always)]
unsafe fn store<P>(
    from: *const MaybeUninit<P>,
    to: *mut MaybeUninit<P>,
    range: core::ops::Range<usize>,
) {
    for index in range {
        // SAFETY: within the item (this function's contract).
        let from = unsafe { from.add(index) };
        // SAFETY: a piece of the item, which may have a smaller alignment.
        let piece = unsafe { from.read_unaligned() };
        // SAFETY: within the cell (this function's contract).
        let to = unsafe { to.add(index) };
        seen!(Store, to.addr(), size_of::<P>());
        // Volatile, so that each is one store, and in this order.
        // SAFETY: an aligned piece that no other thread accesses (this function's contract).
        unsafe { to.write_volatile(piece) };
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot::new()
    }
}

// SAFETY: the value is moved unchanged.
unsafe impl<T> Cell for Slot<T> {
    type Item = T;

    #[inline]
    unsafe fn put(&self, item: T) {
        // SAFETY: no other thread accesses the cell (this function's contract).
        unsafe { self.0.with_mut(|value| _ = value.write(item)) };
    }

    #[inline]
    unsafe fn take(&self) -> T {
        // SAFETY: the cell contains a value that is not taken again (this function's contract).
        let take = |value: &mut MaybeUninit<T>| unsafe { value.assume_init_read() };
        // SAFETY: no other thread accesses the cell (this function's contract).
        unsafe { self.0.with_taken(take) }
    }

    #[inline]
    unsafe fn borrow(&self) -> &T {
        // SAFETY: no thread writes to the cell while the reference lives (this function's
        // contract).
        let value = unsafe { self.0.with(|value| value) };
        // SAFETY: the pointer to the cell's content, to which no thread writes.
        let value = unsafe { &*value };
        // SAFETY: the cell contains a value, and it stays (this function's contract).
        unsafe { value.assume_init_ref() }
    }

    #[cfg(not(loom))]
    #[inline]
    unsafe fn put_all(slots: &[Slot<T>], items: &[T])
    where
        T: Copy,
    {
        let count = slots.len().min(items.len());
        let to = slots.as_ptr().cast::<T>().cast_mut();
        seen!(Store, &slots[..count]);
        // SAFETY: a slot is a cell of a value and nothing else (`repr(transparent)` at every
        // level), so `to` leads to `count` places that may be written through a shared reference,
        // and that no other thread accesses (this function's contract); such a place cannot overlap
        // `items`.
        unsafe { core::ptr::copy_nonoverlapping(items.as_ptr(), to, count) };
    }

    #[cfg(not(loom))]
    #[inline]
    unsafe fn take_all(slots: &[Slot<T>], items: &mut [T])
    where
        T: Copy,
    {
        let count = slots.len().min(items.len());
        let from = slots.as_ptr().cast::<T>();
        seen!(Load, &slots[..count]);
        // SAFETY: as above, and each place contains a value.
        unsafe { core::ptr::copy_nonoverlapping(from, items.as_mut_ptr(), count) };
    }
}
