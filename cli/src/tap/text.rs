//! Lines for people: time, publisher, sequence, fields.

use std::io::Write;
use std::ops::Range;

use mycelium::subscribe::GapReason;
use mycelium::untyped::{Hex, UntypedDelivery, UntypedMessage, Value};
use unicode_width::UnicodeWidthStr;

use super::form::{Line, Output, rfc3339};
use crate::shared::output::printable;

/// The time of day in a time such as `2026-01-02T03:04:05.678901Z`.
const TIME_OF_DAY: Range<usize> = 11..26;
/// Colours of a terminal.
const DIM: &str = "\x1b[2m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// Lines in columns that are as wide as their widest cell so far.
pub(super) struct Text {
    has_colours: bool,
    source: usize,
    sequence: usize,
}

impl Text {
    pub(super) fn new(has_colours: bool) -> Text {
        Text { has_colours, source: 0, sequence: 0 }
    }

    fn coloured(&self, colour: &'static str) -> [&'static str; 2] {
        if self.has_colours { [colour, PLAIN] } else { ["", ""] }
    }

    /// Begins a line with the time and the publisher.
    fn begin(&mut self, out: &mut Vec<u8>, line: &Line<'_>, publisher: &str) {
        let source = match publisher.is_empty() {
            true => printable(line.node).into_owned(),
            false => format!("{}/{}", printable(line.node), printable(publisher)),
        };
        self.source = self.source.max(source.width());
        let [dim, plain] = self.coloured(DIM);
        let padding = " ".repeat(self.source - source.width());
        // Cannot fail, because it writes into memory.
        let _ = write!(out, "{dim}{}{plain} {source}{padding} ", &rfc3339(line.time)[TIME_OF_DAY]);
    }
}

impl Output for Text {
    fn message(&mut self, out: &mut Vec<u8>, line: &Line<'_>, message: &UntypedMessage<'_>) {
        self.begin(out, line, &message.source.publisher);
        let sequence = format!("#{}", message.sequence);
        self.sequence = self.sequence.max(sequence.len());
        let [cyan, plain] = self.coloured(CYAN);
        let _ = write!(out, "{cyan}{sequence:>width$}{plain}", width = self.sequence);
        if message.retained {
            let _ = write!(out, " {cyan}retained{plain}");
        }
        let Ok(view) = message.view() else { return };
        if line.fields.is_empty() {
            for (field, value) in view.fields() {
                let _ = write!(out, " {}={}", printable(field.name()), shown(&value));
            }
            if !view.tail().is_empty() {
                let _ = write!(out, " tail={}", Hex(view.tail()));
            }
        }
        for path in line.fields {
            if let Some(value) = view.at(path) {
                let _ = write!(out, " {}={}", printable(path), shown(&value));
            }
        }
        out.push(b'\n');
    }

    fn other(&mut self, out: &mut Vec<u8>, line: &Line<'_>, delivery: &UntypedDelivery<'_>) {
        let (source, text) = match delivery {
            UntypedDelivery::Gap { source, missed, reason, .. } => {
                (Some(source), format!("gap {missed}: {}", reason_of(*reason)))
            }
            UntypedDelivery::Began { source, first } => {
                let text = format!("begins at #{first}, epoch {:016x}", source.epoch);
                (Some(source), text)
            }
            UntypedDelivery::Ended { source, next } => {
                (Some(source), format!("has ended before #{next}"))
            }
            UntypedDelivery::Lost { source, next } => {
                let text = format!(
                    "is lost: how many messages it sent from #{next} on is unknown, epoch {:016x}",
                    source.epoch
                );
                (Some(source), text)
            }
            UntypedDelivery::Disconnected { reason } => (None, format!("disconnected: {reason}")),
            UntypedDelivery::TopicEnded => (None, "all publishers have completed".to_owned()),
            _ => return,
        };
        self.begin(out, line, source.map_or("", |source| &source.publisher));
        let [yellow, plain] = self.coloured(YELLOW);
        let _ = writeln!(out, "{yellow}{}{plain}", printable(&text));
    }
}

/// Returns a value as text for a terminal.
fn shown(value: &Value<'_>) -> String {
    let text = value.to_string();
    printable(&text).into_owned()
}

/// Returns why messages are missing, in words for people.
fn reason_of(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Overwritten => "this reader was slower than the publisher",
        GapReason::Skipped => "skipped for newer ones",
        GapReason::Dropped => "the ring of this reader was full",
        GapReason::Undecodable => "longer than the link can send",
        GapReason::Disconnected => "published while this reader was not connected",
        GapReason::Evicted => "the publisher no longer waited",
        GapReason::DeadLettered => "they became dead letters",
        _ => "for another reason",
    }
}
