//! The words of a region, in segments: the header, which only the first one has, descriptors and
//! values.

use super::reading::{LONGEST_LABEL, Reading};
use super::values::{Kind, NAME, VALUES};
use crate::memory::{Found, MemoryError, PAGE_WORDS, Part, Words};
use crate::sync::{AtomicU64, Ordering, fence};

/// The number of words before the table of kinds.
pub(super) const FIXED: usize = 64;
/// The number of words of a kind in the table.
pub(super) const KIND: usize = 64;
/// The first word of the list of segments. The fixed words and the table of kinds have three pages.
pub(super) const LIST: usize = 3 * PAGE_WORDS;
/// The limit on segments.
pub(super) const SEGMENTS: usize = 64;
/// The number of words of a segment in the list.
pub(super) const LISTED: usize = 8;
/// The fixed words, the table of kinds, and the list of segments.
pub(super) const HEADER: usize = 4 * PAGE_WORDS;
pub(super) const DESCRIPTOR: usize = 16;
/// The number of words of a line with its descriptor.
pub(super) const WORDS: usize = DESCRIPTOR + VALUES;
/// The number of lines, with their descriptors, in a page.
pub(super) const LINES_OF_PAGE: usize = PAGE_WORDS / WORDS;
const LABEL_BYTES: usize = (DESCRIPTOR - 3) * 8;
const _: () = assert!(LABEL_BYTES == LONGEST_LABEL);

// The table of kinds has room for all kinds, and the words of a kind for all its names.
const _: () = assert!(FIXED + KIND * Kind::ALL.len() <= LIST);
const _: () = assert!(LIST + LISTED * SEGMENTS <= HEADER);
const _: () = assert!(NAME * (1 + VALUES) < KIND);

/// Pages with lines and their descriptors.
#[derive(Debug)]
pub(super) struct Segment {
    words: Words,
    /// Where other processes find the segment, if they can.
    found: Option<Found>,
    shape: Shape,
}

/// The shape of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// The number of its first word in the region.
    first_word: usize,
    /// The words before the descriptors.
    header: usize,
    lines: usize,
}

impl Shape {
    /// Returns the shape of a region's first segment, with the header. `lines` fill whole pages.
    pub(super) fn first(lines: usize) -> Shape {
        Shape { first_word: 0, header: HEADER, lines }
    }

    /// Returns the shape of a further segment, whose first word has this number in the region.
    pub(super) fn further(first_word: usize, lines: usize) -> Shape {
        Shape { first_word, header: 0, lines }
    }

    /// Creates a segment that only this process can read.
    pub(super) fn on_heap(self) -> Segment {
        Segment { words: Words::heap(self.words()), found: None, shape: self }
    }

    /// Creates a segment in a memfd with this name.
    ///
    /// # Errors
    /// If the memfd cannot be created.
    pub(super) fn shared(self, name: &str) -> Result<Segment, MemoryError> {
        let (words, found) = Words::memfd(self.words(), name)?;
        Ok(Segment { words, found: Some(found), shape: self })
    }

    fn words(self) -> usize {
        self.header + self.lines * WORDS
    }
}

impl Segment {
    /// Returns the number of lines of the segment.
    pub(super) fn lines(&self) -> usize {
        self.shape.lines
    }

    /// Returns the words of the segment, in whole pages.
    pub(super) fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    /// Returns the words of the segment's entry in the list of segments.
    pub(super) fn listed(&self) -> [u64; LISTED] {
        let (descriptors, values) = (self.descriptor_of(0), self.values_of(0));
        let Shape { first_word, lines, .. } = self.shape;
        let [first, lines, descriptors, values] =
            [first_word, lines, first_word + descriptors, first_word + values].map(|n| n as u64);
        let found = self.found.unwrap_or(Found { inode: 0, descriptor: 0 });
        [first, lines, descriptors, values, found.inode, found.descriptor, 0, 0]
    }

    /// The values of a line.
    pub(super) fn values(&self, index: usize) -> Part<VALUES> {
        self.words.part(self.values_of(index))
    }

    /// The first word of a line's values.
    pub(super) fn values_of(&self, index: usize) -> usize {
        self.shape.header + DESCRIPTOR * self.shape.lines + VALUES * index
    }

    /// The first word of a line's descriptor.
    fn descriptor_of(&self, index: usize) -> usize {
        self.shape.header + DESCRIPTOR * index
    }

    /// A word of this segment.
    pub(super) fn word(&self, index: usize) -> &AtomicU64 {
        &self.words[index]
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
        // Release: a reader that sees the generation also sees the descriptor. A generation never
        // returns: the next line at this place counts on from it.
        self.word(descriptor).store(generation + 1, Ordering::Release);
    }

    /// Sets the values of a line.
    pub(super) fn set_values(&self, index: usize, values: &[u64; VALUES]) {
        let words = &self.words[self.values_of(index)..][..VALUES];
        words.iter().zip(values).for_each(|(word, value)| word.store(*value, Ordering::Relaxed));
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
        // Checks that the place still has the same line.
        fence(Ordering::Acquire);
        let same = self.word(descriptor).load(Ordering::Relaxed) == generation;
        same.then(|| Reading { kind, label: String::from_utf8_lossy(&bytes).into_owned(), values })
    }
}
