//! The texts of a topology: the file itself, and those that it includes. A span is a range in all
//! texts, one behind the other, so it says which file it is in.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::{Problem, SourceLocation, TopologyError};

/// The texts of a topology's files. The first one is that of the topology itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    files: Vec<SourceFile>,
}

/// The text of a file, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileText {
    /// The path without links, and then the paths by which the file was found, which are absolute.
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) text: String,
}

#[derive(Clone, Debug)]
struct SourceFile {
    path: PathBuf,
    /// The path without links, and then those by which the file was found, which are absolute. None
    /// of a text that is not of a file.
    found: Vec<PathBuf>,
    text: String,
    /// Where its spans begin.
    base: usize,
}

impl Source {
    /// Adds a file, and returns its number.
    pub(super) fn add(&mut self, path: PathBuf, text: String) -> usize {
        // The end of a text is a place of its own.
        let base = self.files.last().map_or(0, |last| last.base + last.text.len() + 1);
        self.files.push(SourceFile { path, found: Vec::new(), text, base });
        self.files.len() - 1
    }

    /// A file has been found by this path, as the first time or again.
    pub(super) fn found(&mut self, number: usize, real: &Path, path: &Path) {
        let found = &mut self.files[number].found;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        for path in [real.to_owned(), path] {
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }

    /// The texts of the files.
    pub(super) fn texts(&self) -> Vec<FileText> {
        let files = self.files.iter().filter(|file| !file.found.is_empty());
        let texts =
            files.map(|file| FileText { paths: file.found.clone(), text: file.text.clone() });
        texts.collect()
    }

    /// The text of a file, and where its spans begin.
    pub(super) fn text_of(&self, number: usize) -> (&str, usize) {
        let SourceFile { text, base, .. } = &self.files[number];
        (text, *base)
    }

    /// The path of the topology itself.
    pub(super) fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |file| &file.path)
    }

    /// The size of all texts.
    pub(super) fn bytes(&self) -> usize {
        self.files.iter().map(|file| file.text.len()).sum()
    }

    /// The number of the file with a span.
    pub(super) fn number(&self, span: &Range<usize>) -> usize {
        self.files.partition_point(|file| file.base <= span.start).saturating_sub(1)
    }

    /// The path of the file with a span.
    pub(super) fn file(&self, span: &Range<usize>) -> &Path {
        self.files.get(self.number(span)).map_or(Path::new(""), |file| &file.path)
    }

    /// An error that has no place in the file.
    pub(super) fn error_of_file(&self, problem: Problem) -> TopologyError {
        let location = SourceLocation { file: self.path().to_owned(), line: 0, column: 0 };
        TopologyError { location, problem: Box::new(problem), written: None }
    }

    pub(super) fn error(&self, span: Range<usize>, problem: Problem) -> TopologyError {
        let written = match problem {
            // It names the variable.
            Problem::Variable { .. } => None,
            _ => self.substituted(&span),
        };
        TopologyError { location: self.location(span), problem: Box::new(problem), written }
    }

    /// The line of a place.
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

    /// What the file has in place of a value, if that has variables of the environment.
    pub(super) fn substituted(&self, span: &Range<usize>) -> Option<String> {
        let (text, start) = self.text(span.start)?;
        let written = text.get(start..start + span.len())?;
        let is_text = written.starts_with(['"', '\'']) && written.contains("${");
        is_text.then(|| written.to_owned())
    }

    /// The text with a place, and where in it that is.
    fn text(&self, place: usize) -> Option<(&str, usize)> {
        let file = self.files.get(self.number(&(place..place)))?;
        Some((&file.text, place - file.base))
    }
}
