//! The access of a node's actors to the actors of other nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use mycelium_core::Request;
use mycelium_core::wait::WaitStrategy;
use mycelium_executor::SendFuture;
use mycelium_transports::counters::{Line, RequesterValue};

use super::most_open;
use crate::actor::{
    ActorCall, OtherNodes, RemoteActorError, WatchCall, calls_topic, watches_topic,
};
use crate::inbox::request::{Requester, Role};
use crate::shared::Shared;
use crate::support::lock::lock;
use crate::support::names::expected_instead_of;

/// The name of all requesters of actors, in counters and traces.
const NAME: &str = "actors";

/// The other nodes of the topology of the node that `shared` belongs to.
pub(crate) struct RemoteNodes {
    /// A weak reference, because the actors are a part of the node's shared state.
    shared: Weak<Shared>,
    /// The counters of the requesters, by topic.
    lines: Mutex<BTreeMap<String, Arc<Line<RequesterValue>>>>,
}

impl RemoteNodes {
    pub(crate) fn new(shared: &Arc<Shared>) -> RemoteNodes {
        RemoteNodes { shared: Arc::downgrade(shared), lines: Mutex::default() }
    }

    fn requester<Q: Request>(&self, topic: String) -> Option<Requester<Q>> {
        let shared = self.shared.upgrade()?;
        let mailbox = shared.topics.mailbox::<Q>(&topic).ok()?;
        let mut lines = lock(&self.lines);
        let label = format!("topic={topic} requester={NAME}");
        let line = || Arc::new(shared.topics.counters().line(&label));
        let line = lines.entry(topic).or_insert_with(line).clone();
        let role = Role::Child(shared.executor.clone());
        Some(Requester::new(mailbox, NAME, line, WaitStrategy::default(), role))
    }
}

impl OtherNodes for RemoteNodes {
    fn check(&self, node: &str) -> Result<(), RemoteActorError> {
        let Some(shared) = self.shared.upgrade() else {
            return Err(RemoteActorError::ShuttingDown);
        };
        let (settings, own) = (&shared.plan.settings, &*shared.plan.node);
        let name = || node.to_owned();
        if node == own {
            return Err(RemoteActorError::OwnNode { node: name() });
        }
        let known = settings.nodes.iter().map(String::as_str).filter(|known| *known != own);
        let known: Vec<&str> = known.collect();
        if !known.contains(&node) {
            let expected = expected_instead_of(node, &known);
            return Err(RemoteActorError::UnknownNode { node: name(), expected });
        }
        match settings.asks.contains(node) {
            true => Ok(()),
            false => Err(RemoteActorError::NotGranted { node: name(), asker: own.to_owned() }),
        }
    }

    fn calls(&self, node: &str) -> Option<Requester<ActorCall>> {
        self.requester(calls_topic(node))
    }

    fn watches(&self, node: &str) -> Option<(Requester<WatchCall>, usize)> {
        let topic = watches_topic(node);
        let capacity = self.shared.upgrade()?.plan.topic(&topic).capacity;
        Some((self.requester(topic)?, most_open(capacity)))
    }

    fn lost(&self, node: &str) -> SendFuture<()> {
        // Takes only these two fields: a waiting future must not keep the node's shared state
        // alive.
        let peers =
            self.shared.upgrade().map(|shared| (shared.peers.clone(), shared.executor.clone()));
        let node = node.to_owned();
        Box::pin(async move {
            if let Some((peers, executor)) = peers {
                peers.until_lost(&node, &*executor).await;
            }
        })
    }

    fn shutdown(&self) -> SendFuture<()> {
        let shared = self.shared.upgrade();
        Box::pin(async move {
            if let Some(shared) = shared {
                shared.lifecycle.shutdown.wait().await;
            }
        })
    }
}
