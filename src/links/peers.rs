//! The connections with the nodes that this node reads from. A node's process is identified by its
//! *boot number*, a random number that it chooses at its start.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Mutex, OnceLock};
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
    /// The topics of calls and answers that this node cannot read, each with the boot number of the
    /// process that has another layout of it.
    unreadable: Mutex<BTreeMap<String, u64>>,
    /// The boot number of this process.
    own: OnceLock<u64>,
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

    /// Sets the boot number of this process.
    pub(crate) fn set_own(&self, boot: u64) {
        _ = self.own.set(boot);
    }

    /// Returns a number that identifies the connected process of node `peer` together with this one.
    pub(crate) fn pair(&self, peer: &str) -> Option<u64> {
        Some(self.get(peer)? ^ self.own.get()?)
    }

    /// Notes that the layouts of the requests of `topic`, or of their replies, differ from those of
    /// the connected process of node `peer`. `topic` carries the calls or the answers from there.
    pub(crate) fn set_unreadable(&self, peer: &str, topic: &str) {
        if let Some(boot) = self.get(peer) {
            lock(&self.unreadable).insert(topic.to_owned(), boot);
            self.changed.notify(usize::MAX);
        }
    }

    /// Returns whether [`set_unreadable`](Peers::set_unreadable) was called for the process of node
    /// `peer` that is connected.
    pub(crate) fn is_unreadable(&self, peer: &str, topic: &str) -> bool {
        let boot = self.get(peer);
        boot.is_some() && boot == lock(&self.unreadable).get(topic).copied()
    }

    /// Waits until a condition on the connections holds.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        until(&self.changed, holds).await;
    }

    /// Waits until the connected process of node `peer` is not `seen`.
    pub(crate) async fn until_not(&self, peer: &str, seen: Option<u64>) {
        self.until(|| self.get(peer) != seen).await;
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
