//! What a node knows of itself at one moment.

use mycelium_transports::counters::Reading;

/// What a node knows of itself at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The name of the node.
    pub node: String,
    /// The lines of its counters.
    pub readings: Vec<Reading>,
    /// The lines that found no place in their region.
    pub unseen: u64,
    /// The rings of its publishers.
    pub rings: Vec<Ring>,
    /// The health of the node and of its services.
    pub health: Vec<HealthReading>,
}

/// The ring of a publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// The topic.
    pub topic: String,
    /// The publisher.
    pub publisher: String,
    /// The number of messages that the slowest gating reader still needs.
    pub depth: usize,
    /// The greatest depth that the publisher has seen.
    pub high_water: usize,
    /// The number of slots.
    pub capacity: usize,
    /// The label of the publisher's line of counters.
    pub label: String,
    /// The present readers.
    pub readers: Vec<String>,
}

/// How a node, or one of its services, is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReading {
    /// Whose health it is.
    pub of: HealthOf,
    /// One of [`STATES`](super::STATES).
    pub state: &'static str,
}

/// Whose health it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthOf {
    /// The node's.
    Node,
    /// That of this supervisor.
    Supervisor(String),
    /// That of this service.
    Service(String),
}

/// Where snapshots come from. It is called on the thread of a sink.
pub trait Source: Send {
    /// What the node knows of itself now; `None` once it is gone, or while it has nothing to pass
    /// on.
    fn snapshot(&self) -> Option<Snapshot>;

    /// Whether the process should continue, and why not.
    fn live(&self) -> Result<String, String>;

    /// Whether the node should get work, and why not.
    fn ready(&self) -> Result<String, String>;
}
