//! Watches between nodes: a request whose reply says how the actor ended. `docs/wire-format.md` has
//! its bytes.

use mycelium_core::FixedStr;
use mycelium_macros::message;

use crate::actor::values::{ActorEnd, LONGEST_NAME};

/// A request that waits for the end of an actor of another node.
#[message(topic = "mycelium.actor-watches", id = 0xFFFC, reply = WatchReply, hidden)]
pub(crate) struct WatchCall {
    actor: FixedStr<LONGEST_NAME>,
}

/// How the actor has ended.
#[message(topic = "mycelium.actor-ends", id = 0xFFFB, hidden)]
pub(crate) struct WatchReply {
    end: u64,
    /// The error, truncated at its end; empty if there is none.
    error: FixedStr<190>,
}

/// Returns the topic of watches of the actors of a node.
pub(crate) fn watches_topic(node: &str) -> String {
    format!("watches@{node}")
}

impl WatchCall {
    pub(crate) fn new(actor: &str) -> WatchCall {
        WatchCall { actor: FixedStr::truncated(actor) }
    }

    /// Returns the name of the actor.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }
}

impl WatchReply {
    pub(crate) fn new(end: &ActorEnd) -> WatchReply {
        let (number, error) = match end {
            ActorEnd::Stopped => (0, ""),
            ActorEnd::Unreferenced => (1, ""),
            ActorEnd::Abandoned => (2, ""),
            ActorEnd::Failed { error } => (3, &**error),
            ActorEnd::NotFound => (4, ""),
            ActorEnd::Unreachable | ActorEnd::TooManyWatches { .. } => (5, ""),
            ActorEnd::Passivated => (6, ""),
        };
        WatchReply { end: number, error: FixedStr::truncated(error) }
    }

    /// Returns how the actor has ended. A number that this version does not know becomes
    /// [`ActorEnd::NotFound`], which claims nothing about how the actor ended.
    pub(crate) fn end(&self) -> ActorEnd {
        match self.end {
            0 => ActorEnd::Stopped,
            1 => ActorEnd::Unreferenced,
            2 => ActorEnd::Abandoned,
            3 => ActorEnd::Failed { error: self.error.as_str().into() },
            5 => ActorEnd::Unreachable,
            6 => ActorEnd::Passivated,
            _ => ActorEnd::NotFound,
        }
    }
}
