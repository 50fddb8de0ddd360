//! The two ends that a publisher and its subscriptions share: an [`PublisherState`] for each publisher, an [`SubscriberState`] for each
//! subscription, and a [`Edge`] for each pair.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mycelium_core::doorbell::{Doorbell, announce};
use mycelium_core::ring::broadcast::{Boxed, Broadcast, Consumer, LayoutError};

use super::delivery::GapReason;
use super::numbering::{KnownNumbering, Numbering};
use super::{Policy, Topic};
use crate::counters::{EdgeValue, Line, PublisherValue, Region, plain};
use crate::sync::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// Entries for gating readers in each ring of a topic for which no other number is given.
pub(super) const READERS: usize = 64;

/// The ring of a publisher, as its ends hold it.
pub(super) type Ring = Arc<Broadcast<Boxed>>;

/// What a publisher shares with its readers.
#[derive(Debug)]
pub(super) struct PublisherState {
    pub(super) ring: Ring,
    pub(super) topic: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) epoch: u64,
    /// Where the publisher waits for room.
    pub(super) room: Doorbell,
    pub(super) readers: Versioned<Vec<ReaderEntry>>,
    pub(super) origin: Origin,
    /// The publisher is gone, and nobody knows what it had sent.
    lost: AtomicBool,
    abandoned: Mutex<Abandoned>,
}

/// Where a publisher runs.
#[derive(Debug)]
pub(super) enum Origin {
    /// In this process. The sequence of a message is its place in the ring.
    Local,
    /// In another process, with the sequences that its messages have there.
    Remote(Numbering),
}

impl Origin {
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Origin::Local)
    }

    #[inline]
    pub(super) fn numbering(&self) -> Option<&Numbering> {
        match self {
            Origin::Local => None,
            Origin::Remote(numbering) => Some(numbering),
        }
    }
}

/// What gating subscriptions left behind that have left since a shutdown began.
#[derive(Debug, Default)]
struct Abandoned {
    /// The first place that one of them had not taken.
    place: Option<usize>,
    /// One of them had a message in hand.
    in_flight: bool,
}

/// A subscription as its publishers know it.
#[derive(Clone, Debug)]
pub(super) struct ReaderEntry {
    pub(super) subscriber: Arc<SubscriberState>,
    /// Its entry in the ring, if it is gating.
    pub(super) entry: Option<usize>,
    pub(super) progress: Arc<Progress>,
}

/// How far a reader of a publisher in another process is, for whoever brings the messages here. Observers write it with each
/// message, so it has a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Progress {
    /// How many gaps it has been told of.
    told: AtomicUsize,
    /// What it wants next, if it is an observer: those that gate have an entry in the ring.
    place: AtomicUsize,
}

impl PublisherState {
    /// For a publisher that has no reader yet.
    pub(super) fn new(
        topic: &Topic,
        name: &str,
        epoch: u64,
        origin: Origin,
    ) -> Result<Arc<PublisherState>, LayoutError> {
        Ok(Arc::new(PublisherState {
            ring: Arc::new(Broadcast::boxed(topic.layout(), topic.most_readers())?),
            topic: topic.name().into(),
            name: name.into(),
            epoch,
            room: Doorbell::new(),
            readers: Versioned::default(),
            origin,
            lost: AtomicBool::new(false),
            abandoned: Mutex::default(),
        }))
    }

    /// Says, before it is closed, that nobody knows what the publisher had sent.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Whether its end is a loss, to one reader who is told; the next ones have each a edge of their own.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Joins a subscription to this publisher; `None` if the ring has no entry left.
    pub(super) fn attach(
        publisher: &Arc<PublisherState>,
        subscriber: &Arc<SubscriberState>,
        counters: &Arc<Region>,
    ) -> Option<Edge> {
        let handle = publisher.ring.clone();
        let consumer = if subscriber.policy.is_gating() {
            Broadcast::gating(handle)?
        } else {
            Broadcast::observing(handle)
        };
        let label = format!("{} reader={}", publisher.label(), plain(&subscriber.name));
        let line = counters.line(&label);
        let known = publisher.origin.numbering().map(|numbers| numbers.join(consumer.cursor()));
        let place = consumer.cursor();
        let joined_at = known.as_ref().map_or(place as u64, |known| known.sequence(place));
        line.set(EdgeValue::JoinedAt, joined_at);
        let progress = Arc::new(Progress {
            told: AtomicUsize::new(known.as_ref().map_or(0, |known| known.gaps)),
            place: AtomicUsize::new(place),
        });
        let (subscriber, entry) = (subscriber.clone(), consumer.entry());
        let reader = ReaderEntry { subscriber, entry, progress: progress.clone() };
        publisher.readers.change(|readers| readers.push(reader));
        // While it joined, the ring may have looked full to the publisher, who sleeps then.
        announce();
        publisher.room.ring();
        Some(Edge { publisher: publisher.clone(), consumer, line, known, progress, told: false })
    }

    /// A gating subscription leaves, and takes nothing from `place` on, though it may have had the first of these in hand.
    pub(super) fn abandon(&self, place: usize, in_flight: bool) {
        let mut abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        abandoned.place = Some(abandoned.place.map_or(place, |before| first(before, place)));
        abandoned.in_flight |= in_flight;
    }

    /// Whether all gating subscriptions have asked for messages.
    pub(super) fn is_asked(&self) -> bool {
        let readers = self.readers.lock();
        let mut gating = readers.iter().filter(|reader| reader.entry.is_some());
        gating.all(|reader| reader.subscriber.has_asked.load(Ordering::Acquire))
    }

    /// Whether a gating subscription is there, or was not done with a message when it left.
    pub(super) fn is_in_flight(&self) -> bool {
        let in_flight = || self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).in_flight;
        self.readers.lock().iter().any(|reader| reader.entry.is_some()) || in_flight()
    }

    /// The sequence of the first message that a gating subscription is not done with, of a publisher in another process;
    /// `None` if there is no such subscription. Those that have left since the shutdown began count, too.
    pub(super) fn done(&self, at_shutdown: impl FnOnce() -> bool) -> Option<u64> {
        let numbering = self.origin.numbering()?;
        // Before the positions: a reader is told of a gap before it takes what lies behind.
        let readers = self.readers.lock();
        // Where somebody gates, observers have no say.
        let is_gated = readers.iter().any(|reader| reader.entry.is_some());
        let counts = || readers.iter().filter(|reader| reader.entry.is_some() == is_gated);
        let told = counts().map(|reader| reader.progress.told.load(Ordering::Acquire)).min();
        let blocked_by = if is_gated {
            self.ring.tail().wrapping_sub(self.ring.depth())
        } else {
            let places = counts().map(|reader| reader.progress.place.load(Ordering::Acquire));
            places.fold(self.ring.tail(), first)
        };
        drop(readers);
        let left = {
            let mut left = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
            // Asked under the lock: who leaves because of the shutdown is not forgotten.
            if !at_shutdown() {
                *left = Abandoned::default();
            }
            left.place
        };
        if told.is_none() && left.is_none() {
            return None;
        }
        let place = left.map_or(blocked_by, |left| first(blocked_by, left));
        Some(numbering.done(place, told.unwrap_or(0)))
    }

    /// How counters name this start of the publisher.
    pub(super) fn label(&self) -> String {
        let (topic, name) = (plain(&self.topic), plain(&self.name));
        format!("topic={topic} publisher={name} epoch={:x}", self.epoch)
    }

    /// Forgets a subscription whose edge is gone already.
    pub(super) fn detach(&self, subscriber: &Arc<SubscriberState>) {
        self.readers.change(|readers| {
            readers.retain(|reader| !Arc::ptr_eq(&reader.subscriber, subscriber))
        });
        announce();
        self.room.ring();
    }

    /// Shows in a line of counters how many messages were sent: as many as the ring has seen.
    pub(super) fn show_sent(&self, line: &Line<PublisherValue>) {
        line.follow(PublisherValue::Sent, self.ring.tail());
    }

    /// The gating reader behind an entry of the ring.
    pub(super) fn reader_at(&self, entry: usize) -> Option<Arc<SubscriberState>> {
        let readers = self.readers.lock();
        let reader = readers.iter().find(|reader| reader.entry == Some(entry))?;
        Some(reader.subscriber.clone())
    }
}

/// The one of two places that comes first. Places wrap.
fn first(one: usize, other: usize) -> usize {
    if one.wrapping_sub(other).cast_signed() > 0 { other } else { one }
}

/// When a subscription ends though publishers are left: never, if it is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum LastCall {
    /// When it is empty: what is there is all there is.
    WhenEmpty = 1,
    /// At once.
    Now = 2,
}

/// What a subscription shares with its publishers.
#[derive(Debug)]
pub(super) struct SubscriberState {
    pub(super) name: Arc<str>,
    pub(super) policy: Policy,
    /// Where the subscription waits for messages.
    pub(super) bell: Doorbell,
    /// Feeds of new publishers, until the subscription takes them in.
    pub(super) incoming: Versioned<Vec<Edge>>,
    /// The publishers that it reads from.
    pub(super) publishers: Versioned<Vec<Arc<PublisherState>>>,
    /// It has asked for a message.
    pub(super) has_asked: AtomicBool,
    /// A [`LastCall`].
    pub(super) last_call: AtomicU8,
    /// It stands for readers of another process.
    is_egress: bool,
}

impl SubscriberState {
    pub(super) fn new(name: &str, policy: Policy) -> Arc<SubscriberState> {
        SubscriberState::of(name, policy, false)
    }

    pub(super) fn for_egress(name: &str, policy: Policy) -> Arc<SubscriberState> {
        SubscriberState::of(name, policy, true)
    }

    fn of(name: &str, policy: Policy, is_egress: bool) -> Arc<SubscriberState> {
        Arc::new(SubscriberState {
            name: name.into(),
            policy,
            is_egress,
            bell: Doorbell::new(),
            incoming: Versioned::default(),
            publishers: Versioned::default(),
            has_asked: AtomicBool::new(false),
            last_call: AtomicU8::new(0),
        })
    }

    /// What came from another process does not go to another one.
    pub(super) fn reads(&self, publisher: &PublisherState) -> bool {
        !self.is_egress || publisher.origin.is_local()
    }

    pub(super) fn send_edge(&self, edge: Edge) {
        self.publishers.change(|publishers| publishers.push(edge.publisher.clone()));
        self.incoming.change(|incoming| incoming.push(edge));
        announce();
        self.bell.ring();
    }

    pub(super) fn forget(self: &Arc<SubscriberState>, edge: Edge) {
        let Edge { publisher, consumer, .. } = edge;
        self.leave(&publisher);
        // The entry may go to another reader only when it no longer says that it is this one's.
        drop(consumer);
        announce();
        publisher.room.ring();
    }

    /// This and the publisher know each other no more.
    pub(super) fn leave(self: &Arc<SubscriberState>, publisher: &Arc<PublisherState>) {
        self.publishers
            .change(|publishers| publishers.retain(|other| !Arc::ptr_eq(other, publisher)));
        publisher
            .readers
            .change(|readers| readers.retain(|reader| !Arc::ptr_eq(&reader.subscriber, self)));
    }
}

/// One publisher's ring at one subscription.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) publisher: Arc<PublisherState>,
    pub(super) consumer: Consumer<Ring>,
    /// Values: see [`EdgeValue`].
    pub(super) line: Line<EdgeValue>,
    /// What its sequences are, if the publisher is in another process.
    pub(super) known: Option<KnownNumbering>,
    pub(super) progress: Arc<Progress>,
    /// The reader was told of a loss at the end.
    pub(super) told: bool,
}

impl Edge {
    /// The sequence of the message in a place of the ring.
    #[inline]
    pub(super) fn sequence(&self, place: usize) -> u64 {
        self.known.as_ref().map_or(place as u64, |known| known.sequence(place))
    }

    /// Whether [`missed`](Self::missed) has anything to look at.
    #[inline]
    pub(super) fn may_miss(&self) -> bool {
        match (self.publisher.origin.numbering(), &self.known) {
            (Some(numbering), Some(known)) => numbering.may_miss(known, self.consumer.cursor()),
            _ => false,
        }
    }

    /// Shows how far an observer is, if the publisher is in another process.
    #[inline]
    pub(super) fn show_place(&self) {
        if self.known.is_some() {
            self.progress.place.store(self.consumer.cursor(), Ordering::Release);
        }
    }

    /// As [`show_place`](Self::show_place), and wakes whoever brings the messages here.
    #[cold]
    pub(super) fn notify_place(&self) {
        if self.known.is_some() {
            self.show_place();
            announce();
            self.publisher.room.ring();
        }
    }

    /// Whether an earlier process may have had what comes next, if the publisher is in another process.
    pub(super) fn is_redelivered(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.again)
    }

    /// What is missing before the cursor, beside what the ring itself says, if the publisher is in another process.
    #[inline]
    pub(super) fn missed(&mut self) -> Option<(u64, GapReason)> {
        let (numbering, known) = (self.publisher.origin.numbering()?, self.known.as_mut()?);
        let missed = numbering.missed(known, self.consumer.cursor());
        if missed.is_some() {
            self.notify_gap();
        }
        missed
    }

    /// A gap is being told to the reader: that much is done with.
    #[cold]
    fn notify_gap(&self) {
        let gaps = self.known.as_ref().map_or(0, |known| known.gaps);
        self.progress.told.store(gaps, Ordering::Release);
        announce();
        self.publisher.room.ring();
    }
}

/// A value behind a lock with a version, so that who keeps a copy sees without locking whether it is still good.
#[derive(Debug, Default)]
pub(super) struct Versioned<T> {
    version: AtomicUsize,
    value: Mutex<T>,
}

impl<T> Versioned<T> {
    /// The version; after [`announce`] on both sides, a change that came first is seen.
    #[inline]
    pub(super) fn version(&self) -> usize {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.lock();
        let result = change(&mut value);
        self.version.fetch_add(1, Ordering::Release);
        result
    }
}
