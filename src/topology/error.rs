//! What is wrong with a topology, with its place in the file.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// The text of a topology file.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    pub(super) fn error(&self, span: Range<usize>, problem: Problem) -> TopologyError {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        TopologyError { place: SourceLocation { file: self.path.clone(), line, column }, problem }
    }
}

/// What is wrong with a topology, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyError {
    pub(super) place: SourceLocation,
    pub(super) problem: Problem,
}

impl TopologyError {
    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.place.line
    }
}

/// What is wrong with a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read.
    Unreadable {
        /// What the system says.
        error: String,
    },
    /// It is no TOML, or has a key or value that a topology does not.
    Syntax {
        /// What was found and expected.
        message: String,
    },
    /// A name that nothing in the program has.
    Unknown {
        /// What it should name: `service`, `node`, `topic`, `subscription` or `executor`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A name stands for something that is there already.
    Twice {
        /// What it names.
        kind: &'static str,
        /// The name.
        name: String,
        /// What is there.
        first: String,
    },
    /// A link may be one between two nodes or between two others, since their names have dashes.
    Ambiguous {
        /// The link.
        link: String,
        /// The nodes that it may join.
        meanings: Vec<[String; 2]>,
    },
    /// A node writes or reads a topic that it may not.
    Forbidden {
        /// The node.
        node: String,
        /// What it does: `reads` or `writes`.
        does: &'static str,
        /// The topic.
        topic: String,
    },
    /// The path of a node's socket is longer than a socket's may be.
    PathTooLong {
        /// The node.
        node: String,
        /// The path.
        path: PathBuf,
        /// How many bytes it has.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Two keys say things that cannot both be.
    Contradiction {
        /// What they say, and what was expected.
        message: String,
    },
    /// A service has two places.
    Duplicate {
        /// The service.
        service: String,
        /// Where it is placed first.
        first: String,
    },
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match &self.problem {
            Problem::Unreadable { error } => write!(f, "cannot read the topology: {error}"),
            Problem::Syntax { message } | Problem::Contradiction { message } => {
                f.write_str(message)
            }
            Problem::Unknown { kind, name, known } => {
                write!(f, "there is no {kind} `{name}`; expected one of: {}", known.join(", "))
            }
            Problem::Ambiguous { link, meanings } => {
                let meanings = meanings.iter().map(|[a, b]| format!("`{a}` and `{b}`"));
                let meanings = meanings.collect::<Vec<_>>().join(", or ");
                write!(f, "link `{link}` may join {meanings}; give one of these nodes another name")
            }
            Problem::Twice { kind, name, first } => {
                write!(
                    f,
                    "{kind} `{name}` is the same as `{first}`, which stands in this file, too"
                )
            }
            Problem::Forbidden { node, does, topic } => {
                write!(f, "node `{node}` {does} topic `{topic}`, but is not on this list")
            }
            Problem::PathTooLong { node, path, found, limit } => {
                let path = path.display();
                write!(
                    f,
                    "node `{node}` would listen at `{path}`, which has {found} bytes, but the path of a socket \
                     has at most {limit}: set a shorter one (`socket`, or `Topology::in_directory`)"
                )
            }
            Problem::Duplicate { service, first } => {
                write!(f, "service `{service}` is placed twice; its first place is {first}")
            }
        }
    }
}

impl std::error::Error for TopologyError {}

/// A file and a place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceLocation {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}
