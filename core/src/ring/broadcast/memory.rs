//! The two kinds of memory of one process: arrays, for a `static`, and the heap.

#[cfg(feature = "alloc")]
use super::LayoutError;
#[cfg(feature = "alloc")]
use super::entries::{Entries, fresh};
use super::entry::ReaderWords;
use super::storage::{Storage, Word, WriterWords};
#[cfg(any(feature = "alloc", not(loom)))]
use super::{Broadcast, Layout};
#[cfg(not(loom))]
use crate::sync::AtomicUsize;
use crate::sync::{const_unless_loom, repeat};

/// Storage in arrays, for a `static` or a field: `WORDS` is what
/// [`Layout::words`](super::Layout::words) says, `READERS` the most gating readers at a time.
#[derive(Debug)]
// In this order and so aligned, slots begin with a cache line.
#[repr(C, align(64))]
pub struct InlineStorage<const WORDS: usize, const READERS: usize> {
    slots: [Word; WORDS],
    writer: WriterWords,
    readers: [ReaderWords; READERS],
}

impl<const WORDS: usize, const READERS: usize> InlineStorage<WORDS, READERS> {
    const_unless_loom! {
        /// New storage.
        #[must_use]
        pub const fn new() -> InlineStorage<WORDS, READERS> {
            InlineStorage {
                slots: repeat!(Word::new(); WORDS),
                writer: WriterWords::new(),
                readers: repeat!(ReaderWords::new(); READERS),
            }
        }
    }
}

impl<const WORDS: usize, const READERS: usize> Default for InlineStorage<WORDS, READERS> {
    fn default() -> InlineStorage<WORDS, READERS> {
        InlineStorage::new()
    }
}

// SAFETY: separate fields, which nothing else accesses.
#[allow(unsafe_code)]
unsafe impl<const WORDS: usize, const READERS: usize> Storage for InlineStorage<WORDS, READERS> {
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

#[cfg(not(loom))]
impl<const WORDS: usize, const READERS: usize> Broadcast<InlineStorage<WORDS, READERS>> {
    /// A ring for a `static`, with entries for `READERS` gating readers.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, InlineStorage, Layout};
    ///
    /// const LAYOUT: Layout = Layout::exact(8, 3 * size_of::<usize>());
    /// static RING: Broadcast<InlineStorage<{ LAYOUT.words() }, 2>> = Broadcast::inline(LAYOUT);
    ///
    /// let mut writer = Broadcast::producer(&RING).expect("the only writer");
    /// writer.try_push(&[1, 2, 3], LAYOUT.message_bytes()).expect("there is room");
    /// ```
    ///
    /// # Panics
    /// If the layout is invalid, or `WORDS` is not its number of words; in a `static` that is a
    /// compile error.
    ///
    /// ```compile_fail
    /// use mycelium_core::ring::broadcast::{Broadcast, InlineStorage, Layout};
    /// const LAYOUT: Layout = Layout::exact(7, 24);
    /// static RING: Broadcast<InlineStorage<{ LAYOUT.words() }, 2>> = Broadcast::inline(LAYOUT);
    /// ```
    #[must_use]
    pub const fn inline(layout: Layout) -> Self {
        assert!(layout.check().is_ok(), "a capacity is a power of two of at least 2");
        assert!(WORDS == layout.words(), "WORDS is what the layout says");
        let mut storage = InlineStorage::new();
        let mut slot = 0;
        while slot < layout.capacity() {
            // The same as `starting_at`, which is not `const`.
            let stamp = slot.wrapping_sub(layout.capacity()).wrapping_add(1);
            storage.slots[slot * layout.slot_words()] = Word(AtomicUsize::new(stamp));
            slot += 1;
        }
        Broadcast { storage, layout, first_free: AtomicUsize::new(0) }
    }
}

/// Storage on the heap.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub struct HeapStorage {
    slots: alloc::boxed::Box<[Line]>,
    words: usize,
    writer: WriterWords,
    readers: Entries,
}

/// How many words a cache line contains.
#[cfg(feature = "alloc")]
const LINE: usize = 64 / size_of::<usize>();

/// A cache line of words, so that slots begin with one.
#[cfg(feature = "alloc")]
#[derive(Debug)]
#[repr(C)]
#[cfg_attr(not(loom), repr(align(64)))]
struct Line([Word; LINE]);

#[cfg(feature = "alloc")]
impl Default for Line {
    fn default() -> Line {
        Line(core::array::from_fn(|_| Word::new()))
    }
}

// SAFETY: a field, and memory of its own that is never replaced.
#[cfg(feature = "alloc")]
#[allow(unsafe_code)]
unsafe impl Storage for HeapStorage {
    #[inline]
    fn slots(&self) -> &[Word] {
        const { assert!(size_of::<Line>() == LINE * size_of::<Word>()) };
        // SAFETY: a line is words without padding, and `boxed` allocated at least `words` words.
        unsafe { core::slice::from_raw_parts(self.slots.as_ptr().cast(), self.words) }
    }

    #[inline]
    fn writer(&self) -> &WriterWords {
        &self.writer
    }

    #[inline]
    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.readers.get(index)
    }

    fn grow(&self, entries: usize) -> bool {
        self.readers.grow(entries)
    }
}

#[cfg(feature = "alloc")]
impl Broadcast<HeapStorage> {
    /// A ring on the heap, with entries for `readers` gating readers.
    ///
    /// # Errors
    /// If the layout is invalid, or there is not enough memory.
    pub fn boxed(layout: Layout, readers: usize) -> Result<Broadcast<HeapStorage>, LayoutError> {
        Broadcast::new(HeapStorage::new(layout, readers)?, layout)
    }
}

#[cfg(feature = "alloc")]
impl HeapStorage {
    /// Storage for a ring with this layout, with entries for `readers` gating readers.
    ///
    /// # Errors
    /// If the layout is invalid, or there is not enough memory.
    pub fn new(layout: Layout, readers: usize) -> Result<HeapStorage, LayoutError> {
        HeapStorage::growing(layout, readers, readers)
    }

    /// The same as [`new`](HeapStorage::new), but further entries are allocated when gating readers
    /// join that find none free: up to `most`, and at most 16,380 more than `readers`.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, HeapStorage, Layout};
    ///
    /// let layout = Layout::exact(4, size_of::<usize>());
    /// let ring = Broadcast::new(HeapStorage::growing(layout, 1, 3)?, layout)?;
    /// let readers: Vec<_> = (0..4).map_while(|_| Broadcast::gating(&ring)).collect();
    /// assert_eq!(readers.len(), 3);
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](HeapStorage::new).
    pub fn growing(
        layout: Layout,
        readers: usize,
        most: usize,
    ) -> Result<HeapStorage, LayoutError> {
        layout.check()?;
        let words = layout.words();
        Ok(HeapStorage {
            slots: fresh(words.div_ceil(LINE)).ok_or(LayoutError::TooLarge)?,
            words,
            writer: WriterWords::new(),
            readers: Entries::new(readers, most).ok_or(LayoutError::TooLarge)?,
        })
    }
}
