//! The words of a region, in segments: the header, which only the first one has, descriptors and
//! values.

use std::sync::Arc;

use super::reading::{LONGEST_LABEL, Reading};
use super::values::{Kind, NAME, VALUES};
use crate::sync::{AtomicU64, Ordering, fence};

/// Words before the table of kinds.
pub(super) const FIXED: usize = 64;
/// Words of a kind in the table.
pub(super) const KIND: usize = 64;
/// The first word of the list of segments. The fixed words and the table of kinds have three pages.
pub(super) const LIST: usize = 3 * PAGE_WORDS;
/// The most segments.
pub(super) const SEGMENTS: usize = 64;
/// Words of a segment in the list.
pub(super) const LISTED: usize = 4;
/// The fixed words, the table of kinds, and the list of segments.
pub(super) const HEADER: usize = 4 * PAGE_WORDS;
pub(super) const DESCRIPTOR: usize = 16;
/// The words of a line, and of its descriptor.
pub(super) const WORDS: usize = DESCRIPTOR + VALUES;
/// The lines of a page, with their descriptors.
pub(super) const LINES_OF_PAGE: usize = PAGE_WORDS / WORDS;
pub(super) const PAGE_WORDS: usize = 512;
const LABEL_BYTES: usize = (DESCRIPTOR - 3) * 8;
const _: () = assert!(LABEL_BYTES == LONGEST_LABEL);

#[derive(Debug)]
#[repr(align(4096))]
pub(super) struct Page(pub(super) [AtomicU64; PAGE_WORDS]);

impl Page {
    fn new() -> Page {
        Page([const { AtomicU64::new(0) }; PAGE_WORDS])
    }
}

// The table of kinds has room for all of them, and a kind's words for all its names.
const _: () = assert!(FIXED + KIND * Kind::ALL.len() <= LIST);
const _: () = assert!(LIST + LISTED * SEGMENTS <= HEADER);
const _: () = assert!(NAME * (1 + VALUES) < KIND);

/// Pages with lines and their descriptors.
#[derive(Debug)]
pub(super) struct Segment {
    pages: Arc<[Page]>,
    /// The number of its first word in the region.
    first_word: usize,
    /// The words before the descriptors.
    header: usize,
    lines: usize,
}

impl Segment {
    /// The first segment of a region, with the header. `lines` fill whole pages.
    pub(super) fn first(lines: usize) -> Segment {
        Segment::new(0, HEADER, lines)
    }

    /// A further segment, whose first word has this number in the region.
    pub(super) fn further(first_word: usize, lines: usize) -> Segment {
        Segment::new(first_word, 0, lines)
    }

    fn new(first_word: usize, header: usize, lines: usize) -> Segment {
        let pages = (header + lines * WORDS).div_ceil(PAGE_WORDS);
        let pages = (0..pages).map(|_| Page::new()).collect();
        Segment { pages, first_word, header, lines }
    }

    /// How many lines it has.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    pub(super) fn pages(&self) -> &Arc<[Page]> {
        &self.pages
    }

    /// Its words in the list of segments.
    pub(super) fn listed(&self) -> [usize; LISTED] {
        let (descriptors, values) = (self.descriptor_of(0), self.values_of(0));
        let Segment { first_word, lines, .. } = *self;
        [first_word, lines, first_word + descriptors, first_word + values]
    }

    /// The first word of a line's values.
    pub(super) fn values_of(&self, index: usize) -> usize {
        self.header + DESCRIPTOR * self.lines + VALUES * index
    }

    /// The first word of a line's descriptor.
    fn descriptor_of(&self, index: usize) -> usize {
        self.header + DESCRIPTOR * index
    }

    /// A word of this segment.
    pub(super) fn word(&self, index: usize) -> &AtomicU64 {
        &self.pages[index / PAGE_WORDS].0[index % PAGE_WORDS]
    }

    /// Writes bytes into the words from `first`.
    pub(super) fn write_bytes(&self, first: usize, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(first + index).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    /// Writes a line's descriptor and resets its values.
    pub(super) fn describe(&self, index: usize, kind: Kind, label: &str) {
        let descriptor = self.descriptor_of(index);
        let generation = self.word(descriptor).swap(0, Ordering::Relaxed);
        // A reader that sees any of the stores below also sees the generation 0.
        fence(Ordering::Release);
        let mut end = label.len().min(LABEL_BYTES);
        while !label.is_char_boundary(end) {
            end -= 1;
        }
        let label = &label.as_bytes()[..end];
        self.write_bytes(descriptor + 3, label);
        self.word(descriptor + 1).store(kind as u64, Ordering::Relaxed);
        self.word(descriptor + 2).store(label.len() as u64, Ordering::Relaxed);
        let first = self.values_of(index);
        (first..first + VALUES).for_each(|value| self.word(value).store(0, Ordering::Relaxed));
        // Release: a reader that sees the generation also sees the descriptor. It never comes back
        // to an earlier one: the next line here counts on from it.
        self.word(descriptor).store(generation + 1, Ordering::Release);
    }

    /// Reads a line, unless it is unused, or replaced by another one meanwhile.
    pub(super) fn read(&self, index: usize) -> Option<Reading> {
        let descriptor = self.descriptor_of(index);
        let generation = self.word(descriptor).load(Ordering::Acquire);
        if generation == 0 {
            return None;
        }
        let kind = Kind::from_word(self.word(descriptor + 1).load(Ordering::Relaxed))?;
        let length = self.word(descriptor + 2).load(Ordering::Relaxed) as usize;
        let bytes: Vec<u8> = (0..DESCRIPTOR - 3)
            .flat_map(|word| self.word(descriptor + 3 + word).load(Ordering::Relaxed).to_le_bytes())
            .take(length)
            .collect();
        let first = self.values_of(index);
        let values = std::array::from_fn(|value| self.word(first + value).load(Ordering::Relaxed));
        // Check that it is still the same line.
        fence(Ordering::Acquire);
        let same = self.word(descriptor).load(Ordering::Relaxed) == generation;
        same.then(|| Reading { kind, label: String::from_utf8_lossy(&bytes).into_owned(), values })
    }
}
