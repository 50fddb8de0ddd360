//! The *slot* that a request and its reply share: a slot of [`mycelium_core::channel::reply`]. The
//! requester has one side; the mailbox, or the answering service, has the other. The state of the
//! slot says whose turn it is, so each request has exactly one outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use mycelium_core::channel::reply::{Awaiting, ReplySlot, Replying};
use mycelium_core::wait::{SpinResult, SpinWait, WaitStrategy};
use mycelium_executor::Executor;
use mycelium_transports::counters::{Line, RequesterValue};
use mycelium_transports::local::TraceCell;

use super::call::{Call, Failure};
use super::state::MailboxState;

/// The state that all requests of one requester share.
pub(crate) struct Origin {
    pub(crate) mailbox: Arc<MailboxState>,
    /// The name of the requester; for requests to an actor, the name of the actor.
    pub(crate) name: Arc<str>,
    /// The number of the actor that the requests go to; `None` for requests of topics.
    pub(crate) actor: Option<u64>,
    /// The executor of the thread where the requester runs.
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) line: Arc<Line<RequesterValue>>,
    /// How the requester waits for replies.
    pub(crate) wait: WaitStrategy,
}

impl Origin {
    pub(super) fn count(&self, value: RequesterValue) {
        self.line.count(value);
    }
}

/// The state of a request beside its slot. The requester writes it. The other side reads the
/// deadline and the trace.
///
/// A slot is opened again only when both sides are gone, and that orders the writes of one request
/// before those of the next one. So no field needs an ordering of its own.
pub(crate) struct Owner {
    pub(crate) origin: Arc<Origin>,
    /// When the requester stops waiting, in nanoseconds of its executor's time; `u64::MAX` without
    /// a deadline.
    ends_at: AtomicU64,
    /// How long the requester waits, in nanoseconds, if there is a deadline.
    within: AtomicU64,
    /// The spins of this wait. Only the requester uses this and the next field. They are not in its
    /// future, so that the future is small.
    spun: AtomicUsize,
    /// [`OPEN`], [`DONE`], or [`UNSENT`] and more.
    stage: AtomicU8,
    /// The trace of the request.
    pub(crate) trace: TraceCell,
}

const OPEN: u8 = 0;
const DONE: u8 = 1;
/// The number of the [`Failure`] is added.
const UNSENT: u8 = 2;

/// What has become of a request, for the requester.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// The request was sent, or waits for room.
    Open,
    /// The request was not sent, for this reason.
    Unsent(Failure),
    /// The result was returned.
    Done,
}

impl Owner {
    pub(super) fn new(origin: Arc<Origin>) -> Owner {
        Owner {
            origin,
            ends_at: AtomicU64::new(u64::MAX),
            within: AtomicU64::new(0),
            spun: AtomicUsize::new(0),
            stage: AtomicU8::new(OPEN),
            trace: TraceCell::default(),
        }
    }

    /// Resets the state for the next request, which has no deadline yet.
    #[inline]
    pub(super) fn renew(&self) {
        self.ends_at.store(u64::MAX, Ordering::Relaxed);
        self.spun.store(0, Ordering::Relaxed);
        self.stage.store(OPEN, Ordering::Relaxed);
    }

    /// Returns what has become of the request.
    #[inline]
    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            OPEN => Stage::Open,
            DONE => Stage::Done,
            unsent => Stage::Unsent(Failure::of(unsent - UNSENT)),
        }
    }

    /// Notes that the request was not sent, for this reason.
    pub(super) fn set_unsent(&self, failure: Failure) {
        self.stage.store(UNSENT + failure as u8, Ordering::Relaxed);
    }

    /// Notes that the result was returned.
    #[inline]
    pub(super) fn set_done(&self) {
        self.stage.store(DONE, Ordering::Relaxed);
    }

    /// Calls `check` until it finds something, as often as the requester's strategy says.
    #[inline]
    pub(super) fn spin<R>(&self, check: impl FnMut() -> Option<R>) -> SpinResult<R> {
        if self.origin.wait == WaitStrategy::Park {
            return SpinResult::Park;
        }
        let mut wait = SpinWait::resumed(self.origin.wait, self.spun.load(Ordering::Relaxed));
        let spun = wait.spin(WaitStrategy::SPINS, check);
        self.spun.store(wait.spun(), Ordering::Relaxed);
        spun
    }

    /// Sets the time when the requester stops waiting.
    pub(super) fn end_at(&self, time: Duration) {
        self.ends_at.store(nanos(time), Ordering::Relaxed);
    }

    /// Sets the deadline: the requester waits this long from now.
    pub(super) fn end_within(&self, duration: Duration) {
        self.within.store(nanos(duration), Ordering::Relaxed);
        self.end_at(self.origin.executor.now().saturating_add(duration));
    }

    /// Sets the deadline to that of another request, if that has one.
    pub(super) fn end_as(&self, other: &Owner) {
        if let Some(end) = other.end() {
            self.within.store(other.within.load(Ordering::Relaxed), Ordering::Relaxed);
            self.end_at(end);
        }
    }

    /// Returns when the requester stops waiting, if there is a deadline.
    #[inline]
    pub(super) fn end(&self) -> Option<Duration> {
        let ends_at = self.ends_at.load(Ordering::Relaxed);
        (ends_at != u64::MAX).then(|| Duration::from_nanos(ends_at))
    }

    /// Returns whether there was a deadline, and it has passed.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.end().is_some_and(|end| self.origin.executor.now() >= end)
    }

    /// Returns how long the requester waits; zero without a deadline.
    pub(super) fn limit(&self) -> Duration {
        let within = || Duration::from_nanos(self.within.load(Ordering::Relaxed));
        self.end().map_or(Duration::ZERO, |_| within())
    }

    /// Returns how long the requester will still wait, in nanoseconds; `u64::MAX` without a
    /// deadline.
    pub(super) fn time_left(&self) -> u64 {
        let left = |end: Duration| nanos(end.saturating_sub(self.origin.executor.now()));
        self.end().map_or(u64::MAX, left)
    }
}

/// Returns the nanoseconds of a duration; `u64::MAX` if there are more.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The maximum number of slots that a requester keeps: up to this many open requests allocate
/// nothing.
const SLOTS: usize = 64;

/// Both sides of an open slot.
pub(crate) type SlotSides<C> =
    (Awaiting<Owner, C, <C as Call>::Reply>, Replying<Owner, C, <C as Call>::Reply>);

/// The reusable slots of one requester.
pub struct SlotPool<C: Call> {
    slots: Vec<ReplySlot<Owner, C, C::Reply>>,
    /// The index of the least recently used slot.
    next: usize,
}

impl<C: Call> Default for SlotPool<C> {
    fn default() -> SlotPool<C> {
        SlotPool { slots: Vec::new(), next: 0 }
    }
}

impl<C: Call> SlotPool<C> {
    /// Opens a slot for a request: the least recently used slot if the other side has released it,
    /// or a new one.
    #[inline]
    pub(crate) fn open(&mut self, call: &C, origin: impl FnOnce() -> Arc<Origin>) -> SlotSides<C> {
        let oldest = self.slots.get_mut(self.next);
        let sides = match oldest.and_then(|oldest| oldest.open(call)) {
            Some(sides) => sides,
            None => self.open_new(call, origin()),
        };
        self.next = if self.next + 1 < self.slots.len() { self.next + 1 } else { 0 };
        sides.0.owner().renew();
        sides
    }

    #[cold]
    fn open_new(&mut self, call: &C, origin: Arc<Origin>) -> SlotSides<C> {
        let mut slot = ReplySlot::new(Owner::new(origin));
        let sides = slot.open(call).expect("it is new");
        if self.slots.len() < SLOTS {
            self.slots.insert(self.next, slot);
        } else {
            self.slots[self.next] = slot;
        }
        sides
    }
}
