//! The memory of a broadcast ring: its words, apart from what is done with them.
//!
//! Slots, the writer's words and each reader's words may come from different places: an array, a heap, a mapped region
//! whose parts belong to different processes. Words of different owners lie on cache lines of their own.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicUsize, const_unless_loom, repeat};

/// Words that stand before a message in its slot: the stamp, and the message's length in bytes.
pub(super) const HEADER_WORDS: usize = 2;

/// The number of words of a slot that holds `bytes` bytes.
#[must_use]
pub const fn slot_words(bytes: usize) -> usize {
    HEADER_WORDS + bytes.div_ceil(size_of::<usize>())
}

/// A word of a slot. Fresh memory is all zero.
#[derive(Debug)]
pub struct Word(pub(super) AtomicUsize);

impl Word {
    const_unless_loom! {
        /// A word that nobody has written.
        #[must_use]
        pub const fn new() -> Word {
            Word(AtomicUsize::new(0))
        }
    }
}

impl Default for Word {
    fn default() -> Word {
        Word::new()
    }
}

/// What the writer says of itself: where it was when it last looked at its readers, whether it is there, and whether
/// there will be more.
#[derive(Debug)]
pub struct WriterWords(pub(super) CachePadded<Writer>);

#[derive(Debug)]
pub(super) struct Writer {
    /// At most one lap behind the next sequence; joiners start their search for the newest message here.
    pub(super) tail: AtomicUsize,
    pub(super) state: AtomicUsize,
}

pub(super) const TAKEN: usize = 1;
pub(super) const CLOSED: usize = 2;

impl WriterWords {
    const_unless_loom! {
        /// No writer yet, nothing written.
        #[must_use]
        pub const fn new() -> WriterWords {
            WriterWords(CachePadded::new(Writer { tail: AtomicUsize::new(0), state: AtomicUsize::new(0) }))
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
pub struct ReaderWords(pub(super) CachePadded<Reader>);

#[derive(Debug)]
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

/// The memory that a ring runs in. Its three parts may come from different places; each must return the same memory
/// at every call.
pub trait Storage {
    /// The slots, back to back: capacity times [`slot_words`].
    fn slots(&self) -> &[Word];
    /// The writer's words.
    fn writer(&self) -> &WriterWords;
    /// One entry for each gating reader that can be there at a time.
    fn readers(&self) -> &[ReaderWords];
}

/// Storage in arrays, for a `static` or a field: `WORDS` is capacity times [`slot_words`], `READERS` the most gating
/// readers at a time.
#[derive(Debug)]
pub struct Inline<const WORDS: usize, const READERS: usize> {
    slots: [Word; WORDS],
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

impl<const WORDS: usize, const READERS: usize> Storage for Inline<WORDS, READERS> {
    fn slots(&self) -> &[Word] {
        &self.slots
    }

    fn writer(&self) -> &WriterWords {
        &self.writer
    }

    fn readers(&self) -> &[ReaderWords] {
        &self.readers
    }
}
