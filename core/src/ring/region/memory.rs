//! The memory of a region: words at an address that stays, and the parts of a region in them.

use super::error::RegionError;
use super::header::{HEADER, Header, WORD};
use crate::doorbell::SleepWord;
use crate::ring::broadcast::{ReaderWords, Word, WriterWords};
use crate::sync::AtomicUsize;

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
    /// Lays out a region at the start of the memory, which is not shared yet.
    pub(super) fn create(memory: M, header: Header) -> Result<Region<M>, RegionError> {
        header.create(memory.words())?;
        Ok(Region { memory, header })
    }

    /// The words of the writer in a data region.
    pub(super) fn writer(&self) -> &WriterWords {
        // SAFETY: these are atomic words in the order of C.
        let words = unsafe { self.part::<WriterWords>(HEADER, 1) };
        &words[0]
    }

    /// The slots of a data region.
    pub(super) fn slots(&self) -> &[Word] {
        let from = self.header.slots_at().unwrap_or(usize::MAX);
        &self.memory.words()[from..][..self.header.layout.words()]
    }

    /// The sleep words of a cursor region.
    pub(super) fn sleep_words(&self) -> &[SleepWord] {
        // SAFETY: a sleep word is an atomic word and nothing else.
        unsafe { self.part(HEADER, self.header.readers) }
    }

    /// How many of them are in use.
    pub(super) fn sleepers(&self) -> &AtomicUsize {
        // SAFETY: an atomic word.
        let words: &[AtomicUsize] = unsafe { self.part(HEADER + self.header.readers, 1) };
        &words[0]
    }

    /// An entry of any region.
    pub(super) fn entry(&self, index: usize) -> Option<&ReaderWords> {
        self.entries().get(index)
    }

    /// The entries of any region.
    pub(super) fn entries(&self) -> &[ReaderWords] {
        let from = self.header.entries_at().unwrap_or(usize::MAX);
        // SAFETY: these are atomic words in the order of C.
        unsafe { self.part(from, self.header.readers) }
    }

    /// The part of the memory that consists of `count` values from a word on.
    ///
    /// # Safety
    /// `T` consists of atomic words, without padding.
    unsafe fn part<T>(&self, from: usize, count: usize) -> &[T] {
        const { assert!(size_of::<T>().is_multiple_of(WORD)) };
        let words = &self.memory.words()[from..][..count * size_of::<T>() / WORD];
        let start = words.as_ptr().cast::<T>();
        assert!(start.is_aligned(), "the region is not aligned: it was made without its checks");
        // SAFETY: aligned, and as long as these values, as checked above; atomic words may change
        // while a reference to them lives.
        unsafe { core::slice::from_raw_parts(start, count) }
    }
}
