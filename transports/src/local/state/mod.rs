//! The state that a publisher and its subscriptions share: a [`PublisherState`] for each publisher,
//! a [`SubscriberState`] for each subscription, and an [`Edge`] for each pair.
//!
//! The three types refer to each other, so they are in one file. They know rings, doorbells and
//! counters, but no message type and no topic. This file also has the doorbells and sleep words,
//! and the comparison of the depth with the threshold. The other files have more methods and see
//! the private fields:
//!
//! | file | content |
//! | --- | --- |
//! | `edge` | how an edge is created, read and ended, and the progress of its subscription |
//! | `joining` | how subscriptions get what publishers have retained |
//! | `pumping` | the separate ring of a `drop-newest` subscription |
//! | `pressure` | the threshold of the depth |
//! | `stall` | the eviction of stalled readers |

mod edge;
mod joining;
pub(crate) mod pressure;
mod pumping;
pub(crate) mod stall;

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::Waker;
use std::time::Duration;

use mycelium_core::doorbell::{Doorbell, announce, ring_each};
use mycelium_core::ring::broadcast::{ArenaWriter, Claim, Consumer, Producer};

use super::retained::KeptSlots;
use super::ring::numbering::{KnownNumbering, Numbering};
use super::ring::ready::{ReadyBit, ReadyList, Slot};
use super::ring::roster::{Numbered, Roster, Versioned};
use super::ring::shared::{MappedOrigin, RemoteReaders, Ring, SharedRing, Sleeper, Waiting};
use super::ring::{self, Abandoned, RingError, RingShape};
use super::trace::TraceArea;
use super::values::{Policy, Schema, Start, SubscribeOptions};
use crate::counters::{EdgeValue, Line, PublisherValue, plain};
use crate::descriptor::OwnedFd;
use crate::sync::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
pub(crate) use edge::ALIGNS;
use pressure::{Pressure, Room, Threshold};
use stall::{Eviction, Evictions};

/// The state that a publisher shares with its readers.
#[derive(Debug)]
pub(crate) struct PublisherState {
    /// The publisher's number among all members (publishers and subscriptions) of this process.
    number: u64,
    pub(crate) ring: Ring,
    pub(crate) topic: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) epoch: u64,
    /// The doorbell at which the publisher waits for room, and its threshold.
    pub(crate) room: Room,
    pub(crate) readers: Roster<ReaderEntry>,
    pub(crate) origin: Origin,
    pub(crate) pressure: Pressure,
    pub(crate) evictions: Evictions,
    /// The publisher's process is gone, and the number of its messages is unknown.
    lost: AtomicBool,
    abandoned: Mutex<Abandoned>,
    /// The entries of the pumps, which read the ring for `drop-newest` subscriptions.
    pumps: Versioned<Vec<PumpEntry>>,
    /// Whether the ring's slots have trace areas.
    pub(crate) area: TraceArea,
    /// The descriptor of the ring's memory, or why other processes cannot map it.
    pub(crate) file: Result<OwnedFd, String>,
    /// What the publisher retains, if its topic does.
    pub(crate) kept: OnceLock<Kept>,
}

/// What a publisher retains for subscriptions that join later.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Slots in this process.
    Here(KeptSlots),
    /// It is in the publisher's process. Subscriptions that join wait for it.
    There(Arc<Joiners>),
}

/// The subscriptions that wait for the values of a publisher in another process.
#[derive(Debug, Default)]
pub(crate) struct Joiners {
    waiting: Mutex<WaitingJoiners>,
    /// What earlier subscriptions have had of the publisher.
    known: Option<Known>,
}

#[derive(Debug, Default)]
struct WaitingJoiners {
    joiners: Vec<Joiner>,
    /// The link's task.
    waker: Option<Waker>,
    /// The link fetches no values any more.
    has_ended: bool,
}

/// An earlier stream of the same publisher, which was lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The sequence after its last message.
    pub(crate) next: u64,
    /// Subscriptions with lower numbers have had its messages.
    pub(crate) number: u64,
}

/// A subscription that waits.
#[derive(Debug)]
pub(crate) struct Joiner {
    subscriber: Arc<SubscriberState>,
    /// The publisher of the edge that is held back.
    publisher: Weak<PublisherState>,
    /// The subscription has had the messages before this sequence.
    from: u64,
    /// The sequence of its first message in the ring.
    pub(crate) before: u64,
}

/// The fill level of one publisher's ring: [`Topic::rings`](super::Topic::rings).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingStatus {
    /// The publisher.
    pub publisher: Arc<str>,
    /// The publisher's epoch.
    pub epoch: u64,
    /// The number of messages that the slowest gating reader still needs.
    pub depth: usize,
    /// The greatest depth that the publisher has seen: The publisher checks it once a lap (one pass
    /// through all slots), and whenever the ring is full.
    pub high_water: usize,
    /// The number of slots.
    pub capacity: usize,
    /// The size of the arena in bytes; 0 if all messages have the same size.
    pub arena_bytes: usize,
    /// The greatest number of bytes of the arena that readers still needed, as far as the publisher
    /// has seen: it checks when the ring may be under backpressure, and whenever it is full.
    pub arena_high_water: usize,
    /// The label of the publisher's line of counters.
    pub label: String,
    /// The names of the publisher's present readers, which are subscriptions and other nodes, as in
    /// the labels of their lines of counters.
    pub readers: Vec<String>,
}

/// The source of the messages in a publisher's ring.
#[derive(Debug)]
pub(crate) enum Origin {
    /// From a publisher of this process. The sequence of a message is its position in the ring. An
    /// untyped publisher may send any bytes.
    Local { is_typed: bool },
    /// From a publisher in another process, over a link. The messages keep their sequences.
    Remote(Numbering),
    /// From a publisher in another process, whose ring this process has mapped. The sequence of a
    /// message is its position in the ring.
    Mapped(Box<MappedOrigin>),
    /// The values that a publisher had retained when a subscription joined. Each has this sequence.
    Retained(Box<[u64]>),
    /// From another publisher, by the pump of the `drop-newest` subscription that has this ring.
    Pumped(Arc<Pump>),
}

impl Origin {
    /// Whether the messages come from this process, also by a pump or as retained values.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Origin::Local { .. } | Origin::Pumped(_) | Origin::Retained(_) => true,
            Origin::Remote(_) | Origin::Mapped(_) => false,
        }
    }

    #[inline]
    pub(crate) fn numbering(&self) -> Option<&Numbering> {
        match self {
            Origin::Local { .. } | Origin::Mapped(_) | Origin::Retained(_) => None,
            Origin::Remote(numbering) => Some(numbering),
            Origin::Pumped(pump) => Some(&pump.numbering),
        }
    }

    #[inline]
    pub(crate) fn mapped(&self) -> Option<&MappedOrigin> {
        match self {
            Origin::Mapped(mapped) => Some(mapped),
            Origin::Local { .. } | Origin::Remote(_) | Origin::Pumped(_) | Origin::Retained(_) => {
                None
            }
        }
    }

    /// Whether subscriptions are not notified of messages: the publisher is in another
    /// process, or the subscription itself fills the ring.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Origin::Local { .. } | Origin::Remote(_) => false,
            Origin::Mapped(_) | Origin::Pumped(_) | Origin::Retained(_) => true,
        }
    }

    /// Whether the ring has retained values.
    pub(crate) fn is_retained(&self) -> bool {
        matches!(self, Origin::Retained(_))
    }

    /// Whether a pump fills the ring, for a `drop-newest` subscription.
    #[inline]
    pub(crate) fn is_pump(&self) -> bool {
        self.pump().is_some()
    }

    fn pump(&self) -> Option<&Pump> {
        match self {
            Origin::Pumped(pump) => Some(pump),
            Origin::Local { .. } | Origin::Remote(_) | Origin::Mapped(_) | Origin::Retained(_) => {
                None
            }
        }
    }
}

/// Moves the messages of one publisher to the ring of one `drop-newest` subscription.
#[derive(Debug)]
pub(crate) struct Pump {
    /// The publisher.
    source: Arc<PublisherState>,
    /// The numbering of the messages in the subscription's ring.
    numbering: Numbering,
    /// The line that counts dropped messages.
    line: Arc<Line<EdgeValue>>,
    ends: Mutex<PumpEnds>,
}

#[derive(Debug)]
struct PumpEnds {
    /// The reading end of the publisher's ring; `None` after the subscription has left.
    source: Option<Consumer<Ring>>,
    /// The progress in the source's numbering, if the source is remote.
    known: Option<KnownNumbering>,
    /// The writing end of the subscription's ring; `None` after the end of the publisher.
    target: Option<Producer<Ring>>,
    /// The target's arena; only for messages that are not fixed.
    arena: Option<ArenaWriter>,
    words: Box<[usize]>,
    /// The message that is moved, if it is not fixed.
    body: Box<[usize]>,
    /// Whether the last message was marked as redelivered.
    redelivered: bool,
}

/// The publisher's record of a pump.
#[derive(Debug)]
struct PumpEntry {
    /// The pump's entry in the publisher's ring.
    entry: usize,
    pump: Weak<Pump>,
}

/// A publisher's record of a subscription.
#[derive(Clone, Debug)]
pub(crate) struct ReaderEntry {
    pub(crate) subscriber: Arc<SubscriberState>,
    /// The subscription's entry in the ring, if it is gating.
    pub(crate) entry: Option<usize>,
    /// The progress of the subscription, if the publisher is a feed.
    progress: Option<Arc<Progress>>,
    /// The publisher that stands for this one at a `drop-newest` subscription.
    own: Option<Weak<PublisherState>>,
    line: Arc<Line<EdgeValue>>,
    /// Whether the subscription was evicted. `None` if the edge can tell this from its position.
    was_evicted: Option<Arc<AtomicBool>>,
    /// The remote readers for which the subscription stands, if they read the ring themselves.
    pub(crate) remote: Option<Arc<RemoteReaders>>,
    /// Tells the subscription to check this publisher; `None` if it always checks this publisher.
    pub(crate) ready: Option<ReadyBit>,
    /// Whether the publisher has waited for the subscription from its first message on, so that it
    /// never reads bytes that are overwritten.
    is_waited_for: bool,
}

/// The progress of a reader of a feed. Observers write it for each message, so it has its own cache
/// line.
#[derive(Debug)]
#[repr(align(64))]
struct Progress {
    /// The number of gaps that were reported to the reader.
    gaps: AtomicUsize,
    /// The next position of an observer. A gating reader has an entry in the ring instead.
    place: AtomicUsize,
}

impl PublisherState {
    /// Creates the state of a publisher without readers, with a ring of its own.
    pub(crate) fn new(
        topic: &str,
        schema: &Schema,
        shape: RingShape,
        name: &str,
        epoch: u64,
        origin: Origin,
    ) -> Result<Arc<PublisherState>, RingError> {
        let (ring, file) = ring::make(topic, schema, shape, epoch, origin.is_local())?;
        Ok(PublisherState::over(topic, ring, shape.area, file, name, epoch, origin))
    }

    /// Creates the state of a publisher without readers, over this ring.
    pub(crate) fn over(
        topic: &str,
        ring: Ring,
        area: TraceArea,
        file: Result<OwnedFd, String>,
        name: &str,
        epoch: u64,
        origin: Origin,
    ) -> Arc<PublisherState> {
        Arc::new(PublisherState {
            number: next_number(),
            pressure: Pressure::new(Threshold::default(), ring.capacity()),
            ring,
            area,
            file,
            topic: topic.into(),
            name: name.into(),
            epoch,
            room: Room::new(),
            readers: Roster::default(),
            origin,
            evictions: Evictions::default(),
            lost: AtomicBool::new(false),
            abandoned: Mutex::default(),
            pumps: Versioned::default(),
            kept: OnceLock::new(),
        })
    }

    /// Marks the publisher as lost. Call it before the ring is closed. Each reader reports the loss
    /// once ([`Edge::reports_loss`]).
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Whether the publisher is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Returns the label of this publisher's counters.
    pub(crate) fn label(&self) -> String {
        let (topic, name) = (plain(&self.topic), plain(&self.name));
        format!("topic={topic} publisher={name} epoch={:x}", self.epoch)
    }

    /// Copies the number of sent messages, which is the `tail` of the ring, to a line of counters.
    /// A feed counts its messages itself, because those that were not sent to this process count,
    /// too.
    #[inline]
    pub(crate) fn show_sent(&self, line: &Line<PublisherValue>, tail: usize) {
        if cfg!(feature = "metrics") && self.origin.is_local() {
            let (before, after) = line.trail(PublisherValue::Sent, tail);
            // Stores this word only once a lap, when it changes, because readers load its cache
            // line. The capacity is a power of two, so the numbers of two laps differ in that bit
            // or in a higher one.
            if before ^ after >= self.ring.capacity() as u64 {
                self.show_high_water(line);
            }
        }
    }

    /// Copies the greatest observed depth to a line of counters.
    #[cold]
    pub(crate) fn show_high_water(&self, line: &Line<PublisherValue>) {
        if cfg!(feature = "metrics") && self.origin.is_local() {
            line.set(PublisherValue::HighWater, self.ring.high_water() as u64);
        }
    }

    /// Imports the positions of readers in other processes.
    pub(crate) fn import(&self) {
        if let Some(imports) = self.ring.storage().imports() {
            imports.import(&self.ring);
        }
    }

    /// Returns the position of the oldest message in the ring, as far as this thread can see.
    fn oldest(&self) -> usize {
        let (tail, capacity) = (self.ring.tail(), self.ring.capacity());
        // A ring begins at position 0. (On 32-bit hosts positions wrap; after that one lap of
        // retained messages is not found.)
        let oldest = tail - tail.min(capacity);
        self.origin.mapped().map_or(oldest, |mapped| oldest.max(mapped.first.min(tail)))
    }

    /// Returns the fill level of the ring.
    pub(crate) fn status(&self) -> RingStatus {
        self.import();
        RingStatus {
            publisher: self.name.clone(),
            epoch: self.epoch,
            depth: self.depth(),
            high_water: self.ring.high_water(),
            capacity: self.ring.capacity(),
            arena_bytes: self.arena_bytes(),
            arena_high_water: self.arena_high_water(),
            label: self.label(),
            readers: self.readers.lock().iter().map(|it| plain(&it.subscriber.name)).collect(),
        }
    }

    /// Returns the size of the arena in bytes.
    pub(crate) fn arena_bytes(&self) -> usize {
        self.ring.layout().arena_words() * size_of::<usize>()
    }

    /// Returns the greatest fill of the arena in bytes.
    pub(crate) fn arena_high_water(&self) -> usize {
        self.pressure.arena().high_water() * size_of::<usize>()
    }

    /// Whether the publisher has waited for all of its readers from their first messages on, so that
    /// none of them reads bytes that are overwritten. A reader that joins after this call sees what
    /// the publisher has stored before.
    pub(crate) fn waits_for_all(&self) -> bool {
        self.readers.lock().iter().all(|reader| reader.is_waited_for)
    }

    /// Ends that for good, because this subscription may read bytes that are overwritten.
    pub(crate) fn stop_writing_beside(&self, number: u64) {
        self.readers.update(number, |reader| reader.is_waited_for = false);
    }

    /// Returns the gating subscription with this entry in the ring.
    pub(crate) fn reader_at(&self, entry: usize) -> Option<Arc<SubscriberState>> {
        let readers = self.readers.lock();
        let reader = readers.iter().find(|reader| reader.entry == Some(entry))?;
        Some(reader.subscriber.clone())
    }

    /// Returns how many messages the ring keeps for this subscription: 0 if it does not gate.
    fn kept_for(&self, reader: &SubscriberState) -> usize {
        self.import();
        let readers = self.readers.lock();
        let entry = readers.iter().find(|it| it.subscriber.number == reader.number);
        let entry = entry.and_then(|it| it.entry);
        drop(readers);
        entry.map_or(0, |entry| self.ring.depth_of(|other| other == entry))
    }

    /// Reports that the gating subscription with this claim is evicted, after it has blocked the
    /// publisher for this long.
    pub(crate) fn evicted(&self, claim: Claim, stalled: Duration) {
        let readers = self.readers.lock();
        let Some(reader) = readers.iter().find(|reader| reader.entry == Some(claim.entry)) else {
            return;
        };
        reader.line.add(EdgeValue::Evicted, 1);
        reader.was_evicted.iter().for_each(|it| it.store(true, Ordering::Relaxed));
        let (number, reader) = (reader.number(), reader.subscriber.name.clone());
        drop(readers);
        self.evictions.add(number, claim, Eviction { reader, stalled });
    }
}

/// Returns the number of the next publisher or subscription of this process.
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Numbered for Arc<PublisherState> {
    fn number(&self) -> u64 {
        self.number
    }
}

impl Numbered for Arc<SubscriberState> {
    fn number(&self) -> u64 {
        self.number
    }
}

impl Numbered for ReaderEntry {
    fn number(&self) -> u64 {
        self.subscriber.number
    }
}

/// When a subscription ends although publishers are left. In `last_call`, 0 means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LastCall {
    /// Once the subscription has read all messages.
    WhenEmpty = 1,
    /// Once the subscription has read the messages that were sent before the call.
    AfterSent = 2,
    /// At once.
    Now = 3,
}

/// The state that a subscription shares with its publishers.
//
// The order of the fields matters: publishers load the first ones, and the reader stores to
// `operations` for each message. More than a cache line is between them.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SubscriberState {
    /// The subscription's number among all members of this process.
    number: u64,
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) start: Start,
    /// The subscription stands for the readers of another process.
    pub(crate) is_tap: bool,
    /// The doorbell at which the subscription waits for messages.
    pub(crate) bell: Doorbell,
    /// Edges to new publishers that the subscription has not added to its own list yet.
    pub(crate) incoming: Versioned<Vec<Edge>>,
    /// Edges that are held back until [`joining`] releases them: the first one of
    /// each publisher, and those that continue it.
    held: Mutex<Vec<Vec<Edge>>>,
    /// Shows which of the subscription's publishers have messages.
    pub(crate) ready: Arc<ReadyList>,
    /// All publishers that the subscription reads.
    pub(crate) publishers: Roster<Arc<PublisherState>>,
    /// The number of operations that may have made room for publishers.
    pub(crate) operations: AtomicUsize,
    /// The subscription has requested a message.
    pub(crate) has_requested: AtomicBool,
    /// A [`LastCall`]; 0 if there was none.
    pub(crate) last_call: AtomicU8,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(
    std::mem::offset_of!(SubscriberState, operations)
        >= std::mem::offset_of!(SubscriberState, bell) + size_of::<Doorbell>() + 64
);

impl SubscriberState {
    pub(crate) fn new(name: &str, options: SubscribeOptions, is_tap: bool) -> Arc<SubscriberState> {
        let SubscribeOptions { policy, start } = options;
        Arc::new(SubscriberState {
            number: next_number(),
            name: name.into(),
            policy,
            start,
            is_tap,
            bell: Doorbell::new(),
            incoming: Versioned::default(),
            held: Mutex::default(),
            ready: Arc::default(),
            publishers: Roster::default(),
            operations: AtomicUsize::new(0),
            has_requested: AtomicBool::new(false),
            last_call: AtomicU8::new(0),
        })
    }

    /// Returns how many messages the publishers keep for this subscription: 0 if it does not gate.
    pub(crate) fn kept(&self) -> usize {
        let publishers: Vec<_> = self.publishers.lock().iter().cloned().collect();
        publishers.iter().map(|publisher| publisher.kept_for(self)).sum()
    }

    /// Whether the subscription reads this publisher. Messages from another process are not sent to
    /// a third one.
    pub(crate) fn reads(&self, publisher: &PublisherState) -> bool {
        !self.is_tap || publisher.origin.is_local()
    }
}

/// One publisher's ring as seen by one subscription.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) publisher: Arc<PublisherState>,
    pub(crate) consumer: Consumer<Ring>,
    /// The slot of this publisher at the subscription.
    pub(crate) slot: Slot,
    pub(crate) line: Arc<Line<EdgeValue>>,
    /// Whether the publisher waits for this subscription.
    gates: bool,
    /// Whether the bytes of messages in the ring are as this process has encoded them, and aligned:
    /// its publisher is here and has their type, and no other process can write to the ring.
    pub(crate) is_own: bool,
    /// Only for a gating subscription: from this position on, messages are missing only after an
    /// eviction.
    pub(crate) gates_from: usize,
    /// Whether the subscription was evicted, if it may have missed messages before `gates_from`.
    pub(crate) was_evicted: Option<Arc<AtomicBool>>,
    /// The reader's progress in the publisher's numbering, if the publisher is remote.
    known: Option<KnownNumbering>,
    /// The progress of the subscription, if the publisher is a feed.
    progress: Option<Arc<Progress>>,
    /// The subscription's sleep word in the shared memory of a mapped publisher's readers.
    sleeper: Option<Sleeper>,
    /// The earlier state of the same publisher, with its earlier messages. This edge is read once
    /// the edge to that state is removed.
    pub(crate) after: Option<Weak<PublisherState>>,
    /// The number of messages that a `latest` reader has skipped and not reported yet.
    pub(crate) passed: usize,
    /// The loss of the publisher was reported.
    loss_reported: bool,
    /// The position after the last message that the subscription reads, if it is known.
    pub(crate) end: Option<usize>,
    /// How many messages from the cursor on are in flight in a batch.
    pub(crate) ahead: usize,
    /// The position after a batch whose handling failed or was interrupted, and how often each of
    /// its messages has failed.
    pub(crate) failed_until: Option<(usize, u32)>,
}

// How a publisher and its subscriptions sleep and wake each other: by doorbells within a process,
// and by sleep words in shared memory between processes.

impl PublisherState {
    /// Wakes the publisher, because a reader joined, left, or made room.
    pub(crate) fn wake(&self) {
        announce();
        self.ring_room();
    }

    /// Wakes the publisher if it waits for its readers. The caller must have announced the change.
    #[inline]
    pub(crate) fn ring_room(&self) {
        match &self.origin {
            Origin::Local { .. } | Origin::Remote(_) => {
                self.room.ring();
                self.relieve();
            }
            _ => self.ring_elsewhere(),
        }
    }

    /// Wakes the publisher of a ring at which no task of this process waits.
    #[inline(never)]
    fn ring_elsewhere(&self) {
        match &self.origin {
            Origin::Local { .. } | Origin::Remote(_) | Origin::Retained(_) => {}
            Origin::Mapped(mapped) => mapped.ring(&self.ring),
            // No task waits at a pump's ring. If the pump's source is a feed, its transport is
            // woken to confirm taken messages.
            Origin::Pumped(pump) if pump.source.origin.is_local() => {}
            Origin::Pumped(pump) => pump.source.ring_room(),
        }
    }

    /// Registers the waker: readers, including those of other processes, wake it when they make
    /// room or leave. Check again after this.
    pub(crate) fn park(&self, waker: &Waker) {
        self.room.park(waker);
        let storage = self.ring.storage();
        if let (Some(word), Some(imports)) = (storage.asleep(), storage.imports()) {
            let path = imports.own_path();
            // The lock keeps the word from having two writers at a time.
            let _one = self.abandoned();
            word.sleep_by(path);
        }
    }

    /// Requests that readers of other processes wake this process when they make room, by the path
    /// of the publisher's task. Check again after this.
    pub(crate) fn request_wake(&self) {
        if let Some(word) = self.ring.storage().asleep() {
            // The lock keeps the word from having two writers at a time.
            let _one = self.abandoned();
            word.sleep();
        }
    }
}

impl ReaderEntry {
    /// Wakes the reader if it sleeps. The caller has announced the change.
    #[inline]
    pub(crate) fn ring(&self) {
        match &self.remote {
            // The remote readers are woken for each message; the link's task need not be.
            Some(remote) => remote.ring(),
            None => self.subscriber.bell.ring(),
        }
    }
}

impl Waiting for PublisherState {
    /// Wakes the waiting side, because readers of another process have moved.
    fn ring(&self) {
        self.room.ring();
        if self.room.is_exceeded() {
            self.compare_depth();
        }
    }
}

impl Waiting for SubscriberState {
    fn ring(&self) {
        self.bell.ring();
    }
}

/// The ring of a mapped publisher.
impl SharedRing for PublisherState {
    fn look(&self) {
        announce();
        let subscribers = self.readers.each(|reader| reader.subscriber.clone());
        ring_each(subscribers, |subscriber| subscriber.bell.ring());
    }

    /// Ends the ring: readers take its messages. Then they get a gap, or the messages that follow
    /// over the link.
    fn peer_is_gone(&self, has_died: bool) {
        if has_died {
            self.lose();
        }
        if let Origin::Mapped(mapped) = &self.origin {
            mapped.set_gone(self.ring.tail());
            mapped.session.announce_and_ring();
        }
        self.look();
    }
}

// Comparison of a publisher's depth with its threshold. It is not done for each message. The
// publisher compares after a poll of its task, and only if it has sent enough messages for the ring
// to reach the upper mark. Readers compare when they wake publishers, and only while the threshold
// is exceeded.

/// The position at which the publisher's side compares next, because the ring may have reached the
/// upper mark.
#[derive(Debug)]
pub(crate) struct PressureCheck {
    /// The position of the writer.
    at: usize,
}

impl PressureCheck {
    /// Creates the check of a publisher without unread messages.
    pub(crate) fn new(publisher: &PublisherState) -> PressureCheck {
        PressureCheck { at: publisher.ring.tail().wrapping_add(publisher.pressure.upper()) }
    }

    /// Compares the depth if the `tail` of the ring has reached the position.
    #[inline]
    pub(crate) fn run(&mut self, publisher: &PublisherState, tail: usize) {
        if tail.wrapping_sub(self.at).cast_signed() >= 0 {
            self.at = tail.wrapping_add(publisher.compare_if_relieved());
        }
    }
}

impl PublisherState {
    /// Compares the depth after readers made room, or left. The caller has announced the change.
    #[inline]
    pub(crate) fn relieve(&self) {
        if self.room.is_exceeded() {
            self.compare_if_taken();
        }
    }

    /// Compares the depth if it may be at the lower mark.
    #[inline(never)]
    fn compare_if_taken(&self) {
        // The entry of a pump does not count, and may be any number of messages behind.
        if self.ring.is_taken(self.room.relieved_at()) || !self.pumps.lock().is_empty() {
            self.compare_depth();
        }
    }

    /// Returns the position that all readers must reach before the threshold is no longer exceeded.
    pub(crate) fn relieved_at(&self) -> usize {
        self.room.relieved_at()
    }

    /// Compares the depth with the marks. Returns the number of messages after which the next
    /// comparison is due.
    #[cold]
    #[inline(never)]
    pub(crate) fn compare_depth(&self) -> usize {
        if !self.origin.is_local() {
            // The publisher does not wait for this ring, so no comparison is due for a long time.
            return usize::MAX / 2;
        }
        self.evictions.check(&self.ring);
        self.pressure.compare(&self.room, &self.ring, || {
            self.import();
            self.depth()
        })
    }

    /// Compares like [`compare_depth`](Self::compare_depth), for the publisher's side. It need not
    /// find the end of an exceeded threshold, because the readers of this process do.
    #[cold]
    #[inline(never)]
    fn compare_if_relieved(&self) -> usize {
        // The threshold can be exceeded again only after the ring has gone from the lower mark to
        // the upper one, so the next comparison is due then.
        let finds_end = self.ring.storage().imports().is_some();
        if self.room.is_exceeded() && !finds_end {
            return self.pressure.distance();
        }
        self.compare_depth()
    }
}
