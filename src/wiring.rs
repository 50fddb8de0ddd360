//! Makes the subscriptions and publishers that a service declares, before anything runs.
//! `#[service]` writes the calls.

use std::sync::Arc;

use mycelium_core::Message;
use mycelium_core::wait::WaitStrategy;
use mycelium_transports::local::{DeferredWakes, Finisher, Publisher, TaskBudget};

use crate::error::BuildError;
use crate::execution::Execution;
use crate::inbox::{AnyInbox, Inbox};
use crate::plan::{BoundPort, BoundPorts};
use crate::shared::Shared;

/// Makes a service's subscriptions and publishers, before anything runs.
pub struct Wiring<'a> {
    shared: &'a Arc<Shared>,
    service: &'a str,
    ports: &'a BoundPorts,
    wait: WaitStrategy,
    pub(crate) budget: Arc<TaskBudget>,
    pub(crate) deferred_wakes: Vec<DeferredWakes>,
    pub(crate) inboxes: Vec<Arc<dyn AnyInbox>>,
    /// The handles by which the node ends subscriptions, with their topics.
    pub(crate) finishers: Vec<(Arc<str>, Finisher)>,
}

impl<'a> Wiring<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        service: &'a str,
        ports: &'a BoundPorts,
        execution: &Execution,
    ) -> Wiring<'a> {
        Wiring {
            shared,
            service,
            ports,
            wait: execution.wait,
            budget: TaskBudget::with_limit(execution.budget),
            deferred_wakes: Vec::new(),
            inboxes: Vec::new(),
            finishers: Vec::new(),
        }
    }

    /// A subscription that the service declared: `key` is the name of the port, or the topic.
    ///
    /// # Errors
    /// If the topic refuses it.
    pub fn input<M: Message>(&mut self, key: &'static str) -> Result<Inbox<M>, BuildError> {
        let (service, shared) = (self.service, self.shared);
        let port = find(&self.ports.reads, key);
        let topic = shared.topics.of::<M>(&port.topic)?;
        let mut subscription = topic.subscribe::<M>(&port.member_name(service), port.options)?;
        subscription.set_wait_strategy(self.wait);
        self.deferred_wakes.push(subscription.attach(&self.budget));
        self.finishers.push((port.topic.clone(), subscription.finisher()));
        let inbox = Inbox::new(format!("{service}.{key}"), subscription);
        #[cfg(feature = "testing")]
        if let Some(probe) = shared.probe.get() {
            probe.add_input::<M>(service, port, &inbox.watched());
        }
        self.inboxes.push(inbox.watched());
        Ok(inbox)
    }

    /// A publisher that the service declared: `key` is the name of the port, or the topic.
    ///
    /// # Errors
    /// If the topic refuses it.
    pub fn output<M: Message>(&mut self, key: &'static str) -> Result<Publisher<M>, BuildError> {
        let port = find(&self.ports.emits, key);
        let name = port.member_name(self.service);
        #[cfg(feature = "testing")]
        if let Some(probe) = self.shared.probe.get() {
            probe.add_output::<M>(self.service, &self.shared.topics.of::<M>(&port.topic)?)?;
        }
        let mut publisher = self.shared.topics.publisher::<M>(&port.topic, &name)?;
        publisher.set_wait_strategy(self.wait);
        self.shared.observe_pressure(self.service, &publisher);
        self.deferred_wakes.push(publisher.attach(&self.budget));
        Ok(publisher)
    }
}

fn find<'p>(ports: &'p [BoundPort], key: &str) -> &'p BoundPort {
    let port = ports.iter().find(|port| port.key == key);
    port.expect("`Service::ports` lists the ports that `Service::wire` makes")
}
