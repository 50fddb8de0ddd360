//! The connections with the nodes that this node reads from. A node's process is identified by its
//! *boot number*, a random number that it chooses at its start.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use event_listener::Event;
use futures_util::future::{Either, select};
use mycelium_executor::Executor;

use crate::support::latch::until;
use crate::support::lock::lock;

/// How long a connection may be lost before open requests without a deadline fail.
pub(crate) const RECONNECT: Duration = Duration::from_secs(1);

/// The connected process of each node, by its boot number; `None` while none is connected.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    connected: Mutex<BTreeMap<String, Option<u64>>>,
    changed: Event,
}

impl Peers {
    pub(crate) fn set(&self, peer: &str, boot: Option<u64>) {
        lock(&self.connected).insert(peer.to_owned(), boot);
        self.changed.notify(usize::MAX);
    }

    /// Returns the boot number of the process that is connected as node `peer`; `None` if no
    /// process is connected.
    pub(crate) fn get(&self, peer: &str) -> Option<u64> {
        lock(&self.connected).get(peer).copied().flatten()
    }

    /// Waits until the connected process of node `peer` is not `seen`.
    pub(crate) async fn until_not(&self, peer: &str, seen: Option<u64>) {
        until(&self.changed, || self.get(peer) != seen).await;
    }

    /// Waits until there was no connection with node `peer` for longer than [`RECONNECT`].
    pub(crate) async fn until_lost(&self, peer: &str, executor: &dyn Executor) {
        loop {
            let seen = self.get(peer);
            let changed = self.until_not(peer, seen);
            if seen.is_some() {
                changed.await;
                continue;
            }
            let overdue = executor.sleep_until(executor.now().saturating_add(RECONNECT));
            if let Either::Right(_) = select(pin!(changed), overdue).await {
                return;
            }
        }
    }
}
