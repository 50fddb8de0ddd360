//! The traces that are kept: a bounded number, each with a bounded number of spans.

use std::{cmp::Reverse, collections::BTreeMap};

use super::trace::{Span, Trace, TraceId};

/// The most traces that are kept.
pub const MOST_TRACES: usize = 512;
/// The latest traces, which are kept in any case: spans of them may be on their way.
pub const LATEST: usize = 256;
/// The most spans of a trace. Others are counted and dropped.
pub const MOST_SPANS: usize = 64;

/// The latest traces and, of the older ones, those that went through the most processes or lasted
/// longest.
#[derive(Debug, Default)]
pub struct Traces {
    kept: BTreeMap<TraceId, Kept>,
    /// The number of traces that ever began.
    began: u64,
    spans: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Kept {
    trace: Trace,
    /// The number of traces that began before it.
    number: u64,
    /// What an older trace is kept for: its processes, then its duration.
    rank: (usize, u64),
}

impl Traces {
    /// Adds a span to its trace. An older trace may have to make room.
    pub fn add(&mut self, id: TraceId, span: Span) {
        self.spans += 1;
        if let Some(Kept { trace, rank, .. }) = self.kept.get_mut(&id) {
            if trace.add(span, MOST_SPANS) {
                *rank = (trace.processes(), trace.duration());
            } else {
                self.dropped += 1;
            }
            return;
        }
        if self.kept.len() >= MOST_TRACES {
            self.make_room();
        }
        let trace = Trace::new(id, span);
        let rank = (trace.processes(), trace.duration());
        self.kept.insert(id, Kept { trace, number: self.began, rank });
        self.began += 1;
    }

    fn make_room(&mut self) {
        let oldest = self.began.saturating_sub(LATEST as u64);
        let older = self.kept.values().filter(|kept| kept.number < oldest);
        let least = older.min_by_key(|kept| (kept.rank, kept.number)).map(|kept| kept.trace.id);
        if let Some(id) = least {
            self.kept.remove(&id);
        }
    }

    /// The number of spans that were received.
    #[must_use]
    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// The number of spans that were sent again, or found no room in their trace.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The number of traces that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether no span was received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// A trace.
    #[must_use]
    pub fn get(&self, id: TraceId) -> Option<&Trace> {
        self.kept.get(&id).map(|kept| &kept.trace)
    }

    /// The whole traces that went through the most processes, the latest first.
    #[must_use]
    pub fn furthest(&self) -> Vec<&Trace> {
        let mut traces = self.latest();
        let most = traces.iter().map(|trace| trace.processes()).max().unwrap_or(0);
        traces.retain(|trace| trace.processes() == most);
        traces
    }

    /// Of [`furthest`](Self::furthest), the one of median duration.
    #[must_use]
    pub fn typical(&self) -> Option<&Trace> {
        let mut traces = self.furthest();
        traces.sort_by_key(|trace| (trace.duration(), trace.id));
        traces.get(traces.len() / 2).copied()
    }

    /// The whole traces, the latest first.
    #[must_use]
    pub fn latest(&self) -> Vec<&Trace> {
        self.whole(|trace| Reverse(trace.start()))
    }

    /// The whole traces, the slowest first.
    #[must_use]
    pub fn slowest(&self) -> Vec<&Trace> {
        self.whole(|trace| Reverse(trace.duration()))
    }

    fn whole<K: Ord>(&self, key: impl Fn(&Trace) -> K) -> Vec<&Trace> {
        let traces = self.kept.values().map(|kept| &kept.trace);
        let mut traces: Vec<_> = traces.filter(|trace| trace.is_whole()).collect();
        traces.sort_by_key(|trace| (key(trace), trace.id));
        traces
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trace::tests::span, *};

    fn id(number: u64) -> TraceId {
        TraceId(u128::from(number).to_be_bytes())
    }

    #[test]
    fn the_latest_the_furthest_and_the_slowest_traces_stay() {
        let mut traces = Traces::default();
        let all = 20 * MOST_TRACES as u64;
        for number in 0..all {
            let mut root = span(1, 0, "A", number);
            root.end += if number == 3 { 1000 } else { number % 7 };
            traces.add(id(number), root);
            if number == 5 {
                traces.add(id(number), span(2, 1, "B", number));
            }
        }
        assert_eq!((traces.len(), traces.spans()), (MOST_TRACES, all + 1));
        let latest: Vec<_> = traces.latest().into_iter().take(LATEST).map(|it| it.id).collect();
        assert!(latest.into_iter().eq((0..all).rev().take(LATEST).map(id)));
        assert_eq!(traces.furthest().into_iter().map(|it| it.id).collect::<Vec<_>>(), [id(5)]);
        assert_eq!(traces.typical().map(|it| it.id), Some(id(5)));
        assert_eq!(traces.slowest()[0].id, id(3));
    }

    #[test]
    fn spans_of_a_trace_are_limited_and_counted() {
        let mut traces = Traces::default();
        for number in 1..=100 {
            traces.add(id(0), span(number, number - 1, "A", 0));
        }
        assert_eq!((traces.len(), traces.dropped()), (1, 100 - MOST_SPANS as u64));
        assert_eq!(traces.get(id(0)).unwrap().rows().len(), MOST_SPANS);
    }
}
