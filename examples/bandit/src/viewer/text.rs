//! A trace as text for a terminal: a line for each span, below the one that caused it.

use std::fmt::Write as _;

use super::trace::{Row, Trace, cut};
use crate::report::nanos;

/// The letters of the columns, without the spaces between them.
const SERVICE: usize = 26;
const NAME: usize = 22;
const NODE: usize = 10;
const TIME: usize = 8;

/// The spans of a trace with their starts, counted from that of the trace, and their durations.
#[must_use]
pub fn tree(trace: &Trace) -> String {
    let mut text = String::new();
    line(&mut text, ["service", "span", "node", "starts", "lasts"].map(str::to_owned));
    for row in trace.rows() {
        let failed = if row.span.has_failed { " (failed)" } else { "" };
        let starts = row.span.start - trace.start();
        line(
            &mut text,
            [
                format!("{}{}", branch(&row), row.span.service),
                format!("{}{failed}", row.span.name),
                row.span.node.clone(),
                nanos(starts),
                nanos(row.span.duration()),
            ],
        );
    }
    text
}

fn line(text: &mut String, [service, name, node, starts, lasts]: [String; 5]) {
    let [service, name, node] =
        [(service, SERVICE), (name, NAME), (node, NODE)].map(|(text, most)| cut(&text, most));
    let _ = writeln!(
        text,
        "{service:SERVICE$}  {name:NAME$}  {node:NODE$}  {starts:>TIME$}  {lasts:>TIME$}"
    );
}

/// The lines of a tree before the name of a service.
fn branch(row: &Row<'_>) -> String {
    let Some((is_last, ancestors)) = row.is_last.split_last() else { return String::new() };
    let mut branch: String =
        ancestors.iter().map(|is_last| if *is_last { "   " } else { "│  " }).collect();
    branch.push_str(if *is_last { "└─ " } else { "├─ " });
    branch
}

#[cfg(test)]
mod tests {
    use super::{
        super::trace::tests::{span, trace},
        *,
    };

    #[test]
    fn a_tree_has_a_line_for_each_span() {
        let mut failed = span(4, 2, "D", 3_000);
        failed.has_failed = true;
        let trace =
            trace([span(1, 0, "A", 0), span(2, 1, "B", 1_500), span(3, 1, "C", 2_500), failed]);
        let expected = "\
service                     span                    node          starts     lasts
A                           process 1               a               0 ns     10 ns
├─ B                        process 2               b            1.50 µs     10 ns
│  └─ D                     process 4 (failed)      d            3.00 µs     10 ns
└─ C                        process 3               c            2.50 µs     10 ns
";
        assert_eq!(tree(&trace), expected);
    }
}
