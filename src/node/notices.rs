//! The reactions of a node to its links: events for observers, dead letters, and the end of the
//! node if a link or a transport fails.

use std::sync::{Arc, Weak};

use mycelium_transports::link::{LayoutMismatch, Notice};

use crate::error::StartError;
use crate::links::Peers;
use crate::observe::Event;
use crate::plan::Plan;
use crate::shared::{Lifecycle, Topics};
use crate::support::log;

/// The parts of a node that its links affect. References to the node are weak, so that links do not
/// keep it alive.
#[derive(Clone)]
pub(super) struct LinkNotices {
    pub(super) plan: Arc<Plan>,
    pub(super) peers: Arc<Peers>,
    pub(super) lifecycle: Weak<Lifecycle>,
    pub(super) topics: Weak<Topics>,
}

impl LinkNotices {
    /// Returns the callback for notices that concern the whole node: of links to nodes that this
    /// node `reads` from, or of links of nodes that read from this one.
    pub(super) fn on_notice(&self, reads: bool) -> Arc<dyn Fn(&Notice<'_>) + Send + Sync> {
        let of = self.clone();
        Arc::new(move |notice| {
            let Some(lifecycle) = of.lifecycle.upgrade() else { return };
            let changes = |peer: &str, is_over| of.link_changes(&lifecycle, peer, reads, is_over);
            match notice {
                // Only these requests fail: the node answers those of others.
                Notice::TopicLayoutDiffers { peer, topic, .. }
                    if of.plan.topic(topic).carries_requests =>
                {
                    of.peers.set_unreadable(peer, topic);
                }
                Notice::TopicLayoutDiffers { peer, topic, mismatch } => {
                    lifecycle.fail(of.cannot_read(peer, topic, mismatch));
                }
                Notice::DeadLettered { undelivered } => {
                    let topics = of.topics.upgrade();
                    topics.inspect(|topics| topics.write_dead_letter(undelivered));
                }
                Notice::Connected { peer, .. } => changes(peer, None),
                Notice::Disconnected { peer, error } => changes(peer, Some(error.is_final())),
                // The launcher has reported the end of the peer, whether or not the link is
                // connected.
                Notice::PeerEnded { peer } => changes(peer, Some(true)),
                _ => {}
            }
        })
    }

    /// Returns the callback for an error outside the services: the node ends with this error.
    pub(super) fn on_failure(&self) -> Arc<dyn Fn(StartError) + Send + Sync> {
        let of = self.clone();
        Arc::new(move |error| {
            let Some(lifecycle) = of.lifecycle.upgrade() else { return };
            log::error!(node = of.plan.node, %error, "the node ends");
            lifecycle.fail(error);
        })
    }

    /// Reports that a link with another node is connected (`is_over` is `None`), or no longer is.
    /// Ignores processes whose names are not readers of this node in the topology: they may come
    /// and go.
    fn link_changes(&self, lifecycle: &Lifecycle, peer: &str, reads: bool, is_over: Option<bool>) {
        let is_known = reads || self.plan.peer_topics.readers.contains_key(peer);
        // Nothing has changed if an attempt to connect fails after the handshake has begun.
        let has_failed = reads && is_over == Some(false) && self.peers.get(peer).is_none();
        if !is_known || has_failed {
            return;
        }
        lifecycle.observers.notify(&match is_over {
            None => Event::LinkConnected { peer, reads },
            Some(is_over) => Event::LinkDisconnected { peer, reads, is_over },
        });
    }

    /// Returns the error of a topic that services of this node can never read, because node `peer`
    /// publishes it with another layout.
    fn cannot_read(&self, peer: &str, topic: &str, mismatch: &LayoutMismatch) -> StartError {
        StartError::Layout {
            node: self.plan.node.clone(),
            peer: peer.to_owned(),
            topic: topic.to_owned(),
            services: self.plan.readers(topic),
            mismatch: Box::new(mismatch.clone()),
        }
    }
}
