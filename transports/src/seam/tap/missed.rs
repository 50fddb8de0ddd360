//! The messages that a stream has missed: they are counted once their reader confirms them.

use std::collections::VecDeque;

use crate::counters::{EdgeValue, Line};

/// The limit on gaps between unreleased messages that keep their positions, or the ring's capacity
/// if that is more. Beyond it the two oldest gaps are joined.
pub(super) const EXACT_GAPS: usize = 1024;

/// The gaps between the first kept message and the next message, in their order.
#[derive(Default)]
pub(super) struct Gaps(VecDeque<Missed>);

/// `count` missed messages between two sequences, and their counter. If the count is less than the
/// distance, it is unknown which of the messages are missing.
pub(super) struct Missed {
    pub(super) from: u64,
    pub(super) before: u64,
    pub(super) count: u64,
    pub(super) value: EdgeValue,
}

impl Gaps {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds the last missed messages of a ring with this capacity. A reader that confirms nothing
    /// may get gaps without limit, so the two oldest entries are joined. The next confirmation is
    /// usually after both. If it is between them, released messages count as missed first, and as
    /// taken only after that.
    pub(super) fn add(&mut self, capacity: usize, missed: Missed) {
        let Gaps(gaps) = self;
        match gaps.back_mut() {
            Some(last) if last.value == missed.value && last.before == missed.from => {
                last.before = missed.before;
                last.count += missed.count;
            }
            _ => gaps.push_back(missed),
        }
        self.limit(capacity);
    }

    /// Marks this message of the last gap as sent.
    pub(super) fn mark_sent(&mut self, capacity: usize, sequence: u64) {
        let Some(gap) = self.0.pop_back() else { return };
        if gap.count < gap.before.wrapping_sub(gap.from) {
            let count = gap.count.saturating_sub(1);
            return self.0.push_back(Missed { count, ..gap });
        }
        for (from, before) in [(gap.from, sequence), (sequence + 1, gap.before)] {
            if from < before {
                self.0.push_back(Missed { from, before, count: before - from, ..gap });
            }
        }
        self.limit(capacity);
    }

    fn limit(&mut self, capacity: usize) {
        let Gaps(gaps) = self;
        while gaps.len() > EXACT_GAPS.max(capacity) {
            // Joins two neighbouring entries with the same counter; nearly all entries have the same
            // counter.
            let mut pairs = 1..gaps.len();
            let second = pairs.find(|second| gaps[*second].value == gaps[*second - 1].value);
            let Some((second, later)) = second.and_then(|it| Some((it, gaps.remove(it)?))) else {
                return;
            };
            let earlier = &mut gaps[second - 1];
            (earlier.before, earlier.count) = (later.before, earlier.count + later.count);
        }
    }

    /// Forgets the missed messages from a sequence on.
    pub(super) fn rewind(&mut self, sequence: u64) {
        while let Some(gap) = self.0.pop_back_if(|gap| gap.before > sequence) {
            if gap.from < sequence {
                let count = gap.count.min(sequence - gap.from);
                self.0.push_back(Missed { before: sequence, count, ..gap });
            }
        }
    }

    /// Counts the missed messages before a sequence, and returns their number.
    pub(super) fn count(&mut self, before: u64, line: &Line<EdgeValue>) -> u64 {
        let mut missed = 0;
        while let Some(gap) = self.0.front_mut()
            && gap.from < before
        {
            let end = gap.before.min(before);
            let count = gap.count.min(end - gap.from);
            (gap.from, gap.count) = (end, gap.count - count);
            line.add(gap.value, count);
            missed += count;
            if gap.from == gap.before {
                self.0.pop_front();
            }
        }
        missed
    }
}
