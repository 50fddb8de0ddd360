//! Creates the subscriptions and publishers that a service declares, before anything runs.
//! `#[service]` generates the calls.

use std::sync::Arc;

use mycelium_core::wait::WaitStrategy;
use mycelium_core::{Message, Request};
#[cfg(feature = "describe")]
use mycelium_transports::local::Drain;
use mycelium_transports::local::{DeferredWakes, Policy, Publisher, TaskBudget, TaskTrace};
#[cfg(feature = "describe")]
use mycelium_transports::untyped::UntypedPublisher;

use crate::error::BuildError;
use crate::inbox::ending::Ending;
use crate::inbox::request::{Answering, Requester, Role};
use crate::inbox::{AnyInbox, Inbox};
#[cfg(feature = "describe")]
use crate::plan::BoundPort;
use crate::plan::BoundPorts;
use crate::shared::ServiceNode;
use crate::supervise::execution::Execution;

/// Creates a service's subscriptions and publishers, before anything runs.
pub struct Wiring<'a> {
    node: &'a ServiceNode,
    service: &'a str,
    ports: &'a BoundPorts,
    wait: WaitStrategy,
    pub(crate) wired: Wired,
}

/// What the calls of [`Wiring`] have created in addition to the subscriptions and publishers.
pub(crate) struct Wired {
    pub(crate) budget: Arc<TaskBudget>,
    pub(crate) deferred_wakes: Vec<DeferredWakes>,
    pub(crate) inboxes: Vec<Arc<dyn AnyInbox>>,
    /// The handles by which the node ends the service's subscriptions and mailboxes, with their
    /// topics.
    pub(crate) endings: Vec<(Arc<str>, Ending)>,
}

impl<'a> Wiring<'a> {
    pub(crate) fn new(
        node: &'a ServiceNode,
        service: &'a str,
        ports: &'a BoundPorts,
        execution: &Execution,
    ) -> Wiring<'a> {
        Wiring {
            node,
            service,
            ports,
            wait: execution.wait,
            wired: Wired {
                budget: match &node.plan.tracer {
                    Some(tracer) => {
                        let (tracer, service) = (tracer.clone(), service.into());
                        let trace = match ports.carries_requests() {
                            true => TaskTrace::passing(tracer, service),
                            false => TaskTrace::new(tracer, service),
                        };
                        TaskBudget::with_trace(execution.budget, trace)
                    }
                    None => TaskBudget::with_limit(execution.budget),
                },
                deferred_wakes: Vec::new(),
                inboxes: Vec::new(),
                endings: Vec::new(),
            },
        }
    }

    /// Creates the subscription of the port at index `place` of `Ports::reads`.
    ///
    /// # Errors
    /// [`BuildError`] if the topic refuses the subscription.
    pub fn input<M: Message>(&mut self, place: usize) -> Result<Arc<Inbox<M>>, BuildError> {
        let (service, node) = (self.service, self.node);
        let port = &self.ports.reads[place];
        let topic = node.topics.of::<M>(&port.topic)?;
        let mut subscription = topic.subscribe::<M>(&port.member_name(service), port.options)?;
        subscription.set_wait_strategy(self.wait);
        self.wired.deferred_wakes.push(subscription.attach(&self.wired.budget));
        let ending = Ending::Subscription(subscription.finisher());
        self.wired.endings.push((port.topic.clone(), ending));
        let inbox = Inbox::new(format!("{service}.{}", port.key), subscription);
        #[cfg(feature = "testing")]
        if let Some(probe) = node.probe.get() {
            probe.add_input::<M>(service, port, inbox.clone());
        }
        self.wired.inboxes.push(inbox.clone());
        Ok(inbox)
    }

    /// Creates the publisher of the port at index `place` of `Ports::emits`.
    ///
    /// # Errors
    /// [`BuildError`] if the topic refuses the publisher.
    pub fn output<M: Message>(&mut self, place: usize) -> Result<Publisher<M>, BuildError> {
        let port = &self.ports.emits[place];
        let name = port.member_name(self.service);
        #[cfg(feature = "testing")]
        if let Some(probe) = self.node.probe.get() {
            probe.add_output::<M>(self.service, &self.node.topics.of::<M>(&port.topic)?)?;
        }
        let mut publisher = self.node.topics.publisher::<M>(&port.topic, &name)?;
        publisher.set_wait_strategy(self.wait);
        publisher.retain_after_end();
        self.node.observe_publisher(self.service, &publisher);
        self.wired.deferred_wakes.push(publisher.attach(&self.wired.budget));
        Ok(publisher)
    }

    /// Creates a publisher of bytes for each port of `Ports::emits`.
    ///
    /// # Errors
    /// [`BuildError`] if a topic refuses the publisher.
    #[cfg(feature = "describe")]
    pub(crate) fn untyped_outputs(&mut self) -> Result<Vec<UntypedPublisher>, BuildError> {
        let (ports, topics) = (self.ports, &self.node.topics);
        let output = |port: &BoundPort| {
            let name = port.member_name(self.service);
            let mut publisher = topics.untyped_publisher(&port.topic, &name)?;
            publisher.set_wait_strategy(self.wait);
            publisher.retain_after_end();
            self.wired.deferred_wakes.push(publisher.attach(&self.wired.budget));
            Ok(publisher)
        };
        ports.emits.iter().map(output).collect()
    }

    /// Creates a subscription that discards its messages for each port of `Ports::reads`.
    ///
    /// # Errors
    /// [`BuildError`] if a topic refuses the subscription.
    #[cfg(feature = "describe")]
    pub(crate) fn drains(&mut self) -> Result<Vec<Drain>, BuildError> {
        let (ports, topics) = (self.ports, &self.node.topics);
        let input = |port: &BoundPort| {
            let name = port.member_name(self.service);
            let mut drain = Drain::new(&topics.planned(&port.topic)?, &name, port.options)?;
            self.wired.deferred_wakes.push(drain.attach(&self.wired.budget));
            let ending = Ending::Subscription(drain.finisher());
            self.wired.endings.push((port.topic.clone(), ending));
            Ok(drain)
        };
        ports.reads.iter().map(input).collect()
    }

    /// Creates a requester that the service declares.
    ///
    /// # Errors
    /// [`BuildError`] if the topic carries requests of another type.
    pub fn requester<Q: Request>(&mut self, place: usize) -> Result<Requester<Q>, BuildError> {
        let (topics, name) = (&self.node.topics, self.service);
        let topic = &self.ports.requests[place].topic;
        let mailbox = topics.mailbox::<Q>(topic)?;
        #[cfg(feature = "testing")]
        if let Some(probe) = self.node.probe.get()
            && self.node.plan.readers(topic).is_empty()
        {
            let line = topics.counters().line(&format!("topic={topic} responder=test"));
            let name = format!("test.{topic}");
            let answering =
                Answering::new(name, &mailbox, WaitStrategy::Park, line, &self.wired.budget);
            probe.add_requests(answering.requests());
        }
        let line = topics.counters().line(&format!("topic={topic} requester={name}"));
        Ok(Requester::new(mailbox, name, Arc::new(line), self.wait, Role::Service))
    }

    /// Joins the mailbox of a topic that the service declares to answer.
    ///
    /// # Errors
    /// Same as [`requester`](Wiring::requester).
    pub fn answering<Q: Request>(&mut self, place: usize) -> Result<Arc<Answering<Q>>, BuildError> {
        let (service, topics) = (self.service, &self.node.topics);
        let port = &self.ports.answers[place];
        let topic = &port.topic;
        let mailbox = topics.mailbox::<Q>(topic)?;
        if port.options.policy == Policy::Reject {
            mailbox.state().reject();
        }
        let line = topics.counters().line(&format!("topic={topic} responder={service}"));
        let name = format!("{service}.{topic}");
        let answering = Answering::new(name, &mailbox, self.wait, line, &self.wired.budget);
        self.wired.endings.push((port.topic.clone(), Ending::Mailbox(mailbox)));
        self.wired.inboxes.push(answering.clone());
        Ok(answering)
    }
}
