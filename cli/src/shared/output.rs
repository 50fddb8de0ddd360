//! Tables, as text, JSON or CSV.
//!
//! Names come from other processes, so control characters in them are escaped before they reach a
//! terminal.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
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

/// How a command prints its result.
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

/// Rows of the same columns. The values are texts, numbers (floating-point ones for rates and
/// shares) and `Null`, which means unknown or without a meaning there.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// Creates a table without rows. In `columns`, a comma and a space separate the names.
    pub fn new(columns: &'static str) -> Table {
        Table { columns: columns.split(", ").collect(), rows: Vec::new() }
    }

    /// Adds a row, which has a value for each column.
    pub fn row(&mut self, values: impl IntoIterator<Item = Value>) {
        let row: Vec<Value> = values.into_iter().collect();
        debug_assert_eq!(row.len(), self.columns.len(), "a value for each column");
        self.rows.push(row);
    }

    /// Returns the number of rows.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Returns the table as text, in aligned columns.
    pub fn text(&self) -> String {
        let header = self.columns.iter().map(|name| name.to_uppercase()).collect();
        let rows = self.rows.iter().map(|row| {
            row.iter().map(|value| printable(&plain(value, "-")).into_owned()).collect()
        });
        let lines: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        // The width of each column, and whether it contains numbers.
        let columns = (0..self.columns.len()).map(|column| {
            let width = lines.iter().map(|line| line[column].width()).max().unwrap_or(0);
            (width, self.rows.iter().any(|row| row[column].is_number()))
        });
        let columns: Vec<(usize, bool)> = columns.collect();
        let mut text = String::new();
        for line in &lines {
            let cells = line.iter().zip(&columns).map(|(cell, (width, has_numbers))| {
                let padding = " ".repeat(width - cell.width());
                match has_numbers {
                    true => format!("{padding}{cell}"),
                    false => format!("{cell}{padding}"),
                }
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        text
    }

    /// Returns the names of columns as keys, for example `high_water` for `high water`.
    fn keys(&self) -> impl Iterator<Item = String> {
        self.columns.iter().map(|name| name.replace(' ', "_"))
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter();
        rows.map(|row| self.keys().zip(row.iter().cloned()).collect::<Map<_, _>>()).collect()
    }

    fn csv(&self, has_header: bool) -> String {
        let mut out = Vec::new();
        if has_header {
            csv_line(&mut out, self.keys());
        }
        for row in &self.rows {
            csv_line(&mut out, row.iter().map(|value| plain(value, "")));
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Returns a value as text for people, or `nothing` if it is `Null`.
fn plain(value: &Value, nothing: &str) -> String {
    match value {
        Value::Null => nothing.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => format!("{number:.1}"),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Prints tables of the same columns to standard output, one after the other.
#[derive(Debug)]
pub struct Printer {
    format: Format,
    /// The number of tables that were printed.
    printed: u64,
}

impl Printer {
    /// Creates a printer that has printed nothing.
    pub fn new(format: Format) -> Printer {
        Printer { format, printed: 0 }
    }

    /// Prints a table.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn print(&mut self, table: &Table) -> Result<(), Failure> {
        print(&self.text(table))
    }

    /// Returns a table as text with its header, as a line of JSON, or as lines of CSV. Of several
    /// tables, only the first has a header in CSV.
    fn text(&mut self, table: &Table) -> String {
        let is_first = self.printed == 0;
        self.printed += 1;
        match self.format {
            Format::Table => format!("{}{}", if is_first { "" } else { "\n" }, table.text()),
            Format::Json => format!("{}\n", table.json()),
            Format::Csv => table.csv(is_first),
        }
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

/// Returns a value as a line of JSON.
///
/// # Errors
/// If JSON has no form for it.
pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(value).map_err(|error| Failure::output(error.into()))?;
    Ok(json + "\n")
}

/// Returns a number with the name of the things, such as `1 node` or `2 nodes`.
pub fn count<N: fmt::Display + PartialEq + From<u8>>(count: N, name: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {name}{plural}")
}

/// Adds a line of values with commas between them.
pub fn csv_line(out: &mut Vec<u8>, values: impl Iterator<Item = String>) {
    let mut writer = csv::Writer::from_writer(out);
    // Cannot fail, because it writes into memory.
    let _ = writer.write_record(values.map(String::into_bytes));
    let _ = writer.flush();
}

/// Returns a text for a terminal, in which control characters are escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|c| match is_unprintable(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    Cow::Owned(escaped.collect())
}

/// Prints a text on standard error. The text is lost if nobody takes it within a second, or there
/// is no standard error.
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

/// Returns the text of a failure for standard error. `None` if the failure was reported, or needs
/// no message.
pub fn report(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Found(text) | Failure::Usage(text) | Failure::Unavailable(text) => {
            // Escaped, because names in it may come from other programs.
            let lines: Vec<_> = text.lines().map(printable).collect();
            Some(format!("error: {}\n", lines.join("\n")))
        }
        Failure::OutputClosed | Failure::Reported(_) => None,
    }
}

/// Returns a path as text for a terminal.
pub fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// Returns whether a character is a control character, or changes the direction of a text.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Formats a text for XML: without the characters that have a meaning there, and without those that
/// are not allowed.
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&apos;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                write!(f, "{}", letter.escape_default())
            }
            letter => f.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_escapes_control_characters() {
        let mut table = Table::new("node, rate, last gap");
        table.row(["feed".into(), 12.34.into(), Value::Null]);
        table.row(["a, \u{1b}[31mred".into(), 1234.0.into(), 17.into()]);
        let mut printer = Printer::new(Format::Table);
        let once = "NODE                RATE  LAST GAP\n\
                    feed                12.3         -\n\
                    a, \\u{1b}[31mred  1234.0        17\n";
        let printed = [(); 2].map(|()| printer.text(&table)).concat();
        assert_eq!(printed, format!("{once}\n{once}"));
    }
}
