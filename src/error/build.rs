//! Why services do not fit together. The errors are found before anything runs.

use mycelium_core::ring::CapacityError;
use mycelium_core::{Code, debug_as_display};
use mycelium_transports::local::TopicError;
use thiserror::Error;

use super::supervisor::SupervisorProblem;
use crate::support::names::expected_instead_of;
use crate::topology::{Problem, TopologyError};

/// Why a node cannot be built from its services.
#[derive(Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two services have one name.
    #[error(
        "two services are called `{name}`: give one of them another name (`Builder::named_service`) [{code}]",
        code = self.code()
    )]
    DuplicateService {
        /// The name.
        name: String,
    },
    /// A service's name is empty, or has a space, a `=` or a control character.
    #[error(
        "invalid service name `{}`: expected at least one character, and no space, `=` or control character [{code}]",
        name.escape_debug(),
        code = self.code()
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The topology file is wrong, or does not fit the services.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// Two messages have one id.
    #[error(
        "messages `{first}` and `{second}` both have id {id}: {} [{code}]",
        apart(first, second),
        code = self.code()
    )]
    DuplicateId {
        /// The id.
        id: u16,
        /// One message, with its module path.
        first: &'static str,
        /// The other, with its module path.
        second: &'static str,
    },
    /// Services declare different message types for one topic.
    #[error("{problem} [{code}]", code = self.code())]
    TopicType {
        /// The topic, the services and their message types.
        problem: Box<Problem>,
    },
    /// No topic can have this name.
    #[error("{problem} [{code}]", code = self.code())]
    TopicName {
        /// The name, and what was expected.
        problem: String,
    },
    /// A named port has no topic.
    #[error(
        "port `{service}.{port}` is bound to no topic: write `{port} = \"topic\"` in \
         `[service.{service}.ports]` of the topology, or call \
         `.bind(\"{service}\", \"{port}\", \"topic\")` on the builder [{code}]",
        code = self.code()
    )]
    UnboundPort {
        /// The service.
        service: String,
        /// The port.
        port: &'static str,
        /// Its message type.
        message: &'static str,
    },
    /// The program binds a port in a way that is not possible.
    #[error(
        "port `{}.{}`: {problem} [{code}]", service.escape_debug(), port.escape_debug(),
        code = self.code()
    )]
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
        "{}services deadlock, because each waits for the next one's full queue: {}; \
         let one of these subscriptions drop messages (policy = \"drop-oldest\" or \"latest\" in {}) [{code}]",
        at(place.as_deref()),
        path.join(" -> "),
        sections(subscriptions),
        code = self.code()
    )]
    Cycle {
        /// The services and topics of the cycle, in their order.
        path: Vec<String>,
        /// The keys of their subscriptions in the topology: `Service.topic`.
        subscriptions: Vec<String>,
        /// Where the topology sets the policy of one of them, or else places one of the services,
        /// if it does: file, line and column.
        place: Option<String>,
    },
    /// The rings take more memory than the node may use.
    #[error(
        "{}rings of node `{node}` take {needed} bytes{}, but may take {budget}, and topic `{topic}` \
         takes most: lower its `capacity`, or raise `memory` of the node{} [{code}]",
        at(place.as_deref()),
        of_shared(*shared),
        of_huge_pages(*huge_pages),
        code = self.code()
    )]
    Memory {
        /// The node.
        node: String,
        /// Where the topology sets the limit, or else the largest capacity, or else has the node,
        /// if it does: file, line and column.
        place: Option<String>,
        /// The topic whose rings take the most memory.
        topic: String,
        /// The memory that the rings take, in bytes.
        needed: usize,
        /// How many of these bytes are in shared memory.
        shared: usize,
        /// The number of huge pages among them.
        huge_pages: usize,
        /// The memory that the node may use, in bytes.
        budget: usize,
    },
    /// The share of traces is not a number from 0 to 1.
    #[error(
        "invalid share {share} of the traces to record: expected a number from 0 to 1 [{code}]",
        code = self.code()
    )]
    TraceShare {
        /// The number.
        share: f64,
    },
    /// The traces of the node cannot be sent as the program says.
    #[cfg(feature = "otlp")]
    #[error("`Builder::otlp`: {0} [{code}]", code = self.code())]
    Otlp(#[from] mycelium_telemetry::spans::OtlpError),
    /// The metrics of the node cannot be pushed as the program says.
    #[cfg(feature = "otlp")]
    #[error("`Builder::otlp_metrics`: {0} [{code}]", code = self.code())]
    OtlpMetrics(#[from] mycelium_telemetry::push::OtlpMetricsError),
    /// A topic differs from what a service declares.
    #[error("{0} [{code}]", code = self.code())]
    Topic(#[from] TopicError),
    /// A service cannot be executed as the program says.
    #[error(
        "service `{service}` cannot be executed as the program says: {problem} [{code}]",
        code = self.code()
    )]
    Execution {
        /// The service.
        service: String,
        /// The reason, and what was expected.
        problem: String,
    },
    /// The program sets a threshold that a topic cannot have, or a threshold of an unknown topic.
    #[error(
        "the threshold of topic `{}` (`Builder::backpressure_threshold`): {problem} [{code}]", topic.escape_debug(),
        code = self.code()
    )]
    Threshold {
        /// The topic.
        topic: String,
        /// The reason, and what was expected.
        problem: String,
    },
    /// The program sets what happens to stalled readers of an unknown topic, or an invalid time.
    #[error("`Builder::on_stall` of topic `{}`: {problem} [{code}]", topic.escape_debug(), code = self.code())]
    OnStall {
        /// The topic.
        topic: String,
        /// The reason, and what was expected.
        problem: String,
    },
    /// The program measures messages of an unknown topic, or an invalid share of them.
    #[error(
        "`Builder::latency_sample` of topic `{}`: {problem} [{code}]", topic.escape_debug(),
        code = self.code()
    )]
    LatencySample {
        /// The topic.
        topic: String,
        /// The reason, and what was expected.
        problem: String,
    },
    /// The program sets the execution of a service that it does not have.
    #[error(
        "`Builder::execution` names an unknown service `{service}`: {} [{code}]",
        expected_instead_of(service, known),
        code = self.code()
    )]
    ExecutionOfUnknown {
        /// The name.
        service: String,
        /// The services of the program.
        known: Vec<String>,
    },
    /// A node reads more from another one than a link carries.
    #[error(
        "{}node `{reader}` reads {found} {what} of node `{publisher}`, but a link carries at most {limit}: \
         place some of these services in another node [{code}]",
        at(place.as_deref()),
        code = self.code()
    )]
    LinkLimit {
        /// The node that publishes.
        publisher: String,
        /// The node that reads.
        reader: String,
        /// The number that exceeds the limit: `topics` or `publishers`.
        what: &'static str,
        /// The most topics or publishers of one link.
        limit: usize,
        /// How many topics or publishers of `publisher` the node `reader` reads.
        found: usize,
        /// Where the topology has the node that reads, if it does: file, line and column.
        place: Option<String>,
    },
    /// Two request types have one topic.
    #[error(
        "topic `{topic}` has two request types: give one of them another topic (`#[message(topic = ..)]`) [{code}]",
        code = self.code()
    )]
    RequestType {
        /// The topic.
        topic: String,
    },
    /// No mailbox can have the topic's capacity.
    #[error("{}the mailbox of topic `{topic}`: {error} [{code}]", at(place.as_deref()), code = self.code())]
    Mailbox {
        /// The topic.
        topic: String,
        /// Where the topology sets the capacity, if it does: file, line and column.
        place: Option<String>,
        /// The reason.
        error: CapacityError,
    },
    /// Two nodes answer the requests of one topic.
    #[error(
        "{}requests of topic `{topic}` are answered in node `{first}` and in node `{second}`: \
         place all services with `answers(..)` of this topic in one node [{code}]",
        at(place.as_deref()),
        code = self.code()
    )]
    Responders {
        /// The topic.
        topic: String,
        /// One node.
        first: String,
        /// The other.
        second: String,
        /// Where the topology places the service in the second one: file, line and column.
        place: Option<String>,
    },
    /// A fast handler has the name of another one, or its topic carries another message.
    #[error(
        "fast handler `{}` (`Builder::fast_handler`): {problem} [{code}]", handler.escape_debug(),
        code = self.code()
    )]
    FastHandler {
        /// The handler.
        handler: String,
        /// The reason, and what was expected.
        problem: String,
    },
    /// Supervisors do not fit together, or not to the services.
    #[error("{}{problem} [{code}]", at(place.as_deref()), code = self.code())]
    Supervisor {
        /// Where the topology has the supervisor or its child, if it does: file, line and column.
        place: Option<String>,
        /// The reason, and what was expected.
        problem: Box<SupervisorProblem>,
    },
    /// The service is known only by the description of another program.
    #[cfg(feature = "describe")]
    #[error(
        "service `{service}` is only described: expected a program that has it [{code}]",
        code = self.code()
    )]
    Described {
        /// The service.
        service: String,
    },
    /// A transport of the program cannot carry a topic.
    #[error(
        "topic `{}` over transport `{transport}` (`Builder::transport`): {problem} [{code}]",
        topic.escape_debug(),
        code = self.code()
    )]
    Transport {
        /// The transport.
        transport: String,
        /// The topic.
        topic: String,
        /// The reason, and what was expected.
        problem: String,
    },
    /// Two executors have one name.
    #[error(
        "two executors are called `{name}`: give one of them another name (`Builder::executor`) [{code}]",
        code = self.code()
    )]
    DuplicateExecutor {
        /// The name.
        name: String,
    },
}

debug_as_display!(BuildError);

impl BuildError {
    /// Returns the code with which the text of the error ends. `mycelium explain` and
    /// `docs/errors.md` explain it.
    ///
    /// ```
    /// use mycelium::error::{BuildError, Code};
    ///
    /// let error = BuildError::DuplicateService { name: "Sum".to_owned() };
    /// assert_eq!(error.code(), Code::SERVICE_TWICE);
    /// assert!(error.to_string().ends_with("[M0001]"));
    /// ```
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            BuildError::DuplicateService { .. } => Code::SERVICE_TWICE,
            BuildError::Name { .. } => Code::SERVICE_NAME,
            BuildError::Topology(error) => error.code(),
            BuildError::DuplicateId { .. } => Code::MESSAGE_ID_TWICE,
            BuildError::TopicType { problem } => problem.code(),
            BuildError::TopicName { .. } => Code::TOPIC_NAME,
            BuildError::UnboundPort { .. } => Code::PORT_UNBOUND,
            BuildError::Port { .. } => Code::PORT_BINDING,
            BuildError::Cycle { .. } => Code::DEADLOCK,
            BuildError::Memory { .. } => Code::RING_MEMORY,
            BuildError::TraceShare { .. } => Code::TRACE_SHARE,
            #[cfg(feature = "otlp")]
            BuildError::Otlp(error) => error.code(),
            #[cfg(feature = "otlp")]
            BuildError::OtlpMetrics(error) => error.code(),
            BuildError::Topic(error) => error.code(),
            BuildError::Execution { .. } => Code::EXECUTION,
            BuildError::Threshold { .. } => Code::BACKPRESSURE_THRESHOLD,
            BuildError::OnStall { .. } => Code::ON_STALL,
            BuildError::LatencySample { .. } => Code::LATENCY_SAMPLE,
            BuildError::ExecutionOfUnknown { .. } => Code::EXECUTION_OF_UNKNOWN,
            BuildError::LinkLimit { .. } => Code::LINK_LIMIT,
            BuildError::RequestType { .. } => Code::REQUEST_TYPE,
            BuildError::Mailbox { .. } => Code::MAILBOX_CAPACITY,
            BuildError::Responders { .. } => Code::RESPONDERS,
            BuildError::FastHandler { .. } => Code::FAST_HANDLER,
            BuildError::Supervisor { problem, .. } => problem.code(),
            #[cfg(feature = "describe")]
            BuildError::Described { .. } => Code::SERVICE_ONLY_DESCRIBED,
            BuildError::Transport { .. } => Code::TRANSPORT,
            BuildError::DuplicateExecutor { .. } => Code::EXECUTOR_TWICE,
        }
    }

    /// Whether another try would fail in the same way. This is so for all errors but the limits of
    /// a topic, where another try may succeed later.
    ///
    /// ```
    /// use mycelium::error::BuildError;
    ///
    /// assert!(BuildError::DuplicateService { name: "Sum".to_owned() }.is_permanent());
    /// ```
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        if let BuildError::Topic(error) = self { is_bug_of_topic(error) } else { true }
    }
}

/// Types and capacities do not change while a program runs, but a full topic can have room later.
pub(super) fn is_bug_of_topic(error: &TopicError) -> bool {
    matches!(error, TopicError::Schema { .. } | TopicError::Capacity { .. })
}

/// Returns the names of the sections of subscriptions.
fn sections(subscriptions: &[String]) -> String {
    let sections = subscriptions.iter().map(|name| format!("`[subscription.\"{name}\"]`"));
    sections.collect::<Vec<_>>().join(" or ")
}

/// Says how to give two messages different ids.
fn apart(first: &str, second: &str) -> String {
    if first != second {
        return "give one of them another id (`#[message(id = ..)]`)".to_owned();
    }
    let name = first.split("::").next().unwrap_or_default();
    format!(
        "these are two types of one path, as if crate `{name}` were there in two versions, which \
         `cargo tree --duplicates` lists: use one of them"
    )
}

fn of_shared(shared: usize) -> String {
    match shared {
        0 => String::new(),
        _ => format!(" ({shared} of them in shared memory)"),
    }
}

fn of_huge_pages(huge_pages: usize) -> &'static str {
    match huge_pages {
        0 => "",
        _ => ", or remove `huge_pages`: each ring in shared memory then takes whole pages of 2 MiB",
    }
}

pub(super) fn at(place: Option<&str>) -> String {
    place.map(|place| format!("{place}: ")).unwrap_or_default()
}
