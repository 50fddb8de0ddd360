//! Why services do not fit together. Found before anything runs.

use mycelium_transports::local::TopicError;
use thiserror::Error;

use crate::topology::{Problem, TopologyError};

/// Why a node cannot be built from its services.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two services have one name.
    #[error("two services are called `{name}`")]
    DuplicateService {
        /// The name.
        name: String,
    },
    /// A service's name is empty, or has a space, a `=` or a control character.
    #[error(
        "invalid service name `{}`: expected at least one character, and no space, `=` or control character",
        name.escape_debug()
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The topology file is wrong, or does not fit the services.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// Two messages have one id.
    #[error("messages `{first}` and `{second}` both have id {id}")]
    DuplicateId {
        /// The id.
        id: u16,
        /// One message.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Services declare different message types for one topic.
    #[error("{problem}")]
    TopicType {
        /// The topic, the services and their message types.
        problem: Problem,
    },
    /// A named port has no topic.
    #[error(
        "port `{service}.{port}` is bound to no topic: write `{port} = \"topic\"` in \
         `[service.{service}.ports]` of the topology, or call \
         `.bind(\"{service}\", \"{port}\", \"topic\")` on the builder"
    )]
    UnboundPort {
        /// The service.
        service: String,
        /// The port.
        port: &'static str,
        /// Its message type.
        message: &'static str,
    },
    /// The program binds a port that cannot be bound so.
    #[error("port `{service}.{port}`: {problem}")]
    Port {
        /// The service.
        service: String,
        /// The port.
        port: String,
        /// The reason, and what was expected.
        problem: String,
    },
    /// Services deadlock: each waits for the other's full queue.
    #[error(
        "services deadlock, because each waits for the next one's full queue: {}; \
         let one of these subscriptions drop messages (policy = \"drop-oldest\" or \"latest\")",
        path.join(" -> ")
    )]
    Cycle {
        /// The services and topics of the circle, in their order.
        path: Vec<String>,
    },
    /// The rings take more memory than the node may use.
    #[error(
        "rings take {needed} bytes, but the node may use {budget}: lower the capacities of topics or raise `memory`"
    )]
    Memory {
        /// What they take, in bytes.
        needed: usize,
        /// What the node may use, in bytes.
        budget: usize,
    },
    /// A topic is not what a service declares.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A service cannot be executed as the program says.
    #[error("service `{service}` cannot be executed as the program says: {problem}")]
    Execution {
        /// The service.
        service: String,
        /// The reason, and what was expected.
        problem: String,
    },
    /// One node reads more from another than one link carries.
    #[error(
        "node `{reader}` reads {found} {what} of node `{publisher}`, but a link carries at most {limit}: \
         place some of these services in another node"
    )]
    LinkLimit {
        /// The node that is read from.
        publisher: String,
        /// The node that reads.
        reader: String,
        /// The number that exceeds the limit: `topics` or `publishers`.
        what: &'static str,
        /// The most of them on one link.
        limit: usize,
        /// How many the topology needs.
        found: usize,
    },
    /// Two executors have one name.
    #[error("two executors are called `{name}`")]
    DuplicateExecutor {
        /// The name.
        name: String,
    },
}
