//! The memory of a region: words at an address that stays.

use super::header::{Header, WORD};
use crate::ring::broadcast::Word;

/// Memory that several processes may map.
///
/// # Safety
/// As long as the value lives, and after it was moved, `words` returns the same words at the same
/// address, and they stay mapped. All writes to them, here or in another process, are atomic
/// accesses of whole words.
pub unsafe trait Memory {
    /// The words. They may be mapped read-only if the memory is only
    /// [attached](super::ForeignData::attach).
    fn words(&self) -> &[Word];
}

// SAFETY: a shared reference is what `words` returns; safe code has no access to a word.
unsafe impl Memory for &[Word] {
    fn words(&self) -> &[Word] {
        self
    }
}

// SAFETY: an `Arc` never moves its content, and its content cannot be replaced while it is owned.
#[cfg(feature = "alloc")]
unsafe impl<M: Memory> Memory for alloc::sync::Arc<M> {
    fn words(&self) -> &[Word] {
        (**self).words()
    }
}

/// Memory at an address as words.
///
/// # Safety
/// `start` is aligned to a word and leads to `count` words of memory that stays mapped for all of
/// `'a`. All writes to it, here or in another process, are atomic accesses of whole words.
#[must_use]
pub unsafe fn words_at<'a>(start: *const usize, count: usize) -> &'a [Word] {
    // SAFETY: a `Word` is an atomic word and nothing else (`repr(transparent)` at every level), for
    // which every value is valid; the rest is this function's contract.
    unsafe { core::slice::from_raw_parts(start.cast(), count) }
}

/// A region of a ring: its memory, and a copy of its header, which was checked against it.
#[derive(Clone, Debug)]
pub(super) struct Region<M> {
    pub(super) memory: M,
    pub(super) header: Header,
}

impl<M: Memory> Region<M> {
    /// The part of the memory that consists of `count` values from a word on.
    ///
    /// # Safety
    /// `T` consists of atomic words, without padding.
    pub(super) unsafe fn part<T>(&self, from: usize, count: usize) -> &[T] {
        const { assert!(size_of::<T>().is_multiple_of(WORD)) };
        let words = &self.memory.words()[from..][..count * size_of::<T>() / WORD];
        let start = words.as_ptr().cast::<T>();
        assert!(start.is_aligned(), "the region is not aligned: it was made without its checks");
        // SAFETY: aligned, and as long as these values, as checked above; atomic words may change
        // while a reference to them lives.
        unsafe { core::slice::from_raw_parts(start, count) }
    }
}
