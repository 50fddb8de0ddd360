//! The memory of a broadcast ring: its words, apart from what is done with them.
//!
//! Slots, the writer's words and each reader's words may come from different places: an array, a heap, a mapped region
//! whose parts belong to different processes. Words of different owners lie on cache lines of their own, and so do
//! words of one owner that are stored for each message and words that the other side loads.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicUsize, Ordering, const_unless_loom, order};

/// A word of a slot. Fresh memory is all zero.
#[derive(Debug)]
#[repr(transparent)]
pub struct Word(pub(in crate::ring) AtomicUsize);

impl Word {
    const_unless_loom! {
        /// A word that nobody has written.
        #[must_use]
        pub const fn new() -> Word {
            Word(AtomicUsize::new(0))
        }
    }

    /// Writes the word, for tests that play the part of another process.
    ///
    /// ```compile_fail,E0133
    /// // Readers may be borrowed the words of a ring.
    /// mycelium_core::ring::broadcast::Word::new().set(1);
    /// ```
    ///
    /// # Safety
    /// The word is part of no ring, or of one whose storage is [`FOREIGN`](Storage::FOREIGN).
    #[doc(hidden)]
    #[allow(unsafe_code)]
    pub unsafe fn set(&self, value: usize) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Default for Word {
    fn default() -> Word {
        Word::new()
    }
}

/// What the writer says of itself: how far it is, whether it is there, and whether there will be more.
#[derive(Debug)]
#[repr(C)]
pub struct WriterWords {
    /// All messages before this are published. The writer stores it after each message, so nothing that is loaded in a
    /// stream may share its line: readers that join, and whoever asks for a depth, load it.
    pub(super) tail: CachePadded<AtomicUsize>,
    pub(super) state: CachePadded<WriterState>,
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct WriterState {
    /// [`CLOSED`] and [`WRITING`].
    pub(super) state: AtomicUsize,
    /// The most messages that a gating reader was behind at a look.
    pub(super) high_water: AtomicUsize,
}

/// Nothing more will come.
pub(super) const CLOSED: usize = 1;
/// A writer is there. While this is set, only that writer changes the state.
pub(super) const WRITING: usize = 2;

impl WriterWords {
    const_unless_loom! {
        /// No writer yet, nothing written.
        #[must_use]
        pub const fn new() -> WriterWords {
            WriterWords {
                tail: CachePadded::new(AtomicUsize::new(0)),
                state: CachePadded::new(WriterState {
                    state: AtomicUsize::new(0),
                    high_water: AtomicUsize::new(0),
                }),
            }
        }
    }
}

impl Default for WriterWords {
    fn default() -> WriterWords {
        WriterWords::new()
    }
}

/// The words of one gating reader: whether the entry is in use, and how far its reader is.
#[derive(Debug)]
#[repr(C)]
pub struct ReaderWords {
    pub(super) shown: CachePadded<Shown>,
    /// The sequence that the reader wants next. It stores it for each message, so the writer loads it only when it would
    /// be refused else, and not each time.
    pub(super) taken: CachePadded<AtomicUsize>,
}

/// What the writer looks at.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shown {
    /// The reader is done with all messages before this: at most [`taken`](ReaderWords::taken).
    pub(super) cursor: AtomicUsize,
    pub(super) state: AtomicUsize,
}

pub(super) const FREE: usize = 0;
pub(super) const JOINING: usize = 1;
pub(super) const GATING: usize = 2;

impl ReaderWords {
    const_unless_loom! {
        /// An entry that no reader uses.
        #[must_use]
        pub const fn new() -> ReaderWords {
            ReaderWords {
                shown: CachePadded::new(Shown { cursor: AtomicUsize::new(0), state: AtomicUsize::new(FREE) }),
                taken: CachePadded::new(AtomicUsize::new(0)),
            }
        }
    }

    /// The reader is done with all messages before `sequence`. A writer that looks twice sees it.
    #[inline(always)]
    pub(super) fn take(&self, sequence: usize) {
        // Release, with the Acquire of the writer's second look: this reader is done with the slots before it.
        self.taken.store(sequence, order!("broadcast.take", Release));
    }

    /// As [`take`](ReaderWords::take), and the writer's first look sees it, too.
    #[inline]
    pub(super) fn show(&self, sequence: usize) {
        self.take(sequence);
        // Release, with the Acquire of the writer's first look.
        self.shown.cursor.store(sequence, order!("broadcast.advance", Release));
    }
}

impl Default for ReaderWords {
    fn default() -> ReaderWords {
        ReaderWords::new()
    }
}

/// The memory that a ring runs in. Its parts may come from different places. Slots that begin with a cache line take the
/// fewest lines.
///
/// # Safety
/// - Each function returns the same memory at every call, with the same argument, as long as the storage lives, even
///   if a handle to the ring moves meanwhile.
/// - The parts do not overlap, and nothing but the one ring in this storage reaches them: no other ring, and nobody who
///   kept a reference. If [`FOREIGN`](Storage::FOREIGN) is set, another process, or whoever plays its part, may reach
///   them too: by atomic accesses of whole words, at any time, with any values. Where `FOREIGN` is false, nobody may:
///   a reader then loads messages by plain loads.
/// - The words of the writer are written by the one process that has the [`Producer`](super::Producer), those of an entry
///   by the one process whose reader has it. If `FOREIGN` is false, these are one process.
#[allow(unsafe_code)]
pub unsafe trait Storage {
    /// Whether another process may write to some of the words. Then every word is checked before it is used, messages
    /// are copied by atomic loads, and none is borrowed.
    const FOREIGN: bool = false;

    /// The slots, back to back: as many words as [`Layout::words`](super::Layout::words) says.
    fn slots(&self) -> &[Word];
    /// The writer's words.
    fn writer(&self) -> &WriterWords;
    /// The entries, one for each gating reader that can be there at a time; `None` from the first index on that is not
    /// one.
    fn reader(&self, index: usize) -> Option<&ReaderWords>;
}
