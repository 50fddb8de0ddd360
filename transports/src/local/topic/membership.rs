//! A reader's membership in a topic: joining it, and receiving edges to new publishers.

use std::sync::Arc;

use super::Topic;
use crate::local::state::{Edge, SubscriberState};
use crate::local::values::{SubscribeOptions, TopicError};

/// A reader's membership in a topic. The owner must call
/// [`remove_subscriber`](Topic::remove_subscriber) before it drops its edges.
pub(crate) struct Membership {
    pub(crate) topic: Arc<Topic>,
    pub(crate) state: Arc<SubscriberState>,
    /// The version of the incoming edges at the last [`new_edges`](Membership::new_edges).
    version: usize,
}

impl Membership {
    pub(crate) fn join(
        topic: &Arc<Topic>,
        name: &str,
        options: SubscribeOptions,
        is_tap: bool,
    ) -> Result<Membership, TopicError> {
        let state = topic.add_subscriber(name, options, is_tap)?;
        Ok(Membership { topic: topic.clone(), state, version: 0 })
    }

    /// Whether [`new_edges`](Membership::new_edges) must be called.
    #[inline]
    pub(crate) fn has_new_edges(&self) -> bool {
        self.version != self.state.incoming.version()
    }

    /// Whether the reader ever had an edge.
    pub(crate) fn had_edges(&self) -> bool {
        self.version > 0
    }

    /// Makes [`has_new_edges`](Membership::has_new_edges) return true, even without new edges.
    pub(crate) fn forget_version(&mut self) {
        self.version = self.state.incoming.version().wrapping_sub(1);
    }

    #[cold]
    pub(crate) fn new_edges(&mut self) -> Vec<Edge> {
        let mut incoming = self.state.incoming.lock();
        self.version = self.state.incoming.version();
        std::mem::take(&mut *incoming)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // A publisher may hold the state longer than the task exists, so forget its waker.
        self.state.bell.forget();
    }
}
