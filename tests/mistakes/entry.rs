//! A mistake: the file that makes it, and the text that its author sees.
//!
//! The file begins with comments: a title, and what to write instead. A third paragraph names a
//! known exception: `Errors: 2.` if rustc prints another number of errors than one, `Silent.` if
//! the author of the mistake sees nothing. When an exception has gone, an update of the page
//! removes it. `Without otlp.` says that it is a mistake only without this feature.

use std::fs;
use std::path::Path;

/// How a mistake is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By rustc.
    Compile,
    /// By a program, which may have a topology file beside it.
    Program,
    /// By a topology file for the program in `shared`.
    Topology,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) section: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) title: String,
    pub(crate) advice: String,
    /// The number of errors of rustc that are expected.
    pub(crate) expected: usize,
    /// It is known that nothing is seen.
    pub(crate) is_silent: bool,
    /// This program has the feature whose absence is the mistake.
    pub(crate) is_none_here: bool,
    /// The code, as the page shows it.
    pub(crate) code: String,
    /// The topology file.
    pub(crate) topology: Option<String>,
    pub(crate) seen: Seen,
}

/// What the author of a mistake sees.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) text: String,
    /// The number of rustc's errors.
    pub(crate) errors: usize,
    /// How the process ended.
    pub(crate) status: String,
}

impl Entry {
    /// Why the entry is not as expected.
    pub(crate) fn problem(&self) -> Option<String> {
        let (Entry { section, name, expected, .. }, Seen { text, errors, .. }) = (self, &self.seen);
        if self.kind == Kind::Compile && errors != expected {
            return Some(format!(
                "{section}/{name}: rustc printed {errors} errors: expected {expected}\n{text}"
            ));
        }
        match (text.trim().is_empty(), self.is_silent) {
            (true, false) => Some(format!("{section}/{name}: its author sees nothing")),
            (false, true) => {
                Some(format!("{section}/{name}: its author sees something: remove `Silent.`"))
            }
            _ => None,
        }
    }

    /// Changes or removes a known exception if fewer errors or more words are seen now.
    pub(crate) fn tighten(&mut self, directory: &Path) {
        let fewer = (1..self.expected).contains(&self.seen.errors);
        let speaks = self.is_silent && !self.seen.text.trim().is_empty();
        if !fewer && !speaks {
            return;
        }
        let (mark, suffix) = style(self.kind);
        let path = directory.join(&self.section).join(&self.name).with_extension(suffix);
        let text = fs::read_to_string(&path).expect("a readable file");
        let old = if fewer { format!("Errors: {}.", self.expected) } else { "Silent.".to_owned() };
        let new = match self.seen.errors {
            errors @ 2.. => text.replace(&old, &format!("Errors: {errors}.")),
            _ => text.replace(&format!("{mark}\n{mark} {old}\n"), ""),
        };
        fs::write(path, new).expect("a writable file");
        (self.expected, self.is_silent) = (self.expected.min(self.seen.errors.max(1)), false);
    }
}

/// How comments and names of files are written.
fn style(kind: Kind) -> (&'static str, &'static str) {
    if kind == Kind::Topology { ("#", "toml") } else { ("//!", "rs") }
}

/// The entries of a section, in the order of their names.
pub(crate) fn read(directory: &Path, section: &str, kind: Kind) -> Vec<Entry> {
    let (_, suffix) = style(kind);
    let files = fs::read_dir(directory.join(section)).expect("a directory for each section");
    let mut paths: Vec<_> = files
        .map(|file| file.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|found| found == suffix))
        .filter(|path| !path.ends_with("mod.rs"))
        .collect();
    paths.sort();
    let entries = paths.iter().map(|path| {
        let text = fs::read_to_string(path).expect("a readable file");
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name in ASCII");
        let beside = fs::read_to_string(path.with_extension("toml")).ok();
        let mut entry = parse(section, name, kind, &text);
        if kind == Kind::Topology {
            entry.topology = Some(std::mem::take(&mut entry.code));
        } else {
            entry.topology = beside;
        }
        entry
    });
    entries.collect()
}

fn parse(section: &str, name: &str, kind: Kind, text: &str) -> Entry {
    let (mark, _) = style(kind);
    let lines = text.lines();
    let head: Vec<_> =
        lines.clone().map_while(|line| line.strip_prefix(mark)).map(str::trim).collect();
    let code: Vec<_> = lines.skip(head.len()).skip_while(|line| line.is_empty()).collect();
    let paragraphs: Vec<_> =
        head.split(|line| line.is_empty()).map(|part| part.join(" ")).collect();
    let [title, advice, others @ ..] = &*paragraphs else {
        panic!("{section}/{name}: expected a title and a paragraph that says what to write");
    };
    let errors = others.iter().find_map(|text| text.strip_prefix("Errors: ")?.strip_suffix('.'));
    let expected = errors.map_or(1, |errors| errors.parse().expect("a number of errors"));
    Entry {
        section: section.to_owned(),
        name: name.to_owned(),
        kind,
        title: title.trim_end_matches('.').to_owned(),
        advice: advice.clone(),
        expected,
        is_silent: others.iter().any(|text| text == "Silent."),
        is_none_here: cfg!(feature = "otlp") && others.iter().any(|text| text == "Without otlp."),
        code: shown(&code),
        topology: None,
        seen: Seen::default(),
    }
}

/// The lines that a user would write: without what connects a module to this test, or makes it not
/// wait for real time.
fn shown(code: &[&str]) -> String {
    let lines = code.iter().filter(|line| **line != "use crate::shared::*;");
    let lines = lines.filter(|line| !line.trim_start().starts_with("#[expect(clippy::"));
    let lines = lines.map(|line| {
        let line = line.replace("pub(crate) ", "").replace(", start_paused = true", "");
        line.replace("block_until_it_is_seen(", "std::thread::sleep(") + "\n"
    });
    let text: String = lines.collect();
    text.trim_start_matches('\n').to_owned()
}

/// Files without a module, and modules without a file.
pub(crate) fn unlisted(entries: &[Entry], modules: &[(&str, &[&str])]) -> Vec<String> {
    let mut problems = Vec::new();
    for (section, names) in modules {
        let files: Vec<_> = entries
            .iter()
            .filter(|entry| entry.section == *section)
            .map(|entry| &*entry.name)
            .collect();
        let missing = files.iter().filter(|name| !names.contains(name));
        problems.extend(
            missing.map(|name| format!("{section}/{name}.rs: {section}/mod.rs does not name it")),
        );
    }
    problems
}
