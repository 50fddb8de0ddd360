//! The topics of a node, and its publishers: of services, of the node's owner, and of dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use mycelium_core::{Code, Message, Request, message::NO_ID};
use mycelium_executor::{Executor, system_entropy};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    HandlerWatch, KeepOpen, Publisher, Readers, RingMemory, Schema, SubscribeOptions, Topic,
    Undelivered,
};
#[cfg(any(feature = "describe", feature = "record"))]
use mycelium_transports::untyped::{UntypedPublishError, UntypedPublisher};

use super::outside::OutsideSubscriptions;
use crate::error::{BuildError, SubscribeError};
use crate::inbox::Subscription;
use crate::inbox::fast_handler::FastHandlers;
use crate::inbox::request::{Mailbox, Mailboxes};
use crate::observe::counters_region;
use crate::plan::Plan;
use crate::plan::dead_letter::DeadLetter;
use crate::support::lock::lock;
use crate::topology::{Setting, check_topic};

/// The initial capacity of the node's counters, in lines.
const COUNTER_LINES: usize = 64;

/// The maximum number of gating subscriptions of a topic that no service declared.
const READERS: usize = 64;

/// The topics of a node.
pub(crate) struct Topics {
    plan: Arc<Plan>,
    fast_handlers: FastHandlers,
    /// Set if a watchdog runs.
    handler_watch: OnceLock<Arc<dyn HandlerWatch>>,
    /// Set at the start of the node.
    executor: OnceLock<Arc<dyn Executor>>,
    counters: Arc<Region>,
    outside: OutsideSubscriptions,
    pub(crate) mailboxes: Mailboxes,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    topics: BTreeMap<Arc<str>, Arc<Topic>>,
    /// Topics with a publisher outside the services.
    from_outside: BTreeSet<String>,
    /// Topics that a transport of the program receives, or an engine.
    received: BTreeSet<String>,
    /// Topics that had a subscription outside the services.
    to_outside: BTreeSet<String>,
    /// Keeps the subscriptions to dead letters open while a service or a link may write some.
    dead_letters: Option<KeepOpen>,
}

/// Writes the dead letters of one service. Most services never write one, so the publisher is
/// created with the first dead letter. The writer keeps subscriptions to dead letters open until
/// the service ends.
pub(crate) struct DeadLetterWriter {
    publisher: Option<Box<Publisher<DeadLetter>>>,
    _open: KeepOpen,
}

impl DeadLetterWriter {
    /// Publishes a dead letter, as `service`. If there is no room for it, it is lost; the counter
    /// and the log still record it.
    pub(crate) fn write(&mut self, topics: &Topics, service: &str, undelivered: &Undelivered) {
        if self.publisher.is_none() {
            self.publisher = topics.publisher(DeadLetter::TOPIC, service).ok().map(Box::new);
        }
        if let Some(publisher) = &mut self.publisher {
            let _ = publisher.try_emit(DeadLetter::new(undelivered, topics.longest_letter()));
        }
    }
}

impl Topics {
    /// Creates all topics of the plan, with their fast handlers.
    pub(crate) fn new(plan: Arc<Plan>, fast_handlers: FastHandlers) -> Result<Topics, BuildError> {
        let counters = counters_region::shared(COUNTER_LINES);
        let topics = Topics {
            plan: plan.clone(),
            fast_handlers,
            handler_watch: OnceLock::new(),
            executor: OnceLock::new(),
            counters,
            outside: OutsideSubscriptions::default(),
            mailboxes: Mailboxes::default(),
            registry: Mutex::default(),
        };
        for (name, planned) in &plan.topics {
            let memory = match planned.is_shared {
                true => plan.ring_memory(name),
                false => RingMemory::Heap,
            };
            let topic = topics.make(name, planned.schema, planned.gating, memory)?;
            let mut registry = lock(&topics.registry);
            if **name == *DeadLetter::TOPIC && plan.dead_letters.are_read() {
                registry.dead_letters = Some(topic.keep_open());
            }
            registry.topics.insert(name.clone(), topic);
        }
        Ok(topics)
    }

    /// Creates a topic as the plan says.
    fn make(
        &self,
        name: &str,
        schema: Schema,
        readers: impl Into<Readers>,
        memory: RingMemory,
    ) -> Result<Arc<Topic>, BuildError> {
        let Topics { plan, fast_handlers, handler_watch, executor, counters, .. } = self;
        let (capacity, recorded) = (plan.capacity(name), plan.recorded(name));
        let counters = counters.clone();
        let topic =
            Topic::with_recorded(name, schema, capacity, readers, memory, recorded, counters)?;
        topic.set_threshold(plan.topic(name).threshold);
        topic.set_on_stall(plan.topic(name).on_stall);
        plan.topic(name).work_queue.into_iter().for_each(|queue| topic.set_work_queue(queue));
        if let Some(retain) = plan.topics.get(name).and_then(|planned| planned.retain) {
            topic.retain(retain)?;
        }
        fast_handlers.add_to(&topic)?;
        handler_watch.get().into_iter().for_each(|watch| topic.watch_fast_handlers(watch.clone()));
        executor.get().into_iter().for_each(|executor| topic.set_executor(executor.clone()));
        Ok(topic)
    }

    /// Sets the executor of the node, whose time the topics use.
    pub(super) fn set_executor(&self, executor: &Arc<dyn Executor>) {
        let _ = self.executor.set(executor.clone());
        self.plan.tracer.iter().for_each(|tracer| tracer.set_executor(executor.clone()));
        lock(&self.registry).topics.values().for_each(|topic| topic.set_executor(executor.clone()));
    }

    /// Makes the fast handlers of all topics visible to the watchdog.
    pub(crate) fn watch_fast_handlers(&self, watch: Arc<dyn HandlerWatch>) {
        // Sets the watch of new topics first, for topics that are created meanwhile.
        let _ = self.handler_watch.set(watch.clone());
        lock(&self.registry)
            .topics
            .values()
            .for_each(|topic| topic.watch_fast_handlers(watch.clone()));
    }

    /// Returns the topic with this name; creates it if no service declared it.
    pub(crate) fn of<M: Message>(&self, name: &str) -> Result<Arc<Topic>, BuildError> {
        let mut registry = lock(&self.registry);
        if let Some(topic) = registry.topics.get(name) {
            return Ok(topic.clone());
        }
        if name != DeadLetter::TOPIC {
            check_topic(name)?;
        }
        let schema = Schema::of::<M>();
        let mut known = registry.topics.values().map(|topic| topic.schema());
        let is_twice = |other: &&Schema| M::ID != NO_ID && other.id == M::ID && **other != schema;
        if let Some(other) = known.find(is_twice) {
            return Err(BuildError::id_twice(M::ID, other.path, schema.path));
        }
        let topic = self.make(name, schema, READERS, RingMemory::Heap)?;
        registry.topics.insert(name.into(), topic.clone());
        Ok(topic)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        lock(&self.registry).topics.values().cloned().collect()
    }

    pub(crate) fn counters(&self) -> &Arc<Region> {
        &self.counters
    }

    /// Creates a publisher of a topic.
    pub(crate) fn publisher<M: Message>(
        &self,
        topic: &str,
        name: &str,
    ) -> Result<Publisher<M>, BuildError> {
        let epoch = self.executor.get().map_or_else(system_entropy, |executor| executor.entropy());
        Ok(self.of::<M>(topic)?.publisher(name, epoch)?)
    }

    /// Creates a publisher of bytes.
    #[cfg(any(feature = "describe", feature = "record"))]
    pub(crate) fn untyped_publisher(
        &self,
        topic: &str,
        name: &str,
    ) -> Result<UntypedPublisher, BuildError> {
        let epoch = self.executor.get().map_or_else(system_entropy, |executor| executor.entropy());
        UntypedPublisher::new(&self.planned(topic)?, name, epoch).map_err(|error| match error {
            UntypedPublishError::Topic(error) => error.into(),
            error => BuildError::new(Code::SERVICE_ONLY_DESCRIBED, error.to_string()),
        })
    }

    /// Returns a topic of a service of the plan.
    #[cfg(any(feature = "describe", feature = "record"))]
    pub(crate) fn planned(&self, name: &str) -> Result<Arc<Topic>, BuildError> {
        lock(&self.registry).topics.get(name).cloned().ok_or_else(|| {
            let problem = format!("topic `{name}`: no service of this node has it");
            BuildError::new(Code::SERVICE_ONLY_DESCRIBED, problem)
        })
    }

    /// Creates a publisher whose end the node cannot wait for: at a shutdown, subscriptions to its
    /// topic end when they are empty and the services that emit to the topic have ended.
    pub(crate) fn outside_publisher<M: Message>(
        &self,
        topic: &str,
        name: &str,
    ) -> Result<Publisher<M>, BuildError> {
        let publisher = self.publisher(topic, name)?;
        lock(&self.registry).from_outside.insert(topic.to_owned());
        Ok(publisher)
    }

    /// Notes that a transport of the program sends the messages of the topics in `sends`, and
    /// publishes messages of the topics in `receives`.
    pub(crate) fn add_transport(&self, sends: &[String], receives: &[String]) {
        let mut registry = lock(&self.registry);
        registry.to_outside.extend(sends.iter().cloned());
        registry.from_outside.extend(receives.iter().cloned());
        registry.received.extend(receives.iter().cloned());
    }

    /// Returns the mailbox of a topic of requests; creates it if no service declared it.
    pub(crate) fn mailbox<Q: Request>(&self, topic: &str) -> Result<Arc<Mailbox<Q>>, BuildError> {
        check_topic(topic)?;
        let mailbox =
            self.mailboxes.of::<Q>(topic, self.plan.capacity(topic), || self.plan.tracer_of(topic));
        let mailbox = mailbox.map_err(|error| {
            let place = self.plan.places.of(Setting::Capacity(topic));
            let problem = format!("the mailbox of topic `{topic}`: {error}");
            BuildError::at(place, Code::MAILBOX_CAPACITY, problem)
        })?;
        mailbox.ok_or_else(|| {
            let problem = format!(
                "topic `{topic}` has two request types: build both from one version, or give one of \
                 them another topic (`#[message(topic = ..)]`)"
            );
            BuildError::new(Code::REQUEST_TYPE, problem)
        })
    }

    /// Creates a subscription for code outside the services.
    pub(crate) fn outside_subscription<M: Message>(
        &self,
        topic: &str,
        name: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription<M>, SubscribeError> {
        let topic = self.of::<M>(topic).map_err(|error| match error {
            BuildError::Topic(error) => SubscribeError::Topic(error),
            other => SubscribeError::Refused { reason: other.to_string() },
        })?;
        let subscription = topic.subscribe(name, options)?;
        lock(&self.registry).to_outside.insert(topic.name().to_owned());
        let finisher = self.outside.add(subscription.finisher());
        Ok(Subscription::outside(subscription, finisher))
    }

    /// Ends the subscriptions outside the services once they are empty. Called when the services
    /// have ended.
    pub(crate) fn finish_outside_subscriptions(&self) {
        self.outside.finish();
    }

    /// Returns whether a topic has a publisher outside the services.
    pub(crate) fn has_outside_publisher(&self, topic: &str) -> bool {
        lock(&self.registry).from_outside.contains(topic)
    }

    /// Returns whether a transport of the program, or an engine, receives the topic.
    pub(crate) fn is_received(&self, topic: &str) -> bool {
        lock(&self.registry).received.contains(topic)
    }

    /// Returns how many topics have a publisher outside the services.
    pub(crate) fn outside_publishers(&self) -> usize {
        lock(&self.registry).from_outside.len()
    }

    /// Returns whether a topic has, or had, a subscription outside the services.
    pub(crate) fn has_outside_subscription(&self, topic: &str) -> bool {
        lock(&self.registry).to_outside.contains(topic)
    }

    /// Publishes a dead letter of a link, if a service of this node reads dead letters.
    pub(crate) fn write_dead_letter(&self, undelivered: &Undelivered) {
        if self.plan.topics.contains_key(DeadLetter::TOPIC)
            && let Ok(mut dead_letters) = self.publisher::<DeadLetter>(DeadLetter::TOPIC, "links")
        {
            // If the ring of dead letters is full, this one is lost; the log and the counters still
            // record it.
            let _ = dead_letters.try_emit(DeadLetter::new(undelivered, self.longest_letter()));
        }
    }

    /// Returns the most bytes of a dead letter.
    fn longest_letter(&self) -> usize {
        self.plan.topics.get(DeadLetter::TOPIC).map_or(0, |planned| planned.schema.longest)
    }

    /// Returns the writer of a service's dead letters. It creates no ring before the first one.
    pub(crate) fn dead_letters(&self) -> Result<DeadLetterWriter, BuildError> {
        let topic = self.of::<DeadLetter>(DeadLetter::TOPIC)?;
        Ok(DeadLetterWriter { publisher: None, _open: topic.keep_open() })
    }

    /// Allows the subscriptions to dead letters to end. Called when no further dead letters are
    /// expected, or at a shutdown.
    pub(crate) fn end_dead_letters(&self) {
        let guard = lock(&self.registry).dead_letters.take();
        drop(guard);
    }
}
