//! Counters that another process could read while their owner works or hangs.
//!
//! A [`Region`] is whole pages of words: a header, a table of descriptors, then lines of values. A [`Line`] is eight
//! values on a cache line of their own with one writer, who stores them with plain relaxed stores and never waits. A
//! reader needs no lock and no help of the writer: it finds out from the header where things are and from a line's
//! descriptor what its values mean. A line whose writer has gone keeps its values until its place is needed; then its
//! generation changes. Today the pages are ordinary memory; the layout is the one that a sealed memfd
//! will carry.
//!
//! Words, all `u64`:
//!
//! | word | content |
//! | --- | --- |
//! | 0 | magic, `"mycelcnt"` |
//! | 1 | version, 1 |
//! | 2 | capacity in lines |
//! | 3 | lines in use |
//! | 4 | lines that were asked for when the region was full |
//! | 64 + 16 *i* | descriptor of line *i*: generation (0: unused), kind, length of the label in bytes, the label's bytes |
//! | 64 + 16 *capacity* + 8 *i* | values of line *i* |

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sync::{AtomicU64, Ordering, fence};

const MAGIC: u64 = u64::from_le_bytes(*b"mycelcnt");
const VERSION: u64 = 1;
const HEADER: usize = 64;
const DESCRIPTOR: usize = 16;
const VALUES: usize = 8;
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

/// What the values of a line mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// One publisher of one topic.
    Publisher,
    /// One publisher's messages at one subscription.
    Feed,
    /// One service.
    Service,
    /// One side of the links with another process.
    Link,
    /// One service, as its node's watchdog sees it.
    Watchdog,
}

impl Kind {
    /// The names of the line's values, in order.
    #[must_use]
    pub fn values(self) -> &'static [&'static str] {
        match self {
            Kind::Publisher => &["sent", "unheard", "waited", "rejected"],
            Kind::Feed => &[
                "joined_at",
                "taken",
                "overwritten",
                "skipped",
                "dead_lettered",
                "redelivered",
                "left",
                "unknown",
            ],
            Kind::Service => &["starts", "errors", "panics", "dead_letters"],
            Kind::Link => &["connections", "sent", "received", "missed", "errors", "refused"],
            Kind::Watchdog => &["long_polls"],
        }
    }

    fn from_word(word: u64) -> Option<Kind> {
        let all = [Kind::Publisher, Kind::Feed, Kind::Service, Kind::Link, Kind::Watchdog];
        all.into_iter().find(|kind| *kind as u64 == word)
    }
}

/// A name as it stands in a label, where spaces and `=` divide: whatever is no part of a name there is an underscore.
pub(crate) fn plain(name: &str) -> String {
    name.replace(|c: char| c.is_control() || c.is_whitespace() || c == '=', "_")
}

/// Pages of counters. See the [module](self).
pub struct Region {
    pages: Arc<[Page]>,
    capacity: usize,
    /// Lines whose writers have gone, the longest gone first. Writers of values never lock.
    retired: Mutex<VecDeque<usize>>,
}

impl Region {
    /// A region with room for at least `lines` lines, rounded up to whole pages.
    #[must_use]
    pub fn new(lines: usize) -> Arc<Region> {
        let words = HEADER + lines.next_multiple_of(4) * (DESCRIPTOR + VALUES);
        let pages: Arc<[Page]> = (0..words.div_ceil(PAGE_WORDS)).map(|_| Page::new()).collect();
        let capacity = (pages.len() * PAGE_WORDS - HEADER) / (DESCRIPTOR + VALUES);
        // Values begin on a cache line.
        let capacity = capacity & !3;
        let region = Region { pages, capacity, retired: Mutex::default() };
        region.word(1).store(VERSION, Ordering::Relaxed);
        region.word(2).store(capacity as u64, Ordering::Relaxed);
        region.word(0).store(MAGIC, Ordering::Release);
        Arc::new(region)
    }

    /// A new line, in the place of one whose writer has gone if there is no other. When the region is full all the same,
    /// the line counts, but nobody can see it; the header says how many such lines there are. A label is cut at 104
    /// bytes.
    #[must_use]
    pub fn line(self: &Arc<Region>, kind: Kind, label: &str) -> Line {
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

    /// Gives a line its meaning, and its values their start.
    fn describe(&self, index: usize, kind: Kind, label: &str) {
        let descriptor = HEADER + DESCRIPTOR * index;
        let generation = self.word(descriptor).swap(0, Ordering::Relaxed);
        // Who sees anything of what follows sees the generation gone.
        fence(Ordering::Release);
        let mut end = label.len().min(LABEL_BYTES);
        while !label.is_char_boundary(end) {
            end -= 1;
        }
        let label = &label.as_bytes()[..end];
        for (word, chunk) in label.chunks(8).enumerate() {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.word(descriptor + 3 + word).store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        self.word(descriptor + 1).store(kind as u64, Ordering::Relaxed);
        self.word(descriptor + 2).store(label.len() as u64, Ordering::Relaxed);
        let first = self.values_of(index);
        (first..first + VALUES).for_each(|value| self.word(value).store(0, Ordering::Relaxed));
        // Release: who sees the generation sees the descriptor.
        self.word(descriptor).store(generation + 1, Ordering::Release);
    }

    /// What all lines say now. Values of one line may be of slightly different moments.
    #[must_use]
    pub fn read(&self) -> Vec<Reading> {
        let used = (self.word(3).load(Ordering::Acquire) as usize).min(self.capacity);
        (0..used).filter_map(|index| self.read_line(index)).collect()
    }

    /// How many lines the region could not show.
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
        // Was it still the same line?
        fence(Ordering::Acquire);
        let same = self.word(descriptor).load(Ordering::Relaxed) == generation;
        same.then(|| Reading { kind, label: String::from_utf8_lossy(&bytes).into_owned(), values })
    }

    fn line_at(self: &Arc<Region>, index: usize) -> Line {
        let first = self.values_of(index);
        let (page, first) = (first / PAGE_WORDS, first % PAGE_WORDS);
        Line { pages: self.pages.clone(), page, first, index, region: self.clone() }
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

/// Eight values with one writer.
#[derive(Debug)]
pub struct Line {
    pages: Arc<[Page]>,
    page: usize,
    first: usize,
    index: usize,
    region: Arc<Region>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut retired = self.region.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push_back(self.index);
    }
}

impl Line {
    /// Value number `index`, counted as in [`Kind::values`].
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Relaxed)
    }

    /// Sets value number `index`, counted as in [`Kind::values`].
    #[inline]
    pub fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Relaxed);
    }

    /// Adds to value number `index`. Only the line's one writer may call it: it is a load and a store.
    #[inline]
    pub fn add(&self, index: usize, count: u64) {
        let word = self.word(index);
        word.store(word.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Moves value number `index` on to `position`, which counts the same thing in fewer bits and wraps. A position that
    /// is behind is left alone, so any thread may call it: the one that was furthest stays.
    pub fn follow(&self, index: usize, position: usize) {
        let (word, relaxed) = (self.word(index), Ordering::Relaxed);
        let mut value = word.load(relaxed);
        loop {
            let ahead = position.wrapping_sub(value as usize);
            if ahead.cast_signed() <= 0 {
                return;
            }
            match word.compare_exchange(value, value + ahead as u64, relaxed, relaxed) {
                Ok(_) => return,
                Err(now) => value = now,
            }
        }
    }

    #[inline]
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.pages[self.page].0[(self.first + index % VALUES) % PAGE_WORDS]
    }
}

/// A line as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the values mean.
    pub kind: Kind,
    /// Whose values they are, as `key=value` pairs.
    pub label: String,
    /// The values, in the order of [`Kind::values`].
    pub values: [u64; VALUES],
}

impl Reading {
    /// The value that [`Kind::values`] calls `name`, or 0.
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
        let line = region.line(Kind::Publisher, "topic=swaps publisher=Feed");
        line.set(0, 7);
        line.add(1, 2);
        line.add(1, 3);
        let readings = region.read();
        assert_eq!(readings.len(), 1);
        assert_eq!(readings[0].value("sent"), 7);
        assert_eq!(readings[0].value("unheard"), 5);
        assert_eq!(readings[0].value("no such value"), 0);
        assert_eq!(readings[0].label("publisher"), "Feed");
    }

    #[test]
    fn a_full_region_counts_what_it_cannot_show() {
        let region = Region::new(1);
        let lines: Vec<_> =
            (0..region.capacity + 3).map(|_| region.line(Kind::Service, "service=X")).collect();
        for line in &lines {
            line.add(0, 1);
        }
        assert_eq!(region.read().len(), region.capacity);
        assert_eq!(region.unseen(), 3);
        assert!(region.read().iter().all(|reading| reading.value("starts") == 1));
    }

    #[test]
    fn there_is_room_for_what_was_asked_and_then_for_what_takes_the_place_of_others() {
        let most = if cfg!(miri) { 6 } else { 100 };
        for lines in 1..most {
            let region = Region::new(lines);
            let kept: Vec<_> =
                (0..lines).map(|_| region.line(Kind::Service, "service=x")).collect();
            assert_eq!((kept.len(), region.unseen()), (lines, 0));
        }
        let region = Region::new(1);
        let others = if cfg!(miri) { region.capacity + 3 } else { 2 * region.capacity };
        for number in 0..others {
            let line = region.line(Kind::Publisher, &format!("publisher={number}"));
            line.add(0, 1);
            let name = number.to_string();
            assert!(region.read().iter().any(|line| line.label("publisher") == name));
        }
        assert_eq!(region.unseen(), 0);
        assert!(
            region.read().iter().all(|line| line.value("sent") == 1),
            "the gone ones stay readable"
        );
    }

    #[test]
    fn a_long_label_is_cut_at_a_character() {
        let region = Region::new(1);
        let _line = region.line(Kind::Service, &format!("x{}", "ä".repeat(80)));
        // 103 bytes: the last letter would not have fitted whole.
        assert_eq!(region.read()[0].label, format!("x{}", "ä".repeat(51)));
    }

    #[test]
    fn values_begin_on_a_cache_line() {
        let region = Region::new(10);
        let address = std::ptr::from_ref(region.word(region.values_of(0))).addr();
        assert_eq!(address % 64, 0);
    }
}
