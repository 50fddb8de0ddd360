//! The topology file: which services make up a node, and what they, their topics and their subscriptions do
//! differently from the defaults.
//!
//! Whatever the file says that nothing asks for (a key, a service, a topic) is an error with file, line and what was
//! expected: nothing is decided silently.

mod check;
mod execution;
mod link;
mod socket;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mycelium_bundle::Restart;
use mycelium_transports::exchange::Redelivery;
use mycelium_transports::local::Policy;
use serde::Deserialize;
use toml::Spanned;

use crate::error::Place;
use execution::{Budget, ClassName, RefusedName, RunName, ThreadName, WaitName};
use link::LinkSection;
pub(crate) use socket::Access;
use values::{Bytes, Capacity, Deaths, DeliveryName, Mode, PolicyName, Span};

/// Messages in each publisher's ring, unless the topology says otherwise.
const CAPACITY: usize = 1024;
/// Bytes of rings in a node, unless the topology says otherwise.
const MEMORY: usize = 256 << 20;
/// How long a node waits for its services at shutdown, unless the topology says otherwise.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// What a topology file says. The default says nothing: all services, default capacities, lossless.
///
/// Each node is a process of its own. What services of one node read of another comes over a link between the two.
///
/// ```
/// let topology = mycelium::Topology::parse("bandit.toml", r#"
/// [node.main]
/// services = ["Feed", "Detector"]
/// shutdown = "5s"
///
/// [service.Detector]
/// restarts = 100
/// backoff = "10ms"
///
/// [topic.swaps]
/// capacity = 4096
///
/// [subscription."Detector.swaps"]
/// policy = "drop-oldest"
///
/// [node.keeper]
/// services = ["Writer"]
///
/// [link."main-keeper"]
/// preset = "high-throughput"
/// "#)?;
///
/// let error = mycelium::Topology::parse("bandit.toml", "[topic.swaps]\ncapacity = 1000").unwrap_err();
/// assert!(error.to_string().starts_with("bandit.toml:2:12: "));
/// # Ok::<(), mycelium::TopologyError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Topology {
    file: Source,
    sections: Sections,
    directory: Option<PathBuf>,
}

#[derive(Clone, Debug, Default)]
struct Source {
    path: PathBuf,
    text: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sections {
    node: BTreeMap<Spanned<String>, NodeSection>,
    service: BTreeMap<Spanned<String>, ServiceSection>,
    topic: BTreeMap<Spanned<String>, TopicSection>,
    subscription: BTreeMap<Spanned<String>, SubscriptionSection>,
    link: BTreeMap<Spanned<String>, LinkSection>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeSection {
    services: Option<Vec<Spanned<String>>>,
    executor: Option<String>,
    shutdown: Option<Span>,
    memory: Option<Bytes>,
    socket: Option<Spanned<PathBuf>>,
    users: Option<Vec<u32>>,
    group: Option<u32>,
    mode: Option<Spanned<Mode>>,
    user: Option<u32>,
    watchdog: Option<Span>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceSection {
    restarts: Option<u32>,
    window: Option<Span>,
    backoff: Option<Span>,
    longest_backoff: Option<Span>,
    run: Option<RunName>,
    wait: Option<WaitName>,
    thread: Option<Spanned<ThreadName>>,
    class: Option<Spanned<ClassName>>,
    refused: Option<Spanned<RefusedName>>,
    budget: Option<Budget>,
    executor: Option<Spanned<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicSection {
    capacity: Option<Capacity>,
    delivery: Option<DeliveryName>,
    dead_letter_after: Option<Deaths>,
    readers: Option<Vec<Spanned<String>>>,
    writers: Option<Vec<Spanned<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionSection {
    policy: Option<PolicyName>,
}

impl Topology {
    /// Reads a topology file.
    ///
    /// # Errors
    /// If the file cannot be read, or is no topology.
    pub fn load(path: impl AsRef<Path>) -> Result<Topology, TopologyError> {
        let path = path.as_ref();
        match fs::read_to_string(path) {
            Ok(text) => Topology::parse(path, &text),
            Err(error) => Err(TopologyError {
                place: Place { file: path.to_owned(), line: 1, column: 1 },
                problem: Problem::Unreadable { error: error.to_string() },
            }),
        }
    }

    /// Reads a topology from text; `path` stands in errors.
    ///
    /// # Errors
    /// If the text is no topology.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Topology, TopologyError> {
        let file = Source { path: path.as_ref().to_owned(), text: text.to_owned() };
        match toml::from_str(text) {
            Ok(sections) => {
                let topology = Topology { file, sections, directory: None };
                topology.check_owners()?;
                topology.check_links()?;
                topology.check_sockets()?;
                topology.check_executions()?;
                Ok(topology)
            }
            Err(error) => {
                let message = error.message().to_owned();
                Err(file.error(error.span().unwrap_or(0..0), Problem::Syntax { message }))
            }
        }
    }

    /// Has the nodes' sockets in this directory, unless a node says otherwise (`socket`). All processes of a topology
    /// must agree. It is made if its parent is there, and is closed to other users. By default it is a directory of this
    /// user's, named after the topology's file.
    #[must_use]
    pub fn in_directory(mut self, directory: impl Into<PathBuf>) -> Topology {
        self.directory = Some(directory.into());
        self
    }

    pub(crate) fn executor(&self, node: &str) -> Option<&str> {
        self.sections.node.get(node)?.executor.as_deref()
    }

    pub(crate) fn shutdown(&self, node: &str) -> Duration {
        let section = self.sections.node.get(node);
        section.and_then(|section| section.shutdown).map_or(SHUTDOWN, |span| span.0)
    }

    pub(crate) fn watchdog(&self, node: &str) -> Option<Duration> {
        Some(self.sections.node.get(node)?.watchdog?.0)
    }

    pub(crate) fn memory(&self, node: &str) -> usize {
        let section = self.sections.node.get(node);
        section.and_then(|section| section.memory).map_or(MEMORY, |bytes| bytes.0)
    }

    pub(crate) fn capacity(&self, topic: &str) -> usize {
        let section = self.sections.topic.get(topic);
        section.and_then(|section| section.capacity).map_or(CAPACITY, |capacity| capacity.0)
    }

    /// What becomes of messages of a topic that were with a process of a reader when it died.
    pub(crate) fn redelivery(&self, topic: &str) -> Redelivery {
        let section = self.sections.topic.get(topic);
        if section.and_then(|section| section.delivery).is_some_and(|name| name.is_at_most_once) {
            return Redelivery::AtMostOnce;
        }
        let deaths = section.and_then(|section| section.dead_letter_after);
        deaths.map_or_else(Redelivery::default, |Deaths(deaths)| Redelivery::AtLeastOnce { deaths })
    }

    pub(crate) fn policy(&self, service: &str, topic: &str) -> Policy {
        let section = self.sections.subscription.get(format!("{service}.{topic}").as_str());
        section.and_then(|section| section.policy).map_or(Policy::default(), |policy| policy.0)
    }

    pub(crate) fn restart(&self, service: &str) -> Restart {
        let default = Restart::default();
        let Some(section) = self.sections.service.get(service) else { return default };
        Restart {
            limit: section.restarts.unwrap_or(default.limit),
            window: section.window.map_or(default.window, |span| span.0),
            backoff: section.backoff.map_or(default.backoff, |span| span.0),
            longest: section.longest_backoff.map_or(default.longest, |span| span.0),
        }
    }
}

impl Source {
    fn error(&self, span: Range<usize>, problem: Problem) -> TopologyError {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        TopologyError { place: Place { file: self.path.clone(), line, column }, problem }
    }
}

/// What is wrong with a topology, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyError {
    place: Place,
    problem: Problem,
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

#[cfg(test)]
mod tests;
