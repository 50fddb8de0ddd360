//! The node whose metrics are pushed.

use std::fmt;
use std::time::SystemTime;

use mycelium_transports::counters::{Line, PusherValue};

use crate::Source;
use crate::metrics::Collector;
use crate::otlp::Resource;

/// The node whose metrics are pushed.
pub struct PushedNode {
    /// What all of them have in common.
    pub resource: Resource,
    /// Where they come from.
    pub source: Box<dyn Source>,
    /// The collector of families. No other sink may use it: it remembers the counters.
    pub collector: Collector,
    /// The counts of the pusher.
    pub line: Line<PusherValue>,
    /// The time of day.
    pub wall_clock: Box<dyn Fn() -> SystemTime + Send>,
}

impl fmt::Debug for PushedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushedNode").field("resource", &self.resource).finish_non_exhaustive()
    }
}
