//! Counters that another process could read while their owner works or hangs.
//!
//! A [`Region`] is whole pages of words: a header with the names of all values, a table of
//! descriptors, then lines of values. A [`Line`] is sixteen values on cache lines of their own. It
//! has one writer, which stores them with plain relaxed stores and never waits. A reader needs no
//! lock, no help from the writer and no knowledge of this program: the header holds the layout, a
//! line's descriptor its kind, and the table of kinds the names of its values. A line whose writer
//! is gone keeps its values until its place is reused; then its generation changes. Today the pages
//! are ordinary memory; the layout is meant for a sealed memfd.
//!
//! Words, all `u64`. They describe themselves:
//!
//! | word | content |
//! | --- | --- |
//! | 0 | magic, `"mycelcnt"` |
//! | 1 | version, 2 |
//! | 2 | *capacity* in lines |
//! | 3 | lines in use |
//! | 4 | lines that were requested when the region was full |
//! | 5 | number of kinds |
//! | 6 | first word of the descriptors |
//! | 7 | words of a descriptor |
//! | 8 | first word of the values |
//! | 9 | values of a line |
//! | 64 + 64 *k* | kind *k*: number of values, its name and theirs: 24 bytes each, NUL-padded |
//! | (6) + (7) *i* | descriptor of line *i*: generation (0: unused), kind, label length, label |
//! | (8) + (9) *i* | values of line *i* |
//!
//! A line's sixteen values fill two cache lines. The first ones are those that are counted for each
//! message. Lines of two writers never share a cache line, nor a pair of cache lines that a
//! processor fetches together.

mod values;

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sync::{AtomicU64, Ordering, fence};
use values::{NAME, VALUES};

pub use values::{EdgeValue, Kind, LinkValue, PublisherValue, ServiceValue, Value, WatchdogValue};

const MAGIC: u64 = u64::from_le_bytes(*b"mycelcnt");
const VERSION: u64 = 2;
/// Words before the table of kinds.
const FIXED: usize = 64;
/// Words of a kind in the table.
const KIND: usize = 64;
/// The fixed words and the table of kinds fill a page.
const HEADER: usize = PAGE_WORDS;
const DESCRIPTOR: usize = 16;
const LABEL_BYTES: usize = (DESCRIPTOR - 3) * 8;
const PAGE_WORDS: usize = 512;

#[derive(Debug)]
#[repr(align(4096))]
struct Page([AtomicU64; PAGE_WORDS]);

impl Page {
    fn new() -> Page {
        Page([const { AtomicU64::new(0) }; PAGE_WORDS])
    }
}

// The table of kinds has room for all of them, and a kind's words for all its names.
const _: () = assert!(FIXED + KIND * Kind::ALL.len() <= HEADER);
const _: () = assert!(NAME * (1 + VALUES) < KIND);

/// A name for a label. Spaces and `=` separate a label's parts, so they become underscores.
pub(crate) fn plain(name: &str) -> String {
    name.replace(|c: char| c.is_control() || c.is_whitespace() || c == '=', "_")
}

/// Pages of counters. See the [module](self).
pub struct Region {
    pages: Arc<[Page]>,
    capacity: usize,
    /// Lines whose writers are gone, the oldest first. Only making and dropping a line locks it.
    retired: Mutex<VecDeque<usize>>,
}

impl Region {
    /// A region with room for at least `lines` lines, rounded up to whole pages.
    #[must_use]
    pub fn new(lines: usize) -> Arc<Region> {
        let words = HEADER + lines.next_multiple_of(4) * (DESCRIPTOR + VALUES);
        let pages: Arc<[Page]> = (0..words.div_ceil(PAGE_WORDS)).map(|_| Page::new()).collect();
        let capacity = (pages.len() * PAGE_WORDS - HEADER) / (DESCRIPTOR + VALUES);
        // Values begin on a pair of cache lines.
        let capacity = capacity & !3;
        let region = Region { pages, capacity, retired: Mutex::default() };
        region.word(1).store(VERSION, Ordering::Relaxed);
        region.word(2).store(capacity as u64, Ordering::Relaxed);
        region.word(5).store(Kind::ALL.len() as u64, Ordering::Relaxed);
        region.word(6).store(HEADER as u64, Ordering::Relaxed);
        region.word(7).store(DESCRIPTOR as u64, Ordering::Relaxed);
        region.word(8).store(region.values_of(0) as u64, Ordering::Relaxed);
        region.word(9).store(VALUES as u64, Ordering::Relaxed);
        Kind::ALL.into_iter().for_each(|kind| region.name(kind));
        region.word(0).store(MAGIC, Ordering::Release);
        Arc::new(region)
    }

    /// Writes a kind into the table of kinds.
    fn name(&self, kind: Kind) {
        let first = FIXED + KIND * kind as usize;
        self.word(first).store(kind.values().len() as u64, Ordering::Relaxed);
        for (index, name) in [kind.name()].iter().chain(kind.values()).enumerate() {
            self.write_bytes(first + 1 + NAME * index, name.as_bytes());
        }
    }

    /// Writes bytes into the words from `first`.
    fn write_bytes(&self, first: usize, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(first + index).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    /// Makes a new line. If the region is full, it reuses the place of a line whose writer is gone.
    /// If that is impossible too, the line works but is invisible; the header counts such lines. A
    /// label is cut at 104 bytes.
    #[must_use]
    pub fn line<V: Value>(self: &Arc<Region>, label: &str) -> Line<V> {
        let kind = V::KIND;
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let used = self.word(3).load(Ordering::Relaxed) as usize;
        if used < self.capacity {
            self.describe(used, kind, label);
            self.word(3).store(used as u64 + 1, Ordering::Release);
            return self.line_at(used);
        }
        if let Some(index) = retired.pop_front() {
            self.describe(index, kind, label);
            return self.line_at(index);
        }
        self.word(4).fetch_add(1, Ordering::Relaxed);
        let hidden = Region::new(1);
        hidden.line_at(0)
    }

    /// Writes a line's descriptor and resets its values.
    fn describe(&self, index: usize, kind: Kind, label: &str) {
        let descriptor = HEADER + DESCRIPTOR * index;
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
        // Release: a reader that sees the generation also sees the descriptor.
        self.word(descriptor).store(generation + 1, Ordering::Release);
    }

    /// Reads all lines. The values of one line may be from slightly different moments.
    #[must_use]
    pub fn read(&self) -> Vec<Reading> {
        let used = (self.word(3).load(Ordering::Acquire) as usize).min(self.capacity);
        (0..used).filter_map(|index| self.read_line(index)).collect()
    }

    /// The number of invisible lines.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.word(4).load(Ordering::Relaxed)
    }

    fn read_line(&self, index: usize) -> Option<Reading> {
        let descriptor = HEADER + DESCRIPTOR * index;
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

    fn line_at<V: Value>(self: &Arc<Region>, index: usize) -> Line<V> {
        let first = self.values_of(index);
        let (page, first) = (first / PAGE_WORDS, first % PAGE_WORDS);
        let (pages, region) = (self.pages.clone(), self.clone());
        Line { pages, page, first, index, region, values: PhantomData }
    }

    fn values_of(&self, index: usize) -> usize {
        HEADER + DESCRIPTOR * self.capacity + VALUES * index
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.pages[index / PAGE_WORDS].0[index % PAGE_WORDS]
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

/// The values of one line, with one writer.
#[derive(Debug)]
pub struct Line<V> {
    pages: Arc<[Page]>,
    page: usize,
    first: usize,
    index: usize,
    region: Arc<Region>,
    values: PhantomData<fn(V)>,
}

impl<V> Drop for Line<V> {
    fn drop(&mut self) {
        let mut retired = self.region.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push_back(self.index);
    }
}

impl<V: Value> Line<V> {
    /// A value.
    #[inline]
    #[must_use]
    pub fn get(&self, value: V) -> u64 {
        self.word(value).load(Ordering::Relaxed)
    }

    /// Sets a value.
    #[inline]
    pub fn set(&self, value: V, to: u64) {
        self.word(value).store(to, Ordering::Relaxed);
    }

    /// Adds to a value. Only the line's writer may call it: it is a load and a store.
    #[inline]
    pub fn add(&self, value: V, count: u64) {
        let word = self.word(value);
        word.store(word.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Advances a value to `position`, which counts the same thing in fewer bits and wraps. It
    /// never moves a value back, so any thread may call it.
    pub fn follow(&self, value: V, position: usize) {
        let (word, relaxed) = (self.word(value), Ordering::Relaxed);
        let mut value = word.load(relaxed);
        loop {
            let ahead = position.wrapping_sub(value as usize);
            if ahead.cast_signed() <= 0 {
                return;
            }
            match word.compare_exchange(value, value.wrapping_add(ahead as u64), relaxed, relaxed) {
                Ok(_) => return,
                Err(now) => value = now,
            }
        }
    }

    #[inline]
    fn word(&self, value: V) -> &AtomicU64 {
        &self.pages[self.page].0[(self.first + value.index() % VALUES) % PAGE_WORDS]
    }
}

/// A copy of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The kind of the line.
    pub kind: Kind,
    /// The owner of the values, as `key=value` pairs.
    pub label: String,
    /// The values, in the order of [`Kind::values`].
    pub values: [u64; VALUES],
}

impl Reading {
    /// The value with this name in [`Kind::values`], or 0.
    #[must_use]
    pub fn value(&self, name: &str) -> u64 {
        let index = self.kind.values().iter().position(|value| *value == name);
        index.map_or(0, |index| self.values[index])
    }

    /// The label's value for `key`, or an empty string.
    #[must_use]
    pub fn label(&self, key: &str) -> &str {
        let mut pairs = self.label.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map_or("", |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let region = Region::new(4);
        let line = region.line("topic=swaps publisher=Feed");
        line.set(PublisherValue::Sent, 7);
        line.add(PublisherValue::NoSubscribers, 2);
        line.add(PublisherValue::NoSubscribers, 3);
        let readings = region.read();
        assert_eq!(readings.len(), 1);
        assert_eq!(readings[0].value("sent"), 7);
        assert_eq!(readings[0].value("no_subscribers"), 5);
        assert_eq!(readings[0].value("no such value"), 0);
        assert_eq!(readings[0].label("publisher"), "Feed");
    }

    #[test]
    fn a_full_region_counts_what_it_cannot_show() {
        let region = Region::new(1);
        let lines: Vec<_> = (0..region.capacity + 3).map(|_| region.line("service=X")).collect();
        for line in &lines {
            line.add(ServiceValue::Starts, 1);
        }
        assert_eq!(region.read().len(), region.capacity);
        assert_eq!(region.unseen(), 3);
        assert!(region.read().iter().all(|reading| reading.value("starts") == 1));
    }

    #[test]
    fn a_region_holds_the_requested_lines_and_reuses_old_ones() {
        let most = if cfg!(miri) { 6 } else { 100 };
        for lines in 1..most {
            let region = Region::new(lines);
            let kept: Vec<_> =
                (0..lines).map(|_| region.line::<ServiceValue>("service=x")).collect();
            assert_eq!((kept.len(), region.unseen()), (lines, 0));
        }
        let region = Region::new(1);
        let others = if cfg!(miri) { region.capacity + 3 } else { 2 * region.capacity };
        for number in 0..others {
            let line = region.line(&format!("publisher={number}"));
            line.add(PublisherValue::Sent, 1);
            let name = number.to_string();
            assert!(region.read().iter().any(|line| line.label("publisher") == name));
        }
        assert_eq!(region.unseen(), 0);
        assert!(
            region.read().iter().all(|line| line.value("sent") == 1),
            "lines without a writer stay readable"
        );
    }

    #[test]
    fn a_long_label_is_cut_at_a_character() {
        let region = Region::new(1);
        let _line = region.line::<ServiceValue>(&format!("x{}", "ä".repeat(80)));
        // 103 bytes: the next letter has two bytes.
        assert_eq!(region.read()[0].label, format!("x{}", "ä".repeat(51)));
    }

    #[test]
    fn lines_have_cache_lines_of_their_own() {
        let region = Region::new(10);
        for index in 0..region.capacity {
            let address = std::ptr::from_ref(region.word(region.values_of(index))).addr();
            assert_eq!(address % 128, 0);
            assert!(region.values_of(index) % PAGE_WORDS + VALUES <= PAGE_WORDS);
        }
    }

    /// Reads a region as another process would: from its words alone.
    #[test]
    fn the_words_alone_name_the_values() {
        let region = Region::new(4);
        let line = region.line("link=left");
        line.set(LinkValue::Evicted, 7);
        let word = |index: usize| region.word(index).load(Ordering::Relaxed) as usize;
        let text = |first: usize| {
            let bytes: Vec<u8> = (first..first + 3)
                .flat_map(|index| region.word(index).load(Ordering::Relaxed).to_le_bytes())
                .take_while(|byte| *byte != 0)
                .collect();
            String::from_utf8(bytes).unwrap()
        };
        let (descriptor, values) = (word(6), word(8));
        let kind = 64 + 64 * word(descriptor + 1);
        let named: Vec<(String, usize)> = (0..word(kind))
            .map(|value| (text(kind + 4 + 3 * value), word(values + value)))
            .collect();
        assert_eq!(text(kind + 1), "link");
        assert_eq!(named.len(), LinkValue::NAMES.len());
        for (name, value) in named {
            assert_eq!(value, if name == "evicted" { 7 } else { 0 }, "{name}");
        }
        assert_eq!((word(5), word(7), word(9)), (Kind::ALL.len(), DESCRIPTOR, VALUES));
    }
}
