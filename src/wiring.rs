//! Makes the subscriptions and publishers that a service declares, before anything runs.
//! `#[service]` writes the calls.

use std::sync::Arc;

use mycelium_core::Message;
use mycelium_core::wait::WaitStrategy;
use mycelium_transports::local::{DeferredWakes, Finisher, Publisher, TaskBudget};

use crate::error::BuildError;
use crate::execution::Execution;
use crate::inbox::{AnyInbox, Inbox};
use crate::shared::Shared;

/// Makes a service's subscriptions and publishers, before anything runs.
pub struct Wiring<'a> {
    shared: &'a Arc<Shared>,
    service: &'a str,
    wait: WaitStrategy,
    pub(crate) budget: Arc<TaskBudget>,
    pub(crate) deferred_wakes: Vec<DeferredWakes>,
    pub(crate) inboxes: Vec<Arc<dyn AnyInbox>>,
    /// The handles by which the node ends subscriptions, with their topics.
    pub(crate) finishers: Vec<(&'static str, Finisher)>,
}

impl<'a> Wiring<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        service: &'a str,
        execution: &Execution,
    ) -> Wiring<'a> {
        Wiring {
            shared,
            service,
            wait: execution.wait,
            budget: TaskBudget::with_limit(execution.budget),
            deferred_wakes: Vec::new(),
            inboxes: Vec::new(),
            finishers: Vec::new(),
        }
    }

    /// A subscription that the service declared.
    ///
    /// # Errors
    /// If the topic refuses it.
    pub fn input<M: Message>(&mut self) -> Result<Inbox<M>, BuildError> {
        let policy = self.shared.plan.topology.policy(self.service, M::TOPIC);
        let topic = self.shared.topics.of::<M>()?;
        let mut subscription = topic.subscribe::<M>(self.service, policy)?;
        subscription.set_wait_strategy(self.wait);
        self.deferred_wakes.push(subscription.attach(&self.budget));
        self.finishers.push((M::TOPIC, subscription.finisher()));
        let inbox = Inbox::new(format!("{}.{}", self.service, M::TOPIC), subscription);
        #[cfg(feature = "testing")]
        if let Some(probe) = self.shared.probe.get() {
            probe.add_input::<M>(self.service, M::TOPIC, &inbox.watched());
        }
        self.inboxes.push(inbox.watched());
        Ok(inbox)
    }

    /// A publisher that the service declared.
    ///
    /// # Errors
    /// If the topic refuses it.
    pub fn output<M: Message>(&mut self) -> Result<Publisher<M>, BuildError> {
        #[cfg(feature = "testing")]
        if let Some(probe) = self.shared.probe.get() {
            probe.add_output::<M>(self.service, &self.shared.topics.of::<M>()?)?;
        }
        let mut publisher = self.shared.topics.publisher::<M>(self.service)?;
        publisher.set_wait_strategy(self.wait);
        self.deferred_wakes.push(publisher.attach(&self.budget));
        Ok(publisher)
    }
}
