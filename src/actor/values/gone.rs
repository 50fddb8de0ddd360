//! How an actor ended, for tasks that wait for its end and actors that watch it.

use std::fmt;
use std::sync::Arc;

/// How an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActorEnd {
    /// The actor was stopped, by a reference, by itself, or with its parent.
    Stopped,
    /// All references to the actor were dropped, and it has handled the messages in its mailbox.
    Unreferenced,
    /// The keyed actor was idle, or was [passivated](crate::actor::Keyed::passivate), and has
    /// handled the messages in its mailbox. The next use of the key creates another actor.
    Passivated,
    /// The actor was abandoned: it had not ended by the deadline of a shutdown.
    Abandoned,
    /// The actor failed, and will not be restarted.
    Failed {
        /// The error, or the text of the panic.
        error: Arc<str>,
    },
    /// The node of the actor is unreachable: the actor may still live.
    Unreachable,
    /// No actor of the other node has the name: the actor ended long ago, or never existed.
    NotFound,
    /// The actor is not watched, because this node already has its maximum of watches of that node.
    /// The actor may still live.
    TooManyWatches {
        /// The node of the actor.
        node: Arc<str>,
        /// The maximum number of actors of that node that this node watches at once: half of the
        /// capacity of the topic `watches@NODE`.
        limit: usize,
    },
}

impl ActorEnd {
    /// Returns whether the actor ended by a failure.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, ActorEnd::Failed { .. })
    }
}

impl fmt::Display for ActorEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActorEnd::Stopped => f.write_str("it was stopped"),
            ActorEnd::Unreferenced => f.write_str("nobody referred to it any more"),
            ActorEnd::Passivated => f.write_str("it was passivated"),
            ActorEnd::Abandoned => f.write_str("it had not ended by the deadline"),
            ActorEnd::Failed { error } => write!(f, "it failed: {error}"),
            ActorEnd::Unreachable => f.write_str("its node cannot be reached"),
            ActorEnd::NotFound => f.write_str("no actor of its node has the name"),
            ActorEnd::TooManyWatches { node, limit } => write!(
                f,
                "it is not watched: this node watches {limit} actors of node `{node}`, which is \
                 half of the capacity of topic `watches@{node}`"
            ),
        }
    }
}

/// An actor that has ended, as its watchers get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The number of the actor, which no other actor of this process has.
    pub id: u64,
    /// The name of the actor, or its type and number.
    pub actor: Arc<str>,
    /// How the actor ended.
    pub end: ActorEnd,
}
