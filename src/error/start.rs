//! Why a node did not start, or how its end failed.

use std::time::Duration;

use mycelium_core::{Code, debug_as_display};
use mycelium_executor::{SpawnError, ThreadError};
use mycelium_transports::endpoint::BindError;
use mycelium_transports::link::LayoutMismatch;
use thiserror::Error;

use super::build::{BuildError, at};
use super::code::code_of;

/// Why a node did not start, or how its end failed.
#[derive(Error)]
#[non_exhaustive]
pub enum StartError {
    /// The services do not fit together.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A setting cannot be applied, or something that the node needs is missing; the code says
    /// which.
    #[error("{}{problem} [{code}]", at(place.as_deref()))]
    Refused {
        /// The code of the error.
        code: Code,
        /// Where the topology has the setting, if it does: file, line and column.
        place: Option<String>,
        /// The reason, and what to change.
        problem: String,
    },
    /// The executor refused a service.
    #[error("service `{service}` did not start: {error} [{code}]", code = self.code())]
    Spawn {
        /// The service.
        service: String,
        /// The reason.
        error: SpawnError,
    },
    /// A service cannot get the thread that its execution requests.
    #[error(
        "{}service `{service}` cannot have its thread: {error}{} [{code}]",
        at(place.as_deref()),
        thread_hint(place.is_some(), error),
        code = self.code()
    )]
    Thread {
        /// The service.
        service: String,
        /// Where the topology requests the thread, if it does: file, line and column.
        place: Option<String>,
        /// The reason, and what to change.
        error: ThreadError,
    },
    /// A node or a service cannot get its own task queue.
    #[error(
        "{}{owner} cannot have its task queue: {error}; only glommio has task queues: run it there, \
         or remove `shares` and `latency` [{code}]",
        at(place.as_deref()),
        code = self.code()
    )]
    TaskQueue {
        /// The node or the service.
        owner: String,
        /// Where the topology requests the queue, if it does: file, line and column.
        place: Option<String>,
        /// The reason.
        error: ThreadError,
    },
    /// Threads are still running although their services have ended: a task on them does not end.
    #[error(
        "threads still run though their services have ended: {}; something on them does not end [{code}]",
        threads.join(", "),
        code = self.code()
    )]
    Threads {
        /// The threads.
        threads: Vec<String>,
    },
    /// A service failed more often than its limit of restarts, or with a permanent error.
    #[error(
        "service `{service}` failed permanently{}: {} [{code}]",
        after(*restarts, *window, supervisor.as_deref()),
        Code::split(error).0,
        code = self.code()
    )]
    ServiceFailed {
        /// The service.
        service: String,
        /// The last error or panic of the service.
        error: String,
        /// How often the service was restarted within the window.
        restarts: u32,
        /// The window.
        window: Duration,
        /// The supervisor whose limit was exceeded, by the restarts of all its children together.
        /// `None` if it was the service's own limit.
        supervisor: Option<String>,
    },
    /// The executor ended or dropped tasks before the node had ended, or the node's own task
    /// panicked.
    #[error("{} [{code}]", unfinished(services), code = self.code())]
    ExecutorEnded {
        /// The services that had not ended. If there are none, the task that drains links and
        /// runs stop hooks panicked, or the executor dropped it.
        services: Vec<String>,
    },
    /// A node cannot listen on its endpoint.
    #[error("{}node `{node}` cannot listen: {error} [{code}]", at(place.as_deref()), code = self.code())]
    Bind {
        /// The node.
        node: String,
        /// Where the topology sets the address, or otherwise names the node, if it does: file, line
        /// and column.
        place: Option<String>,
        /// The reason.
        error: BindError,
    },
    /// A topic has another layout in another node, so the services of this node can never read it.
    /// Another start would fail in the same way.
    #[error(
        "node `{node}` cannot read topic `{topic}` of node `{peer}` (services: {}), another layout: {mismatch}; \
         build both nodes from one version of the message [{code}]",
        services.join(", "),
        code = self.code()
    )]
    Layout {
        /// The node that reads.
        node: String,
        /// The node that publishes.
        peer: String,
        /// The topic.
        topic: String,
        /// The services of the reading node that subscribe to the topic.
        services: Vec<String>,
        /// How the two layouts differ.
        mismatch: Box<LayoutMismatch>,
    },
    /// Messages could not be delivered to readers in other nodes.
    #[error(
        "not delivered{}: {}{} [{code}]",
        before(left, let_go, *timeout),
        messages(left, let_go),
        also_abandoned(abandoned),
        code = self.code()
    )]
    Undelivered {
        /// The undelivered messages: the node or the reader of a transport, the topic, and the
        /// number of messages.
        left: Vec<(String, String, usize)>,
        /// The nodes in `left` that violated the protocol in shared memory; their messages were
        /// dropped.
        let_go: Vec<String>,
        /// How long the node waited without a confirmation. `None` if a second signal ended the
        /// wait.
        timeout: Option<Duration>,
        /// Services that were also abandoned at the shutdown's deadline.
        abandoned: Vec<String>,
    },
    /// Services ignored the shutdown and were abandoned at its deadline.
    #[error(
        "abandoned at {}: {}; a service has to return when `recv` gives `None` \
         or a call fails with `ShuttingDown` [{code}]",
        at_deadline(*deadline),
        services.join(", "),
        code = self.code()
    )]
    Abandoned {
        /// The services.
        services: Vec<String>,
        /// The time after which the services were abandoned. `None` if a second signal was the
        /// deadline.
        deadline: Option<Duration>,
    },
}

debug_as_display!(StartError);

impl StartError {
    /// Creates an error about this place of the topology.
    pub(crate) fn at(place: Option<String>, code: Code, problem: String) -> StartError {
        StartError::Refused { code, place, problem }
    }

    /// Creates the error of a node that cannot get the shared memory that the topology requests.
    pub(crate) fn without_memory(node: &str, place: Option<String>, problem: &str) -> StartError {
        let problem = format!("node `{node}` cannot have its shared memory: {problem}");
        StartError::at(place, Code::NO_SHARED_MEMORY, problem)
    }

    /// Returns the error code at the end of the error's text: the code of the cause, if that is
    /// known. `mycelium explain` and `docs/errors.md` explain it.
    ///
    /// ```
    /// use mycelium::error::{Code, StartError};
    ///
    /// let error = StartError::Threads { threads: vec!["Sum".to_owned()] };
    /// assert_eq!(error.code(), Code::THREADS_LEFT);
    /// assert!(error.to_string().ends_with("[M0053]"));
    /// ```
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            StartError::Build(error) => error.code(),
            StartError::Refused { code, .. } => *code,
            StartError::Spawn { error, .. } => error.code(),
            StartError::Thread { error, .. } => error.code(),
            StartError::TaskQueue { .. } => Code::TASK_QUEUE,
            StartError::Threads { .. } => Code::THREADS_LEFT,
            StartError::ServiceFailed { error, .. } => code_of(error),
            StartError::ExecutorEnded { .. } => Code::EXECUTOR_ENDED,
            StartError::Bind { error, .. } => error.code(),
            StartError::Layout { .. } => Code::OTHER_LAYOUT,
            StartError::Undelivered { .. } => Code::UNDELIVERED,
            StartError::Abandoned { .. } => Code::ABANDONED,
        }
    }

    /// Returns whether another start would fail in the same way. A member of a bundle then exits
    /// with [`NO_RESTART`](mycelium_bundle::protocol::NO_RESTART).
    ///
    /// ```
    /// use mycelium::error::StartError;
    ///
    /// let threads = StartError::Threads { threads: vec!["Sum".to_owned()] };
    /// assert!(!threads.is_permanent(), "another start may work");
    /// ```
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            StartError::Build(error) => error.is_permanent(),
            StartError::Refused { code, .. } => matches!(
                *code,
                Code::SERVICE_NOT_SEND | Code::OTHER_EXECUTOR | Code::SOCKET_UNREACHABLE
            ),
            StartError::TaskQueue { error, .. } => {
                matches!(error, ThreadError::Unsupported { .. })
            }
            StartError::Layout { .. } => true,
            _ => false,
        }
    }
}

fn thread_hint(is_in_file: bool, error: &ThreadError) -> &'static str {
    match (error, is_in_file) {
        (ThreadError::Core { .. }, false) => " (`Execution::pinned`)",
        (ThreadError::Class { .. }, true) => " (`class` and `if_refused` in the topology)",
        (ThreadError::Class { .. }, false) => " (`Execution::class` and `Execution::if_refused`)",
        (ThreadError::Unsupported { .. }, true) => {
            "; let it share (run = \"shared\"), or give it another executor"
        }
        (ThreadError::Unsupported { .. }, false) => {
            "; let it share (`Execution::shared()`), or give it another executor"
        }
        _ => "",
    }
}

fn after(restarts: u32, window: Duration, supervisor: Option<&str>) -> String {
    let by = supervisor.map_or_else(String::new, |name| format!(" by supervisor `{name}`"));
    match restarts {
        0 if by.is_empty() => String::new(),
        0 => format!(", and{by} it is not restarted"),
        1 => format!(" after a restart{by} within {window:?}"),
        _ => format!(" after {restarts} restarts{by} within {window:?}"),
    }
}

fn before(
    left: &[(String, String, usize)],
    let_go: &[String],
    timeout: Option<Duration>,
) -> String {
    match timeout {
        // Omits the time if all these nodes violated the protocol: a longer wait would not have
        // helped.
        _ if left.iter().all(|(node, ..)| let_go.contains(node)) => String::new(),
        Some(timeout) => format!(" within {timeout:?}"),
        None => " before the second signal".to_owned(),
    }
}

fn at_deadline(deadline: Option<Duration>) -> String {
    let end = deadline.map(|deadline| format!("the shutdown deadline of {deadline:?}"));
    end.unwrap_or_else(|| "the second signal".to_owned())
}

fn messages(left: &[(String, String, usize)], let_go: &[String]) -> String {
    let each = left.iter().map(|(node, topic, count)| {
        let messages = if *count == 1 { "message" } else { "messages" };
        let broken = let_go.contains(node);
        let why = if broken { ", which broke the protocol and was let go" } else { "" };
        format!("{count} {messages} of `{topic}` to `{node}`{why}")
    });
    each.collect::<Vec<_>>().join(", ")
}

fn also_abandoned(services: &[String]) -> String {
    match services {
        [] => String::new(),
        _ => format!("; abandoned at the shutdown deadline: {}", services.join(", ")),
    }
}

fn unfinished(services: &[String]) -> String {
    if services.is_empty() {
        "the node's task panicked, or its executor ended, before its links were drained and its \
         stop hooks had run"
            .to_owned()
    } else {
        format!("the executor ended before these services had: {}", services.join(", "))
    }
}
