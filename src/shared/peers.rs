//! The connections with the nodes that this one reads from.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_listener::Event;
use futures_util::future::{Either, select};
use mycelium_executor::Executor;

use crate::latch::until;

/// How long a connection may be away before its open requests fail.
pub(crate) const RECONNECT: Duration = Duration::from_secs(1);

/// The connections with one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connections {
    /// How many there were, with the present one.
    pub(crate) count: u64,
    pub(crate) is_connected: bool,
}

impl Connections {
    /// The number of those that are lost.
    pub(crate) fn lost(&self) -> u64 {
        self.count - u64::from(self.is_connected)
    }
}

/// Those with all nodes, by name.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    connections: Mutex<BTreeMap<String, Connections>>,
    changed: Event,
}

impl Peers {
    pub(crate) fn connected(&self, peer: &str) {
        self.change(peer, |it| {
            it.count += 1;
            it.is_connected = true;
        });
    }

    pub(crate) fn disconnected(&self, peer: &str) {
        self.change(peer, |it| it.is_connected = false);
    }

    pub(crate) fn get(&self, peer: &str) -> Connections {
        self.lock().get(peer).copied().unwrap_or_default()
    }

    /// Ready when the connections with this node are not these any more.
    pub(crate) async fn until_not(&self, peer: &str, seen: Connections) {
        until(&self.changed, || self.get(peer) != seen).await;
    }

    /// Ready when there was no connection with this node for longer than [`RECONNECT`].
    pub(crate) async fn until_lost(&self, peer: &str, executor: &dyn Executor) {
        loop {
            let seen = self.get(peer);
            let changed = self.until_not(peer, seen);
            if seen.is_connected {
                changed.await;
                continue;
            }
            let overdue = executor.sleep_until(executor.now().saturating_add(RECONNECT));
            if let Either::Right(_) = select(pin!(changed), overdue).await {
                return;
            }
        }
    }

    fn change(&self, peer: &str, change: impl FnOnce(&mut Connections)) {
        change(self.lock().entry(peer.to_owned()).or_default());
        self.changed.notify(usize::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Connections>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
