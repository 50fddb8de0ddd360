//! Prints deliveries, counts them, and says at the end how many there were.

use std::io::{self, IsTerminal};
use std::time::SystemTime;

use mycelium::untyped::UntypedDelivery;

use super::args::{Form, TapArgs};
use super::csv::Csv;
use super::fields::{self, Condition};
use super::form::{Line, Output};
use super::json::Json;
use super::text::Text;
use crate::peers::sink::Sink;
use crate::shared::exit::Failure;
use crate::shared::terminal;

/// Prints to standard output.
pub(super) struct Printer {
    pub(super) out: Sink,
    form: Box<dyn Output>,
    fields: Vec<String>,
    conditions: Vec<Condition>,
    pub(super) counts: Counts,
}

#[derive(Default)]
pub(super) struct Counts {
    messages: u64,
    pub(super) printed: u64,
    gaps: u64,
    missed: u64,
    /// Whether the topic was read.
    has_read: bool,
    /// The number of publishers that were lost: nobody knows how many of their messages were
    /// missed.
    lost: u64,
}

impl Printer {
    pub(super) fn stdout(args: &TapArgs) -> Result<Printer, Failure> {
        let form: Box<dyn Output> = match args.output {
            Form::Text => Box::new(Text::new(terminal::has_colours())),
            Form::Json => Box::new(Json),
            Form::Csv => Box::new(Csv::new(io::stdout().is_terminal())),
        };
        let conditions = args.conditions.iter().map(|text| Condition::parse(text));
        Ok(Printer {
            out: Sink::output(),
            form,
            fields: args.fields.clone(),
            conditions: conditions.collect::<Result<_, Failure>>()?,
            counts: Counts::default(),
        })
    }

    pub(super) fn print(
        &mut self,
        node: &str,
        time: SystemTime,
        delivery: &UntypedDelivery<'_>,
    ) -> Result<(), Failure> {
        let Printer { out, form, fields, conditions, counts } = self;
        let text = &mut out.text;
        let line = Line { time, node, fields };
        match delivery {
            UntypedDelivery::Message(message) => {
                counts.messages += 1;
                let Ok(view) = message.view() else { return Ok(()) };
                if !conditions.iter().all(|condition| condition.holds(&view)) {
                    return Ok(());
                }
                counts.printed += 1;
                form.message(text, &line, message);
            }
            UntypedDelivery::Subscribed { layout, .. } => {
                fields::check(layout, fields, conditions)?;
                counts.has_read = true;
                form.layout(text, &line, layout)?;
            }
            other => {
                match other {
                    UntypedDelivery::Gap { missed, .. } => {
                        counts.gaps += 1;
                        // A peer may report any number, so this does not wrap.
                        counts.missed = counts.missed.saturating_add(*missed);
                    }
                    UntypedDelivery::Lost { .. } => counts.lost += 1,
                    _ => {}
                }
                form.other(text, &line, other);
            }
        }
        Ok(())
    }

    /// Returns a line with the counts. Empty if the output is closed, or nothing could be read.
    pub(super) fn summary(&self, ended: &Result<(), Failure>) -> String {
        let Counts { messages, printed, gaps, missed, has_read, lost } = self.counts;
        match ended {
            Err(Failure::OutputClosed) => return String::new(),
            Err(_) if !has_read => return String::new(),
            Ok(()) | Err(_) => {}
        }
        let mut text = format!("{messages} messages");
        if printed < messages {
            text.push_str(&format!(" ({printed} printed)"));
        }
        text.push_str(&format!(", {gaps} gaps, {missed} missed"));
        if lost > 0 {
            text.push_str(&format!(", {lost} publishers lost with an unknown number of messages"));
        }
        text + "\n"
    }
}
