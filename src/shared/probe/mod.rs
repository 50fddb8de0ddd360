//! A test's view of the services in its node: their inputs, all messages that they emit, and each
//! failure.

mod failure;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};

use mycelium_core::{Message, Request};
use mycelium_transports::local::{
    Delivery, Policy, Schema, Subscription, Topic, TopicError, TryRecv,
};

use crate::inbox::AnyInbox;
use crate::inbox::request::Requests;
use crate::plan::BoundPort;
use crate::supervise;
use crate::support::lock::lock;
pub use failure::Failure;

/// The name of a test's subscriptions and publishers.
pub(crate) const TEST: &str = "test";

/// The probe of a node. The node fills it, the test reads it.
#[derive(Default)]
pub(crate) struct Probe(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    /// The captured messages, by topic.
    captures: BTreeMap<String, Box<dyn AnyCapture>>,
    /// The requests that the test answers, by topic.
    requests: BTreeMap<&'static str, Box<dyn Any + Send>>,
    failures: Vec<Failure>,
}

/// A topic that a service reads.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) service: String,
    pub(crate) topic: String,
    pub(crate) message: &'static str,
    /// The name of the subscription: `Service`, or `Service.port`.
    pub(crate) member: String,
    /// The source text of the call by which the service takes the subscription.
    pub(crate) subscribe: String,
    inbox: Weak<dyn AnyInbox>,
}

impl Input {
    /// Returns whether the service has taken its subscription.
    pub(crate) fn was_taken(&self) -> bool {
        self.inbox.upgrade().is_none_or(|inbox| inbox.was_taken())
    }
}

/// A topic that a service emits to.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) service: String,
    pub(crate) topic: String,
    pub(crate) message: &'static str,
}

/// The messages of one topic that the test has not taken.
struct Capture<M: Message> {
    subscription: Subscription<M>,
    messages: VecDeque<Delivery<M>>,
}

trait AnyCapture: Any + Send {
    /// Collects the messages that were emitted. Returns their number and their size in bytes.
    fn collect(&mut self) -> (usize, usize);
}

impl<M: Message> AnyCapture for Capture<M> {
    fn collect(&mut self) -> (usize, usize) {
        let before = self.messages.len();
        // There are no gaps: a gating subscription to publishers of this process gets none.
        while let TryRecv::Delivery(delivery) = self.subscription.try_recv() {
            self.messages.push_back(delivery);
        }
        let messages = self.messages.len() - before;
        (messages, messages * size_of::<M>())
    }
}

impl Seen {
    /// Returns the messages of a topic, if they are captured with this type.
    fn capture<M: Message>(&mut self, topic: &str) -> Option<&mut Capture<M>> {
        let capture: &mut dyn Any = &mut **self.captures.get_mut(topic)?;
        capture.downcast_mut()
    }
}

impl Probe {
    /// Adds a topic that a service reads.
    pub(crate) fn add_input<M: Message>(
        &self,
        service: &str,
        port: &BoundPort,
        inbox: Arc<dyn AnyInbox>,
    ) {
        let message = Schema::of::<M>().name();
        let subscribe = match port.has_own_topic {
            true => format!("ctx.subscribe::<{message}>()"),
            false => format!("ctx.subscribe_on(Self::{})", port.key),
        };
        lock(&self.0).inputs.push(Input {
            service: service.to_owned(),
            topic: port.topic.to_string(),
            message,
            member: port.member_name(service),
            subscribe,
            inbox: Arc::downgrade(&inbox),
        });
    }

    /// Adds a topic to which a service emits: all its messages are captured from now on.
    pub(crate) fn add_output<M: Message>(
        &self,
        service: &str,
        topic: &Arc<Topic>,
    ) -> Result<(), TopicError> {
        self.capture::<M>(topic)?;
        lock(&self.0).outputs.push(Output {
            service: service.to_owned(),
            topic: topic.name().to_owned(),
            message: Schema::of::<M>().name(),
        });
        Ok(())
    }

    /// Captures all messages of a topic.
    pub(crate) fn capture<M: Message>(&self, topic: &Arc<Topic>) -> Result<(), TopicError> {
        let mut seen = lock(&self.0);
        if !seen.captures.contains_key(topic.name()) {
            let subscription = topic.subscribe::<M>(TEST, Policy::Block)?;
            let capture = Capture { subscription, messages: VecDeque::new() };
            seen.captures.insert(topic.name().to_owned(), Box::new(capture));
        }
        Ok(())
    }

    /// Adds requests that services make but none of them answers: the test answers them.
    pub(crate) fn add_requests<Q: Request>(&self, requests: Requests<Q>) {
        lock(&self.0).requests.insert(Q::TOPIC, Box::new(requests));
    }

    /// Calls `take` with the requests of a topic. `None` if the test does not answer them.
    pub(crate) fn with_requests<Q: Request, T>(
        &self,
        take: impl FnOnce(&mut Requests<Q>) -> T,
    ) -> Option<T> {
        let mut seen = lock(&self.0);
        Some(take(seen.requests.get_mut(Q::TOPIC)?.downcast_mut()?))
    }

    /// Adds a failure of a run.
    pub(crate) fn add_failure(&self, service: &str, failure: &supervise::Failure) {
        lock(&self.0).failures.push(Failure::new(service, failure));
    }

    /// Collects the messages that services emitted, which gives them room to emit more. Returns the
    /// number of messages and their size in bytes.
    pub(crate) fn collect(&self) -> (usize, usize) {
        let mut seen = lock(&self.0);
        let collected = seen.captures.values_mut().map(|capture| capture.collect());
        collected.fold((0, 0), |(messages, bytes), (more, size)| (messages + more, bytes + size))
    }

    /// Returns whether a message of a topic is there. `None` if the topic is not captured with this
    /// type.
    pub(crate) fn has<M: Message>(&self, topic: &str) -> Option<bool> {
        let mut seen = lock(&self.0);
        let capture = seen.capture::<M>(topic)?;
        capture.collect();
        Some(!capture.messages.is_empty())
    }

    /// Takes the next message of a topic.
    pub(crate) fn take<M: Message>(&self, topic: &str) -> Option<M> {
        lock(&self.0).capture::<M>(topic)?.messages.pop_front()?.message()
    }

    pub(crate) fn take_failures(&self) -> Vec<Failure> {
        std::mem::take(&mut lock(&self.0).failures)
    }

    pub(crate) fn inputs(&self) -> Vec<Input> {
        lock(&self.0).inputs.clone()
    }

    pub(crate) fn outputs(&self) -> Vec<Output> {
        lock(&self.0).outputs.clone()
    }
}
