//! The topics at the two ends of a link: exported on one side, imported on the other.

use std::sync::Arc;

use crate::local::{Policy, Start, Topic};

/// A topic that other processes may read.
#[derive(Clone, Debug)]
pub struct ExportedTopic {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The nodes that may read the topic; `None`: every node that can connect. Over plain TCP,
    /// which proves no name, only the nodes that [`believe`](super::Exports::believe) names may
    /// read it.
    pub readers: Option<Vec<String>>,
}

impl ExportedTopic {
    /// Whether the topic names this node as one of its readers.
    pub(crate) fn names(&self, node: &str) -> bool {
        self.readers.iter().flatten().any(|reader| reader == node)
    }
}

/// A topic that is read from a peer.
#[derive(Clone, Debug)]
pub struct TopicInterest {
    /// The topic in this process: the peer's messages go to its subscriptions.
    pub topic: Arc<Topic>,
    /// The strictest policy of these subscriptions, which decides whether the peer's publishers
    /// wait for them.
    pub policy: Policy,
    /// Where to begin with publishers that exist already, if the peer keeps none of their messages
    /// for this node. The subscriptions that exist when a stream begins get all of its messages,
    /// with any start.
    pub start: Start,
}
