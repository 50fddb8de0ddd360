//! Errors of a topology, with their place in the file.

use std::fmt;
use std::path::{Path, PathBuf};

use mycelium_bundle::protocol::LONGEST_NAME as LONGEST_NODE;
use mycelium_core::{Code, debug_as_display};
use mycelium_transports::local::KeyError;
use thiserror::Error;

use crate::observe::report::Carrier;
use crate::support::names::expected_instead_of;

/// The start of serde's message about a value of another type.
pub(super) const INVALID_TYPE: &str = "invalid type: ";

/// The most characters of a value in a message; longer values are cut.
const LONGEST_VALUE: usize = 200;

/// An error of a topology, with its place in the file.
#[derive(Clone, PartialEq, Eq, Error)]
#[error(
    "{location}: {}{} [{code}]",
    shortened(&problem.to_string()),
    of_variables(written.as_deref()),
    code = self.code()
)]
pub struct TopologyError {
    pub(super) location: SourceLocation,
    pub(super) problem: Box<Problem>,
    /// The text of the value in the file, if it has variables of the environment.
    pub(super) written: Option<String>,
}

impl TopologyError {
    /// The file with the error: the topology's, or one that it includes.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.location.file
    }

    /// Returns the code with which the text of the error ends. `mycelium explain` and
    /// `docs/errors.md` explain it.
    #[must_use]
    pub fn code(&self) -> Code {
        self.problem.code()
    }

    /// The error without its place.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The line; the first is 1. 0 if the error is about the whole file.
    #[must_use]
    pub fn line(&self) -> usize {
        self.location.line
    }
}

/// An error of a topology, without its place.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read the topology: {error}")]
    Unreadable {
        /// The error of the system.
        error: String,
    },
    /// The text is not TOML, or has a value that a topology cannot have.
    #[error("{message}")]
    Syntax {
        /// The text that was found, and the expected one.
        message: String,
    },
    /// A variable of the environment is not set, or is written in a wrong form.
    #[error("{message}")]
    Variable {
        /// The variable, and what was expected.
        message: String,
    },
    /// A file cannot be included.
    #[error("cannot include `{}`: {reason}", path.display())]
    Include {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Two files have a key, and neither includes the other.
    #[error(
        "`{key}` is also set at {first}, and neither of the two files includes the other: \
         set it in one of them, or in a file that includes both"
    )]
    TwoFiles {
        /// The key.
        key: String,
        /// Where the other file has it.
        first: String,
    },
    /// A name that does not exist in the program or the topology.
    #[error("unknown {kind} `{}`: {}{hint}", name.escape_debug(), expected_instead_of(name, known))]
    Unknown {
        /// The kind of the name: `key`, `service`, `node`, `host`, `topic`, `port`, `subscription`,
        /// `link`, `placeholder` or `executor`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
        /// The end of the text: another possible reason. Often empty.
        hint: String,
    },
    /// A name that a node cannot have.
    #[error(
        "invalid name of a node `{}`: expected 1 to {LONGEST_NODE} bytes of letters, digits, `-`, `_` \
         and `.`, and no `..`",
        name.escape_debug()
    )]
    NodeName {
        /// The name.
        name: String,
    },
    /// The file has nodes, but not the one that the program runs.
    #[error(
        "the file has no node `{node}`, which `Node::builder` names: {}",
        expected_instead_of(node, known)
    )]
    NoNode {
        /// The node.
        node: String,
        /// The nodes of the file.
        known: Vec<String>,
    },
    /// Two names stand for one thing.
    #[error("{kind} `{name}` is the same as `{first}`, which also has a section: merge the two")]
    Twice {
        /// The kind of the thing that both names stand for.
        kind: &'static str,
        /// The name.
        name: String,
        /// The other name.
        first: String,
    },
    /// The name of a link fits two pairs of nodes, because names of nodes have dashes.
    #[error("link `{link}` may join {}; give one of these nodes another name", pairs(meanings))]
    Ambiguous {
        /// The link.
        link: String,
        /// The pairs of nodes.
        meanings: Vec<[String; 2]>,
    },
    /// A subscription has `key` or `keys`, but its policy has no key.
    #[error(
        "`{key}` has no meaning with the policy `{policy}`: it needs `policy = \"latest\"`{}",
        if *key == "keys" { " and a `key`" } else { "" }
    )]
    KeyOfPolicy {
        /// `key` or `keys`.
        key: &'static str,
        /// The policy of the subscription.
        policy: String,
    },
    /// The messages of a subscription have no such key.
    #[error("{error}")]
    Key {
        /// The field, and what was expected.
        error: KeyError,
    },
    /// A node reads or writes a topic whose list does not have the node.
    #[error(
        "node `{node}` {does} topic `{topic}`, but is not on this list: add `{node}` to `{}`",
        list(does)
    )]
    Forbidden {
        /// The node.
        node: String,
        /// What it does: `reads` or `writes`.
        does: &'static str,
        /// The topic.
        topic: String,
    },
    /// A topic that carries requests has a key that has no effect on requests.
    #[error("topic `{topic}` carries requests, on which `{key}` has no effect: remove the key")]
    NotOfRequests {
        /// The topic.
        topic: String,
        /// The key.
        key: &'static str,
    },
    /// The path of a node's socket is too long for the system.
    #[error(
        "node `{node}` would listen at `{}`, which has {found} bytes, but the path of a socket \
         has at most {limit}: set a shorter one (`socket`, or `Topology::in_directory`)",
        path.display()
    )]
    PathTooLong {
        /// The node.
        node: String,
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        found: usize,
        /// The greatest length.
        limit: usize,
    },
    /// Two keys contradict each other.
    #[error("{message}")]
    Contradiction {
        /// The contradiction, and the expected keys.
        message: String,
    },
    /// A link should go through shared memory, and cannot.
    #[error(
        "the link between `{node}` and `{peer}` cannot go through shared memory: {reason}; \
         write `transport = \"unix\"`, or leave the key out: the link then uses shared memory \
         where that is possible"
    )]
    NoSharedMemory {
        /// The node that starts.
        node: String,
        /// The other node.
        peer: String,
        /// The reason.
        reason: String,
    },
    /// A launcher does not know which host of the file this machine is.
    #[error(
        "this machine has an address of {}: name the host that it is, one of: {}",
        if found.is_empty() { "no host of the file".to_owned() } else { hosts_named(found) },
        hosts.join(", ")
    )]
    NoHost {
        /// The hosts with an address of this machine.
        found: Vec<String>,
        /// All hosts of the file.
        hosts: Vec<String>,
    },
    /// A link should go through shared memory or a Unix socket, but its nodes run on different
    /// hosts.
    #[error(
        "nodes `{}` and `{}` run on hosts `{}` and `{}`, which have no memory and no Unix socket in \
         common: write `transport = \"tcp\"`, or leave the key out",
        nodes[0], nodes[1], hosts[0], hosts[1]
    )]
    Distance {
        /// The nodes.
        nodes: [String; 2],
        /// Their hosts.
        hosts: [String; 2],
    },
    /// The messages of a topic cannot use the carrier that its section requests.
    #[error(
        "topic `{topic}` has `transport = \"{}\"`, but between `{}` and `{}` {reason}",
        name(*carrier), nodes[0], nodes[1]
    )]
    TopicTransport {
        /// The topic.
        topic: String,
        /// The carrier that its section requests.
        carrier: Carrier,
        /// The nodes of a link that carries it.
        nodes: [String; 2],
        /// The reason.
        reason: String,
    },
    /// A node is read over TCP and has no address.
    #[error(
        "node `{peer}` reads from node `{node}` over TCP, but `{node}` has no address: add {}",
        if *has_host { "`port = 7400`" } else { "`address = \"<host>:<port>\"`" }
    )]
    NoAddress {
        /// The node without an address.
        node: String,
        /// The node that reads from it.
        peer: String,
        /// Whether the file says on which host the node without an address runs.
        has_host: bool,
    },
    /// A topic has a list of nodes, but a peer over plain TCP may have any name.
    #[error(
        "topic `{topic}` has a list of `{list}`, but the link between `{node}` and `{peer}` is plain \
         TCP: a process that can connect may call itself `{peer}`; if no other process can, write \
         `trust = \"network\"` in `[link.\"{node}-{peer}\"]`"
    )]
    Unproven {
        /// The topic.
        topic: String,
        /// The list: `readers` or `writers`.
        list: &'static str,
        /// The node that starts.
        node: String,
        /// The other node.
        peer: String,
    },
    /// `actors_for` names a node, but a peer over plain TCP may have any name.
    #[error(
        "`actors_for` names a node, but the link between `{node}` and `{peer}` is plain TCP: a \
         process that can connect may call itself `{peer}`; if no other process can, write \
         `trust = \"network\"` in `[link.\"{node}-{peer}\"]`"
    )]
    UnprovenAsker {
        /// The node that starts.
        node: String,
        /// The other node.
        peer: String,
    },
    /// Ports with different message types are bound to one topic.
    #[error(
        "topic `{topic}` carries `{carries}` messages at `{first}`, but `{asked}` messages at \
         `{second}`: a topic has one message type, so {}",
        another_topic(*has_port)
    )]
    TopicType {
        /// The topic.
        topic: String,
        /// The first service, or its port.
        first: String,
        /// The message type of the first service or port.
        carries: String,
        /// The second service, or its port.
        second: String,
        /// The message type of the second service or port.
        asked: String,
        /// Whether `first` or `second` is a named port, which is bound to the topic.
        has_port: bool,
    },
    /// A service is placed twice.
    #[error(
        "service `{service}` is placed twice: first in {first}; expected one place for each service"
    )]
    Duplicate {
        /// The service.
        service: String,
        /// The section of the file that places the service first.
        first: String,
    },
}

debug_as_display!(TopologyError, Problem);

impl Problem {
    /// Returns the code of the problem. The text of the [`TopologyError`] with this problem ends
    /// with it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Problem::Unreadable { .. } => Code::TOPOLOGY_UNREADABLE,
            Problem::Syntax { .. } => Code::TOPOLOGY_SYNTAX,
            Problem::Variable { .. } => Code::TOPOLOGY_VARIABLE,
            Problem::Include { .. } => Code::TOPOLOGY_INCLUDE,
            Problem::TwoFiles { .. } => Code::KEY_IN_TWO_FILES,
            Problem::Unknown { .. } => Code::UNKNOWN_NAME,
            Problem::NodeName { .. } => Code::NODE_NAME,
            Problem::NoNode { .. } => Code::NODE_MISSING,
            Problem::Twice { .. } => Code::NAMED_TWICE,
            Problem::Ambiguous { .. } => Code::LINK_AMBIGUOUS,
            Problem::KeyOfPolicy { .. } => Code::KEY_OF_POLICY,
            Problem::Key { .. } => Code::KEY_FIELD,
            Problem::Forbidden { .. } => Code::NODE_NOT_LISTED,
            Problem::NotOfRequests { .. } => Code::NOT_OF_REQUESTS,
            Problem::PathTooLong { .. } => Code::SOCKET_PATH_TOO_LONG,
            Problem::Contradiction { .. } => Code::CONTRADICTION,
            Problem::NoSharedMemory { .. } => Code::LINK_WITHOUT_MEMORY,
            Problem::NoHost { .. } => Code::HOST_UNKNOWN,
            Problem::Distance { .. } => Code::HOSTS_APART,
            Problem::TopicTransport { .. } => Code::TOPIC_TRANSPORT,
            Problem::NoAddress { .. } => Code::NODE_WITHOUT_ADDRESS,
            Problem::Unproven { .. } => Code::PEER_UNPROVEN,
            Problem::UnprovenAsker { .. } => Code::ASKER_UNPROVEN,
            Problem::TopicType { .. } => Code::TOPIC_TYPE,
            Problem::Duplicate { .. } => Code::PLACED_TWICE,
        }
    }
}

impl Problem {
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
            let message = format!("invalid value, {found}: expected {expected}");
            return Problem::Syntax { message };
        }
        if let Some((found, "u32")) = message
            .strip_prefix("invalid value: integer `")
            .and_then(|text| text.split_once("`, expected "))
        {
            let message = format!("invalid number {found}: expected 0 to {}", u32::MAX);
            return Problem::Syntax { message };
        }
        if let Some(key) = message.strip_prefix("missing field ") {
            return Problem::Syntax { message: format!("this section needs the key {key}") };
        }
        let unknown = message.strip_prefix("unknown field `");
        let Some((name, known)) = unknown.and_then(|text| text.split_once("`, expected ")) else {
            return Problem::Syntax { message: message.to_owned() };
        };
        let known = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let section = line.trim().strip_prefix("[subscription.");
        let section = section.and_then(|section| section.split_once(']'));
        let hint = match section {
            Some((section, _)) if section.contains('.') && !section.contains(['"', '\'']) => {
                format!("; for a subscription write `[subscription.\"{section}\"]`")
            }
            _ => String::new(),
        };
        Problem::Unknown { kind: "key", name: name.to_owned(), known, hint }
    }
}

/// Returns the name of a carrier in the file.
pub(super) fn name(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::SharedMemory => "shm",
        Carrier::UnixSocket => "unix",
        Carrier::Tcp => "tcp",
        Carrier::Tls => "tls",
    }
}

fn of_variables(written: Option<&str>) -> String {
    written.map(|written| format!("; the file has {}", cut(written))).unwrap_or_default()
}

/// Returns the message with its long values, between backquotes, cut.
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

fn another_topic(has_port: bool) -> &'static str {
    if has_port {
        "bind one of them to another topic"
    } else {
        "give one message another topic (`#[message(topic = ..)]`), or use a named port"
    }
}

/// The key whose list says which nodes may do this.
fn list(does: &str) -> &'static str {
    if does == "reads" { "readers" } else { "writers" }
}

fn hosts_named(hosts: &[String]) -> String {
    let hosts: Vec<_> = hosts.iter().map(|host| format!("`{host}`")).collect();
    format!("the hosts {}", hosts.join(" and "))
}

fn pairs(pairs: &[[String; 2]]) -> String {
    let pairs = pairs.iter().map(|[a, b]| format!("`{a}` and `{b}`"));
    pairs.collect::<Vec<_>>().join(", or ")
}

/// A place in a file. With line 0, it is the file itself.
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
