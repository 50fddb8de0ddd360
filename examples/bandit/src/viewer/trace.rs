//! A trace: its spans as a tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// The most letters of a text that is shown.
const LONGEST: usize = 96;

/// The id of a trace. Its text has 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// A text is not the id of a trace.
#[derive(Debug, thiserror::Error)]
#[error("expected 32 hexadecimal digits in lower case")]
pub struct TraceIdError;

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for TraceId {
    type Err = TraceIdError;

    fn from_str(text: &str) -> Result<Self, TraceIdError> {
        let id = u128::from_str_radix(text, 16).map(|id| Self(id.to_be_bytes()));
        // No sign, and each id has one text.
        id.ok().filter(|id| id.to_string() == text).ok_or(TraceIdError)
    }
}

/// The work of a service with one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its id, which only this span of its trace has.
    pub id: [u8; 8],
    /// The span that caused it, or `None` if it begins the trace.
    pub parent: Option<[u8; 8]>,
    /// The kind of work, such as `process swaps`.
    pub name: String,
    /// The service.
    pub service: String,
    /// The node.
    pub node: String,
    /// The id of its process, if it is known.
    pub process: Option<u64>,
    /// Its start, in nanoseconds of Unix time.
    pub start: u64,
    /// Its end, which is not before its start.
    pub end: u64,
    /// Whether it ended with an error.
    pub has_failed: bool,
}

impl Span {
    /// How long it lasted, in nanoseconds.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.end - self.start
    }
}

/// The spans that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    spans: Vec<Span>,
}

/// A span in its place of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The span.
    pub span: &'a Span,
    /// For each of its ancestors but the first, and then for itself: whether it is the last child
    /// of its parent.
    pub is_last: Vec<bool>,
}

impl Trace {
    /// A trace with its first span.
    #[must_use]
    pub fn new(id: TraceId, first: Span) -> Self {
        Self { id, spans: vec![first] }
    }

    /// Adds a span, unless it has that span, or `most` others.
    pub fn add(&mut self, span: Span, most: usize) -> bool {
        let is_new = self.spans.len() < most && self.spans.iter().all(|other| other.id != span.id);
        if is_new {
            self.spans.push(span);
        }
        is_new
    }

    /// Its first moment, in nanoseconds of Unix time.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.spans.iter().map(|span| span.start).min().unwrap_or(0)
    }

    /// The time from its first moment to its last, in nanoseconds.
    #[must_use]
    pub fn duration(&self) -> u64 {
        let end = self.spans.iter().map(|span| span.end).max().unwrap_or(0);
        end - self.start()
    }

    /// The number of processes that it went through.
    #[must_use]
    pub fn processes(&self) -> usize {
        let processes = self.spans.iter().map(|span| (&span.node, span.process));
        processes.collect::<BTreeSet<_>>().len()
    }

    /// Whether one span begins it, and all others follow from that one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.rows().len() == self.spans.len()
    }

    /// The span that begins it, and what follows from that: each span before those that it caused,
    /// and these in the order of their starts. Empty if no span begins the trace, or several do.
    #[must_use]
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut children = BTreeMap::<_, Vec<&Span>>::new();
        for span in &self.spans {
            children.entry(span.parent).or_default().push(span);
        }
        for siblings in children.values_mut() {
            // The first one last.
            siblings.sort_by_key(|span| std::cmp::Reverse((span.start, span.end, span.id)));
        }
        let mut rows = Vec::new();
        let Some([root]) = children.get(&None).map(Vec::as_slice) else { return rows };
        let mut next = vec![Row { span: root, is_last: Vec::new() }];
        // Each span has one parent, so it is reached once.
        while let Some(row) = next.pop() {
            let of_row = children.get(&Some(row.span.id)).into_iter().flatten();
            next.extend(of_row.enumerate().map(|(place, span)| {
                let is_last = row.is_last.iter().copied().chain([place == 0]).collect();
                Row { span, is_last }
            }));
            rows.push(row);
        }
        rows
    }
}

/// A text from outside as it may be shown: not too long, and without letters that a terminal
/// obeys, that XML forbids, or that change the direction of a line.
#[must_use]
pub fn label(text: &str) -> String {
    let visible = |letter: char| {
        let is_bad = letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
        if is_bad { char::REPLACEMENT_CHARACTER } else { letter }
    };
    cut(&text.chars().take(LONGEST + 1).map(visible).collect::<String>(), LONGEST)
}

/// A text with at most this number of letters; the last one shows that it was cut.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A span with this number, of a service, that another one caused.
    pub(in crate::viewer) fn span(number: u8, parent: u8, service: &str, start: u64) -> Span {
        Span {
            id: [number; 8],
            parent: (parent > 0).then_some([parent; 8]),
            name: format!("process {number}"),
            service: service.to_owned(),
            node: service.to_lowercase(),
            process: Some(u64::from(number)),
            start,
            end: start + 10,
            has_failed: false,
        }
    }

    pub(in crate::viewer) fn trace(spans: impl IntoIterator<Item = Span>) -> Trace {
        let mut spans = spans.into_iter();
        let mut trace = Trace::new(TraceId([7; 16]), spans.next().unwrap());
        spans.for_each(|span| assert!(trace.add(span, 64)));
        trace
    }

    #[test]
    fn spans_follow_their_causes_in_the_order_of_their_starts() {
        let trace = trace([
            span(4, 2, "D", 30),
            span(3, 1, "C", 25),
            span(1, 0, "A", 10),
            span(2, 1, "B", 20),
        ]);
        let rows = trace.rows();
        let found: Vec<_> = rows.iter().map(|row| (&*row.span.service, &*row.is_last)).collect();
        let expected: [(&str, &[bool]); 4] =
            [("A", &[]), ("B", &[false]), ("D", &[false, true]), ("C", &[true])];
        assert_eq!(found, expected);
        assert!(trace.is_whole());
        assert_eq!((trace.start(), trace.duration(), trace.processes()), (10, 30, 4));
    }

    #[test]
    fn a_trace_with_a_gap_two_roots_or_a_circle_is_not_whole() {
        assert!(!trace([span(1, 0, "A", 0), span(3, 2, "C", 0)]).is_whole());
        assert!(!trace([span(1, 0, "A", 0), span(2, 0, "B", 0)]).is_whole());
        assert!(!trace([span(1, 0, "A", 0), span(2, 3, "B", 0), span(3, 2, "C", 0)]).is_whole());
        assert!(!trace([span(2, 2, "B", 0)]).is_whole());
    }

    #[test]
    fn a_span_that_is_sent_again_is_the_same_span() {
        let mut trace = trace([span(1, 0, "A", 0)]);
        assert!(!trace.add(span(1, 0, "A", 0), 2));
        assert!(trace.add(span(2, 1, "B", 0), 2));
        assert!(!trace.add(span(3, 1, "C", 0), 2));
    }

    #[test]
    fn an_id_has_one_text() {
        let text = "00000000000000000000000000000a0b";
        assert_eq!(text.parse::<TraceId>().unwrap().to_string(), text);
        for text in ["", "a0b", "+0000000000000000000000000000a0b", &text.to_uppercase()] {
            assert!(text.parse::<TraceId>().is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_short_and_obeyed_by_nobody() {
        assert_eq!(label("swaps ä"), "swaps ä");
        assert_eq!(label("a\x1b[2Jb\u{202e}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        let long = label(&"x".repeat(1000));
        assert_eq!((long.chars().count(), long.ends_with("x…")), (LONGEST, true));
    }
}
