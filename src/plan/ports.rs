//! The topics that a service declares.

use mycelium_core::Message;
use mycelium_transports::local::Schema;

use crate::dead_letter::DeadLetter;

/// A topic that a service reads or emits.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    pub(crate) topic: &'static str,
    pub(crate) schema: Schema,
}

impl Port {
    /// The topic of `M`.
    #[must_use]
    pub fn of<M: Message>() -> Port {
        Port { topic: M::TOPIC, schema: Schema::of::<M>() }
    }
}

/// All topics that a service reads and emits.
#[derive(Clone, Debug)]
pub struct Ports {
    /// What it subscribes to.
    pub reads: Vec<Port>,
    /// What it publishes.
    pub emits: Vec<Port>,
}

impl Ports {
    /// Whether messages of the service can become dead letters. Those of a reader of dead letters
    /// cannot: it would receive its own.
    pub(crate) fn can_give_up(&self) -> bool {
        !self.reads.is_empty() && !self.reads_dead_letters()
    }

    pub(super) fn reads_dead_letters(&self) -> bool {
        self.reads.iter().any(|port| port.topic == DeadLetter::TOPIC)
    }
}
