//! The errors of a topology, with their place in the file.

use std::fmt;
use std::path::{Path, PathBuf};

use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

pub(crate) use crate::support::problem::Problem;

/// The start of serde's message about a value of a wrong type.
pub(super) const INVALID_TYPE: &str = "invalid type: ";

/// The maximum length of a value in a message, in characters; longer values are truncated.
const LONGEST_VALUE: usize = 200;

/// An error of a topology, with its place in the file.
#[derive(Clone, PartialEq, Eq, Error)]
#[error(
    "{location}: {}{} [{code}]",
    shortened(&problem.text),
    of_variables(written.as_deref()),
    code = self.code()
)]
pub struct TopologyError {
    pub(super) location: SourceLocation,
    pub(super) problem: Problem,
    /// The source text of the value, if it has environment variables.
    pub(super) written: Option<String>,
}

debug_as_display!(TopologyError);

impl TopologyError {
    /// Returns the file with the error: the topology file, or an included one.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.location.file
    }

    /// Returns the error code at the end of the error's text. `mycelium explain` and
    /// `docs/errors.md` explain it.
    #[must_use]
    pub fn code(&self) -> Code {
        self.problem.code
    }

    /// Returns the text of the error, without its place and its code.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem.text
    }

    /// Returns the line, starting at 1; 0 if the error is about the whole file.
    #[must_use]
    pub fn line(&self) -> usize {
        self.location.line
    }
}

impl Problem {
    /// Returns the problem of two contradictory keys, or of a value that its key cannot have.
    pub(crate) fn contradiction(text: impl Into<String>) -> Problem {
        Problem::new(Code::CONTRADICTION, text)
    }

    /// Returns the problem of a text that is not TOML, or has a value that a topology cannot have.
    pub(super) fn syntax(text: impl Into<String>) -> Problem {
        Problem::new(Code::TOPOLOGY_SYNTAX, text)
    }

    /// Returns the problem of a file that cannot be included.
    pub(crate) fn include(path: &Path, reason: &str) -> Problem {
        let text = format!("cannot include `{}`: {reason}", path.display());
        Problem::new(Code::TOPOLOGY_INCLUDE, text)
    }

    /// Returns the problem of a text that serde refuses. An unknown key is shown with the nearest
    /// known one, and numbers without the names of Rust types. `line` is the line with the problem.
    /// `is_substituted`: the value has a variable.
    pub(super) fn of_text(message: &str, line: &str, is_substituted: bool) -> Problem {
        const NUMBERS: [&str; 5] = ["i64", "u64", "u32", "usize", "f64"];
        if let Some((found, expected)) =
            message.strip_prefix(INVALID_TYPE).and_then(|text| text.split_once(", expected "))
        {
            let is_quoted = found.starts_with("string") && !is_substituted;
            let quotes = if is_quoted { " without quotes" } else { "" };
            let expected = match expected {
                "a sequence" => "a list in brackets, such as [\"a\", \"b\"]".to_owned(),
                "a map" => "a table of keys and values, such as { key = \"value\" }".to_owned(),
                "path string" => "a path in quotes".to_owned(),
                "a boolean" => format!("true or false{quotes}"),
                number if NUMBERS.contains(&number) => format!("a number{quotes}"),
                section if section.ends_with("Section") => {
                    "a section with keys, such as `policy = \"latest\"`".to_owned()
                }
                other => other.to_owned(),
            };
            return Problem::syntax(format!("invalid value, {found}: expected {expected}"));
        }
        if let Some((found, "u32")) = message
            .strip_prefix("invalid value: integer `")
            .and_then(|text| text.split_once("`, expected "))
        {
            return Problem::syntax(format!("invalid number {found}: expected 0 to {}", u32::MAX));
        }
        if let Some(key) = message.strip_prefix("missing field ") {
            return Problem::syntax(format!("this section needs the key {key}"));
        }
        let unknown = message.strip_prefix("unknown field `");
        let Some((name, known)) = unknown.and_then(|text| text.split_once("`, expected ")) else {
            return Problem::syntax(message);
        };
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let section = line.trim().strip_prefix("[subscription.");
        let section = section.and_then(|section| section.split_once(']'));
        let hint = match section {
            Some((section, _)) if section.contains('.') && !section.contains(['"', '\'']) => {
                format!("; for a subscription write `[subscription.\"{section}\"]`")
            }
            _ => String::new(),
        };
        Problem::unknown("key", name, &known, &hint)
    }
}

fn of_variables(written: Option<&str>) -> String {
    written.map(|written| format!("; the file has {}", cut(written))).unwrap_or_default()
}

/// Returns the message with its long values (between backquotes) truncated.
fn shortened(message: &str) -> String {
    let is_value = |number: &usize| number % 2 == 1;
    let parts = message.split('`').enumerate();
    let parts = parts.map(|(number, part)| match is_value(&number) {
        true => cut(part),
        false => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

/// Returns the beginning of a long text, and its length.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => {
            let (shown, length) = (&text[..end], text.chars().count());
            format!("{shown}… ({length} characters)")
        }
        None => text.to_owned(),
    }
}

/// A place in a file. Line 0 means the file itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceLocation {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.line {
            0 => Ok(()),
            line => write!(f, ":{line}:{}", self.column),
        }
    }
}
