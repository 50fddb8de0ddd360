//! Errors: of services, of putting a node together, and of starting it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mycelium_executor::{SpawnError, ThreadError};
use mycelium_transports::endpoint::BindError;
use mycelium_transports::exchange::LayoutMismatch;
use mycelium_transports::local::TopicError;

use crate::topology::TopologyError;

/// What ends a service's `run` early: any error.
///
/// It is made from every error type by `?`, as `Box<dyn Error>` is, and so does not implement `Error` itself.
pub struct Error {
    error: Box<dyn std::error::Error + Send + Sync>,
    permanent: bool,
}

/// What a service's `run` returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that is just a sentence.
    pub fn msg(message: impl Into<String>) -> Error {
        Error { error: message.into().into(), permanent: false }
    }

    /// Says that another try would fail in the same way: the service is not restarted, and the node shuts down.
    #[must_use]
    pub fn permanent(self) -> Error {
        Error { permanent: true, ..self }
    }

    /// Whether another try would fail in the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The error itself.
    #[must_use]
    pub fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.error
    }

    /// The error as `E`, if it is one.
    #[must_use]
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.error.downcast_ref()
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        Error { error: Box::new(error), permanent: false }
    }
}

impl fmt::Display for Error {
    /// The error and what it came from, unless it says that itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.error.to_string();
        let mut source = self.error.source();
        while let Some(error) = source {
            let cause = error.to_string();
            if !text.ends_with(&cause) {
                text = format!("{text}: {cause}");
            }
            source = error.source();
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

/// The node shuts down. A service may end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShuttingDown;

impl fmt::Display for ShuttingDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the node is shutting down")
    }
}

impl std::error::Error for ShuttingDown {}

/// Work that did not finish: it panicked, or the run of its service or the executor ended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished;

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the work panicked, or was dropped before it was done")
    }
}

impl std::error::Error for Unfinished {}

/// Why a subscription could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The subscription is out: an earlier handle has not been dropped.
    Taken {
        /// `Service.topic`.
        subscription: String,
    },
    /// The topic does not take it.
    Topic(TopicError),
    /// There can be no such topic in this node.
    Refused {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubscribeError::Taken { subscription } => {
                write!(
                    f,
                    "subscription `{subscription}` is out already: drop the first handle before taking it again"
                )
            }
            SubscribeError::Topic(error) => error.fmt(f),
            SubscribeError::Refused { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for SubscribeError {}

/// Why services cannot be put together to a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Two services have one name.
    DuplicateService {
        /// The name.
        name: String,
    },
    /// A service's name is empty, or has a space, a `=` or a control character.
    Name {
        /// The name.
        name: String,
    },
    /// The topology file is wrong, or does not fit the services.
    Topology(TopologyError),
    /// Two messages have one id.
    DuplicateId {
        /// The id.
        id: u16,
        /// One message.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Services hold each other up: each waits for the next one to take its messages.
    Cycle {
        /// The services and topics on the way round.
        path: Vec<String>,
    },
    /// The rings take more memory than the node may use.
    Memory {
        /// What they take, in bytes.
        needed: usize,
        /// What the node may use, in bytes.
        budget: usize,
    },
    /// A topic cannot be what a service says it is.
    Topic(TopicError),
    /// A service cannot be executed as the program says.
    Execution {
        /// The service.
        service: String,
        /// Why not, and what was expected.
        problem: String,
    },
    /// One node reads more from another than a link has room for.
    LinkLimit {
        /// The node that is read from.
        publisher: String,
        /// The node that reads.
        reader: String,
        /// What there is too much of: `topics` or `publishers`.
        what: &'static str,
        /// The most of them on one link.
        limit: usize,
        /// How many the topology asks for.
        found: usize,
    },
    /// Two executors have one name.
    DuplicateExecutor {
        /// The name.
        name: String,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::DuplicateService { name } => write!(f, "two services are called `{name}`"),
            BuildError::Name { name } => {
                write!(
                    f,
                    "`{}` is no name for a service: it is empty, or has a space, a `=` or a control character",
                    name.escape_debug()
                )
            }
            BuildError::Topology(error) => error.fmt(f),
            BuildError::DuplicateId { id, first, second } => {
                write!(f, "messages `{first}` and `{second}` both have id {id}")
            }
            BuildError::Cycle { path } => write!(
                f,
                "services hold each other up: {}; let one of these subscriptions drop (policy = \"drop-oldest\" or \"latest\")",
                path.join(" -> ")
            ),
            BuildError::Memory { needed, budget } => write!(
                f,
                "rings take {needed} bytes, but the node may use {budget}: lower the capacities of topics or raise `memory`"
            ),
            BuildError::Topic(error) => error.fmt(f),
            BuildError::Execution { service, problem } => {
                write!(f, "service `{service}` cannot be executed as the program says: {problem}")
            }
            BuildError::LinkLimit { publisher, reader, what, limit, found } => write!(
                f,
                "node `{reader}` reads {found} {what} of node `{publisher}`, but a link has room for {limit}: \
                 place some of these services in another node"
            ),
            BuildError::DuplicateExecutor { name } => {
                write!(f, "two executors are called `{name}`")
            }
        }
    }
}

impl std::error::Error for BuildError {}

impl From<TopicError> for BuildError {
    fn from(error: TopicError) -> BuildError {
        BuildError::Topic(error)
    }
}

impl From<TopologyError> for BuildError {
    fn from(error: TopologyError) -> BuildError {
        BuildError::Topology(error)
    }
}

/// Why a node did not start, or did not end well.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The services turned out not to fit together.
    Build(BuildError),
    /// A service that stays on one thread cannot run on an executor that moves tasks between threads.
    LocalService {
        /// The service's type.
        service: &'static str,
        /// The executor.
        executor: String,
    },
    /// The topology asks for another executor.
    Executor {
        /// What it asks for.
        asked: String,
        /// What was given.
        given: String,
    },
    /// The executor did not take a service.
    Spawn {
        /// The service.
        service: String,
        /// Why.
        error: SpawnError,
    },
    /// A service cannot have the thread that was asked for it.
    Thread {
        /// The service.
        service: String,
        /// Why not, and what to change.
        error: ThreadError,
    },
    /// Threads of services that have ended are still there: something that was left on them does not end.
    Threads {
        /// The threads.
        threads: Vec<String>,
    },
    /// A service failed more often than it may.
    ServiceFailed {
        /// The service.
        service: String,
        /// Its last error or panic.
        error: String,
        /// How often it had been restarted within the window.
        restarts: u32,
        /// The window.
        window: Duration,
    },
    /// The executor ended, or dropped services, before they had ended.
    ExecutorEnded {
        /// The services.
        services: Vec<String>,
    },
    /// A node cannot be joined with others.
    Link {
        /// The node.
        node: String,
        /// Why not.
        problem: String,
    },
    /// A node cannot listen at its endpoint.
    Bind {
        /// The node.
        node: String,
        /// Why not.
        error: BindError,
    },
    /// Users who may connect to the node cannot reach its socket.
    Unreachable {
        /// The node.
        node: String,
        /// Its socket.
        socket: PathBuf,
        /// The directory on the way there that is closed to them.
        directory: PathBuf,
        /// One of these users; `None` for the members of a group.
        user: Option<u32>,
    },
    /// A topic has another layout in another node: its services here can never read it. Another start would fail in the
    /// same way.
    Layout {
        /// The node that reads.
        node: String,
        /// The node that publishes.
        peer: String,
        /// The topic.
        topic: String,
        /// The services of the reading node that subscribe to it.
        services: Vec<String>,
        /// In what the two layouts differ.
        mismatch: Box<LayoutMismatch>,
    },
    /// Messages could not be brought to readers in other nodes.
    Undelivered {
        /// Whose: node, topic, and how many.
        left: Vec<(String, String, usize)>,
        /// How long nothing arrived.
        patience: Duration,
        /// Services that were abandoned at the shutdown's deadline as well.
        abandoned: Vec<String>,
    },
    /// Services ignored the shutdown and were abandoned at its deadline.
    Abandoned {
        /// The services.
        services: Vec<String>,
        /// The deadline.
        deadline: Duration,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Build(error) => error.fmt(f),
            StartError::LocalService { service, executor } => write!(
                f,
                "service `{service}` is not Send and cannot run on `{executor}`, which moves tasks between threads: \
                 give it a thread of its own (run = \"dedicated\"), run it where local tasks run (`mycelium_tokio::local`), \
                 or make it Send"
            ),
            StartError::Executor { asked, given } => {
                write!(
                    f,
                    "the topology asks for executor `{asked}`, but the node was started on `{given}`"
                )
            }
            StartError::Spawn { service, error } => {
                write!(f, "service `{service}` did not start: {error}")
            }
            StartError::Thread { service, error } => {
                write!(f, "service `{service}` cannot have its thread: {error}")?;
                match error {
                    ThreadError::Core { .. } => f.write_str(" (`run` in the topology)"),
                    ThreadError::Unsupported { .. } => f.write_str(
                        "; let it share (run = \"shared\"), or give it another executor",
                    ),
                    _ => Ok(()),
                }
            }
            StartError::Threads { threads } => write!(
                f,
                "threads are left though their services have ended, as something there has not: {}",
                threads.join(", ")
            ),
            StartError::ExecutorEnded { services } => {
                write!(f, "the executor ended before these services had: {}", services.join(", "))
            }
            StartError::ServiceFailed { service, error, restarts: 0, .. } => {
                write!(f, "service `{service}` failed for good: {error}")
            }
            StartError::ServiceFailed { service, error, restarts, window } => write!(
                f,
                "service `{service}` failed for good after {restarts} restarts within {window:?}: {error}"
            ),
            StartError::Link { node, problem } => {
                write!(f, "node `{node}` cannot be joined with others: {problem}")
            }
            StartError::Bind { node, error } => write!(f, "node `{node}` cannot listen: {error}"),
            StartError::Unreachable { node, socket, directory, user } => {
                match user {
                    Some(user) => write!(f, "user {user}")?,
                    None => f.write_str("the group")?,
                }
                let (socket, directory) = (socket.display(), directory.display());
                write!(
                    f,
                    " may connect to node `{node}`, but cannot reach its socket `{socket}`: directory `{directory}` \
                     is closed to other users; put the socket elsewhere (`socket`, or `Topology::in_directory`)"
                )
            }
            StartError::Layout { node, peer, topic, services, mismatch } => write!(
                f,
                "node `{node}` cannot read topic `{topic}` of node `{peer}` (services: {}), another layout: {mismatch}; \
                 build both nodes from one version of the message",
                services.join(", ")
            ),
            StartError::Undelivered { left, patience, abandoned } => {
                write!(f, "not delivered, though waited for {patience:?}:")?;
                for (index, (node, topic, count)) in left.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma} {count} messages of `{topic}` to node `{node}`")?;
                }
                if abandoned.is_empty() {
                    return Ok(());
                }
                write!(f, "; abandoned at the shutdown deadline: {}", abandoned.join(", "))
            }
            StartError::Abandoned { services, deadline } => write!(
                f,
                "abandoned at the shutdown deadline of {deadline:?}: {}",
                services.join(", ")
            ),
        }
    }
}

impl StartError {
    /// Whether another start would fail in the same way. A member of a bundle then exits with
    /// [`NO_RESTART`](mycelium_bundle::protocol::NO_RESTART).
    ///
    /// ```
    /// use mycelium::StartError;
    ///
    /// let asked = "tokio".to_owned();
    /// assert!(StartError::Executor { asked, given: "smol".to_owned() }.is_permanent());
    /// ```
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            StartError::Build(_)
                | StartError::LocalService { .. }
                | StartError::Executor { .. }
                | StartError::Unreachable { .. }
                | StartError::Layout { .. }
        )
    }
}

impl std::error::Error for StartError {}

impl From<BuildError> for StartError {
    fn from(error: BuildError) -> StartError {
        StartError::Build(error)
    }
}
