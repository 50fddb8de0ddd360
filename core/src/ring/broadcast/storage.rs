//! The words of a broadcast ring, apart from the algorithm.
//!
//! Slots, the writer's words and each reader's words may be in different memory: an array, the
//! heap, a mapped region whose parts belong to different processes. Words of different owners are
//! on different cache lines. So are words that an owner stores for each message and words that the
//! other side loads.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicUsize, Ordering, const_unless_loom, order};

/// A word of a slot. New memory is all zero.
#[derive(Debug)]
#[repr(transparent)]
pub struct Word(pub(in crate::ring) AtomicUsize);

impl Word {
    const_unless_loom! {
        /// A word that was not written yet.
        #[must_use]
        pub const fn new() -> Word {
            Word(AtomicUsize::new(0))
        }
    }

    /// Writes the word, for tests that simulate another process.
    ///
    /// ```compile_fail,E0133
    /// // Readers may have borrowed the words of a ring.
    /// mycelium_core::ring::broadcast::Word::new().set(1);
    /// ```
    ///
    /// # Safety
    /// The word belongs to no ring, or to one whose storage is [`FOREIGN`](Storage::FOREIGN).
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

/// The words that the writer writes: its position, whether the writer exists, and whether the ring
/// was closed.
#[derive(Debug)]
#[repr(C)]
pub struct WriterWords {
    /// All messages before this are published. The writer stores it after each message, so words
    /// that are loaded in a stream must not share its line: it is loaded only by readers that join,
    /// and to count what waits.
    pub(super) tail: CachePadded<AtomicUsize>,
    pub(super) state: CachePadded<WriterState>,
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct WriterState {
    /// [`CLOSED`] and [`WRITING`].
    pub(super) state: AtomicUsize,
    /// The most messages that a gating reader was behind at a check.
    pub(super) high_water: AtomicUsize,
}

/// The ring was closed: no more messages follow.
pub(super) const CLOSED: usize = 1;
/// A writer exists. While this is set, only that writer changes the state.
pub(super) const WRITING: usize = 2;

impl WriterWords {
    const_unless_loom! {
        /// The words of a new ring, without a writer.
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

/// The words of one gating reader: whether the entry is in use, and the position of its reader.
#[derive(Debug)]
#[repr(C)]
pub struct ReaderWords {
    pub(super) shown: CachePadded<Shown>,
    /// The sequence that the reader wants next. It is stored for each message, so the writer loads
    /// it only when it finds no room otherwise, and not each time.
    pub(super) taken: CachePadded<AtomicUsize>,
}

/// The words that the writer loads.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shown {
    /// The reader no longer uses the messages before this. At most [`taken`](ReaderWords::taken).
    pub(super) cursor: AtomicUsize,
    pub(super) state: AtomicUsize,
}

pub(super) const FREE: usize = 0;
pub(super) const JOINING: usize = 1;
pub(super) const GATING: usize = 2;

impl ReaderWords {
    const_unless_loom! {
        /// A free entry.
        #[must_use]
        pub const fn new() -> ReaderWords {
            ReaderWords {
                shown: CachePadded::new(Shown { cursor: AtomicUsize::new(0), state: AtomicUsize::new(FREE) }),
                taken: CachePadded::new(AtomicUsize::new(0)),
            }
        }
    }

    /// The reader no longer uses the messages before `sequence`. The writer sees it at an exact
    /// check.
    #[inline(always)]
    pub(super) fn take(&self, sequence: usize) {
        // Release, pairs with the Acquire of `broadcast.room`: this reader no longer uses the slots
        // before it.
        self.taken.store(sequence, order!("broadcast.take", Release));
    }

    /// The same as [`take`](ReaderWords::take), and the writer sees it at every check.
    #[inline]
    pub(super) fn show(&self, sequence: usize) {
        self.take(sequence);
        // Release, pairs with the Acquire of `broadcast.room`.
        self.shown.cursor.store(sequence, order!("broadcast.advance", Release));
    }
}

impl Default for ReaderWords {
    fn default() -> ReaderWords {
        ReaderWords::new()
    }
}

/// The memory of a ring. Its parts may come from different places. Slots that begin with a cache
/// line take the fewest lines.
///
/// # Safety
/// - Each function returns the same memory at every call, with the same argument, as long as the
///   storage lives, even if a handle to the ring moves meanwhile.
/// - The parts do not overlap, and only the one ring in this storage accesses them: no other ring,
///   and no reference that was kept elsewhere. If [`FOREIGN`](Storage::FOREIGN) is true, another
///   process, or a test that simulates one, may access them too: by atomic accesses of whole words,
///   at any time, with any values. If `FOREIGN` is false, nothing else may, because a reader then
///   loads messages by plain loads.
/// - The words of the writer are written by the one process that has the
///   [`Producer`](super::Producer), those of an entry by the one process whose reader has it. If
///   `FOREIGN` is false, these are one process.
#[allow(unsafe_code)]
pub unsafe trait Storage {
    /// Whether another process may write to some of the words. Then every word is checked before it
    /// is used, messages are copied by atomic loads, and none can be borrowed.
    const FOREIGN: bool = false;

    /// The slots, back to back: as many words as [`Layout::words`](super::Layout::words) says.
    fn slots(&self) -> &[Word];
    /// The writer's words.
    fn writer(&self) -> &WriterWords;
    /// An entry, one for each gating reader that can exist at a time; `None` from the first invalid
    /// index on.
    fn reader(&self, index: usize) -> Option<&ReaderWords>;
}
