//! How a node and its services ended.

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
