//! Tables, as text, JSON or CSV.
//!
//! Names come from other processes, so control characters in them are escaped before they reach a
//! terminal.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};
use unicode_width::UnicodeWidthStr;

use crate::shared::exit::Failure;

/// How a verb prints its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// An array of objects in one line, for programs.
    Json,
    /// Values with commas between them, and a line with their names.
    Csv,
}

/// A value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A count.
    Count(u64),
    /// A rate or a share.
    Number(f64),
    /// Not known, or without a meaning here.
    Nothing,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Cell {
        Cell::Count(count)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Cell {
        Cell::Number(number)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Nothing, Into::into)
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Text(text) => printable(text).into_owned(),
            Cell::Count(count) => count.to_string(),
            Cell::Number(number) => format!("{number:.1}"),
            Cell::Nothing => "-".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => Value::from(text.as_str()),
            Cell::Count(count) => Value::from(*count),
            Cell::Number(number) => Value::from(*number),
            Cell::Nothing => Value::Null,
        }
    }

    fn csv(&self) -> String {
        match self {
            Cell::Nothing => String::new(),
            Cell::Text(text) => text.clone(),
            other => other.text(),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Cell::Count(_) | Cell::Number(_))
    }
}

/// Rows of the same columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(columns: &[&'static str]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, which has a value for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut row: Vec<Cell> = cells.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len(), "a value for each column");
        row.resize(self.columns.len(), Cell::Nothing);
        self.rows.push(row);
    }

    /// The number of rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Aligned columns.
    #[must_use]
    pub fn text(&self) -> String {
        let texts: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = texts.iter().map(|row| row[column].width());
                cells.chain([self.columns[column].len()]).max().unwrap_or(0)
            })
            .collect();
        let right: Vec<bool> = (0..self.columns.len())
            .map(|column| self.rows.iter().any(|row| row[column].is_number()))
            .collect();
        let header = self.columns.iter().map(|name| name.to_uppercase()).collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&texts) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column].saturating_sub(cell.width()));
                let (before, after) =
                    if right[column] { (padding, String::new()) } else { (String::new(), padding) };
                line.push_str(&before);
                line.push_str(cell);
                line.push_str(&after);
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let fields = self.columns.iter().zip(row);
            let fields: Map<String, Value> =
                fields.map(|(name, cell)| (name.replace(' ', "_"), cell.json())).collect();
            Value::Object(fields)
        });
        rows.collect()
    }
}

/// Prints tables of the same columns to standard output, one after the other.
#[derive(Debug)]
pub struct Printer {
    format: Format,
    /// Tables that were printed.
    printed: u64,
}

impl Printer {
    /// Has printed nothing.
    #[must_use]
    pub fn new(format: Format) -> Printer {
        Printer { format, printed: 0 }
    }

    /// Prints a table.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn print(&mut self, table: &Table) -> Result<(), Failure> {
        print(&self.text(table)?)
    }

    /// A table as text with its header, as a line of JSON, or as lines of CSV, of which only the
    /// first table has a header.
    fn text(&mut self, table: &Table) -> Result<String, Failure> {
        let is_first = self.printed == 0;
        self.printed += 1;
        Ok(match self.format {
            Format::Table => format!("{}{}", if is_first { "" } else { "\n" }, table.text()),
            Format::Json => format!("{}\n", table.json()),
            Format::Csv => csv(table, is_first)?,
        })
    }
}

/// Prints a text to standard output.
///
/// # Errors
/// If it cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::output)
}

/// A value as a line of JSON.
///
/// # Errors
/// If JSON has no form for it.
pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(value).map_err(|error| Failure::output(error.into()))?;
    Ok(json + "\n")
}

/// A number of things, such as `1 node` or `2 nodes`.
#[must_use]
pub fn count(count: usize, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

fn csv(table: &Table, has_header: bool) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| Failure::Unavailable(error.to_string());
    if has_header {
        let names = table.columns.iter().map(|name| name.replace(' ', "_"));
        writer.write_record(names).map_err(|error| failed(&error))?;
    }
    for row in &table.rows {
        writer.write_record(row.iter().map(Cell::csv)).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// A text in which control characters are escaped, as a terminal may get it.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().flat_map(|c| {
        let (escaped, plain) =
            if is_unprintable(c) { (Some(c.escape_default()), None) } else { (None, Some(c)) };
        escaped.into_iter().flatten().chain(plain)
    });
    Cow::Owned(escaped.collect())
}

/// Prints a text on standard error. If nobody takes it within a second, or there is no standard
/// error, it is lost.
pub fn print_error(text: String) {
    let (sender, written) = channel::<()>();
    let write = move || {
        let _ = io::stderr().write_all(text.as_bytes());
        drop(sender);
    };
    if thread::Builder::new().name("error".into()).spawn(write).is_ok() {
        let _ = written.recv_timeout(Duration::from_secs(1));
    }
}

/// What standard error gets about a failure; nothing if it was reported, or needs no message.
#[must_use]
pub fn report(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Found(text) | Failure::Usage(text) | Failure::Unavailable(text) => {
            // Names in it may be those of other programs.
            let lines: Vec<_> = text.lines().map(printable).collect();
            Some(format!("error: {}\n", lines.join("\n")))
        }
        Failure::OutputClosed | Failure::Reported(_) => None,
    }
}

/// A path as a terminal may get it.
#[must_use]
pub fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Control characters, and those that change the direction of a text.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["node", "rate", "last gap"]);
        table.row(["feed".into(), 12.34.into(), Cell::Nothing]);
        table.row(["a, \u{1b}[31mred".into(), 1234.0.into(), 17.into()]);
        table
    }

    fn printed(format: Format) -> String {
        let mut printer = Printer::new(format);
        [(); 2].map(|()| printer.text(&table()).unwrap()).concat()
    }

    #[test]
    fn a_table_is_aligned_and_escapes_control_characters() {
        let once = "NODE                RATE  LAST GAP\n\
                    feed                12.3         -\n\
                    a, \\u{1b}[31mred  1234.0        17\n";
        assert_eq!(printed(Format::Table), format!("{once}\n{once}"));
    }
}
