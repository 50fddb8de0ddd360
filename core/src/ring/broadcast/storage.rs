//! The words of a broadcast ring, apart from the algorithm.
//!
//! Slots, the writer's words and each reader's words may be in different memory: an array, the
//! heap, a mapped region whose parts belong to different processes. Words of different owners are
//! on different cache lines. So are words that an owner stores for each message and words that the
//! other side loads.

use super::entry::{Claim, ReaderWords};
use super::padded::{Padded, padding};
use crate::doorbell::SleepWord;
use crate::sync::{AtomicUsize, Ordering, const_unless_loom};

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
    /// The word belongs to no ring, or to one whose storage [is foreign](Storage::is_foreign).
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
    pub(super) tail: Padded<AtomicUsize, { padding::<AtomicUsize>() }>,
    pub(super) state: Padded<WriterState, { padding::<WriterState>() }>,
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct WriterState {
    /// [`CLOSED`] and [`WRITING`].
    pub(super) state: AtomicUsize,
    /// The most messages that a gating reader was behind at a check.
    pub(super) high_water: AtomicUsize,
    /// Whether the writer waits for room, for readers in other processes.
    #[cfg_attr(loom, allow(dead_code))]
    pub(super) asleep: SleepWord,
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
                tail: Padded::new(AtomicUsize::new(0)),
                state: Padded::new(WriterState {
                    state: AtomicUsize::new(0),
                    high_water: AtomicUsize::new(0),
                    asleep: SleepWord::new(),
                }),
            }
        }
    }
}

#[cfg(not(loom))]
impl WriterWords {
    /// Says whether the writer waits for room.
    pub(in crate::ring) fn asleep(&self) -> &SleepWord {
        &self.state.asleep
    }
}

impl Default for WriterWords {
    fn default() -> WriterWords {
        WriterWords::new()
    }
}

/// The memory of a ring. Its parts may come from different places. Slots that begin with a cache
/// line take the fewest lines.
///
/// # Safety
/// - Each function returns the same memory at every call, with the same argument, as long as the
///   storage lives, even if a handle to the ring moves meanwhile. An entry that does not exist may
///   exist later, after [`grow`](Storage::grow).
/// - The parts do not overlap, and only the one ring in this storage accesses them: no other ring,
///   and no reference that was kept elsewhere. If the storage [is
///   foreign](Storage::is_foreign), another process, or a test that simulates one, may access them
///   too: by atomic accesses of whole words, at any time, with any values. If not, other processes
///   may only read, because a reader then loads messages by plain loads.
/// - The entries are written by this process only. So are the slots and the words of the writer,
///   unless the storage is foreign; then this process only reads them.
/// - [`is_foreign`](Storage::is_foreign) always returns the same, and what
///   [`FOREIGN`](Storage::FOREIGN) says.
#[allow(unsafe_code)]
pub unsafe trait Storage {
    /// What [`is_foreign`](Storage::is_foreign) returns, if all values of this type return the
    /// same.
    const FOREIGN: Option<bool> = Some(false);

    /// Whether the slots and the words of the writer belong to another process. Then every word is
    /// checked before it is used, messages are copied by atomic loads and their stamps checked
    /// twice, none can be borrowed, and the ring has no producer here.
    #[inline]
    fn is_foreign(&self) -> bool {
        Self::FOREIGN != Some(false)
    }

    /// The slots, back to back: as many words as [`Layout::words`](super::Layout::words) says.
    fn slots(&self) -> &[Word];
    /// The writer's words.
    fn writer(&self) -> &WriterWords;
    /// An entry, one for each gating reader that can exist at a time; `None` from the first invalid
    /// index on.
    fn reader(&self, index: usize) -> Option<&ReaderWords>;

    /// Adds entries if there are `entries` of them, and the storage has room for more. Returns
    /// whether there are more now; any number of threads may call it. A thread that raises a
    /// sequentially consistent fence and then calls [`reader`](Storage::reader) finds the entries
    /// that another thread has added before its own such fence.
    fn grow(&self, entries: usize) -> bool {
        self.reader(entries).is_some()
    }

    /// Imports the positions of readers in other processes. The writer calls this at each
    /// of its checks for room, before it loads the entries. `import` takes the claim of a proxy
    /// ([`ProxyReader`](super::ProxyReader)) and a position, as
    /// [`ProxyReader::import`](super::ProxyReader::import) does. An `exact` check wants the
    /// positions that readers have not shown yet, too.
    #[inline]
    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>)) {
        let _ = (exact, import);
    }

    /// Whether the reader with this entry was evicted: the writer no longer waits for it.
    #[inline]
    fn is_evicted(&self, index: usize) -> bool {
        self.reader(index).is_some_and(ReaderWords::is_evicted)
    }

    /// Whether the reader with this entry is suspended: the writer waits for it again when it
    /// moves.
    #[inline]
    fn is_suspended(&self, index: usize) -> bool {
        self.reader(index).is_some_and(ReaderWords::is_suspended)
    }
}

/// Whether some values of this storage are foreign. Memory of another process may be mapped
/// read-only, where only relaxed loads are defined ([`AtomicUsize::acquire`]).
pub(super) const fn may_be_foreign<T: Storage + ?Sized>() -> bool {
    !matches!(T::FOREIGN, Some(false))
}
