//! How a node started, and how it and its services ended.

use std::fmt;

use mycelium_transports::counters::Reading;

/// How a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its `run` returned.
    Completed,
    /// It failed more often than its limit of restarts.
    Failed {
        /// The last error or panic.
        error: String,
        /// How often it had been restarted within its window.
        restarts: u32,
    },
    /// It had not ended at the deadline of the shutdown.
    Abandoned,
}

/// How a node ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Its services, by name.
    pub services: Vec<ServiceReport>,
    /// The last values of all counters.
    pub counters: Vec<Reading>,
}

/// How a service ended, and how often it was started and failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was started.
    pub starts: u64,
    /// How often it returned an error.
    pub errors: u64,
    /// How often it panicked.
    pub panics: u64,
}

/// Probably a mistake: the node runs, but not as its author wants. In the
/// [report of the start](crate::StartReport), and logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartWarning {
    /// The node has no services.
    EmptyNode {
        /// The node.
        node: String,
    },
    /// No node of the topology runs the service.
    UnplacedService {
        /// The service.
        service: String,
    },
    /// No service publishes the topic.
    NoPublisher {
        /// The topic.
        topic: String,
        /// The services of this node that subscribe to it.
        readers: Vec<String>,
    },
    /// No service subscribes to the topic.
    NoReader {
        /// The topic.
        topic: String,
        /// The services of this node that publish it.
        publishers: Vec<String>,
    },
    /// No service or link of the node can write a dead letter.
    NoDeadLetters {
        /// The services of this node that read dead letters.
        readers: Vec<String>,
    },
}

impl fmt::Display for StartWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartWarning::EmptyNode { node } => write!(
                f,
                "node `{node}` has no services: add some to the builder, or to `services` of \
                 `[node.{node}]` in the topology"
            ),
            StartWarning::UnplacedService { service } => write!(
                f,
                "service `{service}` runs nowhere: no node of the topology lists it in `services`"
            ),
            StartWarning::NoPublisher { topic, readers } => write!(
                f,
                "topic `{topic}` has no publisher: {} but no service of the program emits to it",
                do_to(readers, "subscribes", "subscribe")
            ),
            StartWarning::NoReader { topic, publishers } => write!(
                f,
                "topic `{topic}` has no reader: {} but no service of the program subscribes to it",
                do_to(publishers, "publishes it", "publish it")
            ),
            StartWarning::NoDeadLetters { readers } => write!(
                f,
                "{} to dead letters, but no service or link of this node can write one, and dead \
                 letters do not cross links",
                do_to(readers, "subscribes", "subscribe").trim_end_matches(',')
            ),
        }
    }
}

/// The subject and the verb of a clause: "`Sum` subscribes,".
fn do_to(services: &[String], one: &str, many: &str) -> String {
    let verb = if services.len() == 1 { one } else { many };
    format!("`{}` {verb},", services.join("`, `"))
}
