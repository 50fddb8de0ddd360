//! The memory of a broadcast ring: its words, apart from what is done with them.
//!
//! Slots, the writer's words and each reader's words may come from different places: an array, a heap, a mapped region
//! whose parts belong to different processes. Words of different owners lie on cache lines of their own.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicUsize, Ordering, const_unless_loom, repeat};

/// Words that stand before a message in its slot: the stamp, and the message's length in bytes.
pub(super) const HEADER_WORDS: usize = 2;

/// The number of words of a slot that holds `bytes` bytes.
#[must_use]
pub const fn slot_words(bytes: usize) -> usize {
    HEADER_WORDS + bytes.div_ceil(size_of::<usize>())
}

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
    #[doc(hidden)]
    pub fn set(&self, value: usize) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Default for Word {
    fn default() -> Word {
        Word::new()
    }
}

/// What the writers say of themselves: how far they are, whether they are there, and whether there will be more.
#[derive(Debug)]
#[repr(C)]
pub struct WriterWords {
    pub(super) own: CachePadded<Writer>,
    pub(super) shared: CachePadded<Shared>,
}

#[derive(Debug)]
#[repr(C)]
pub(in crate::ring) struct Writer {
    /// All messages before this are published, or were given up. The single writer stores it at its looks, so it is at
    /// most one lap behind; who joins starts the search for the newest message here.
    pub(in crate::ring) tail: AtomicUsize,
    /// [`CLOSED`], [`SINGLE`], and the number of shared writers in units of [`SHARED`].
    pub(in crate::ring) state: AtomicUsize,
    /// The most messages that a gating reader was behind at a look.
    pub(in crate::ring) high_water: AtomicUsize,
}

/// What writers of the shared form need besides.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Shared {
    /// The next sequence that nobody has claimed. A single writer stores it once a lap and when it leaves.
    pub(super) claim: AtomicUsize,
    /// Some writer has seen that no gating reader is in the way before this sequence.
    pub(super) limit: AtomicUsize,
    /// How many claims were ever given up.
    pub(super) skips: AtomicUsize,
}

/// Nothing more will come.
pub(super) const CLOSED: usize = 1;
/// A single writer is there. While this is set, only that writer changes the state.
pub(super) const SINGLE: usize = 2;
/// One shared writer.
pub(super) const SHARED: usize = 4;

impl WriterWords {
    const_unless_loom! {
        /// No writer yet, nothing written.
        #[must_use]
        pub const fn new() -> WriterWords {
            WriterWords {
                own: CachePadded::new(Writer {
                    tail: AtomicUsize::new(0),
                    state: AtomicUsize::new(0),
                    high_water: AtomicUsize::new(0),
                }),
                shared: CachePadded::new(Shared {
                    claim: AtomicUsize::new(0),
                    limit: AtomicUsize::new(0),
                    skips: AtomicUsize::new(0),
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

/// The words of one gating reader: whether the entry is in use, and the sequence that its reader wants next.
#[derive(Debug)]
#[repr(transparent)]
pub struct ReaderWords(pub(super) CachePadded<Reader>);

#[derive(Debug)]
#[repr(C)]
pub(super) struct Reader {
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
            ReaderWords(CachePadded::new(Reader { cursor: AtomicUsize::new(0), state: AtomicUsize::new(FREE) }))
        }
    }
}

impl Default for ReaderWords {
    fn default() -> ReaderWords {
        ReaderWords::new()
    }
}

/// The memory that a ring runs in. Its parts may come from different places.
///
/// # Safety
/// Each function returns the same memory at every call, with the same argument, as long as the storage stays where it is.
#[allow(unsafe_code)]
pub unsafe trait Storage {
    /// Whether some of the words are written by another process, which may write what it likes. Then the ring takes a
    /// single writer only, and believes no word before it is checked.
    const FOREIGN: bool = false;

    /// The slots, back to back: capacity times [`slot_words`].
    fn slots(&self) -> &[Word];
    /// The writers' words.
    fn writer(&self) -> &WriterWords;
    /// The entries, one for each gating reader that can be there at a time; `None` from the first index on that is not
    /// one.
    fn reader(&self, index: usize) -> Option<&ReaderWords>;
}

/// Storage in arrays, for a `static` or a field: `WORDS` is capacity times [`slot_words`], `READERS` the most gating
/// readers at a time.
#[derive(Debug)]
pub struct Inline<const WORDS: usize, const READERS: usize> {
    pub(super) slots: [Word; WORDS],
    writer: WriterWords,
    readers: [ReaderWords; READERS],
}

impl<const WORDS: usize, const READERS: usize> Inline<WORDS, READERS> {
    const_unless_loom! {
        /// Fresh storage.
        #[must_use]
        pub const fn new() -> Inline<WORDS, READERS> {
            Inline {
                slots: repeat!(Word::new(); WORDS),
                writer: WriterWords::new(),
                readers: repeat!(ReaderWords::new(); READERS),
            }
        }
    }
}

impl<const WORDS: usize, const READERS: usize> Default for Inline<WORDS, READERS> {
    fn default() -> Inline<WORDS, READERS> {
        Inline::new()
    }
}

// SAFETY: fields.
#[allow(unsafe_code)]
unsafe impl<const WORDS: usize, const READERS: usize> Storage for Inline<WORDS, READERS> {
    fn slots(&self) -> &[Word] {
        &self.slots
    }

    fn writer(&self) -> &WriterWords {
        &self.writer
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.readers.get(index)
    }
}
