//! Values with commas between them. The first layout determines the header: a struct has a column
//! for each of its fields, an array or list has one column for all of its items. Control characters
//! are escaped in names, and in texts only if they go to a terminal.

use mycelium::untyped::{Hex, Layout, Source, UntypedDelivery, UntypedMessage, Value};

use super::fields;
use super::form::{Line, Output, rfc3339};
use crate::shared::exit::Failure;
use crate::shared::output::{csv_line, printable};

/// The columns before the fields.
const COLUMNS: [&str; 7] = ["time", "node", "publisher", "epoch", "sequence", "gap", "retained"];

pub(super) struct Csv {
    is_terminal: bool,
    /// The paths of the fields, once a layout is known.
    columns: Option<Vec<String>>,
}

impl Csv {
    pub(super) fn new(is_terminal: bool) -> Csv {
        Csv { is_terminal, columns: None }
    }

    fn row<'a>(
        out: &mut Vec<u8>,
        line: &Line<'_>,
        source: &Source,
        (sequence, gap, retained): (u64, Option<u64>, bool),
        values: impl Iterator<Item = String> + 'a,
    ) {
        let fixed = [
            rfc3339(line.time),
            printable(line.node).into_owned(),
            printable(&source.publisher).into_owned(),
            format!("{:016x}", source.epoch),
            sequence.to_string(),
            gap.map(|gap| gap.to_string()).unwrap_or_default(),
            if retained { "true".to_owned() } else { String::new() },
        ];
        csv_line(out, fixed.into_iter().chain(values));
    }
}

impl Output for Csv {
    fn layout(
        &mut self,
        out: &mut Vec<u8>,
        line: &Line<'_>,
        layout: &Layout,
    ) -> Result<(), Failure> {
        let columns = match line.fields.is_empty() {
            true => fields::all(layout),
            false => line.fields.to_vec(),
        };
        match &self.columns {
            None => {
                let fixed = COLUMNS.iter().map(|&name| name.to_owned());
                let names = columns.iter().map(|name| printable(name).into_owned());
                csv_line(out, fixed.chain(names));
                self.columns = Some(columns);
                Ok(())
            }
            Some(known) if *known == columns => Ok(()),
            Some(_) => Err(Failure::Unavailable(format!(
                "the messages of node `{}` have other fields than those before, and a CSV file has \
                 one header: use `--fields` or `--node`",
                line.node.escape_debug()
            ))),
        }
    }

    fn message(&mut self, out: &mut Vec<u8>, line: &Line<'_>, message: &UntypedMessage<'_>) {
        let Ok(view) = message.view() else { return };
        let columns = self.columns.iter().flatten();
        let values =
            columns.map(|path| view.at(path).map(|value| self.cell(&value)).unwrap_or_default());
        Csv::row(out, line, message.source, (message.sequence, None, message.retained), values);
    }

    fn other(&mut self, out: &mut Vec<u8>, line: &Line<'_>, delivery: &UntypedDelivery<'_>) {
        if let UntypedDelivery::Gap { source, next, missed, .. } = delivery {
            let values = self.columns.iter().flatten().map(|_| String::new());
            let first = next.saturating_sub(*missed);
            Csv::row(out, line, source, (first, Some(*missed), false), values);
        }
    }
}

impl Csv {
    /// Returns a value as the text of one cell.
    fn cell(&self, value: &Value<'_>) -> String {
        match value {
            Value::Text(text) if !self.is_terminal => (*text).to_owned(),
            Value::Text(text) | Value::Variant(text) => printable(text).into_owned(),
            Value::Invalid(invalid) => format!("<{}: {}>", invalid.problem, Hex(invalid.bytes)),
            other => other.to_string(),
        }
    }
}
