//! The header of a region: whether it is one, its kinds, and its segments.

use std::sync::Arc;

use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

use crate::sync::{ForeignWords, Ordering, fence};

/// The name of the memfd of a first segment.
pub(in crate::counters) const FIRST_NAME: &str = "mycelium-counters";
/// The name of the memfds of further segments.
pub(in crate::counters) const FURTHER_NAME: &str = "mycelium-counters-more";
pub(in crate::counters) const MAGIC: u64 = u64::from_le_bytes(*b"mycelcnt");
pub(in crate::counters) const VERSION: u64 = 5;

/// The number of words of a descriptor before its label: generation, kind, length.
pub(super) const BEFORE_LABEL: usize = 3;
/// The number of words that this version reads of a segment in the list.
const LISTED: usize = 6;
/// The limit on the words of an entry in a table. It bounds what a damaged header can mean.
const MOST: u64 = 4096;

/// Why words are not the counters of a node.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The first word says that these are no counters, or that they are not ready.
    #[error(
        "no region of counters: expected {expected:#018x} in word 0, found {found:#018x} [{code}]",
        code = self.code()
    )]
    Magic {
        /// `"mycelcnt"` as a number.
        expected: u64,
        /// The word found there.
        found: u64,
    },
    /// The region has another layout.
    #[error(
        "unknown version of the counters: expected {expected}, found {found} [{code}]",
        code = self.code()
    )]
    Version {
        /// The version of this library.
        expected: u64,
        /// The version of the region.
        found: u64,
    },
    /// There are fewer words than the header says.
    #[error(
        "truncated counters: {what} ends at word {end}, but there are {words} words [{code}]",
        code = self.code()
    )]
    Truncated {
        /// The incomplete part.
        what: &'static str,
        /// The first word behind it.
        end: u64,
        /// How many words there are.
        words: usize,
    },
    /// A word of the header cannot be what it says.
    #[error(
        "invalid counters: expected {least} to {most} in word {word}, {what}, found {found} [{code}]",
        code = self.code()
    )]
    Field {
        /// What the word means.
        what: &'static str,
        /// The number of the word.
        word: usize,
        /// The least possible value.
        least: u64,
        /// The greatest possible value.
        most: u64,
        /// The word found there.
        found: u64,
    },
    /// An entry in the list of segments contradicts the segment.
    #[error(
        "invalid counters: {what} of segment {segment} end at word {end}, but the segment has \
         words {first} to {last} [{code}]",
        code = self.code()
    )]
    Segment {
        /// The number of the segment.
        segment: usize,
        /// The incomplete part.
        what: &'static str,
        /// The first word behind it.
        end: u64,
        /// The first word of the segment.
        first: u64,
        /// The first word behind the segment.
        last: u64,
    },
}

debug_as_display!(ViewError);

impl ViewError {
    /// Returns the code of the error, with which its text ends. All forms of counters that
    /// contradict themselves have one code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            ViewError::Version { .. } => Code::COUNTERS_VERSION,
            ViewError::Magic { .. }
            | ViewError::Truncated { .. }
            | ViewError::Field { .. }
            | ViewError::Segment { .. } => Code::COUNTERS_DAMAGED,
        }
    }
}

/// A kind of lines, by the names in the region.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KindView {
    /// Its name, as [`Kind::name`](crate::counters::Kind::name).
    pub name: String,
    /// The names of its values, in order, as [`Kind::values`](crate::counters::Kind::values).
    pub values: Vec<String>,
}

/// The part of a region's header that does not change any more.
#[derive(Debug)]
pub(in crate::counters) struct Layout {
    pub(super) kinds: Vec<Arc<KindView>>,
    /// The first word of the list of segments.
    list: usize,
    /// Words of a segment in the list.
    entry: usize,
    /// Words of a descriptor.
    pub(super) descriptor: usize,
    /// Words of the values of a line.
    pub(super) values: usize,
}

/// A segment in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::counters) struct Listed {
    /// The number of its first word in the region.
    pub(super) first_word: u64,
    /// How many lines it has.
    pub(super) lines: u64,
    /// The number of the first word of its descriptors; the next one is that of its values.
    pub(super) descriptors: u64,
    pub(super) values: u64,
    /// The inode of its memfd. 0 if it has none.
    pub(in crate::counters) inode: u64,
    /// The descriptor of its memfd in the process.
    pub(in crate::counters) descriptor: u64,
}

impl Layout {
    /// Reads the header from the words of a first segment.
    pub(in crate::counters) fn of(first: ForeignWords<'_>) -> Result<Layout, ViewError> {
        let field = |word| word_of(first, "the header", word);
        match field(0)? {
            MAGIC => {}
            found => return Err(ViewError::Magic { expected: MAGIC, found }),
        }
        // A reader that sees the magic number also sees the words written before it.
        fence(Ordering::Acquire);
        match field(1)? {
            VERSION => {}
            found => return Err(ViewError::Version { expected: VERSION, found }),
        }
        let within = |what, word, least: usize, most: u64| {
            let found = field(word)?;
            let is_within = (least as u64..=most).contains(&found);
            let field = ViewError::Field { what, word, least: least as u64, most, found };
            usize::try_from(found).ok().filter(|_| is_within).ok_or(field)
        };
        let name = within("the words of a name", 13, 1, MOST)?;
        let kind = within("the words of a kind", 12, 1 + name, MOST)?;
        let count = within("the number of kinds", 5, 0, MOST)?;
        let table = within("the first word of the table of kinds", 11, 0, u64::MAX)?;
        let most_values = ((kind - 1) / name - 1) as u64;
        let end = end_of(table as u64, count as u64, kind);
        let words = first.len();
        if end > words as u64 {
            return Err(ViewError::Truncated { what: "the table of kinds", end, words });
        }
        let kinds = (0..count).map(|number| {
            let start = table + number * kind;
            let values = within("the number of values of a kind", start, 0, most_values)?;
            let text = |index: usize| text_of(first, start + 1 + index * name, name, name * 8);
            let values = (1..=values).map(text).collect();
            Ok(Arc::new(KindView { name: text(0), values }))
        });
        Ok(Layout {
            kinds: kinds.collect::<Result<_, ViewError>>()?,
            list: within("the first word of the list of segments", 6, 0, u64::MAX)?,
            entry: within("the words of a segment in the list", 7, LISTED, MOST)?,
            descriptor: within("the words of a descriptor", 9, BEFORE_LABEL, MOST)?,
            values: within("the words of the values of a line", 10, 1, MOST)?,
        })
    }

    /// Reads the list of segments, which grows.
    pub(in crate::counters) fn listed(
        &self,
        first: ForeignWords<'_>,
    ) -> Result<Vec<Listed>, ViewError> {
        let count = word_of(first, "the header", 8)?;
        // A reader that sees the number also sees the entries.
        fence(Ordering::Acquire);
        let end = end_of(self.list as u64, count, self.entry);
        let (what, words) = ("the list of segments", first.len());
        if end > words as u64 {
            return Err(ViewError::Truncated { what, end, words });
        }
        let entries = (self.list..).step_by(self.entry).zip(0..count);
        let entries = entries.map(|(start, _)| {
            let field = |word| word_of(first, what, start + word);
            Ok(Listed {
                first_word: field(0)?,
                lines: field(1)?,
                descriptors: field(2)?,
                values: field(3)?,
                inode: field(4)?,
                descriptor: field(5)?,
            })
        });
        entries.collect()
    }
}

/// Returns the first word behind a table of `count` entries of this many words.
pub(super) fn end_of(first: u64, count: u64, words: usize) -> u64 {
    first.saturating_add(count.saturating_mul(words as u64))
}

/// A word of a segment.
pub(super) fn word_of(
    words: ForeignWords<'_>,
    what: &'static str,
    index: usize,
) -> Result<u64, ViewError> {
    let truncated = ViewError::Truncated { what, end: index as u64 + 1, words: words.len() };
    words.load(index).ok_or(truncated)
}

/// The text in some words: at most `length` bytes, up to the first NUL, without control characters.
pub(super) fn text_of(
    words: ForeignWords<'_>,
    first: usize,
    count: usize,
    length: usize,
) -> String {
    let words = (first..).take(count).map_while(|index| words.load(index));
    let bytes = words.flat_map(u64::to_le_bytes).take(length);
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&bytes);
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
