//! The *slot* that a request and its reply share: a slot of [`mycelium_core::channel::reply`]. The
//! requester has one side; the mailbox, or the answering service, has the other. The state of the
//! slot says whose turn it is, so each request has exactly one outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use mycelium_core::channel::reply::{Awaiting, ReplySlot, Replying};
use mycelium_core::wait::{SpinWait, WaitStrategy};
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

/// The state of a request that both sides of its slot share.
pub(crate) struct Owner {
    pub(crate) origin: Arc<Origin>,
    /// When the requester stops waiting, in nanoseconds of its executor's time; `u64::MAX` without
    /// a deadline.
    ends_at: AtomicU64,
    /// The spins of this wait. Only the requester uses this and the next field: they are here and
    /// not in its future, so that the future is small.
    spun: AtomicUsize,
    /// [`WAITING`], [`DONE`], or [`UNSENT`] and more.
    stage: AtomicU8,
    /// The trace of the request.
    pub(crate) trace: TraceCell,
}

/// The request was sent, or waits for room.
const WAITING: u8 = 0;
/// The result was returned.
const DONE: u8 = 1;
/// The request was not sent. The number of the [`Failure`] is added.
const UNSENT: u8 = 2;

/// What has become of a request, for the requester.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// The request was sent, or waits for room.
    Waiting,
    /// The request was not sent, for this reason.
    Unsent(Failure),
    /// The result was returned.
    Done,
}

impl Owner {
    pub(super) fn new(origin: Arc<Origin>) -> Owner {
        let (ends_at, trace) = (AtomicU64::new(u64::MAX), TraceCell::default());
        Owner { origin, ends_at, spun: AtomicUsize::new(0), stage: AtomicU8::new(WAITING), trace }
    }

    /// Resets the state for the next request, which has no deadline yet.
    #[inline]
    pub(super) fn renew(&self) {
        self.ends_at.store(u64::MAX, Ordering::Relaxed);
        self.spun.store(0, Ordering::Relaxed);
        self.stage.store(WAITING, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            WAITING => Stage::Waiting,
            DONE => Stage::Done,
            unsent => Stage::Unsent(Failure::of(unsent - UNSENT)),
        }
    }

    #[inline]
    pub(super) fn set_stage(&self, stage: Stage) {
        let stage = match stage {
            Stage::Waiting => WAITING,
            Stage::Unsent(failure) => UNSENT + failure as u8,
            Stage::Done => DONE,
        };
        self.stage.store(stage, Ordering::Relaxed);
    }

    /// Returns the state of the requester's wait, with its spins until now.
    #[inline]
    pub(super) fn spin_wait(&self) -> SpinWait {
        SpinWait::resumed(self.origin.wait, self.spun.load(Ordering::Relaxed))
    }

    /// Keeps the number of spins for the next poll.
    #[inline]
    pub(super) fn keep_spins(&self, wait: SpinWait) {
        self.spun.store(wait.spun(), Ordering::Relaxed);
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
