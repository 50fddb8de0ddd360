//! Copies of the counters of another process, or of a dump, made from the words alone.
//!
//! Names of kinds and values come from the region, because another version of this library may have
//! written it, with kinds and values that this version does not know.
//!
//! **Panic contract.** The words may have any content, and change at any time. Reading them never
//! panics and always ends. Allocations are in proportion to the number of words, whatever the words
//! claim. Texts have no control characters, so that they can be printed to a terminal.
//!
//! Order of this file: the header and its checks, then the copies of lines, then the view.

use std::sync::Arc;

use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

use super::reading::Reading;
use super::values::{Kind, VALUES, second_word};
use crate::sync::{AtomicU64, ForeignWords, Ordering, fence};

// The header of a region: its check, its kinds, and its segments.

/// The name of the memfd of a first segment.
pub(in crate::counters) const FIRST_NAME: &str = "mycelium-counters";
/// The name of the memfds of further segments.
pub(in crate::counters) const FURTHER_NAME: &str = "mycelium-counters-more";
pub(in crate::counters) const MAGIC: u64 = u64::from_le_bytes(*b"mycelcnt");
pub(in crate::counters) const VERSION: u64 = 6;

/// The word with the number of the process that made the region, in its own namespace.
pub(in crate::counters) const MADE_BY: usize = 14;
/// The word of the header with twice the number of lines that were replaced or became totals. It is
/// odd while this happens.
pub(in crate::counters) const REPLACED: usize = 15;
/// The number of words of a descriptor before the label: generation, kind, length.
const BEFORE_LABEL: usize = 3;
/// The number of words that this version reads of each entry in the list of segments.
const LISTED: usize = 6;
/// The limit on the words of an entry in a table. It limits the effect of a damaged header.
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
        /// The value of word 0.
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
        /// The first word after the incomplete part.
        end: u64,
        /// How many words there are.
        words: usize,
    },
    /// A word of the header is out of its range.
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
        /// The value of the word.
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
        /// The first word after the incomplete part.
        end: u64,
        /// The first word of the segment.
        first: u64,
        /// The first word after the segment.
        last: u64,
    },
}

debug_as_display!(ViewError);

impl ViewError {
    /// Returns the code at the end of the error's text. All errors of counters that contradict
    /// themselves have the same code.
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

/// A kind of lines, as the region names it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KindView {
    /// The kind's name, as [`Kind::name`](crate::counters::Kind::name).
    pub name: String,
    /// The names of the kind's values, in order, as
    /// [`Kind::values`](crate::counters::Kind::values).
    pub values: Vec<String>,
}

/// The constant part of a region's header.
#[derive(Debug)]
pub(in crate::counters) struct Layout {
    kinds: Vec<Arc<KindView>>,
    /// The first word of the list of segments.
    list: usize,
    /// Words of a segment in the list.
    entry: usize,
    /// Words of a descriptor.
    descriptor: usize,
    /// Words of the values of a line.
    values: usize,
}

/// A segment in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::counters) struct Listed {
    /// The number of the segment's first word in the region.
    first_word: u64,
    /// How many lines the segment has.
    lines: u64,
    /// The number of the first word of the segment's descriptors. The next word of the list has the
    /// first word of the segment's values.
    descriptors: u64,
    values: u64,
    /// The inode of the segment's memfd; 0 if there is none.
    pub(in crate::counters) inode: u64,
    /// The descriptor of the segment's memfd in the process that owns it.
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
        // Acquire: a reader that sees the magic number also sees the words written before it.
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
        // Acquire: a reader that sees the number also sees the entries.
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

/// Returns the first word after a table of `count` entries of this many words.
fn end_of(first: u64, count: u64, words: usize) -> u64 {
    first.saturating_add(count.saturating_mul(words as u64))
}

/// Returns a word of a segment.
fn word_of(words: ForeignWords<'_>, what: &'static str, index: usize) -> Result<u64, ViewError> {
    let truncated = ViewError::Truncated { what, end: index as u64 + 1, words: words.len() };
    words.load(index).ok_or(truncated)
}

/// Returns the text in some words: at most `length` bytes, up to the first NUL, without control
/// characters.
fn text_of(words: ForeignWords<'_>, first: usize, count: usize, length: usize) -> String {
    let words = (first..).take(count).map_while(|index| words.load(index));
    let bytes = words.flat_map(u64::to_le_bytes).take(length);
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&bytes);
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

// The lines of a region, copied while their writers continue.

/// The number of attempts to read a line if it ends or is replaced during the read, and to read all
/// lines if any is replaced.
pub(in crate::counters) const ATTEMPTS: usize = 4;

/// Where the lines of a segment are in its words.
struct Segment<'a> {
    words: ForeignWords<'a>,
    descriptors: usize,
    values: usize,
}

impl Layout {
    /// Copies all lines. `pieces` are the words of the segments, or `None` if not available. Tries
    /// again, up to a limit, if a line is replaced meanwhile: otherwise its values could be copied
    /// twice, or not at all.
    pub(in crate::counters) fn read(
        &self,
        first: ForeignWords<'_>,
        listed: &[Listed],
        pieces: &[Option<ForeignWords<'_>>],
    ) -> Result<CountersView, ViewError> {
        let replaced = || first.load(REPLACED).unwrap_or(0);
        let mut attempts = 1;
        loop {
            let before = replaced();
            // Acquire: a reader that sees the number also sees what was stored before it.
            fence(Ordering::Acquire);
            let mut view = self.read_once(first, listed, pieces)?;
            // Acquire: if any of the copied words was stored during a replacement, the second load
            // sees its number or a later one.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && replaced() == before {
                return Ok(view);
            }
            if attempts == ATTEMPTS {
                view.torn += 1;
                return Ok(view);
            }
            attempts += 1;
        }
    }

    fn read_once(
        &self,
        first: ForeignWords<'_>,
        listed: &[Listed],
        pieces: &[Option<ForeignWords<'_>>],
    ) -> Result<CountersView, ViewError> {
        let field = |word| word_of(first, "the header", word);
        let mut view = CountersView {
            kinds: self.kinds.clone(),
            unseen: field(4)?,
            made_by: u32::try_from(field(MADE_BY)?).unwrap_or(0),
            ..CountersView::default()
        };
        let mut left = field(3)?;
        // Acquire: a reader that sees a line in use also sees its descriptor, or generation 0.
        fence(Ordering::Acquire);
        let mut place = 0u64;
        for (number, listed) in listed.iter().enumerate() {
            let lines = listed.lines.min(left);
            left -= lines;
            match pieces.get(number).copied().flatten() {
                Some(words) => {
                    let segment = self.segment(number, listed, words)?;
                    // The cast is lossless, because the segment has more words than lines, and
                    // `usize` can count these.
                    for index in 0..lines as usize {
                        match self.line(&segment, index, place.saturating_add(index as u64)) {
                            Seen::Line(line) => view.lines.push(line),
                            Seen::Unused => {}
                            Seen::Torn => view.torn += 1,
                        }
                    }
                }
                None => view.out_of_reach = view.out_of_reach.saturating_add(lines),
            }
            place = place.saturating_add(listed.lines);
        }
        Ok(view)
    }

    /// Checks that all lines of a segment are in its words.
    fn segment<'a>(
        &self,
        number: usize,
        listed: &Listed,
        words: ForeignWords<'a>,
    ) -> Result<Segment<'a>, ViewError> {
        let first = listed.first_word;
        let last = first.saturating_add(words.len() as u64);
        let table = |what, start: u64, entry| {
            let end = end_of(start, listed.lines, entry);
            // Compares positions within the segment, because the ends of positions within the
            // region may saturate.
            let is_within = |start: &u64| end_of(*start, listed.lines, entry) <= words.len() as u64;
            let start = start.checked_sub(first).filter(is_within);
            let error = ViewError::Segment { segment: number, what, end, first, last };
            start.and_then(|start| usize::try_from(start).ok()).ok_or(error)
        };
        let descriptors = table("the descriptors", listed.descriptors, self.descriptor)?;
        let values = table("the values", listed.values, self.values)?;
        Ok(Segment { words, descriptors, values })
    }

    /// Copies a line. Tries again, up to a limit, if it ends or is replaced during the copy.
    fn line(&self, segment: &Segment<'_>, index: usize, place: u64) -> Seen {
        let words = segment.words;
        let descriptor = segment.descriptors + index * self.descriptor;
        let first = segment.values + index * self.values;
        for _ in 0..ATTEMPTS {
            let word = |index| words.load(descriptor + index).unwrap_or(0);
            let generation = word(0);
            fence(Ordering::Acquire);
            if generation == 0 {
                return Seen::Unused;
            }
            let kind = usize::try_from(word(1)).ok().and_then(|kind| self.kinds.get(kind));
            let length = usize::try_from(word(2)).unwrap_or(usize::MAX);
            let count = self.descriptor - BEFORE_LABEL;
            let label = text_of(words, descriptor + BEFORE_LABEL, count, length);
            let known = kind.map_or(0, |kind| kind.values.len());
            let values = (0..known.min(self.values)).map_while(|value| {
                let second = second_word(value, known, self.values);
                let second = second.map_or(Some(0), |word| words.load(first + word))?;
                Some(words.load(first + value)?.wrapping_add(second))
            });
            let values = values.collect();
            // Checks that the place still has the same line.
            fence(Ordering::Acquire);
            if word(0) == generation {
                return kind.map_or(Seen::Torn, |kind| {
                    Seen::Line(LineView {
                        place,
                        generation: generation.div_ceil(2),
                        has_ended: generation % 2 == 0,
                        kind: Arc::clone(kind),
                        label,
                        values,
                    })
                });
            }
        }
        Seen::Torn
    }
}

/// What a reader found at the place of a line in a segment.
enum Seen {
    Line(LineView),
    /// No line, or a line that is being made.
    Unused,
    /// A line that is replaced again and again, or whose kind is unknown.
    Torn,
}

// Copies of regions, for readers.

/// A copy of all lines of a region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CountersView {
    /// The kinds of lines that the writer of the region knows.
    pub kinds: Vec<Arc<KindView>>,
    /// The lines in use, in the order of their places.
    pub lines: Vec<LineView>,
    /// Lines that got no place where readers can see them.
    pub unseen: u64,
    /// The number of lines that were left out because they were replaced during the read, or
    /// because their kind is not in the region. One more if a line was replaced at each attempt to
    /// read: its values may then be missing, or be there twice.
    pub torn: usize,
    /// The number of places in segments that could not be read: the process had no descriptor left
    /// for the segment, or ended before it was mapped.
    pub out_of_reach: u64,
    /// The process that made the region, by its number in its own namespace of processes.
    pub made_by: u32,
}

/// A copy of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineView {
    /// The line's place, counted through all segments. A place has one line at a time.
    pub place: u64,
    /// The number of lines that this place has had. Two copies show the same line if their place
    /// and generation are equal.
    pub generation: u64,
    /// Whether the line has lost its writer: its values change no more.
    pub has_ended: bool,
    /// The kind.
    pub kind: Arc<KindView>,
    /// Whose values these are, as `key=value` pairs.
    pub label: String,
    /// The values, in the order of their names in the kind.
    pub values: Vec<u64>,
}

impl CountersView {
    /// Reads a region from the words of its segments, as
    /// [`Region::dump`](crate::counters::Region::dump) returns them. The last segments may be
    /// missing.
    ///
    /// ```
    /// use mycelium_transports::counters::{CountersView, Region, ServiceValue};
    ///
    /// let region = Region::new(16);
    /// # if region.dump().is_empty() { return Ok(()) }
    /// let line = region.line("service=Detector");
    /// line.add(ServiceValue::Starts, 1);
    /// let view = CountersView::of_dump(&region.dump())?;
    /// assert_eq!(view.lines[0].label("service"), "Detector");
    /// assert_eq!(view.lines[0].value("starts"), Some(1));
    /// # Ok::<(), mycelium_transports::counters::ViewError>(())
    /// ```
    ///
    /// # Errors
    /// If the words are not a region of counters, or contradict each other.
    pub fn of_dump(segments: &[Vec<u64>]) -> Result<CountersView, ViewError> {
        let atomic = |words: &Vec<u64>| words.iter().map(|word| AtomicU64::new(*word)).collect();
        let segments: Vec<Vec<AtomicU64>> = segments.iter().map(atomic).collect();
        let pieces = segments.iter().map(|words| ForeignWords::new(words));
        let first = pieces.clone().next().unwrap_or(ForeignWords::new(&[]));
        let layout = Layout::of(first)?;
        let listed = layout.listed(first)?;
        let pieces: Vec<_> = pieces.map(Some).collect();
        layout.read(first, &listed, &pieces)
    }

    /// Returns the lines as [`Region::read`](crate::counters::Region::read) does, for
    /// [`Metric::of`](crate::counters::Metric::of) and
    /// [`Latency::of`](crate::counters::Latency::of). Leaves out kinds and values that this version
    /// does not know.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        self.lines.iter().filter_map(LineView::reading).collect()
    }
}

impl LineView {
    /// Returns the value with this name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u64> {
        let index = self.kind.values.iter().position(|value| value == name)?;
        self.values.get(index).copied()
    }

    /// Returns the part of the label with this key, or an empty string.
    #[must_use]
    pub fn label(&self, key: &str) -> &str {
        let mut parts = self.label.split(' ').filter_map(|part| part.split_once('='));
        parts.find(|(name, _)| *name == key).map_or("", |(_, value)| value)
    }

    /// Returns the line as this version knows it, with values found by name; `None` if the kind is
    /// unknown.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == self.kind.name)?;
        let mut values = [0; VALUES];
        for (value, name) in values.iter_mut().zip(kind.values()) {
            *value = self.value(name).unwrap_or(0);
        }
        Some(Reading { kind, label: self.label.clone(), values })
    }
}
