//! The texts of a topology: the file itself, and the included files. A *span* is a range in the
//! concatenation of all texts, so it also identifies the file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use mycelium_core::Code;

use super::error::{Problem, SourceLocation, TopologyError};

/// The texts of a topology's files. The first one is the topology file itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    files: Vec<SourceFile>,
}

/// The text of a file, and the paths by which it may be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileText {
    /// The path without symlinks, and then the absolute paths by which the file was found.
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) text: String,
}

#[derive(Clone, Debug)]
struct SourceFile {
    path: PathBuf,
    /// The path without symlinks, and then the absolute paths by which the file was found. Empty
    /// for a text that is not from a file.
    found: Vec<PathBuf>,
    text: String,
    /// The offset at which the spans of this text begin.
    base: usize,
}

impl Source {
    /// Adds a file, and returns its number.
    pub(super) fn add(&mut self, path: PathBuf, text: String) -> usize {
        // Adds one to the length, so that the end of a text is a distinct place.
        let base = self.files.last().map_or(0, |last| last.base + last.text.len() + 1);
        self.files.push(SourceFile { path, found: Vec::new(), text, base });
        self.files.len() - 1
    }

    /// Notes that a file was found by this path, for the first time or again.
    pub(super) fn found(&mut self, number: usize, real: &Path, path: &Path) {
        let found = &mut self.files[number].found;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        for path in [real.to_owned(), path] {
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }

    /// Returns the texts that are from files.
    pub(super) fn texts(&self) -> Vec<FileText> {
        let files = self.files.iter().filter(|file| !file.found.is_empty());
        let texts =
            files.map(|file| FileText { paths: file.found.clone(), text: file.text.clone() });
        texts.collect()
    }

    /// Returns the text of a file, and the offset at which its spans begin.
    pub(super) fn text_of(&self, number: usize) -> (&str, usize) {
        let SourceFile { text, base, .. } = &self.files[number];
        (text, *base)
    }

    /// Returns the path of the topology file itself.
    pub(super) fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |file| &file.path)
    }

    /// Returns the size of all texts in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.files.iter().map(|file| file.text.len()).sum()
    }

    /// Returns the number of the file with this span.
    pub(super) fn number(&self, span: &Range<usize>) -> usize {
        self.files.partition_point(|file| file.base <= span.start).saturating_sub(1)
    }

    /// Returns the path of the file with this span.
    pub(super) fn file(&self, span: &Range<usize>) -> &Path {
        self.files.get(self.number(span)).map_or(Path::new(""), |file| &file.path)
    }

    /// Returns an error about the whole file, without a place in it.
    pub(super) fn error_of_file(&self, problem: Problem) -> TopologyError {
        let location = SourceLocation { file: self.path().to_owned(), line: 0, column: 0 };
        TopologyError { location, problem, written: None }
    }

    pub(super) fn error(&self, span: Range<usize>, problem: Problem) -> TopologyError {
        // The problem of a variable already names the variable.
        let is_of_variable = problem.code == Code::TOPOLOGY_VARIABLE;
        let written = self.substituted(&span).filter(|_| !is_of_variable);
        TopologyError { location: self.location(span), problem, written }
    }

    /// Returns the error of a value that contradicts another one, or that its key cannot have.
    pub(super) fn contradiction(
        &self,
        span: Range<usize>,
        text: impl Into<String>,
    ) -> TopologyError {
        self.error(span, Problem::contradiction(text))
    }

    /// Returns the line with this place.
    pub(super) fn line(&self, place: usize) -> &str {
        let Some((text, place)) = self.text(place) else { return "" };
        let (before, after) = text.split_at_checked(place).unwrap_or((text, ""));
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        &text[start..before.len() + after.find('\n').unwrap_or(after.len())]
    }

    pub(super) fn location(&self, span: Range<usize>) -> SourceLocation {
        let (text, place) = self.text(span.start).unwrap_or_default();
        let before = text.get(..place).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        SourceLocation { file: self.file(&span).to_owned(), line, column }
    }

    /// Returns the source text of a value, if it has environment variables.
    pub(super) fn substituted(&self, span: &Range<usize>) -> Option<String> {
        let (text, start) = self.text(span.start)?;
        let written = text.get(start..start + span.len())?;
        let is_text = written.starts_with(['"', '\'']) && written.contains("${");
        is_text.then(|| written.to_owned())
    }

    /// Returns the text with this place, and the place within that text.
    fn text(&self, place: usize) -> Option<(&str, usize)> {
        let file = self.files.get(self.number(&(place..place)))?;
        Some((&file.text, place - file.base))
    }
}
