//! `broadcast` rings in raw memory that several processes map.
//!
//! Each word has one writer. The *writer's region* contains a header, the writer's words and the
//! slots; each reader has a small region of its own, with a header and its words. The other side
//! maps a region read-only. This module does not know about mapping: memory is a slice of words
//! that lives as long as the ring.
//!
//! **Panic contract.** A peer can only spoil its own messages. [`attach`](WriterRegion::attach)
//! reads the header once, checks it against the memory, and copies it; after that it is not read
//! again. All words of the other side are foreign and may have any value: positions and lengths are
//! clamped, slots are found by masked indices, payloads are copied word by word, by atomic loads.
//! No value makes this side read or write outside the regions, loop without end, or panic. A peer
//! can stop, claim a false position, and send invalid messages: the reader must check their
//! content.
//!
//! ```
//! use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek, Word};
//! use mycelium_core::ring::region::{self, ReaderRegion, WriterRegion};
//!
//! #[repr(align(4096))]
//! struct Pages([Word; 512]);
//! let pages = || Pages([const { Word::new() }; 512]);
//! let (data, cursors) = (pages(), pages());
//!
//! // One process creates the ring. Another one attaches to it and creates its own region, to
//! // which the first attaches.
//! let ours = WriterRegion::create(&data.0, Layout::exact(16, size_of::<usize>()))?;
//! let theirs = WriterRegion::attach(&data.0)?;
//! let theirs = theirs.with([ReaderRegion::create(&cursors.0, &theirs)?])?;
//! let ours = ours.with([ReaderRegion::attach(&cursors.0, &ours)?])?;
//!
//! let mut reader = Broadcast::gating(&theirs).expect("the entry is free");
//! let mut writer = Broadcast::producer(&ours).expect("the only writer");
//! writer.try_push(&[7], size_of::<usize>()).expect("there is room");
//! let mut message = [0];
//! let length = size_of::<usize>();
//! assert_eq!(reader.peek(&mut message), Peek::Message { sequence: 0, length });
//! assert_eq!(message, [7]);
//! # Ok::<(), region::RegionError>(())
//! ```

#![allow(unsafe_code)]

mod error;
mod header;

use super::broadcast::{Broadcast, Layout, ReaderWords, Storage, Word, WriterWords};
use header::{HEADER, Header, WORD};

pub use error::{Field, RegionError};
pub use header::{ALIGNMENT, Kind};

/// The words that a reader's region takes.
pub const READER_WORDS: usize = HEADER + size_of::<ReaderWords>() / WORD;

/// The words that the writer's region of a ring takes; `None` if that is more than memory can hold.
#[must_use]
pub fn writer_words(layout: Layout) -> Option<usize> {
    Header::new(Kind::Writer, layout).words()
}

/// Memory at an address as words.
///
/// # Safety
/// `start` is aligned to a word and leads to `count` words of memory that stays mapped for all of
/// `'a`. All writes to it, here or in another process, are atomic accesses of whole words. If the
/// slice is used for anything else than [`attach`](WriterRegion::attach) and the ring that follows
/// from it, the memory must be writable.
#[must_use]
pub unsafe fn words_at<'a>(start: *const usize, count: usize) -> &'a [Word] {
    // SAFETY: a `Word` is an atomic word and nothing else (`repr(transparent)` at every level), for
    // which every value is valid; the rest is this function's contract.
    unsafe { core::slice::from_raw_parts(start.cast(), count) }
}

/// The writer's region: header, writer's words, slots.
#[derive(Clone, Copy, Debug)]
pub struct WriterRegion<'a> {
    header: Header,
    words: &'a [Word],
}

impl<'a> WriterRegion<'a> {
    /// Lays out a ring at the start of `words`.
    ///
    /// # Errors
    /// If the layout is invalid, or the memory is too small or not aligned to [`ALIGNMENT`].
    pub fn create(words: &'a [Word], layout: Layout) -> Result<WriterRegion<'a>, RegionError> {
        let header = Header::new(Kind::Writer, layout);
        let region = WriterRegion { header, words: header.create(words)? };
        // The ring initializes the slots.
        let _ = region.with([])?.starting_at(0);
        Ok(region)
    }

    /// The ring that another process laid out in this memory, after all fields of its header were
    /// checked.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn attach(words: &'a [Word]) -> Result<WriterRegion<'a>, RegionError> {
        let header = Header::read(words)?;
        header.expect(Kind::Writer)?;
        Ok(WriterRegion { header, words: header.fit(words)? })
    }

    /// The layout of the ring.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.header.layout
    }

    /// The `broadcast` ring of this region and the regions of its gating readers. The writer's
    /// process passes all of them, a reader's process its own, if it has one.
    ///
    /// # Errors
    /// If a reader's region was made for another ring.
    pub fn with<R: AsRef<[ReaderRegion<'a>]>>(
        self,
        readers: R,
    ) -> Result<Broadcast<Parts<'a, R>>, RegionError> {
        // The regions may belong to another ring.
        for reader in readers.as_ref() {
            reader.header.compare(&self.header.of_reader())?;
        }
        Ok(Broadcast::over(Parts { writer: self, readers }, self.header.layout)?)
    }

    fn slots(&self) -> &'a [Word] {
        &self.words[HEADER + size_of::<WriterWords>() / WORD..]
    }
}

/// A reader's region: header and reader's words.
#[derive(Clone, Copy, Debug)]
pub struct ReaderRegion<'a> {
    header: Header,
    words: &'a [Word],
}

impl<'a> ReaderRegion<'a> {
    /// Lays out the region of one reader of this ring.
    ///
    /// # Errors
    /// If the memory is too small or not aligned to [`ALIGNMENT`].
    pub fn create(
        words: &'a [Word],
        ring: &WriterRegion<'_>,
    ) -> Result<ReaderRegion<'a>, RegionError> {
        let header = ring.header.of_reader();
        Ok(ReaderRegion { header, words: header.create(words)? })
    }

    /// The region that a reader of this ring laid out, after all fields of its header were checked.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn attach(
        words: &'a [Word],
        ring: &WriterRegion<'_>,
    ) -> Result<ReaderRegion<'a>, RegionError> {
        let (found, expected) = (Header::read(words)?, ring.header.of_reader());
        found.expect(expected.kind)?;
        found.compare(&expected)?;
        Ok(ReaderRegion { header: found, words: found.fit(words)? })
    }
}

/// The regions of a `broadcast` ring. See [`WriterRegion::with`].
#[derive(Debug)]
pub struct Parts<'a, R> {
    writer: WriterRegion<'a>,
    readers: R,
}

// SAFETY: parts of slices of words that live for `'a` wherever this is. (If an `AsRef` returns
// other readers at another call, these are alive, too.)
unsafe impl<'a, R: AsRef<[ReaderRegion<'a>]>> Storage for Parts<'a, R> {
    const FOREIGN: bool = true;

    fn slots(&self) -> &[Word] {
        self.writer.slots()
    }

    fn writer(&self) -> &WriterWords {
        // SAFETY: these are atomic words in the order of C, and padding; see `after_header`.
        unsafe { after_header(self.writer.words) }
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        let region = self.readers.as_ref().get(index)?;
        // SAFETY: as above.
        Some(unsafe { after_header(region.words) })
    }
}

/// The words of a region's owner.
///
/// # Safety
/// `T` consists of atomic words and padding, so that every value of the words is a valid `T`.
unsafe fn after_header<T>(words: &[Word]) -> &T {
    let owned = &words[HEADER..];
    let owned = &owned[..size_of::<T>().div_ceil(WORD)];
    assert!(
        owned.as_ptr().cast::<T>().is_aligned(),
        "the region is not aligned: it was made without its checks"
    );
    // SAFETY: aligned, and as long as `T`, as checked above; atomic words may change while a
    // reference to them lives.
    unsafe { &*owned.as_ptr().cast::<T>() }
}
