//! The access of a node's actors to the actors of other nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use mycelium_core::Request;
use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::{Line, RequesterValue};

use super::most_open;
use crate::actor::{
    ActorCall, OtherNodes, RemoteActorError, WatchCall, calls_topic, watches_topic,
};
use crate::inbox::request::{Requester, Role};
use crate::links::Peers;
use crate::plan::Plan;
use crate::shared::{Lifecycle, ServiceNode, Topics};
use crate::support::lock::lock;
use crate::support::names::expected_instead_of;

/// The name of all requesters of actors, in counters and traces.
const NAME: &str = "actors";

/// The other nodes of the topology. Two references are weak: an actor must not keep the topics of
/// its node, and an observer of the node may have a reference to its actors.
pub(crate) struct RemoteNodes {
    plan: Arc<Plan>,
    executor: Arc<dyn Executor>,
    peers: Arc<Peers>,
    lifecycle: Weak<Lifecycle>,
    topics: Weak<Topics>,
    /// The counters of the requesters, by topic.
    lines: Mutex<BTreeMap<String, Arc<Line<RequesterValue>>>>,
}

impl RemoteNodes {
    pub(crate) fn new(node: &ServiceNode, peers: Arc<Peers>) -> RemoteNodes {
        RemoteNodes {
            plan: node.plan.clone(),
            executor: node.executor.clone(),
            peers,
            lifecycle: Arc::downgrade(&node.lifecycle),
            topics: Arc::downgrade(&node.topics),
            lines: Mutex::default(),
        }
    }

    fn requester<Q: Request>(&self, topic: String) -> Option<Requester<Q>> {
        let topics = self.topics.upgrade()?;
        let mailbox = topics.mailbox::<Q>(&topic).ok()?;
        let mut lines = lock(&self.lines);
        let label = format!("topic={topic} requester={NAME}");
        let line = || Arc::new(topics.counters().line(&label));
        let line = lines.entry(topic).or_insert_with(line).clone();
        let role = Role::Child(self.executor.clone());
        Some(Requester::new(mailbox, NAME, line, WaitStrategy::default(), role))
    }
}

impl OtherNodes for RemoteNodes {
    fn check(&self, node: &str) -> Result<(), RemoteActorError> {
        if self.topics.strong_count() == 0 {
            return Err(RemoteActorError::ShuttingDown);
        }
        let (settings, own) = (&self.plan.settings, &*self.plan.node);
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
        let capacity = self.plan.topic(&topic).capacity;
        Some((self.requester(topic)?, most_open(capacity)))
    }

    fn lost(&self, node: &str) -> SendFuture<()> {
        let (peers, executor) = (self.peers.clone(), self.executor.clone());
        let (node, is_running) = (node.to_owned(), self.topics.strong_count() > 0);
        Box::pin(async move {
            if is_running {
                peers.until_lost(&node, &*executor).await;
            }
        })
    }

    fn shutdown(&self) -> SendFuture<()> {
        let lifecycle = self.lifecycle.upgrade();
        Box::pin(async move {
            if let Some(lifecycle) = lifecycle {
                lifecycle.shutdown.wait().await;
            }
        })
    }
}
