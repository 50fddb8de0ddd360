//! The memory of a broadcast ring, apart from the algorithm.
//!
//! Slots, the writer's words and each reader's words may be in different memory: an array, the
//! heap, or a mapped region whose parts belong to different processes. Words of different owners
//! are on different cache lines. So are words that the owner stores for each message and words that
//! the other side loads.

use thiserror::Error;

use super::entry::{Claim, Padded, ReaderWords, padding};
use crate::doorbell::SleepWord;
use crate::ring::is_after;
use crate::sync::{AtomicUsize, Ordering, const_unless_loom};

/// A word of a slot. New memory is all zero.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(pub(in crate::ring) AtomicUsize);

impl Word {
    const_unless_loom! {
        /// Creates a word of zero.
        #[must_use]
        pub const fn new() -> Word {
            Word(AtomicUsize::new(0))
        }
    }

    /// Stores a value, for tests that simulate another process.
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

/// The state of a message, according to the stamp of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// The message is not written yet, or is being written.
    Before,
    Published,
    Overwritten {
        by: usize,
    },
}

impl Stamp {
    /// Returns the state of message `sequence` for this stamp, in a ring of `capacity` slots.
    #[inline]
    pub(super) fn of(stamp: usize, sequence: usize, capacity: usize) -> Stamp {
        let published = sequence.wrapping_add(1);
        if stamp == published {
            Stamp::Published
        } else if !is_after(stamp, published) {
            Stamp::Before
        } else {
            // The slot contains, or is being filled with, a message of a later lap.
            let laps = stamp.wrapping_sub(published).div_ceil(capacity);
            Stamp::Overwritten { by: sequence.wrapping_add(laps.wrapping_mul(capacity)) }
        }
    }
}

/// The words that the writer stores: its position, whether a writer exists, and whether the ring
/// was closed.
#[derive(Debug)]
#[repr(C)]
pub struct WriterWords {
    /// All messages before this sequence are published. The writer stores it after each message, so
    /// words that readers load for each message must not share its cache line. It is loaded only by
    /// readers that join, and to count waiting messages.
    pub(super) tail: Padded<AtomicUsize, { padding::<AtomicUsize>() }>,
    pub(super) state: Padded<WriterState, { padding::<WriterState>() }>,
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct WriterState {
    /// The bits [`CLOSED`] and [`WRITING`].
    pub(super) state: AtomicUsize,
    /// The largest number of messages that a gating reader was behind at a check.
    pub(super) high_water: AtomicUsize,
    /// The oldest message whose bytes in the arena are whole.
    pub(super) oldest: AtomicUsize,
    /// Whether the writer waits for room; readers in other processes read it.
    #[cfg_attr(loom, allow(dead_code))]
    pub(super) asleep: SleepWord,
}

/// The ring was closed: no more messages follow.
pub(super) const CLOSED: usize = 1;
/// A writer exists. While this is set, only that writer changes the state.
pub(super) const WRITING: usize = 2;

impl WriterWords {
    const_unless_loom! {
        /// Creates the words of a new ring without a writer.
        #[must_use]
        pub const fn new() -> WriterWords {
            WriterWords {
                tail: Padded::new(AtomicUsize::new(0)),
                state: Padded::new(WriterState {
                    state: AtomicUsize::new(0),
                    high_water: AtomicUsize::new(0),
                    oldest: AtomicUsize::new(0),
                    asleep: SleepWord::new(),
                }),
            }
        }
    }
}

#[cfg(not(loom))]
impl WriterWords {
    /// Returns the word that shows whether the writer waits for room.
    pub(in crate::ring) fn asleep(&self) -> &SleepWord {
        &self.state.asleep
    }
}

impl Default for WriterWords {
    fn default() -> WriterWords {
        WriterWords::new()
    }
}

/// The memory of a ring. Its parts may come from different places. Slots take the fewest cache
/// lines if the first one begins with a line.
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
/// - [`is_foreign`](Storage::is_foreign) always returns the same value, and
///   [`FOREIGN`](Storage::FOREIGN) if that is set.
#[allow(unsafe_code)]
pub unsafe trait Storage {
    /// The result of [`is_foreign`](Storage::is_foreign), if it is the same for all values of this
    /// type.
    const FOREIGN: Option<bool> = Some(false);

    /// Returns whether the slots and the words of the writer belong to another process. If so,
    /// every word is checked before it is used, messages are copied by atomic loads and their
    /// stamps checked twice, no message can be borrowed, and the ring has no producer here.
    #[inline]
    fn is_foreign(&self) -> bool {
        Self::FOREIGN != Some(false)
    }

    /// Returns the slots, back to back: [`Layout::words`](super::Layout::words) words.
    fn slots(&self) -> &[Word];
    /// Returns the arena: [`Layout::arena_words`](super::Layout::arena_words) words, which belong
    /// to the writer as the slots do.
    #[inline]
    fn arena(&self) -> &[Word] {
        &[]
    }

    /// Returns the writer's words.
    fn writer(&self) -> &WriterWords;
    /// Returns an entry, one for each gating reader that can exist at once; `None` from the first
    /// invalid index on.
    fn reader(&self, index: usize) -> Option<&ReaderWords>;

    /// Adds entries if there are exactly `entries` of them and the storage has room for more.
    /// Returns whether there are more now; any number of threads may call it. A thread that raises
    /// a sequentially consistent fence and then calls [`reader`](Storage::reader) finds the entries
    /// that another thread has added before its own such fence.
    fn grow(&self, entries: usize) -> bool {
        self.reader(entries).is_some()
    }

    /// Imports the positions of readers in other processes. The writer calls this at each check for
    /// room, before it loads the entries. `import` takes the claim of a proxy
    /// ([`ProxyReader`](super::ProxyReader)) and a position, as
    /// [`ProxyReader::import`](super::ProxyReader::import) does. An `exact` check also needs
    /// positions that readers have not published yet.
    #[inline]
    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>)) {
        let _ = (exact, import);
    }

    /// Returns whether the reader with this entry was evicted.
    #[inline]
    fn is_evicted(&self, index: usize) -> bool {
        self.reader(index).is_some_and(ReaderWords::is_evicted)
    }

    /// Returns whether the reader with this entry is suspended until it moves.
    #[inline]
    fn is_suspended(&self, index: usize) -> bool {
        self.reader(index).is_some_and(ReaderWords::is_suspended)
    }
}

/// Returns whether storage of this type may be foreign. Memory of another process may be mapped
/// read-only, where only relaxed loads are defined ([`AtomicUsize::acquire`]).
pub(super) const fn may_be_foreign<T: Storage + ?Sized>() -> bool {
    !matches!(T::FOREIGN, Some(false))
}

/// The size of a word in bytes.
const WORD: usize = size_of::<usize>();

/// The layout of a ring: its capacity and the size of its messages.
///
/// A slot has a stamp of one word and the message. If messages differ in length, a second word
/// contains the length. Slots are dense: with messages of exactly 56 bytes, a slot is one cache
/// line on 64-bit hosts. [`in_lines`](Layout::in_lines) pads them, so that no slot covers more
/// lines than it needs.
///
/// ```
/// use mycelium_core::ring::broadcast::Layout;
///
/// let word = size_of::<usize>();
/// assert_eq!(Layout::exact(1024, 7 * word).slot_words(), 8);
/// assert_eq!(Layout::up_to(1024, 7 * word).slot_words(), 9);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    capacity: usize,
    message_bytes: usize,
    has_length: bool,
    /// Whether slots are padded. Never true if padding would change nothing.
    in_lines: bool,
    /// The number of words of the arena, a power of two; 0 without one.
    arena_words: usize,
}

/// The number of words in a cache line.
const LINE: usize = 64 / WORD;

/// Returns the words of a slot with `dense` words, padded to the fewest possible cache lines: a
/// power of two, or whole lines.
pub(super) const fn whole_lines(dense: usize) -> usize {
    if dense <= LINE { dense.next_power_of_two() } else { dense.next_multiple_of(LINE) }
}

impl Layout {
    /// Creates the layout of a ring of `capacity` messages that have `message_bytes` bytes each.
    #[must_use]
    pub const fn exact(capacity: usize, message_bytes: usize) -> Layout {
        Layout { capacity, message_bytes, has_length: false, in_lines: false, arena_words: 0 }
    }

    /// Creates the layout of a ring of `capacity` messages that have at most `message_bytes` bytes,
    /// rounded up to words.
    #[must_use]
    pub const fn up_to(capacity: usize, message_bytes: usize) -> Layout {
        let rounded = message_bytes.checked_next_multiple_of(WORD);
        // A size that cannot be rounded up exceeds all memory, so `check` refuses it.
        let message_bytes = match rounded {
            Some(bytes) => bytes,
            None => message_bytes,
        };
        Layout { capacity, message_bytes, has_length: true, in_lines: false, arena_words: 0 }
    }

    /// Pads the slots, to a power of two or to whole lines, so that no slot covers more cache lines
    /// than it needs. For memory where cache lines are expensive, because they move between
    /// processes.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::Layout;
    ///
    /// let (word, line) = (size_of::<usize>(), 64 / size_of::<usize>());
    /// assert_eq!(Layout::exact(4, word).in_lines().slot_words(), 2);
    /// assert_eq!(Layout::exact(4, 64 - 2 * word).in_lines().slot_words(), line);
    /// assert_eq!(Layout::exact(4, 64).in_lines().slot_words(), 2 * line);
    /// ```
    #[must_use]
    pub const fn in_lines(self) -> Layout {
        let dense = self.dense_words();
        Layout { in_lines: whole_lines(dense) != dense, ..self }
    }

    /// Adds an arena of at least this number of bytes, rounded up to a power of two.
    #[must_use]
    pub const fn with_arena(self, bytes: usize) -> Layout {
        let words = match bytes.div_ceil(WORD).checked_next_power_of_two() {
            Some(words) => words,
            // It exceeds all memory, so `check` refuses it.
            None => usize::MAX,
        };
        Layout { arena_words: words, ..self }
    }

    /// Returns the number of words of the arena; 0 without one.
    #[must_use]
    pub const fn arena_words(&self) -> usize {
        self.arena_words
    }

    /// Returns how many messages fit into the ring.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the size of each message in bytes, or the largest size.
    #[must_use]
    pub const fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// Returns whether messages may differ in length.
    #[must_use]
    pub const fn has_length(&self) -> bool {
        self.has_length
    }

    /// Returns the number of words from one slot to the next, with padding.
    #[must_use]
    pub const fn slot_words(&self) -> usize {
        let dense = self.dense_words();
        if self.in_lines { whole_lines(dense) } else { dense }
    }

    /// Returns the number of words of all slots.
    ///
    /// # Panics
    /// If they take more than memory can hold; in a constant that is a compile error.
    #[must_use]
    pub const fn words(&self) -> usize {
        match self.checked_words() {
            Some(words) => words,
            None => panic!("the slots take more words than memory can hold"),
        }
    }

    /// Returns the same as [`words`](Layout::words); `None` if the slots exceed all memory.
    #[must_use]
    pub const fn checked_words(&self) -> Option<usize> {
        self.capacity.checked_mul(self.slot_words())
    }

    /// Returns the number of bytes of all slots and the arena; `None` if they exceed all memory.
    #[must_use]
    pub const fn bytes(&self) -> Option<usize> {
        let words = match self.checked_words() {
            Some(words) => words.checked_add(self.arena_words),
            None => None,
        };
        let bytes = match words {
            Some(words) => words.checked_mul(WORD),
            None => None,
        };
        match bytes {
            Some(bytes) if bytes <= isize::MAX.cast_unsigned() => Some(bytes),
            _ => None,
        }
    }

    /// Returns the words of one slot without padding.
    pub(super) const fn dense_words(&self) -> usize {
        1 + self.has_length as usize + self.message_words()
    }

    /// Returns the words of a message.
    pub(super) const fn message_words(&self) -> usize {
        self.message_bytes.div_ceil(WORD)
    }

    /// Checks that a ring can have this layout.
    ///
    /// # Errors
    /// If the capacity is not a power of two or is less than 2, or the slots exceed all memory.
    pub const fn check(&self) -> Result<(), LayoutError> {
        if !self.capacity.is_power_of_two() || self.capacity < 2 {
            return Err(LayoutError::Capacity { given: self.capacity });
        }
        match self.bytes() {
            Some(_) => Ok(()),
            None => Err(LayoutError::TooLarge),
        }
    }
}

/// Why memory cannot become a ring.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The capacity is not a power of two, or below 2.
    #[error("capacity {given} is not a power of two of at least 2")]
    Capacity {
        /// The requested capacity.
        given: usize,
    },
    /// The size of the storage does not fit the capacity and the message size.
    #[error("slots take {expected} words, the storage has {found}")]
    Slots {
        /// The number of words that the slots need.
        expected: usize,
        /// The number of words in the storage.
        found: usize,
    },
    /// The size of the arena does not fit the layout.
    #[error("the arena takes {expected} words, the storage has {found}")]
    Arena {
        /// The number of words that the arena needs.
        expected: usize,
        /// The number of words in the storage.
        found: usize,
    },
    /// The slots take more words than memory can hold.
    #[error("slots take more words than memory can hold")]
    TooLarge,
}

/// The ring is full: a gating reader blocks the writer.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the ring is full: gating reader {} has not moved on", .reader.entry)]
pub struct Full {
    /// The claim of the slowest reader, with its entry, for [`evict`](super::Broadcast::evict).
    pub reader: Claim,
}

crate::debug_as_display!(LayoutError, Full);
