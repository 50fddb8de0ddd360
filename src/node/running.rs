//! A node that runs, for its owner.

use std::fmt;
use std::sync::{Arc, OnceLock};

use mycelium_core::Message;
use mycelium_transports::counters::{Kind, Reading};
use mycelium_transports::local::{Policy, Publisher};

use super::placing::Placement;
use crate::error::{BuildError, Result, ShuttingDown, StartError, SubscribeError};
use crate::inbox::Subscription;
use crate::links::Links;
use crate::report::{Report, ServiceReport};
use crate::shared::Shared;

/// A node that runs. Dropping it asks the node to shut down.
pub struct Running {
    pub(super) shared: Arc<Shared>,
    pub(super) links: Arc<OnceLock<Links>>,
    pub(super) placements: Vec<Placement>,
}

impl Running {
    /// Asks the node to shut down: sources end, what they sent is received, then `recv` yields `None` everywhere. What
    /// has not ended at the deadline is abandoned. Asking again changes nothing.
    pub fn shutdown(&self) {
        self.shared.lifecycle.shut_down();
    }

    /// Waits until all services have ended, and their threads with them.
    ///
    /// # Errors
    /// If a service failed for good, or services or threads had to be abandoned at the shutdown's deadline.
    pub async fn join(self) -> Result<Report, StartError> {
        self.shared.lifecycle.finished.wait().await;
        if let Some(error) = self.shared.failure.take() {
            return Err(error);
        }
        let counters = self.counters();
        let services = self.shared.services.ended().into_iter().map(|(name, outcome)| {
            let line = counters
                .iter()
                .find(|line| line.kind == Kind::Service && line.label("service") == name);
            let value = |value| line.map_or(0, |line| line.value(value));
            ServiceReport {
                starts: value("starts"),
                errors: value("errors"),
                panics: value("panics"),
                name,
                outcome,
            }
        });
        let services = services.collect();
        Ok(Report { services, counters })
    }

    /// Ready once the nodes that the topology joins with this one have met it: those that it reads from, and those that
    /// read from it. Nothing is lost without waiting for this.
    ///
    /// # Errors
    /// If the node ends first.
    pub async fn ready(&self) -> Result<(), ShuttingDown> {
        match self.links.get() {
            Some(links) if !links.ready().await => Err(ShuttingDown),
            _ => Ok(()),
        }
    }

    /// How each service is executed: what was asked, and what the machine granted. In the services' order of start.
    #[must_use]
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// What all counters say now.
    #[must_use]
    pub fn counters(&self) -> Vec<Reading> {
        self.shared.topics.counters().read()
    }

    /// A publisher for somebody outside the services: another thread, another runtime.
    ///
    /// At shutdown, subscriptions to its topic end when they are empty, though it may still be there.
    ///
    /// # Errors
    /// If the topic cannot take it.
    pub fn publisher<M: Message>(&self, name: &str) -> Result<Publisher<M>, BuildError> {
        self.shared.topics.outside_publisher(name)
    }

    /// A subscription for somebody outside the services. It starts with the first message whose emit begins after
    /// this returns.
    ///
    /// # Errors
    /// If the topic cannot take it.
    pub fn subscribe<M: Message>(
        &self,
        name: &str,
        policy: Policy,
    ) -> Result<Subscription<M>, SubscribeError> {
        let topic = self.shared.topics.of::<M>().map_err(|error| match error {
            BuildError::Topic(error) => SubscribeError::Topic(error),
            other => SubscribeError::Refused { reason: other.to_string() },
        })?;
        topic.subscribe(name, policy).map(Subscription::free).map_err(SubscribeError::Topic)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.lifecycle.shut_down();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("node", &self.shared.plan.node).finish_non_exhaustive()
    }
}
