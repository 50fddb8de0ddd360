//! The *slot* that a request and its reply share: a slot of [`mycelium_core::channel::reply`]. The
//! requester has one side; the mailbox, or the answering service, has the other. The state of the
//! slot says whose turn it is, so each request has exactly one outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mycelium_core::Request;
use mycelium_core::channel::reply::{Awaiting, ReplySlot, Replying};
use mycelium_executor::Executor;
use mycelium_transports::counters::{Line, RequesterValue};
use mycelium_transports::local::TraceCell;

use super::state::MailboxState;

/// Why a request has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Failure {
    /// The service that had taken the request dropped it.
    Dropped,
    /// No service takes the request any more.
    Gone,
    /// The mailbox was full, and is configured to reject requests then.
    Refused,
    /// The deadline passed before a service had taken the request.
    Late,
    /// The deadline passed after a service had taken the request.
    LateHeld,
    /// The deadline passed after the request was sent to another node.
    LateSent,
    /// The node shuts down: this one, or the other one.
    ShuttingDown,
    /// The connection with the other node was lost after the request was sent.
    Lost,
    /// The connection with the other node was lost before the request was sent.
    Away,
    /// No actor of the other node has the name, and none had it recently.
    NotFound,
    /// The request is longer than its type allows.
    TooLong,
    /// The reply is longer than its type allows.
    ReplyTooLong,
}

impl Failure {
    /// All reasons, by their numbers.
    pub(crate) const ALL: [Failure; 12] = [
        Failure::Dropped,
        Failure::Gone,
        Failure::Refused,
        Failure::Late,
        Failure::LateHeld,
        Failure::LateSent,
        Failure::ShuttingDown,
        Failure::Lost,
        Failure::Away,
        Failure::NotFound,
        Failure::TooLong,
        Failure::ReplyTooLong,
    ];

    /// Returns the reason with this number.
    pub(super) fn of(number: u8) -> Failure {
        Failure::ALL.get(usize::from(number)).copied().unwrap_or(Failure::Dropped)
    }
}

/// The state that all requests of one requester share.
pub(crate) struct Origin {
    pub(crate) mailbox: Arc<MailboxState>,
    /// The name of the requester; for requests to an actor, the name of the actor.
    pub(crate) name: Arc<str>,
    pub(crate) is_actor: bool,
    /// The executor of the thread where the requester runs.
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) line: Arc<Line<RequesterValue>>,
}

impl Origin {
    pub(super) fn count(&self, value: RequesterValue) {
        self.line.count(value);
    }
}

/// The state of a request that both sides of its slot share.
pub(crate) struct Owner {
    pub(crate) origin: Arc<Origin>,
    /// When the requester stops waiting, in nanoseconds of its executor's time; `u64::MAX` without
    /// a deadline.
    ends_at: AtomicU64,
    /// The trace of the request.
    pub(crate) trace: TraceCell,
}

impl Owner {
    pub(super) fn new(origin: Arc<Origin>) -> Owner {
        Owner { origin, ends_at: AtomicU64::new(u64::MAX), trace: TraceCell::default() }
    }

    /// Resets the deadline: the next request has none yet.
    #[inline]
    pub(super) fn renew(&self) {
        self.ends_at.store(u64::MAX, Ordering::Relaxed);
    }

    pub(super) fn end_at(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.ends_at.store(nanos, Ordering::Relaxed);
    }

    /// Returns how long the requester will still wait, in nanoseconds; `u64::MAX` without a
    /// deadline.
    pub(super) fn time_left(&self) -> u64 {
        let ends_at = self.ends_at.load(Ordering::Relaxed);
        if ends_at == u64::MAX {
            return u64::MAX;
        }
        let now = u64::try_from(self.origin.executor.now().as_nanos()).unwrap_or(u64::MAX);
        ends_at.saturating_sub(now)
    }
}

/// The maximum number of slots that a requester keeps: up to this many open requests allocate
/// nothing.
const SLOTS: usize = 64;

/// Both sides of an open slot.
pub(crate) type SlotSides<Q> =
    (Awaiting<Owner, Q, <Q as Request>::Reply>, Replying<Owner, Q, <Q as Request>::Reply>);

/// The reusable slots of one requester.
pub struct SlotPool<Q: Request> {
    slots: Vec<ReplySlot<Owner, Q, Q::Reply>>,
    /// The index of the least recently used slot.
    next: usize,
}

impl<Q: Request> Default for SlotPool<Q> {
    fn default() -> SlotPool<Q> {
        SlotPool { slots: Vec::new(), next: 0 }
    }
}

impl<Q: Request> SlotPool<Q> {
    /// Opens a slot for a request: the least recently used slot if the other side has released it,
    /// or a new one.
    #[inline]
    pub(crate) fn open(
        &mut self,
        request: &Q,
        origin: impl FnOnce() -> Arc<Origin>,
    ) -> SlotSides<Q> {
        let oldest = self.slots.get_mut(self.next);
        let sides = match oldest.and_then(|oldest| oldest.open(request)) {
            Some(sides) => sides,
            None => self.open_new(request, origin()),
        };
        self.next = if self.next + 1 < self.slots.len() { self.next + 1 } else { 0 };
        sides.0.owner().renew();
        sides
    }

    #[cold]
    fn open_new(&mut self, request: &Q, origin: Arc<Origin>) -> SlotSides<Q> {
        let mut slot = ReplySlot::new(Owner::new(origin));
        let sides = slot.open(request).expect("it is new");
        if self.slots.len() < SLOTS {
            self.slots.insert(self.next, slot);
        } else {
            self.slots[self.next] = slot;
        }
        sides
    }
}
