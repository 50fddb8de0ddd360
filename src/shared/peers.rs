//! Which of the nodes that this one reads from are connected.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use event_listener::Event;

use crate::latch::until;

/// The connected nodes, by name.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    connected: Mutex<BTreeSet<String>>,
    changed: Event,
}

impl Peers {
    pub(crate) fn set(&self, peer: &str, is_connected: bool) {
        let has_changed = match is_connected {
            true => self.lock().insert(peer.to_owned()),
            false => self.lock().remove(peer),
        };
        if has_changed {
            self.changed.notify(usize::MAX);
        }
    }

    pub(crate) fn is_connected(&self, peer: &str) -> bool {
        self.lock().contains(peer)
    }

    /// Ready when the node is connected, or is not.
    pub(crate) async fn until(&self, peer: &str, is_connected: bool) {
        until(&self.changed, || self.is_connected(peer) == is_connected).await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
