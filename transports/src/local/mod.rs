//! Topics within one process.
//!
//! A [`Topic`] has one broadcast ring for each [`Publisher`]: order is per publisher, and none is promised across
//! publishers. A [`Subscription`] merges the rings of all publishers, those that come later too, and takes from them in
//! turn. Messages are copied into a ring's slot by `emit` and out of it by `recv`; nothing is allocated on the way.
//!
//! Each subscription says what happens when it is slower than a publisher ([`Policy`]). Whatever is dropped is counted
//! and told to the reader as a [`Gap`]; for each publisher and subscription
//! `sent since it joined = taken + overwritten + skipped + dead-lettered + left + depth` at any quiet moment.
//!
//! A publisher in another process is a [`RemotePublisher`] here, and the readers of another process are a [`EgressReader`]; what carries
//! bytes between the two is no concern of a topic. While a [`KeepOpen`] says that publishers of another process may come,
//! no subscription sees an end.
//!
//! Publishing a message rings nobody. A [`TaskBudget`] counts what happened during one poll of a task, and [`poll_with`]
//! tells the other sides afterwards: one fence, then a look at each bell. Handles used outside it do so every time.

mod delivery;
mod egress;
mod keep_open;
mod numbering;
mod publisher;
mod remote_publisher;
mod state;
mod subscription;
mod task_budget;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use mycelium_core::descriptor::{Descriptor, Digest};
use mycelium_core::message::Message;
use mycelium_core::ring::broadcast::{Layout, LayoutError};

use crate::counters::Region;
use keep_open::OpenGuards;
use state::{Edge, Origin, PublisherState, SubscriberState};

pub use delivery::{Delivery, Gap, GapReason, Received, TryRecv, Undelivered};
pub use egress::{EgressItem, EgressReader, EgressStream};
pub use keep_open::KeepOpen;
pub use publisher::{EmitError, Publisher, Refusal};
pub use remote_publisher::{RemotePublishError, RemotePublisher};
pub use subscription::{Finisher, Subscription};
pub use task_budget::{DeferredWakes, TaskBudget, poll_with};

/// What happens at a subscription that is slower than a publisher. The policies are ordered by what they ask of
/// publishers, the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Policy {
    /// It open_guards the publisher: `emit` waits. Loses nothing.
    #[default]
    Block,
    /// It open_guards the publisher: `emit` gives the message back at once. Loses nothing that was accepted.
    Reject,
    /// The publisher overwrites; the reader is told exactly how many messages it missed.
    DropOldest,
    /// Each receive goes on to the newest message; the reader is told how many were skipped.
    Latest,
}

// A new policy does not compile until each of these says what it means for it.
impl Policy {
    /// Every policy, the strictest first.
    ///
    /// ```
    /// use mycelium_transports::local::Policy;
    ///
    /// let names: Vec<_> = Policy::all().map(Policy::name).collect();
    /// assert_eq!(names, ["block", "reject", "drop-oldest", "latest"]);
    /// ```
    pub fn all() -> impl Iterator<Item = Policy> {
        std::iter::successors(Some(Policy::Block), |policy| match policy {
            Policy::Block => Some(Policy::Reject),
            Policy::Reject => Some(Policy::DropOldest),
            Policy::DropOldest => Some(Policy::Latest),
            Policy::Latest => None,
        })
    }

    /// Its name in a topology file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::Block => "block",
            Policy::Reject => "reject",
            Policy::DropOldest => "drop-oldest",
            Policy::Latest => "latest",
        }
    }

    /// Whether publishers keep their messages until such a reader has taken them.
    #[must_use]
    pub fn is_gating(self) -> bool {
        match self {
            Policy::Block | Policy::Reject => true,
            Policy::DropOldest | Policy::Latest => false,
        }
    }

    /// Whether `emit` returns the message at once when such a reader open_guards the publisher.
    pub(crate) fn rejects(self) -> bool {
        match self {
            Policy::Reject => true,
            Policy::Block | Policy::DropOldest | Policy::Latest => false,
        }
    }

    /// Whether such a reader goes on to the newest message at each receive.
    #[inline]
    pub(crate) fn skips(self) -> bool {
        match self {
            Policy::Latest => true,
            Policy::Block | Policy::Reject | Policy::DropOldest => false,
        }
    }
}

/// What identifies the messages of a topic.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The message's id.
    pub id: u16,
    /// The digest of its layout.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: usize,
    /// Its layout, for whoever asks; the digest stands for it.
    pub descriptor: &'static Descriptor,
}

impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        let key = |schema: &Schema| (schema.name(), schema.id, schema.digest, schema.size);
        key(self) == key(other)
    }
}

impl Eq for Schema {}

impl Schema {
    /// The schema of `M`.
    #[must_use]
    pub fn of<M: Message>() -> Schema {
        let (digest, descriptor) = (M::DIGEST, M::DESCRIPTOR);
        Schema { id: M::ID, digest, size: size_of::<M>(), descriptor }
    }

    /// The message's name in the stream.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.descriptor.name
    }

    /// The shape of a publisher's ring of `capacity` such messages.
    #[must_use]
    pub fn layout(&self, capacity: usize) -> Layout {
        Layout::exact(capacity, self.size)
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (id {}, {} bytes, digest {})", self.name(), self.id, self.size, self.digest)
    }
}

/// Why a publisher or a subscription could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The topic carries other messages.
    Schema {
        /// The topic.
        topic: String,
        /// What it carries.
        carries: Schema,
        /// What was asked for.
        asked: Schema,
    },
    /// The topic's capacity is not one that a ring can have.
    Capacity {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        error: LayoutError,
    },
    /// The topic has a publisher with this epoch.
    Epoch {
        /// The topic.
        topic: String,
        /// The epoch.
        epoch: u64,
    },
    /// As many publishers of other processes have ended as may wait for subscriptions that do not look.
    Unread {
        /// The topic.
        topic: String,
        /// The most of them.
        most: usize,
    },
    /// A publisher has as many gating readers as it can have.
    Readers {
        /// The topic.
        topic: String,
        /// The most gating subscriptions.
        most: usize,
    },
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicError::Schema { topic, carries, asked } => {
                write!(f, "topic `{topic}` carries {carries}, not {asked}")
            }
            TopicError::Capacity { topic, error } => write!(f, "topic `{topic}`: {error}"),
            TopicError::Epoch { topic, epoch } => {
                write!(f, "topic `{topic}` has a publisher with epoch {epoch:x} already")
            }
            TopicError::Unread { topic, most } => write!(
                f,
                "topic `{topic}` has {most} publishers of other processes that have ended and were not read to the end"
            ),
            TopicError::Readers { topic, most } => {
                write!(
                    f,
                    "topic `{topic}` has {most} gating subscriptions already, the most that it can have"
                )
            }
        }
    }
}

impl std::error::Error for TopicError {}

/// A named stream of messages of one type within a process. See the [module](self).
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
/// publisher.try_emit(Tick { price: 7 }).expect("there is room");
/// let Some(Delivery::Msg(tick)) = ticks.try_recv().delivery() else { panic!("it is there") };
/// assert_eq!(*tick, Tick { price: 7 });
/// # Ok::<(), mycelium_transports::local::TopicError>(())
/// ```
pub struct Topic {
    name: String,
    schema: Schema,
    layout: Layout,
    /// How many gating readers each ring has entries for.
    readers: usize,
    counters: Arc<Region>,
    members: Mutex<Members>,
    open_guards: OpenGuards,
}

#[derive(Default)]
struct Members {
    publishers: Vec<Arc<PublisherState>>,
    subscribers: Vec<Arc<SubscriberState>>,
    /// Relays that have ended, as long as a subscription has not looked at them once more.
    unread: Vec<Weak<PublisherState>>,
}

/// So many rings of publishers in other processes may wait for readers that do not look, once their publishers have ended,
/// or more if they take no more than so many bytes.
const UNREAD: usize = 64;
const UNREAD_BYTES: usize = 16 << 20;

impl Topic {
    /// A topic without publishers and subscriptions, whose publishers have rings of `capacity` messages each. It takes up
    /// to 64 gating subscriptions; [`with_readers`](Topic::with_readers) sets another limit.
    ///
    /// # Errors
    /// If the capacity is not a power of two of at least 2, or more than memory can hold.
    pub fn new(
        name: &str,
        schema: Schema,
        capacity: usize,
        counters: Arc<Region>,
    ) -> Result<Arc<Topic>, TopicError> {
        Topic::with_readers(name, schema, capacity, state::READERS, counters)
    }

    /// As [`new`](Topic::new), for up to `readers` gating subscriptions. Each ring has an entry of 256 bytes for each of
    /// them, and its publisher looks at all entries once a lap.
    ///
    /// # Errors
    /// As [`new`](Topic::new).
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::counters::Region;
    /// # use mycelium_transports::local::{Policy, Schema, Topic, TopicError};
    /// # #[message(topic = "ticks", id = 1)]
    /// # struct Tick {
    /// #     price: u64,
    /// # }
    /// let topic = Topic::with_readers("ticks", Schema::of::<Tick>(), 1024, 1, Region::new(16))?;
    /// let _first = topic.subscribe::<Tick>("first", Policy::Block)?;
    /// let second = topic.subscribe::<Tick>("second", Policy::Block);
    /// assert!(matches!(second, Err(TopicError::Readers { most: 1, .. })));
    /// # Ok::<(), TopicError>(())
    /// ```
    pub fn with_readers(
        name: &str,
        schema: Schema,
        capacity: usize,
        readers: usize,
        counters: Arc<Region>,
    ) -> Result<Arc<Topic>, TopicError> {
        let refuse = |error| Err(TopicError::Capacity { topic: name.to_owned(), error });
        let layout = schema.layout(capacity);
        layout.check().or_else(refuse)?;
        let (members, open_guards) = (Mutex::default(), OpenGuards::default());
        let name = name.to_owned();
        Ok(Arc::new(Topic { name, schema, layout, readers, counters, members, open_guards }))
    }

    /// A publisher, with a ring of its own. Every subscription there is gets its messages, from the first one on.
    ///
    /// `name` stands in counters and gaps; `epoch` tells this start of the publisher from others.
    ///
    /// # Errors
    /// If the topic carries other messages, has a publisher with this epoch, or has too many gating subscriptions.
    pub fn publisher<M: Message>(
        self: &Arc<Topic>,
        name: &str,
        epoch: u64,
    ) -> Result<Publisher<M>, TopicError> {
        self.check(&Schema::of::<M>())?;
        let publisher = self.add_publisher(name, epoch, Origin::Local)?;
        Ok(Publisher::new(self.clone(), publisher, &self.counters))
    }

    /// A subscription to all publishers, those that come later too. It starts at the first message of each whose emit
    /// began after this call returned.
    ///
    /// # Errors
    /// If the topic carries other messages, or has too many gating subscriptions.
    pub fn subscribe<M: Message>(
        self: &Arc<Topic>,
        name: &str,
        policy: Policy,
    ) -> Result<Subscription<M>, TopicError> {
        self.check(&Schema::of::<M>())?;
        let subscriber = SubscriberState::new(name, policy);
        self.add_subscriber(&subscriber)?;
        Ok(Subscription::new(self.clone(), subscriber))
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it carries.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// How many messages the ring of each publisher open_guards.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.layout.capacity()
    }

    /// The shape of each publisher's ring.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// How many gating subscriptions it takes.
    #[must_use]
    pub fn most_readers(&self) -> usize {
        self.readers
    }

    /// The bytes of one publisher's ring.
    #[must_use]
    pub fn ring_bytes(&self) -> usize {
        self.layout.bytes().unwrap_or(usize::MAX)
    }

    /// A publisher for all readers that there are.
    fn add_publisher(
        &self,
        name: &str,
        epoch: u64,
        origin: Origin,
    ) -> Result<Arc<PublisherState>, TopicError> {
        let mut members = self.members();
        let is_same = |known: &Arc<PublisherState>| known.epoch == epoch && known.origin.is_local();
        if origin.is_local() && members.publishers.iter().any(is_same) {
            return Err(TopicError::Epoch { topic: self.name.clone(), epoch });
        }
        members.unread.retain(|publisher| publisher.strong_count() > 0);
        let most = UNREAD.max(UNREAD_BYTES / self.ring_bytes());
        if !origin.is_local() && members.unread.len() >= most {
            return Err(TopicError::Unread { topic: self.name.clone(), most });
        }
        let publisher = PublisherState::new(self, name, epoch, origin)
            .map_err(|error| TopicError::Capacity { topic: self.name.clone(), error })?;
        let readers =
            || members.subscribers.iter().filter(|subscriber| subscriber.reads(&publisher));
        let edges: Option<Vec<Edge>> = readers()
            .map(|subscriber| PublisherState::attach(&publisher, subscriber, &self.counters))
            .collect();
        let edges = edges.ok_or_else(|| self.too_many_readers())?;
        readers().zip(edges).for_each(|(subscriber, edge)| subscriber.send_edge(edge));
        members.publishers.push(publisher.clone());
        Ok(publisher)
    }

    /// A reader of all publishers that there are.
    fn add_subscriber(&self, subscriber: &Arc<SubscriberState>) -> Result<(), TopicError> {
        let mut members = self.members();
        // Publishers that come later have no more entries than those that are there.
        let gating =
            members.subscribers.iter().filter(|subscriber| subscriber.policy.is_gating()).count();
        if subscriber.policy.is_gating() && gating >= self.readers {
            return Err(self.too_many_readers());
        }
        let writers = || members.publishers.iter().filter(|publisher| subscriber.reads(publisher));
        let edges: Option<Vec<Edge>> = writers()
            .map(|publisher| PublisherState::attach(publisher, subscriber, &self.counters))
            .collect();
        let Some(edges) = edges else {
            writers().for_each(|publisher| publisher.detach(subscriber));
            return Err(self.too_many_readers());
        };
        edges.into_iter().for_each(|edge| subscriber.send_edge(edge));
        members.subscribers.push(subscriber.clone());
        Ok(())
    }

    fn check(&self, asked: &Schema) -> Result<(), TopicError> {
        if *asked == self.schema {
            return Ok(());
        }
        let (topic, carries, asked) = (self.name.clone(), self.schema, *asked);
        Err(TopicError::Schema { topic, carries, asked })
    }

    fn too_many_readers(&self) -> TopicError {
        TopicError::Readers { topic: self.name.clone(), most: self.readers }
    }

    fn remove_publisher(&self, publisher: &Arc<PublisherState>) {
        self.members().publishers.retain(|other| !Arc::ptr_eq(other, publisher));
    }

    /// A relay has ended, whose messages may not have been read.
    fn end_remote_publisher(&self, publisher: &Arc<PublisherState>) {
        self.members().unread.push(Arc::downgrade(publisher));
        self.remove_publisher(publisher);
    }

    fn remove_subscriber(&self, subscriber: &Arc<SubscriberState>) {
        self.members().subscribers.retain(|other| !Arc::ptr_eq(other, subscriber));
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
