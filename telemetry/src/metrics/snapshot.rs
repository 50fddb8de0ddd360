//! The state of a node at one moment.

use mycelium_transports::counters::Reading;

/// The state of a node at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The name of the node.
    pub node: String,
    /// The lines of the node's counters.
    pub readings: Vec<Reading>,
    /// The number of lines without a place in the region of counters.
    pub unseen: u64,
    /// The rings of the node's publishers.
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
    /// The largest depth that the publisher has seen.
    pub high_water: usize,
    /// The number of slots.
    pub capacity: usize,
    /// The size of the arena in bytes; 0 if all messages have the same size.
    pub arena_bytes: usize,
    /// The greatest number of bytes of the arena that readers still needed.
    pub arena_high_water: usize,
    /// The label of the publisher's line of counters.
    pub label: String,
    /// The present readers.
    pub readers: Vec<String>,
}

/// The health of a node, of a supervisor or of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReading {
    /// The thing that has this health.
    pub of: HealthOf,
    /// The state: one of [`STATES`](super::STATES).
    pub state: &'static str,
}

/// The thing that has a health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthOf {
    /// The node.
    Node,
    /// The supervisor with this name.
    Supervisor(String),
    /// The service with this name.
    Service(String),
}

/// A source of snapshots. It is called on the thread of a sink.
pub trait Source: Send {
    /// Returns the current state of the node; `None` if the node is gone, or has nothing to report
    /// yet.
    fn snapshot(&self) -> Option<Snapshot>;

    /// Returns whether the process should continue; `Err` has the reason why not.
    fn live(&self) -> Result<String, String>;

    /// Returns whether the node should get work; `Err` has the reason why not.
    fn ready(&self) -> Result<String, String>;
}
