//! A topic: the list of its publishers and subscriptions, and the rules by which they join and
//! leave.
//!
//! This file connects the shared states of [`state`](super::state). It does not know message types.
//! The handles of users join a topic: a `Publisher`, a `Subscription`, a `Tap` or a `Feed`. The
//! topic also adds the fast handlers of its publishers.

pub(crate) mod fast_handler;

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use mycelium_core::doorbell::announce;
use mycelium_core::message::Message;
use mycelium_core::ring::broadcast::{LayoutError, Producer};
use mycelium_executor::Executor;

use super::metadata::Recorded;
use super::retained::{Retain, Retainer};
use super::ring::roster::{Numbered, Versioned};
use super::ring::shared::Ring;
use super::ring::{Readers, RingError, RingMemory, RingShape};
use super::state::pressure::Threshold;
use super::state::stall::OnStall;
use super::state::{Edge, Origin, PublisherState, RingStatus, SubscriberState};
use super::state::{Joiners, Kept};
use super::values::{
    LatestByKey, OnDeadLetter, Policy, Schema, SubscribeOptions, TopicError, Undelivered, WorkQueue,
};
use crate::counters::Region;
use crate::sync::{AtomicUsize, Ordering, lock};
use fast_handler::{FastHandler, Handled, HandlerWatch};

/// The limit on gating subscriptions, if the topic sets no other.
const READERS: usize = 64;
/// The limit on ended publishers of other processes with unread messages: this number, or as many
/// as have rings of `UNREAD_BYTES` in all, if that is more.
const UNREAD: usize = 64;
const UNREAD_BYTES: usize = 16 << 20;
/// The limit on ended publishers whose retained values are kept.
const ENDED: usize = 64;

/// A named stream of messages of one type within a process. See the [module](super).
///
/// ```
/// use mycelium_core::message;
/// use mycelium_transports::counters::Region;
/// use mycelium_transports::local::{Delivery, Policy, Schema, Topic};
///
/// #[message(topic = "ticks", id = 1)]
/// #[derive(Debug, PartialEq)]
/// struct Tick {
///     price: u64,
/// }
///
/// let topic = Topic::new("ticks", Schema::of::<Tick>(), 1024, Region::new(16))?;
/// let mut ticks = topic.subscribe::<Tick>("reader", Policy::Block)?;
/// let mut publisher = topic.publisher::<Tick>("writer", 1)?;
///
/// publisher.try_emit(Tick { price: 7 }).expect("the ring has room");
/// let Some(Delivery::Msg(tick)) = ticks.try_recv().delivery() else { panic!("no message") };
/// assert_eq!(*tick, Tick { price: 7 });
/// # Ok::<(), mycelium_transports::local::TopicError>(())
/// ```
pub struct Topic {
    name: String,
    schema: Schema,
    shape: RingShape,
    threshold: Mutex<Threshold>,
    on_stall: Mutex<OnStall>,
    /// The executor, whose clock times evictions and latencies.
    executor: OnceLock<Arc<dyn Executor>>,
    pub(crate) recorded: Recorded,
    pub(crate) counters: Arc<Region>,
    members: Mutex<Members>,
    open_guards: OpenGuards,
    fast_handlers: Mutex<Vec<FastHandler>>,
    retain: OnceLock<Retain>,
    work_queue: OnceLock<WorkQueue>,
    on_dead_letter: OnceLock<Box<OnDeadLetter>>,
    /// The keys of the subscriptions.
    pub(crate) keys: Versioned<Vec<LatestByKey>>,
    handler_watch: Arc<OnceLock<Arc<dyn HandlerWatch>>>,
}

#[derive(Default)]
struct Members {
    /// Sorted by number.
    publishers: Vec<Arc<PublisherState>>,
    /// The epochs of the publishers of this process.
    epochs: HashSet<u64>,
    /// Sorted by number.
    subscribers: Vec<Arc<SubscriberState>>,
    /// The number of subscriptions that take an entry in each ring.
    keeping: usize,
    /// Ended publishers of this process that retain values, the last one of each name.
    ended: Vec<Arc<PublisherState>>,
    /// Ended publishers of other processes, until every subscription has read them to the end.
    unread: Vec<Weak<PublisherState>>,
}

/// The guards that keep the topic open.
#[derive(Debug, Default)]
struct OpenGuards {
    now: AtomicUsize,
    ever: AtomicUsize,
}

impl Topic {
    /// Creates a topic without publishers and subscriptions, whose publishers have rings of
    /// `capacity` messages each, on the heap. It takes up to 64 gating subscriptions;
    /// [`with_recorded`](Topic::with_recorded) sets another limit.
    ///
    /// # Errors
    /// If the capacity is not a power of two of at least 2, or too large for the memory.
    pub fn new(
        name: &str,
        schema: Schema,
        capacity: usize,
        counters: Arc<Region>,
    ) -> Result<Arc<Topic>, TopicError> {
        let (memory, recorded) = (RingMemory::Heap, Recorded::default());
        Topic::with_recorded(name, schema, capacity, READERS, memory, recorded, counters)
    }

    /// Creates a topic as [`new`](Topic::new) does, with all settings. Each of the gating
    /// [`readers`](Readers) takes an entry of 256 bytes in each ring, and a publisher reads all
    /// entries of its ring once a lap. Other processes can read rings in [`RingMemory::Shared`]
    /// themselves. Messages of a topic with a tracer have [traces](super::Tracer), and their
    /// latency may be measured; either adds 32 bytes to each slot.
    ///
    /// # Errors
    /// The same as for [`new`](Topic::new).
    pub fn with_recorded(
        name: &str,
        schema: Schema,
        capacity: usize,
        readers: impl Into<Readers>,
        memory: RingMemory,
        recorded: impl Into<Recorded>,
        counters: Arc<Region>,
    ) -> Result<Arc<Topic>, TopicError> {
        let (name, recorded) = (name.to_owned(), recorded.into());
        let area = recorded.area();
        let layout = match memory {
            RingMemory::Heap => schema.layout(capacity, area),
            RingMemory::Shared { .. } => schema.shared_layout(capacity, area),
        };
        if let Err(error) = layout.check() {
            return Err(TopicError::Capacity { topic: name, error });
        }
        let (shape, members) =
            (RingShape { layout, area, readers: readers.into(), memory }, Mutex::default());
        let open_guards = OpenGuards::default();
        let (on_stall, executor) = (Mutex::default(), OnceLock::new());
        Ok(Arc::new(Topic {
            name,
            schema,
            shape,
            threshold: Mutex::default(),
            on_stall,
            executor,
            recorded,
            counters,
            members,
            open_guards,
            fast_handlers: Mutex::default(),
            retain: OnceLock::new(),
            work_queue: OnceLock::new(),
            on_dead_letter: OnceLock::new(),
            keys: Versioned::default(),
            handler_watch: Arc::default(),
        }))
    }

    /// Returns the topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the message type of the topic.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the number of messages in the ring of each publisher.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shape.layout.capacity()
    }

    /// Returns the size of the arena of each publisher's ring in bytes; 0 for fixed messages.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.shape.layout.arena_words() * size_of::<usize>()
    }

    /// Returns the size of each publisher's ring in bytes, with its arena.
    pub(crate) fn ring_bytes(&self) -> usize {
        self.shape.layout.bytes().unwrap_or(usize::MAX)
    }

    /// Sets the threshold of backpressure of publishers that join from now on. The default is 80 %
    /// of the capacity.
    pub fn set_threshold(&self, threshold: Threshold) {
        *lock(&self.threshold) = threshold;
    }

    /// Sets what happens to gating readers that block publishers. It applies to publishers of this
    /// process that join from now on. Readers are evicted only once there is an
    /// [executor](Topic::set_executor).
    pub fn set_on_stall(&self, on_stall: OnStall) {
        *lock(&self.on_stall) = on_stall;
    }

    /// Makes the topic a work queue: its transport gives each message to one of the processes that
    /// read it. Only the first call counts.
    pub fn set_work_queue(&self, queue: WorkQueue) {
        let _ = self.work_queue.set(queue);
    }

    /// Returns the settings of the topic as a work queue, if it is one.
    #[must_use]
    pub fn work_queue(&self) -> Option<WorkQueue> {
        self.work_queue.get().copied()
    }

    /// Calls this function with each message at which a reader has failed twice, before the
    /// publisher sees that the reader has passed it. Only the first function counts.
    pub fn on_dead_letter(&self, note: impl Fn(&Undelivered) + Send + Sync + 'static) {
        let _ = self.on_dead_letter.set(Box::new(note));
    }

    pub(crate) fn note_dead_letter(&self, undelivered: &Undelivered) {
        self.on_dead_letter.get().into_iter().for_each(|note| note(undelivered));
    }

    /// Sets the executor whose clock and timers decide when readers are evicted, and whose calendar
    /// time measures latencies. Only the first one counts.
    pub fn set_executor(&self, executor: Arc<dyn Executor>) {
        let _ = self.executor.set(executor);
    }

    /// Returns the bytes of a slot's content: a message, with its area if it has one.
    pub(crate) fn content_bytes(&self) -> usize {
        self.shape.area.content_bytes(self.schema.size)
    }

    pub(crate) fn executor(&self) -> Option<&Arc<dyn Executor>> {
        self.executor.get()
    }

    /// Returns what happens to gating readers that block publishers of this process.
    pub(crate) fn on_stall(&self) -> OnStall {
        *lock(&self.on_stall)
    }

    /// Keeps the topic's subscriptions open until the guard is dropped.
    #[must_use]
    pub fn keep_open(self: &Arc<Topic>) -> KeepOpen {
        self.open_guards.now.fetch_add(1, Ordering::Relaxed);
        self.open_guards.ever.fetch_add(1, Ordering::Relaxed);
        KeepOpen(self.clone())
    }

    /// Whether publishers of other processes may still join. Acquire pairs with the Release in the
    /// guard's drop: a caller that sees the guard gone also sees every publisher that joined
    /// before.
    pub(crate) fn is_kept_open(&self) -> bool {
        self.open_guards.now.load(Ordering::Acquire) > 0
    }

    /// Whether a guard ever existed. If so, a subscription may end without any publisher.
    pub(crate) fn was_kept_open(&self) -> bool {
        self.open_guards.ever.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn check_key(&self, options: SubscribeOptions) -> Result<(), TopicError> {
        match options.policy {
            Policy::LatestByKey(key) if !key.is_of(&self.schema) => {
                Err(TopicError::Key { topic: self.name.clone(), carries: self.schema })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_schema(&self, asked: Schema) -> Result<(), TopicError> {
        if asked == self.schema {
            return Ok(());
        }
        Err(TopicError::Schema {
            topic: self.name.clone(),
            carries: self.schema,
            asked: Box::new(asked),
        })
    }

    /// Returns the options of the subscriptions that there are.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<SubscribeOptions> {
        let members = lock(&self.members);
        let readers = members.subscribers.iter().filter(|reader| !reader.is_tap);
        readers.map(|reader| SubscribeOptions::new(reader.policy, reader.start)).collect()
    }

    /// Whether there is a subscription.
    #[must_use]
    pub fn is_read(&self) -> bool {
        lock(&self.members).subscribers.iter().any(|reader| !reader.is_tap)
    }

    /// Adds a publisher, with an edge to each present subscription. `spare`: the bytes that its
    /// arena has more than others. `continues`: an earlier publisher with the same stream, which
    /// these subscriptions read before. `joiners`: for a publisher in another process that retains
    /// values.
    pub(crate) fn add_publisher(
        &self,
        name: &str,
        epoch: u64,
        origin: Origin,
        spare: usize,
        continues: bool,
        joiners: Option<Arc<Joiners>>,
    ) -> Result<Arc<PublisherState>, TopicError> {
        let shape = self.shape.with_spare(spare);
        let retain = self.retain.get().filter(|_| origin.is_local());
        let slots = retain.map(|retain| {
            let bytes = retain.bytes(&self.schema).unwrap_or(usize::MAX);
            let (topic, most) = (self.name.clone(), retain.most());
            let slots = retain.slots(&self.schema);
            slots.map_err(|_| TopicError::Retained { topic, most, bytes })
        });
        let slots = slots.transpose()?;
        let mut members = lock(&self.members);
        if origin.is_local() {
            if members.epochs.contains(&epoch) {
                return Err(TopicError::Epoch { topic: self.name.clone(), epoch });
            }
        } else {
            // An ended publisher was read to the end if no subscription reads it any more. Whether
            // its state still exists does not matter, because a task may keep a copy of it.
            let is_read = |it: &PublisherState| it.readers.lock().is_empty();
            members.unread.retain(|it| it.upgrade().is_some_and(|it| !is_read(&it)));
            let most = UNREAD.max(UNREAD_BYTES / shape.layout.bytes().unwrap_or(usize::MAX));
            if members.unread.len() >= most && !continues {
                return Err(TopicError::Unread { topic: self.name.clone(), most });
            }
        }
        let made = PublisherState::new(&self.name, &self.schema, shape, name, epoch, origin);
        let publisher = made.map_err(|error| {
            let topic = self.name.clone();
            match error {
                RingError::Layout(error) => TopicError::Capacity { topic, error },
                RingError::Memory(error) => self.without_memory(error),
            }
        })?;
        let kept = slots.map(Kept::Here).or(joiners.map(Kept::There));
        kept.into_iter().for_each(|kept| _ = publisher.kept.set(kept));
        let threshold = *lock(&self.threshold);
        publisher.pressure.set_threshold(threshold, publisher.ring.layout());
        if publisher.origin.is_local() && self.on_stall() != OnStall::Block {
            publisher.evictions.allow();
        }
        // A lost publisher of the same name and epoch is the same stream, which its link has lost
        // and starts again. Subscriptions first read the rest of the lost one.
        let is_same = |it: &Arc<PublisherState>| it.epoch == epoch && *it.name == *name;
        let lost = members.unread.iter().rev().filter_map(Weak::upgrade).find(is_same);
        let lost = lost.filter(|_| !publisher.origin.is_local());
        self.join(&mut members, &publisher, lost.as_ref().map(|lost| (0, lost)), continues)?;
        if publisher.origin.is_local() {
            // What an earlier one of the name has retained is replaced by what this one will.
            members.ended.retain(|ended| *ended.name != *name);
        }
        Ok(publisher)
    }

    fn without_memory(&self, problem: impl ToString) -> TopicError {
        TopicError::Memory { topic: self.name.clone(), problem: problem.to_string() }
    }

    /// Adds a publisher of another process whose ring this process has mapped. Present
    /// subscriptions read it from the position `from` on, after `earlier`, which has the messages
    /// before that position.
    pub(crate) fn add_mapped(
        &self,
        publisher: &Arc<PublisherState>,
        from: usize,
        earlier: &Arc<PublisherState>,
    ) -> Result<(), TopicError> {
        let mut members = lock(&self.members);
        if members.subscribers.iter().any(|it| it.policy == Policy::DropNewest) {
            return Err(self.not_in_memory());
        }
        self.join(&mut members, publisher, Some((from, earlier)), true)?;
        remove(&mut members.publishers, earlier);
        Ok(())
    }

    /// Adds an edge to each present subscription, and the publisher to the list.
    fn join(
        &self,
        members: &mut Members,
        publisher: &Arc<PublisherState>,
        after: Option<(usize, &Arc<PublisherState>)>,
        continues: bool,
    ) -> Result<(), TopicError> {
        let readers = || members.subscribers.iter().filter(|reader| reader.reads(publisher));
        let edges: Option<Vec<Edge>> = readers()
            .map(|reader| PublisherState::attach(publisher, reader, &self.counters, after))
            .collect();
        let edges = edges.ok_or_else(|| self.too_many_readers())?;
        readers().zip(edges).for_each(|(reader, edge)| match publisher.kept.get() {
            Some(Kept::There(joiners)) if !continues => joiners.add(reader, edge),
            _ => reader.send_edge(edge),
        });
        if publisher.origin.is_local() {
            members.epochs.insert(publisher.epoch);
        }
        insert(&mut members.publishers, publisher.clone());
        Ok(())
    }

    /// Adds a subscription, with an edge to each present publisher. `is_tap`: whether it stands for
    /// the readers of another process.
    pub(crate) fn add_subscriber(
        &self,
        name: &str,
        options: SubscribeOptions,
        is_tap: bool,
    ) -> Result<Arc<SubscriberState>, TopicError> {
        let (policy, subscriber) = (options.policy, SubscriberState::new(name, options, is_tap));
        let mut members = lock(&self.members);
        // Checks the limit even without a publisher, because rings of later publishers have no more
        // entries.
        if policy.keeps() && members.keeping >= self.shape.readers.most {
            return Err(self.too_many_readers());
        }
        let is_mapped = |it: &Arc<PublisherState>| it.origin.mapped().is_some();
        if policy == Policy::DropNewest && members.publishers.iter().any(is_mapped) {
            return Err(self.not_in_memory());
        }
        // Readers of another process get what a publisher retains only while it runs.
        let ended = if is_tap { &[] } else { &*members.ended };
        let publishers =
            || members.publishers.iter().chain(ended).filter(|it| subscriber.reads(it));
        let edges: Option<Vec<Edge>> = publishers()
            .map(|publisher| PublisherState::attach(publisher, &subscriber, &self.counters, None))
            .collect();
        let edges = edges.ok_or_else(|| self.too_many_readers()).and_then(|mut edges| {
            let retained = self.retained(&mut edges, &subscriber);
            retained.map_err(|error| self.without_memory(error)).map(|before| (before, edges))
        });
        let (before, edges) =
            edges.inspect_err(|_| publishers().for_each(|it| it.detach(&subscriber)))?;
        before.into_iter().for_each(|edge| subscriber.send_edge(edge));
        for edge in edges {
            match edge.kept() {
                Some(Kept::There(joiners)) => joiners.clone().add(&subscriber, edge),
                _ => subscriber.send_edge(edge),
            }
        }
        members.keeping += usize::from(policy.keeps());
        if let Some(key) = policy.by_key() {
            self.keys.change(|keys| keys.push(key));
        }
        insert(&mut members.subscribers, subscriber.clone());
        let fills = policy.is_gating() && options.start.is_earlier();
        let filled = if fills { members.publishers.clone() } else { Vec::new() };
        drop(members);
        // The new reader may add to the depth of publishers, which compare only after sending.
        // Compares after the lock is released, because an observer of the threshold may use the
        // topic.
        filled.iter().for_each(|publisher| _ = publisher.compare_depth());
        Ok(subscriber)
    }

    /// Returns edges with what the publishers of these edges retain for a subscription that joins.
    fn retained(
        &self,
        edges: &mut [Edge],
        subscriber: &Arc<SubscriberState>,
    ) -> Result<Vec<Edge>, LayoutError> {
        if self.retain.get().is_none() || !subscriber.gets_retained() {
            return Ok(Vec::new());
        }
        let before = edges.iter_mut().map(|edge| edge.retained_before(subscriber, &self.schema));
        before.filter_map(Result::transpose).collect()
    }

    /// Removes a publisher that has ended. If it ran in another process, it counts as unread while
    /// subscriptions still hold its ring.
    pub(crate) fn remove_publisher(&self, publisher: &Arc<PublisherState>) {
        let mut members = lock(&self.members);
        if !remove(&mut members.publishers, publisher) {
            return;
        }
        if publisher.origin.is_local() {
            members.epochs.remove(&publisher.epoch);
            let is_same = |it: &Arc<PublisherState>| it.name == publisher.name;
            let mut others = members.publishers.iter().chain(&members.ended);
            let is_last = !others.any(|it| is_same(it) && it.number() > publisher.number());
            let outlives = |kept: &Kept| match kept {
                Kept::Here(slots) => slots.outlive.load(Ordering::Relaxed),
                Kept::There(_) => false,
            };
            if publisher.kept.get().is_some_and(outlives) && is_last {
                members.ended.retain(|it| !is_same(it));
                members.ended.push(publisher.clone());
                let surplus = members.ended.len().saturating_sub(ENDED);
                members.ended.drain(..surplus);
            }
        } else {
            members.unread.push(Arc::downgrade(publisher));
        }
    }

    pub(crate) fn remove_subscriber(&self, subscriber: &Arc<SubscriberState>) {
        let mut members = lock(&self.members);
        if remove(&mut members.subscribers, subscriber) {
            members.keeping -= usize::from(subscriber.policy.keeps());
            if let Some(key) = subscriber.policy.by_key() {
                self.keys.change(|keys| {
                    let place = keys.iter().position(|it| *it == key);
                    place.map(|place| keys.swap_remove(place))
                });
            }
        }
    }

    /// Returns the fill levels of its publishers' rings, including publishers of other processes
    /// whose messages come over a link or through shared memory.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::counters::Region;
    /// # use mycelium_transports::local::{Policy, Schema, Topic, TopicError};
    /// # #[message(topic = "ticks", id = 1)]
    /// # struct Tick {
    /// #     price: u64,
    /// # }
    /// let topic = Topic::new("ticks", Schema::of::<Tick>(), 4, Region::new(16))?;
    /// let mut reader = topic.subscribe::<Tick>("reader", Policy::Block)?;
    /// let mut publisher = topic.publisher::<Tick>("writer", 1)?;
    /// for price in 0..4 {
    ///     publisher.try_emit(Tick { price }).expect("the ring has room");
    /// }
    /// publisher.try_emit(Tick { price: 4 }).expect_err("the ring is full");
    /// let rings = topic.rings();
    /// assert_eq!((&*rings[0].publisher, rings[0].depth, rings[0].capacity), ("writer", 4, 4));
    /// assert_eq!(rings[0].high_water, 4);
    /// # drop(reader);
    /// # Ok::<(), TopicError>(())
    /// ```
    #[must_use]
    pub fn rings(&self) -> Vec<RingStatus> {
        let publishers = lock(&self.members).publishers.clone();
        let status = |publisher: &Arc<PublisherState>| publisher.status();
        publishers.iter().filter(|it| !it.origin.is_pump()).map(status).collect()
    }

    /// Returns how many publishers of this process the topic has now.
    pub(crate) fn local_publishers(&self) -> usize {
        let is_own = |it: &&Arc<PublisherState>| it.origin.is_local() && !it.origin.is_pump();
        lock(&self.members).publishers.iter().filter(is_own).count()
    }

    /// Returns how many subscriptions need places at a ring in memory of another process: as many
    /// as may gate, or all present ones if these are more.
    pub(crate) fn places(&self) -> usize {
        self.shape.readers.most.max(lock(&self.members).subscribers.len())
    }

    /// Whether subscriptions could read a publisher in memory of another process now.
    pub(crate) fn may_be_mapped(&self) -> bool {
        lock(&self.members).subscribers.iter().all(|it| it.policy != Policy::DropNewest)
    }

    fn not_in_memory(&self) -> TopicError {
        TopicError::DropNewestInMemory { topic: self.name.clone() }
    }

    pub(crate) fn too_many_readers(&self) -> TopicError {
        TopicError::Readers { topic: self.name.clone(), most: self.shape.readers.most }
    }
}

/// Adds a member to a list that is sorted by number.
fn insert<T: Numbered>(members: &mut Vec<T>, member: T) {
    // The member is usually the newest one, whose place is the end of the list.
    let place = members.partition_point(|other| other.number() < member.number());
    members.insert(place, member);
}

/// Removes a member from a list that is sorted by number. Returns whether it was there.
fn remove<T: Numbered>(members: &mut Vec<T>, member: &T) -> bool {
    let place = members.binary_search_by_key(&member.number(), Numbered::number);
    place.map(|place| members.remove(place)).is_ok()
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name)
            .field("schema", &self.schema)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// When dropped, lets the topic's subscriptions end. Until then they stay open, because publishers
/// of another process may still join.
#[derive(Debug)]
pub struct KeepOpen(Arc<Topic>);

impl Drop for KeepOpen {
    fn drop(&mut self) {
        self.0.open_guards.now.fetch_sub(1, Ordering::Release);
        announce();
        lock(&self.0.members).subscribers.iter().for_each(|subscriber| subscriber.bell.ring());
    }
}

// A reader's membership in a topic: joining it, and receiving edges to new publishers.

/// A reader's membership in a topic. The owner must call
/// [`remove_subscriber`](Topic::remove_subscriber) before it drops the reader's edges.
pub(crate) struct Membership {
    pub(crate) topic: Arc<Topic>,
    pub(crate) state: Arc<SubscriberState>,
    /// The version of the incoming edges at the last [`new_edges`](Membership::new_edges).
    version: usize,
}

impl Membership {
    pub(crate) fn join(
        topic: &Arc<Topic>,
        name: &str,
        options: SubscribeOptions,
        is_tap: bool,
    ) -> Result<Membership, TopicError> {
        let state = topic.add_subscriber(name, options, is_tap)?;
        Ok(Membership { topic: topic.clone(), state, version: 0 })
    }

    /// Whether [`new_edges`](Membership::new_edges) must be called.
    #[inline]
    pub(crate) fn has_new_edges(&self) -> bool {
        self.version != self.state.incoming.version()
    }

    /// Whether the reader ever had an edge.
    pub(crate) fn had_edges(&self) -> bool {
        self.version > 0
    }

    /// Makes [`has_new_edges`](Membership::has_new_edges) return true, even without new edges.
    pub(crate) fn forget_version(&mut self) {
        self.version = self.state.incoming.version().wrapping_sub(1);
    }

    #[cold]
    pub(crate) fn new_edges(&mut self) -> Vec<Edge> {
        let mut incoming = self.state.incoming.lock();
        self.version = self.state.incoming.version();
        std::mem::take(&mut *incoming)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // Drops the task's waker, because a publisher may hold the state longer than the task
        // exists.
        self.state.bell.forget();
    }
}

// The fast handlers of a topic: how they are added, and how its publishers get them.

impl Topic {
    /// Adds a fast handler: a function that is called with each message of publishers of this
    /// process that join from now on, in the call or poll that publishes the message. It is called
    /// once, after the message has a slot, and before any reader can see it. Handlers are called in
    /// the order in which they were added.
    ///
    /// If a handler returns an error or panics, later handlers are not called, the message is not
    /// sent, and the publisher returns it with
    /// [`Refusal::FastHandler`](crate::local::Refusal::FastHandler). The next message gets its slot
    /// and its sequence. A handler that publishes to this topic itself, directly or through
    /// handlers of other topics, is refused
    /// ([`HandlerFailure::Reentered`](crate::local::HandlerFailure::Reentered)).
    ///
    /// No handler is called for messages of publishers in other processes: they were published
    /// there.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::counters::Region;
    /// # use mycelium_transports::local::{Policy, Schema, Topic, TopicError};
    /// # #[message(topic = "orders", id = 1)]
    /// # struct Order {
    /// #     size: u64,
    /// # }
    /// let topic = Topic::new("orders", Schema::of::<Order>(), 4, Region::new(16))?;
    /// topic.add_fast_handler("limit", |order: &Order| match order.size {
    ///     0..=100 => Ok(()),
    ///     size => Err(format!("{size} exceeds 100").into()),
    /// })?;
    /// let mut publisher = topic.publisher::<Order>("writer", 1)?;
    /// publisher.try_emit(Order { size: 100 }).expect("it is within the limit");
    /// let error = publisher.try_emit(Order { size: 101 }).unwrap_err();
    /// assert_eq!(error.message.size, 101);
    /// assert_eq!(
    ///     error.to_string(),
    ///     "fast handler `limit` of topic `orders` refused the message: 101 exceeds 100 [M0224]"
    /// );
    /// assert_eq!(publisher.sent(), 1);
    /// # Ok::<(), TopicError>(())
    /// ```
    ///
    /// # Errors
    /// If the topic carries another message type.
    pub fn add_fast_handler<M: Message>(
        &self,
        name: &str,
        handler: impl Fn(&M) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Result<(), TopicError> {
        self.check_schema(Schema::of::<M>())?;
        lock(&self.fast_handlers).push(FastHandler::new(name, handler));
        Ok(())
    }

    /// Whether the topic has a fast handler.
    #[must_use]
    pub fn has_fast_handlers(&self) -> bool {
        !lock(&self.fast_handlers).is_empty()
    }

    /// Sets the watch that observes the topic's fast handlers. Only the first one counts.
    pub fn watch_fast_handlers(&self, watch: Arc<dyn HandlerWatch>) {
        let _ = self.handler_watch.set(watch);
    }

    /// Returns the fast handlers of a new publisher of this process, with its end of the ring;
    /// `None` if the topic has none.
    pub(in crate::local) fn handled(
        &self,
        publisher: &PublisherState,
        producer: &mut Option<Producer<Ring>>,
    ) -> Option<Box<Handled>> {
        let retainer = match publisher.kept.get() {
            Some(Kept::Here(slots)) => Retainer::new(slots),
            Some(Kept::There(_)) | None => None,
        };
        let handlers = lock(&self.fast_handlers).clone();
        Handled::new(handlers, retainer, &self.handler_watch, producer)
    }

    /// Returns the most messages that a publisher retains; `None` if none does.
    pub(crate) fn retained_most(&self) -> Option<usize> {
        self.retain.get().map(|retain| retain.most())
    }

    /// Makes each publisher of this process that joins from now on retain messages for
    /// subscriptions that join later: they get these messages before all others, marked
    /// ([`Received::retained`](crate::local::Received::retained)). A publisher in another process
    /// retains what its own topic says, and sends it to this one if this topic retains, too. Only
    /// the first call counts.
    ///
    /// # Errors
    /// If the key is that of another message.
    pub fn retain(&self, retain: Retain) -> Result<(), TopicError> {
        let key = match retain {
            Retain::ByKey { key, .. } => Some(key),
            Retain::Last(_) => None,
        };
        if let Some(key) = key {
            self.check_key(Policy::LatestByKey(key).into())?;
        }
        if self.retain.set(retain).is_ok() {
            // Publishers refuse messages whose keys are too long.
            key.into_iter().for_each(|key| self.keys.change(|keys| keys.push(key)));
        }
        Ok(())
    }
}
