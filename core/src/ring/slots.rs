//! The memory of a ring's slots, and an end's short way to them.
//!
//! Slots come from an array (for a `static` or a field), a borrowed slice, or a box (feature `alloc`). Whoever made
//! the ring has no more access to them: a slice is borrowed mutably.

#![allow(unsafe_code)]

use core::ptr::NonNull;

use crate::sync::prefetch;

/// Where slots are.
///
/// # Safety
/// `slots` returns the same slots at every call, even after the storage was moved if its own address does not matter
/// to them, and nothing but the one ring that owns the storage reaches them.
pub unsafe trait Storage {
    /// A slot, as its ring wants it.
    type Slot;
    /// All of them.
    fn slots(&self) -> &[Self::Slot];
}

// SAFETY: the array is a part of the ring; handles do not let the ring move while an end lives.
unsafe impl<S, const N: usize> Storage for [S; N] {
    type Slot = S;

    fn slots(&self) -> &[S] {
        self
    }
}

// SAFETY: the exclusive borrow is the ring's.
unsafe impl<S> Storage for &mut [S] {
    type Slot = S;

    fn slots(&self) -> &[S] {
        self
    }
}

// SAFETY: a box owns its slots.
#[cfg(feature = "alloc")]
unsafe impl<S> Storage for alloc::boxed::Box<[S]> {
    type Slot = S;

    fn slots(&self) -> &[S] {
        self
    }
}

#[cfg(feature = "alloc")]
mod heap;

#[cfg(feature = "alloc")]
pub use heap::Heap;

/// What an end keeps of its ring's slots, so that the path of an item leads over one pointer.
pub struct Slots<S> {
    start: NonNull<S>,
    mask: usize,
}

// SAFETY: used as `&[S]` is.
unsafe impl<S: Sync> Send for Slots<S> {}
// SAFETY: as above.
unsafe impl<S: Sync> Sync for Slots<S> {}

// By hand: slots need not be `Debug`.
impl<S> core::fmt::Debug for Slots<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} slots", self.capacity())
    }
}

// By hand: slots need not be `Clone`.
impl<S> Clone for Slots<S> {
    fn clone(&self) -> Slots<S> {
        Slots { start: self.start, mask: self.mask }
    }
}

/// The bytes of a cache line, on most processors.
const LINE: usize = 64;

impl<S> Slots<S> {
    /// How many slots lie in a cache line; a power of two.
    const A_LINE: usize = match size_of::<S>() {
        size @ 1..LINE => 1 << (LINE / size).ilog2(),
        _ => 1,
    };

    /// # Panics
    /// If their number is no power of two: an index is masked to stay inside.
    pub(super) fn new(slots: &[S]) -> Slots<S> {
        assert!(slots.len().is_power_of_two(), "a ring was made without its checks");
        Slots { start: NonNull::from(slots).cast(), mask: slots.len() - 1 }
    }

    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.mask + 1
    }

    /// The slot of a position.
    ///
    /// # Safety
    /// The slots that this was made of are alive.
    #[inline]
    pub(super) unsafe fn at(&self, position: usize) -> &S {
        // SAFETY: masked to be below the number of slots.
        let slot = unsafe { self.start.add(position & self.mask) };
        // SAFETY: it is alive (this function's contract).
        unsafe { slot.as_ref() }
    }

    /// Where an end that works at a position and may go to `limit` should ask again for what comes next: after the slots
    /// of one cache line. Asks for the line that comes `LINES` lines later, unless it may be in use on the other side,
    /// which would have to ask for it back. Of slots that fill a line, or a large part of one, none is asked for: processors
    /// see ahead far enough.
    #[inline]
    pub(super) fn ask_ahead<const WRITE: bool, const LINES: usize>(
        &self,
        position: usize,
        limit: usize,
    ) -> usize {
        if Self::A_LINE < 4 {
            return limit;
        }
        let ahead = LINES * Self::A_LINE;
        let room = limit.wrapping_sub(position);
        if room > ahead + Self::A_LINE {
            let index = position.wrapping_add(ahead) & self.mask;
            prefetch::<WRITE>(self.start.as_ptr().wrapping_add(index).cast());
        }
        position.wrapping_add(room.min(self.rest_of_line(position)))
    }

    /// How many slots there are from a position to the end of its cache line, as far as slots do not straddle lines.
    #[inline]
    pub(super) fn rest_of_line(&self, position: usize) -> usize {
        Self::A_LINE - (position & (Self::A_LINE - 1))
    }

    /// The slots from a position on, `count` of them, in up to two pieces.
    ///
    /// # Safety
    /// The slots that this was made of are alive.
    #[inline]
    pub(super) unsafe fn range(&self, position: usize, count: usize) -> (&[S], &[S]) {
        debug_assert!(count <= self.capacity());
        let start = position & self.mask;
        let first = count.min(self.capacity() - start);
        // SAFETY: masked to be below the number of slots.
        let from = unsafe { self.start.add(start) };
        // SAFETY: `start + first` is at most the number of slots, which are alive (this function's contract).
        let before = unsafe { core::slice::from_raw_parts(from.as_ptr(), first) };
        // SAFETY: `count - first` is at most `start`, as `count` is at most their number; alive as above.
        let after = unsafe { core::slice::from_raw_parts(self.start.as_ptr(), count - first) };
        (before, after)
    }
}
