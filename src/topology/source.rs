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

#[derive(Clone, Debug)]
struct SourceFile {
    path: PathBuf,
    text: String,
    /// Where its spans begin.
    base: usize,
}

impl Source {
    /// Adds a file.
    pub(super) fn add(&mut self, path: PathBuf, text: String) {
        // The end of a text is a place of its own.
        let base = self.files.last().map_or(0, |last| last.base + last.text.len() + 1);
        self.files.push(SourceFile { path, text, base });
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
