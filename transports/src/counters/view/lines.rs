//! The lines of a region, copied while their writers continue.

use std::sync::Arc;

use super::copy::{CountersView, LineView};
use super::layout::{BEFORE_LABEL, Layout, Listed, ViewError, end_of, text_of, word_of};
use crate::sync::{ForeignWords, Ordering, fence};

/// How often a line is read again if its place gets another line meanwhile.
const ATTEMPTS: usize = 4;

/// Where the lines of a segment are in its words.
struct Segment<'a> {
    words: ForeignWords<'a>,
    descriptors: usize,
    values: usize,
}

impl Layout {
    /// Copies all lines. `pieces` are the words of the segments, or `None` if not available.
    pub(in crate::counters) fn read(
        &self,
        first: ForeignWords<'_>,
        listed: &[Listed],
        pieces: &[Option<ForeignWords<'_>>],
    ) -> Result<CountersView, ViewError> {
        let field = |word| word_of(first, "the header", word);
        let mut view = CountersView {
            kinds: self.kinds.clone(),
            unseen: field(4)?,
            made_by: u32::try_from(field(14)?).unwrap_or(0),
            ..CountersView::default()
        };
        let mut left = field(3)?;
        // A line in use has its descriptor, or the generation 0.
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
            // Counts from the first word of the segment, because in the file's own positions both
            // ends may exceed all numbers.
            let is_within = |start: &u64| end_of(*start, listed.lines, entry) <= words.len() as u64;
            let start = start.checked_sub(first).filter(is_within);
            let error = ViewError::Segment { segment: number, what, end, first, last };
            start.and_then(|start| usize::try_from(start).ok()).ok_or(error)
        };
        let descriptors = table("the descriptors", listed.descriptors, self.descriptor)?;
        let values = table("the values", listed.values, self.values)?;
        Ok(Segment { words, descriptors, values })
    }

    /// Copies a line; again, up to a limit, if its place gets another one meanwhile.
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
            let values = kind.map_or(0, |kind| kind.values.len().min(self.values));
            let values = (first..).take(values).map_while(|word| words.load(word)).collect();
            // Checks that the place still has the same line.
            fence(Ordering::Acquire);
            if word(0) == generation {
                return kind.map_or(Seen::Torn, |kind| {
                    Seen::Line(LineView {
                        place,
                        generation,
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
    /// A line that is replaced all the time, or whose kind is unknown.
    Torn,
}
