//! The header of a region (the constants of a ring, written once before the memory is shared), and
//! access to the memory: words at a fixed address, and the parts of a region in them.

use crossbeam_utils::CachePadded;
use thiserror::Error;
use zerocopy::{FromBytes, IntoBytes};

use crate::doorbell::SleepWord;
use crate::ring::broadcast::{Layout, LayoutError, ReaderWords, Word, WriterWords};
use crate::sync::{AtomicUsize, Ordering};

/// The alignment of a region, in bytes. It keeps words of different owners on different cache
/// lines.
pub const ALIGNMENT: usize = align_of::<CachePadded<usize>>();

const WORD: usize = size_of::<usize>();
/// The size of an epoch in words.
const EPOCH: usize = size_of::<u64>() / WORD;
/// The size of a digest in words.
const DIGEST: usize = 16 / WORD;
/// The number of fields; each is one word.
const FIELDS: usize = 12 + EPOCH + DIGEST;
/// The size of a header in words. The words after it begin with a cache line.
const HEADER: usize = FIELDS.next_multiple_of(ALIGNMENT / WORD);

/// "myc-ring", cut to the bytes of a word.
#[allow(clippy::cast_possible_truncation)]
const MAGIC: usize = u64::from_le_bytes(*b"myc-ring") as usize;
const VERSION: usize = 3;

/// The content of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The writer's words, the entries of its process, and the slots.
    Data = 1,
    /// The sleep words and the entries of one reading process.
    Cursors = 2,
}

/// Identifies a ring: differs between two runs of a publisher, and between two topics.
///
/// ```
/// use mycelium_core::ring::region::RingIdentity;
///
/// let identity = RingIdentity { epoch: 7, digest: *b"sixteen bytes of" };
/// assert_ne!(identity, RingIdentity { epoch: 8, ..identity });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct RingIdentity {
    /// The publisher's epoch.
    pub epoch: u64,
    /// A digest of the kind of messages.
    pub digest: [u8; 16],
}

/// The constants of a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) layout: Layout,
    /// The number of entries.
    pub(super) readers: usize,
    pub(super) identity: RingIdentity,
}

impl Header {
    /// Returns the size in words of a region for any ring with this layout; see [`Header::words`].
    pub(super) fn words_of(kind: Kind, layout: Layout, readers: usize) -> Option<usize> {
        let identity = RingIdentity { epoch: 0, digest: [0; 16] };
        Header { kind, layout, readers, identity }.words()
    }

    /// Returns the offset of the entries in words.
    fn entries_at(&self) -> Option<usize> {
        let owned = match self.kind {
            Kind::Data => size_of::<WriterWords>() / WORD,
            Kind::Cursors => {
                let sleep = self.readers.checked_mul(size_of::<SleepWord>() / WORD)?;
                // One word after the sleep words has the number of them in use.
                sleep.checked_add(1)?.checked_next_multiple_of(ALIGNMENT / WORD)?
            }
        };
        HEADER.checked_add(owned)
    }

    /// Returns the offset of the slots in words.
    fn slots_at(&self) -> Option<usize> {
        let entries = self.readers.checked_mul(size_of::<ReaderWords>() / WORD)?;
        self.entries_at()?.checked_add(entries)
    }

    /// Returns the offset of the arena in words.
    fn arena_at(&self) -> Option<usize> {
        self.slots_at()?.checked_add(self.layout.checked_words()?)
    }

    /// Returns the size of the whole region in words; `None` if it exceeds all memory.
    fn words(&self) -> Option<usize> {
        let words = match self.kind {
            Kind::Data => self.arena_at()?.checked_add(self.layout.arena_words())?,
            Kind::Cursors => self.slots_at()?,
        };
        // The size in bytes must be valid, too.
        words
            .checked_mul(WORD)
            .is_some_and(|bytes| bytes <= isize::MAX.cast_unsigned())
            .then_some(words)
    }

    /// Returns the fields in their order in memory, with their values in this header.
    fn fields(&self) -> [(&'static str, usize); FIELDS] {
        let fixed = [
            ("magic", MAGIC),
            ("layout version", VERSION),
            ("kind", self.kind as usize),
            ("word size", WORD),
            ("alignment", ALIGNMENT),
            ("capacity", self.layout.capacity()),
            ("message bytes", self.layout.message_bytes()),
            ("length mark", usize::from(self.layout.has_length())),
            ("slot words", self.layout.slot_words()),
            ("arena words", self.layout.arena_words()),
            ("number of entries", self.readers),
            ("size", self.words().unwrap_or(0)),
        ];
        // The words of the epoch, then the words of the digest.
        let identity: [usize; EPOCH + DIGEST] = zerocopy::transmute!(self.identity);
        core::array::from_fn(|index| match fixed.get(index) {
            Some(field) => *field,
            None if index < fixed.len() + EPOCH => ("epoch", identity[index - fixed.len()]),
            None => ("digest", identity[index - fixed.len()]),
        })
    }

    /// Reads a header, each word once, and checks everything that does not depend on the expected
    /// header.
    pub(super) fn read(words: &[Word], kind: Kind) -> Result<Header, RegionError> {
        let Some(first) = words.get(..HEADER) else {
            return Err(RegionError::Size { expected: HEADER, found: words.len() });
        };
        let mut found = [0; FIELDS];
        for (value, word) in found.iter_mut().zip(first) {
            *value = word.0.load(Ordering::Relaxed);
        }
        let [_, _, _, _, _, capacity, bytes, has_length, slot, arena, readers, ..] = found;
        let dense = match has_length {
            0 => Layout::exact(capacity, bytes),
            _ => Layout::up_to(capacity, bytes),
        };
        let layout = if slot == dense.slot_words() { dense } else { dense.in_lines() };
        // `with_arena` rounds the size up to a power of two; the check below then names the field.
        let layout = match arena {
            0 => layout,
            words => layout.with_arena(words.saturating_mul(WORD)),
        };
        let identity: [usize; EPOCH + DIGEST] =
            core::array::from_fn(|index| found[FIELDS - EPOCH - DIGEST + index]);
        let header = Header { kind, layout, readers, identity: zerocopy::transmute!(identity) };
        // The header has the fields that were copied from the memory, so this finds only values
        // that are invalid in any header.
        header.check(found)?;
        header.fit(words)?;
        Ok(header)
    }

    /// Returns the part of the memory that the region takes, if the memory is aligned and large
    /// enough.
    fn fit<'a>(&self, words: &'a [Word]) -> Result<&'a [Word], RegionError> {
        self.layout.check()?;
        let off = words.as_ptr().addr() % ALIGNMENT;
        if off != 0 {
            return Err(RegionError::Alignment { expected: ALIGNMENT, found: off });
        }
        let expected = self.words().ok_or(RegionError::TooLarge)?;
        words.get(..expected).ok_or(RegionError::Size { expected, found: words.len() })
    }

    /// Returns an error unless all fields equal those of the expected header.
    pub(super) fn compare(&self, expected: &Header) -> Result<(), RegionError> {
        expected.check(self.fields().map(|(_, value)| value))
    }

    /// Returns an error with the first of these fields that differs from this header.
    fn check(&self, found: [usize; FIELDS]) -> Result<(), RegionError> {
        for ((field, expected), found) in self.fields().into_iter().zip(found) {
            if found != expected {
                return Err(RegionError::Field { field, expected, found });
            }
        }
        Ok(())
    }
}

/// Memory that several processes may map.
///
/// # Safety
/// As long as the value lives, and after it was moved, `words` returns the same words at the same
/// address, and they stay mapped. All writes to them, here or in another process, are atomic
/// accesses of whole words.
pub unsafe trait Memory {
    /// Returns the words. They may be mapped read-only if the memory is only
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

/// Returns memory at an address as words.
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

/// A region of a ring: its memory, and a copy of its header, which was checked against the memory.
#[derive(Clone, Debug)]
pub(super) struct Region<M> {
    pub(super) memory: M,
    pub(super) header: Header,
    /// The offsets of the parts in words, which each access needs.
    entries_at: usize,
    slots_at: usize,
    arena_at: usize,
}

impl<M: Memory> Region<M> {
    /// Clears the start of the memory, which is not shared yet, and writes the header into it.
    pub(super) fn create(memory: M, header: Header) -> Result<Region<M>, RegionError> {
        let words = header.fit(memory.words())?;
        words.iter().for_each(|word| word.0.store(0, Ordering::Relaxed));
        for (word, (_, value)) in words.iter().zip(header.fields()) {
            word.0.store(value, Ordering::Relaxed);
        }
        Ok(Region::of(memory, header))
    }

    /// Returns the region in memory that it [fits](Header::fit).
    pub(super) fn of(memory: M, header: Header) -> Region<M> {
        let offsets = [header.entries_at(), header.slots_at(), header.arena_at()];
        let [entries_at, slots_at, arena_at] = offsets.map(|at| at.unwrap_or(usize::MAX));
        Region { memory, header, entries_at, slots_at, arena_at }
    }

    /// Returns the words of the writer in a data region.
    pub(super) fn writer(&self) -> &WriterWords {
        // SAFETY: these are atomic words in the order of C.
        let words = unsafe { self.part::<WriterWords>(HEADER, 1) };
        &words[0]
    }

    /// Returns the slots of a data region.
    pub(super) fn slots(&self) -> &[Word] {
        &self.memory.words()[self.slots_at..][..self.header.layout.words()]
    }

    /// Returns the arena of a data region.
    pub(super) fn arena(&self) -> &[Word] {
        &self.memory.words()[self.arena_at..][..self.header.layout.arena_words()]
    }

    /// Returns the sleep words of a cursor region.
    pub(super) fn sleep_words(&self) -> &[SleepWord] {
        // SAFETY: a sleep word is an atomic word and nothing else.
        unsafe { self.part(HEADER, self.header.readers) }
    }

    /// Returns the number of sleep words in use.
    pub(super) fn sleepers(&self) -> &AtomicUsize {
        // SAFETY: an atomic word.
        let words: &[AtomicUsize] = unsafe { self.part(HEADER + self.header.readers, 1) };
        &words[0]
    }

    /// Returns an entry of any region.
    pub(super) fn entry(&self, index: usize) -> Option<&ReaderWords> {
        self.entries().get(index)
    }

    /// Returns the entries of any region.
    pub(super) fn entries(&self) -> &[ReaderWords] {
        // SAFETY: these are atomic words in the order of C.
        unsafe { self.part(self.entries_at, self.header.readers) }
    }

    /// Returns the part of the memory with `count` values from word `from` on.
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

/// Why memory is not a ring, or cannot become one.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The memory is too small.
    #[error("the region takes {expected} words, the memory has {found}")]
    Size {
        /// The number of words that the region needs.
        expected: usize,
        /// The number of words in the memory.
        found: usize,
    },
    /// The region exceeds all memory.
    #[error("the region takes more words than memory can hold")]
    TooLarge,
    /// The memory does not begin at a multiple of the alignment.
    #[error("the memory is {found} bytes off a multiple of {expected}")]
    Alignment {
        /// The required alignment in bytes.
        expected: usize,
        /// The offset of the address from that alignment, in bytes.
        found: usize,
    },
    /// A field of the header has a wrong value.
    #[error("the {field} of the region is {found:#x}, not {expected:#x}")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// The expected value.
        expected: usize,
        /// The value found.
        found: usize,
    },
    /// The layout is invalid for a ring.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

crate::debug_as_display!(RegionError);
