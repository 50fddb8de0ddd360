//! Rings in arrays, for a `static`, and on the heap.

#[cfg(feature = "alloc")]
use super::LayoutError;
#[cfg(not(loom))]
use super::storage::Inline;
#[cfg(any(feature = "alloc", not(loom)))]
use super::storage::Word;
#[cfg(feature = "alloc")]
use super::storage::{ReaderWords, Storage, WriterWords};
#[cfg(any(feature = "alloc", not(loom)))]
use super::{Broadcast, Layout};
#[cfg(not(loom))]
use crate::sync::AtomicUsize;

#[cfg(not(loom))]
impl<const WORDS: usize, const READERS: usize> Broadcast<Inline<WORDS, READERS>> {
    /// A ring for a `static`, with entries for `READERS` gating readers.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Inline, Layout};
    ///
    /// const LAYOUT: Layout = Layout::exact(8, 3 * size_of::<usize>());
    /// static RING: Broadcast<Inline<{ LAYOUT.words() }, 2>> = Broadcast::inline(LAYOUT);
    ///
    /// let mut writer = Broadcast::producer(&RING).expect("nobody else writes");
    /// writer.try_push(&[1, 2, 3], LAYOUT.message_bytes()).expect("there is room");
    /// ```
    ///
    /// # Panics
    /// If no ring has this layout, or `WORDS` is not what it takes; in a `static` that is an error of compilation.
    ///
    /// ```compile_fail
    /// use mycelium_core::ring::broadcast::{Broadcast, Inline, Layout};
    /// const LAYOUT: Layout = Layout::exact(7, 24);
    /// static RING: Broadcast<Inline<{ LAYOUT.words() }, 2>> = Broadcast::inline(LAYOUT);
    /// ```
    #[must_use]
    pub const fn inline(layout: Layout) -> Self {
        assert!(layout.check().is_ok(), "a capacity is a power of two of at least 2");
        assert!(WORDS == layout.words(), "WORDS is what the layout says");
        let mut storage = Inline::new();
        let mut slot = 0;
        while slot < layout.capacity() {
            // As `starting_at` does, which is not for constants.
            let stamp = slot.wrapping_sub(layout.capacity()).wrapping_add(1);
            storage.slots[slot * layout.slot_words()] = Word(AtomicUsize::new(stamp));
            slot += 1;
        }
        Broadcast { storage, layout }
    }
}

/// Storage on the heap.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub struct Boxed {
    slots: alloc::boxed::Box<[Line]>,
    words: usize,
    writer: WriterWords,
    readers: alloc::boxed::Box<[ReaderWords]>,
}

/// How many words a line holds.
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

// SAFETY: a field, and boxes that nobody exchanges.
#[cfg(feature = "alloc")]
#[allow(unsafe_code)]
unsafe impl Storage for Boxed {
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
}

#[cfg(feature = "alloc")]
impl Broadcast<Boxed> {
    /// A ring on the heap, with entries for `readers` gating readers.
    ///
    /// # Errors
    /// If no ring has this layout, or there is no memory for it.
    pub fn boxed(layout: Layout, readers: usize) -> Result<Broadcast<Boxed>, LayoutError> {
        layout.check()?;
        let (words, too_many) = (layout.words(), LayoutError::Slots { expected: None, found: 0 });
        let storage = Boxed {
            slots: fresh(words.div_ceil(LINE)).ok_or(too_many)?,
            words,
            writer: WriterWords::new(),
            readers: fresh(readers).ok_or(too_many)?,
        };
        Broadcast::new(storage, layout)
    }
}

/// `count` values, or `None` if they cannot be allocated.
#[cfg(feature = "alloc")]
fn fresh<T: Default>(count: usize) -> Option<alloc::boxed::Box<[T]>> {
    let mut all = alloc::vec::Vec::new();
    all.try_reserve_exact(count).ok()?;
    all.resize_with(count, T::default);
    Some(all.into_boxed_slice())
}
