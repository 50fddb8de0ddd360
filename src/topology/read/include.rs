//! The files of a topology: the file itself, the files in the list `include` at its top, and so on.
//! They become one table.
//!
//! If several files have a key, the including file takes precedence. Two files must not have the
//! same key if neither includes the other, directly or indirectly.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use mycelium_core::Code;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::topology::error::{Problem, TopologyError};
use crate::topology::keys::sections::Sections;
use crate::topology::read::document::{Substituted, sections, shifted};
use crate::topology::read::files::{LARGEST, TopologyFiles};
use crate::topology::read::parts::{TopologyPart, parts};
use crate::topology::read::substitution::Environment;
use crate::topology::source::{FileText, Source};

/// The maximum length of a chain of includes, in files.
const DEEPEST: usize = 8;

/// Reads the files of a topology.
pub(crate) struct Reader<'a> {
    environment: &'a dyn Environment,
    /// Files whose texts are taken from here instead of the disk.
    given: &'a TopologyFiles,
    files: Files,
    /// The number of each file that was read, by its path without symlinks.
    numbers: BTreeMap<PathBuf, usize>,
}

/// The files of a topology.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) source: Source,
    pub(crate) substituted: Substituted,
    /// The files that each file includes.
    includes: Vec<BTreeSet<usize>>,
}

/// A file that is being read, and the file that includes it.
struct Open<'a> {
    number: usize,
    path: &'a Path,
    real: PathBuf,
    by: Option<&'a Open<'a>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(environment: &'a dyn Environment, given: &'a TopologyFiles) -> Reader<'a> {
        Reader { environment, given, files: Files::default(), numbers: BTreeMap::new() }
    }

    /// Reads a file and the files that it includes.
    pub(crate) fn load(mut self, path: &Path) -> Result<Files, TopologyError> {
        let (real, text) = match self.given.find(path) {
            Some(FileText { paths, text }) => (paths[0].clone(), Ok(text.clone())),
            None => (fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), read(path, 0)),
        };
        match text {
            Ok(text) => {
                self.add(path, real, text, None)?;
                Ok(self.files)
            }
            Err(error) => Err(unreadable_topology(path, &error)),
        }
    }

    /// Parses a text, which cannot include files.
    pub(crate) fn parse(mut self, path: &Path, text: String) -> Result<Files, TopologyError> {
        let (_, includes) = self.read(path, text)?;
        match includes.into_iter().next() {
            None => Ok(self.files),
            Some(Include { path, span }) => {
                let reason = "a topology that is parsed from a text includes no files: read it \
                              by `Topology::load`";
                Err(self.files.source.error(span, Problem::include(&path, reason)))
            }
        }
    }

    /// Parses the text of a file. Returns the number of the file, and the files that it includes.
    fn read(&mut self, path: &Path, text: String) -> Result<(usize, Vec<Include>), TopologyError> {
        let Files { source, substituted, includes } = &mut self.files;
        let number = includes.len();
        includes.push(BTreeSet::new());
        source.add(path.to_owned(), text);
        let (text, base) = source.text_of(number);
        let table = DeTable::parse(text).map_err(|error| {
            let span = shifted(error.span().unwrap_or(0..0), base);
            source.error(span, Problem::syntax(error.message()))
        })?;
        substituted.add(source, table.get_ref(), base, self.environment)?;
        let mut table = substituted.put_in(table.into_inner(), base);
        Ok((number, take_includes(source, &mut table)?))
    }

    /// Adds a file with this text, and the files that it includes.
    fn add(
        &mut self,
        path: &Path,
        real: PathBuf,
        text: String,
        by: Option<&Open<'_>>,
    ) -> Result<(), TopologyError> {
        let (number, includes) = self.read(path, text)?;
        self.files.source.found(number, &real, path);
        self.numbers.insert(real.clone(), number);
        if let Some(by) = by {
            self.files.includes[by.number].insert(number);
        }
        let open = Open { number, path, real, by };
        includes.into_iter().try_for_each(|include| self.include(&open, include))
    }

    /// Adds a file that `by` includes.
    fn include(
        &mut self,
        by: &Open<'_>,
        Include { path, span }: Include,
    ) -> Result<(), TopologyError> {
        let found = by.path.parent().map_or_else(|| path.clone(), |parent| parent.join(&path));
        match self.find(by, &found) {
            Ok(Found::Known { number, real }) => {
                self.files.source.found(number, &real, &found);
                self.files.includes[by.number].insert(number);
                Ok(())
            }
            Ok(Found::New { real, text }) => self.add(&found, real, text, Some(by)),
            Err(reason) => Err(self.files.source.error(span, Problem::include(&path, &reason))),
        }
    }

    fn find(&self, by: &Open<'_>, found: &Path) -> Result<Found, String> {
        let given = self.given.find(found);
        let real = match given {
            Some(file) => file.paths[0].clone(),
            None => fs::canonicalize(found).map_err(|error| unreadable(found, &error))?,
        };
        let chain: Vec<&Open<'_>> = std::iter::successors(Some(by), |open| open.by).collect();
        if let Some(end) = chain.iter().position(|open| open.real == real) {
            let names = chain[..=end].iter().rev().map(|open| open.path.display().to_string());
            let names: Vec<_> = names.chain([found.display().to_string()]).collect();
            return Err(format!("files include each other: {}", names.join(" -> ")));
        }
        if let Some(&number) = self.numbers.get(&real) {
            return Ok(Found::Known { number, real });
        }
        if chain.len() > DEEPEST {
            return Err(format!("expected at most {DEEPEST} files that include the next one"));
        }
        if let Some(FileText { text, .. }) = given {
            return Ok(Found::New { real, text: text.clone() });
        }
        // Refuses a pipe: opening it may block forever.
        match fs::metadata(&real) {
            Ok(file) if !file.is_file() => return Err("it is not a file".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(unreadable(found, &error)),
        }
        let text = read(found, self.files.source.bytes())?;
        Ok(Found::New { real, text })
    }
}

/// An entry of `include`, and its place.
struct Include {
    path: PathBuf,
    span: Range<usize>,
}

/// A file to include.
enum Found {
    /// The file was read before.
    Known {
        number: usize,
        real: PathBuf,
    },
    New {
        real: PathBuf,
        text: String,
    },
}

impl Files {
    /// Returns the sections of all files together, and their parts as texts.
    pub(crate) fn sections(&self) -> Result<(Sections, Vec<TopologyPart>), TopologyError> {
        // Sorts including files first: a file reaches more files than any file that it includes.
        let mut order: Vec<usize> = (0..self.includes.len()).collect();
        order.sort_by_key(|number| Reverse(self.reached_from(*number).len()));
        let mut merged = DeTable::new();
        for number in order {
            let (text, base) = self.source.text_of(number);
            // Cannot fail: each text was parsed before.
            let table = DeTable::parse(text).map(Spanned::into_inner).unwrap_or_default();
            let mut table = self.substituted.put_in(table, base);
            table.remove("include");
            self.merge(&mut merged, table, "")?;
        }
        let parts = parts(&merged);
        Ok((sections(&self.source, &self.substituted, merged)?, parts))
    }

    /// Returns the files that a file includes, directly or indirectly.
    fn reached_from(&self, number: usize) -> BTreeSet<usize> {
        let (mut reached, mut new) = (BTreeSet::new(), vec![number]);
        while let Some(number) = new.pop() {
            let next = self.includes[number].iter().copied();
            new.extend(next.filter(|number| reached.insert(*number)));
        }
        reached
    }

    /// Adds the keys of a table that earlier files do not have.
    fn merge<'t>(
        &self,
        merged: &mut DeTable<'t>,
        table: DeTable<'t>,
        section: &str,
    ) -> Result<(), TopologyError> {
        for (key, value) in table {
            let Some((first, _)) = merged.get_key_value(&key) else {
                merged.insert(key, value);
                continue;
            };
            let (first, second) = (first.span(), key.span());
            let name = match section {
                "" => key.get_ref().to_string(),
                _ => format!("{section}.{}", key.get_ref()),
            };
            match (merged.get_mut(&key).map(Spanned::get_mut), value.into_inner()) {
                (Some(DeValue::Table(merged)), DeValue::Table(table)) => {
                    self.merge(merged, table, &name)?;
                }
                _ => {
                    let [winner, loser] = [&first, &second].map(|span| self.source.number(span));
                    if !self.reached_from(winner).contains(&loser) {
                        let text = format!(
                            "`{name}` is also set at {}, and neither of the two files includes the \
                             other: set it in one of them, or in a file that includes both",
                            self.source.location(first)
                        );
                        let problem = Problem::new(Code::KEY_IN_TWO_FILES, text);
                        return Err(self.source.error(second, problem));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Removes `include` from a table: returns the paths, with their places.
fn take_includes(source: &Source, table: &mut DeTable<'_>) -> Result<Vec<Include>, TopologyError> {
    let invalid = |span| {
        let message = "invalid include: expected a list of files, such as [\"common.toml\"]";
        source.error(span, Problem::syntax(message))
    };
    let Some(value) = table.remove("include") else { return Ok(Vec::new()) };
    let span = value.span();
    let DeValue::Array(files) = value.into_inner() else { return Err(invalid(span)) };
    let files = files.into_iter().map(|file| match (file.span(), file.into_inner()) {
        (span, DeValue::String(path)) if !path.is_empty() => {
            Ok(Include { path: path.into_owned().into(), span })
        }
        (span, _) => Err(invalid(span)),
    });
    files.collect()
}

/// Returns the error of a topology whose file cannot be read.
pub(crate) fn unreadable_topology(path: &Path, error: &str) -> TopologyError {
    let mut source = Source::default();
    source.add(path.to_owned(), String::new());
    let text = format!("cannot read the topology: {error}");
    source.error_of_file(Problem::new(Code::TOPOLOGY_UNREADABLE, text))
}

/// Reads a file, if its size and `others` bytes together are within the limit.
pub(super) fn read(path: &Path, others: usize) -> Result<String, String> {
    let error = |error| unreadable(path, &error);
    let room = LARGEST.saturating_sub(u64::try_from(others).unwrap_or(u64::MAX));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(error)?;
    let size = file.take(room + 1).read_to_end(&mut bytes).map_err(error)?;
    if u64::try_from(size).unwrap_or(u64::MAX) > room {
        return Err(format!(
            "a topology and the files that it includes may have {} MiB, and these have more",
            LARGEST >> 20
        ));
    }
    String::from_utf8(bytes).map_err(|_| "its text is not UTF-8".to_owned())
}

/// Returns why a file cannot be read. For a relative path, names the current directory, where the
/// file is searched for, because it is often not the expected one.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    match std::env::current_dir() {
        Ok(directory) if path.is_relative() && error.kind() == io::ErrorKind::NotFound => {
            format!("{error}; the current directory is `{}`", directory.display())
        }
        _ => error.to_string(),
    }
}
