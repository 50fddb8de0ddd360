//! A node while it runs, and what it says at the end.

use std::fmt;
use std::sync::Arc;

use mycelium_core::Message;
use mycelium_transports::counters::{Kind, Reading};
use mycelium_transports::local::{Policy, Publisher};

use super::{Placement, Shared};
use crate::error::{BuildError, Result, ShuttingDown, StartError, SubscribeError};
use crate::inbox::Subscription;

/// How a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its `run` returned.
    Completed,
    /// It failed more often than it may.
    Failed {
        /// The last error or panic.
        error: String,
        /// How often it had been restarted within its window.
        restarts: u32,
    },
    /// It had not ended at the deadline of the shutdown.
    Abandoned,
}

/// How a node ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Its services, by name.
    pub services: Vec<ServiceReport>,
    /// The last state of all counters.
    pub counters: Vec<Reading>,
}

/// How a service ended, and what it went through.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was started.
    pub starts: u64,
    /// How often it returned an error.
    pub errors: u64,
    /// How often it panicked.
    pub panics: u64,
}

/// A node that runs. Dropping it asks the node to shut down.
pub struct Running {
    pub(super) shared: Arc<Shared>,
}

impl Running {
    /// Asks the node to shut down: sources end, what they sent is received, then `recv` yields `None` everywhere. What
    /// has not ended at the deadline is abandoned. Asking again changes nothing.
    pub fn shutdown(&self) {
        self.shared.shut_down();
    }

    /// Waits until all services have ended, and their threads with them.
    ///
    /// # Errors
    /// If a service failed for good, or services or threads had to be abandoned at the shutdown's deadline.
    pub async fn join(self) -> Result<Report, StartError> {
        self.shared.finished.wait().await;
        let mut state = self.shared.state();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let counters = self.shared.counters.read();
        let services = state.ended.iter().map(|(name, outcome)| {
            let line = counters
                .iter()
                .find(|line| line.kind == Kind::Service && line.label("service") == name);
            let value = |value| line.map_or(0, |line| line.value(value));
            ServiceReport {
                name: name.clone(),
                outcome: outcome.clone(),
                starts: value("starts"),
                errors: value("errors"),
                panics: value("panics"),
            }
        });
        Ok(Report { services: services.collect(), counters })
    }

    /// Ready once the nodes that the topology joins with this one have met it: those that it reads from, and those that
    /// read from it. Nothing is lost without waiting for this.
    ///
    /// # Errors
    /// If the node ends first.
    pub async fn ready(&self) -> Result<(), ShuttingDown> {
        match self.shared.links.get() {
            Some(links) if !links.ready().await => Err(ShuttingDown),
            _ => Ok(()),
        }
    }

    /// How each service is executed: what was asked, and what the machine granted. In the services' order of start.
    #[must_use]
    pub fn placements(&self) -> &[Placement] {
        self.shared.placements.get().map_or(&[], Vec::as_slice)
    }

    /// What all counters say now.
    #[must_use]
    pub fn counters(&self) -> Vec<Reading> {
        self.shared.counters.read()
    }

    /// A publisher for somebody outside the services: another thread, another runtime.
    ///
    /// At shutdown, subscriptions to its topic end when they are empty, though it may still be there.
    ///
    /// # Errors
    /// If the topic cannot take it.
    pub fn publisher<M: Message>(&self, name: &str) -> Result<Publisher<M>, BuildError> {
        self.shared.outside_publisher(name)
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
        let topic = self.shared.topic::<M>().map_err(|error| match error {
            BuildError::Topic(error) => SubscribeError::Topic(error),
            other => SubscribeError::Refused { reason: other.to_string() },
        })?;
        topic.subscribe(name, policy).map(Subscription::free).map_err(SubscribeError::Topic)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.shut_down();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("node", &self.shared.plan.node).finish_non_exhaustive()
    }
}
