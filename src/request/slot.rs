//! What a request and its reply share: a slot, of which the requester and the mailbox, or the
//! service that answers, each have a handle.
//!
//! The state says whose turn it is. Both sides change it by compare-and-swap, so each request has
//! exactly one outcome:
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | `QUEUED` | `TAKEN` | the service that takes it |
//! | `QUEUED`, `TAKEN` | `CANCELLED` | the requester, which no longer waits |
//! | `TAKEN` | `REPLIED`, `FAILED`, .. | the service that answers it |
//! | `QUEUED` | `GONE` | the mailbox, which nobody reads any more |

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use mycelium_core::Request;
use mycelium_executor::Executor;
use mycelium_transports::counters::{Line, RequesterValue};

use super::state::MailboxState;

/// It waits in the mailbox.
pub(super) const QUEUED: u8 = 0;
/// A service holds it.
pub(super) const TAKEN: u8 = 1;
/// The requester no longer waits.
const CANCELLED: u8 = 2;
/// The reply is in the slot.
const REPLIED: u8 = 3;
/// The first of the states that stand for a [`Failure`].
const FAILURES: u8 = 4;

/// Why a request has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Failure {
    /// The service that had taken it dropped it.
    Dropped = FAILURES,
    /// No service takes it any more.
    Gone,
    /// The mailbox in the other node had no room, and rejects then.
    Refused,
    /// It was too late in the other node, before a service had taken it.
    Late,
    /// The same, after a service had taken it.
    LateHeld,
    /// The other node shuts down.
    ShuttingDown,
    /// The connection with the other node was lost after the request was sent.
    Lost,
}

impl Failure {
    pub(crate) const ALL: [Failure; 7] = [
        Failure::Dropped,
        Failure::Gone,
        Failure::Refused,
        Failure::Late,
        Failure::LateHeld,
        Failure::ShuttingDown,
        Failure::Lost,
    ];
}

/// How far a request is, as its requester sees it.
pub(super) enum Outcome<R> {
    Open,
    Replied(R),
    Failed(Failure),
}

/// What all requests of one requester share.
pub(super) struct Origin {
    pub(super) mailbox: Arc<MailboxState>,
    /// The name of the requester.
    pub(super) name: Arc<str>,
    /// That of the thread where the requester runs.
    pub(super) executor: Arc<dyn Executor>,
    pub(super) line: Arc<Line<RequesterValue>>,
}

impl Origin {
    pub(super) fn count(&self, value: RequesterValue) {
        self.line.count(value);
    }
}

/// A request, and the place of its reply.
pub(super) struct Slot<Q: Request> {
    origin: Arc<Origin>,
    state: AtomicU8,
    request: Q,
    reply: OnceLock<Q::Reply>,
    requester: AtomicWaker,
    /// When its requester will no longer wait, in nanoseconds of its executor; `u64::MAX` if it has
    /// no deadline.
    ends_at: AtomicU64,
}

impl<Q: Request> Slot<Q> {
    pub(super) fn new(origin: Arc<Origin>, request: Q) -> Slot<Q> {
        Slot {
            origin,
            state: AtomicU8::new(QUEUED),
            request,
            reply: OnceLock::new(),
            requester: AtomicWaker::new(),
            ends_at: AtomicU64::new(u64::MAX),
        }
    }

    /// Makes the slot that of another request. Nobody else has a handle.
    pub(super) fn renew(&mut self, request: Q) {
        self.request = request;
        *self.state.get_mut() = QUEUED;
        *self.ends_at.get_mut() = u64::MAX;
        self.reply.take();
    }

    pub(super) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    pub(super) fn request(&self) -> &Q {
        &self.request
    }

    pub(super) fn end_at(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.ends_at.store(nanos, Ordering::Relaxed);
    }

    /// How long the requester will still wait, in nanoseconds; `u64::MAX` if it has no deadline.
    pub(super) fn time_left(&self) -> u64 {
        let ends_at = self.ends_at.load(Ordering::Relaxed);
        if ends_at == u64::MAX {
            return u64::MAX;
        }
        let now = u64::try_from(self.origin.executor.now().as_nanos()).unwrap_or(u64::MAX);
        ends_at.saturating_sub(now)
    }

    /// The service takes it. Returns whether its requester still waits.
    pub(super) fn take(&self) -> bool {
        self.change(QUEUED, TAKEN)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.state.load(Ordering::Relaxed) == CANCELLED
    }

    /// The service that has taken it replies. Returns whether the requester still waited.
    pub(super) fn reply(&self, reply: Q::Reply) -> bool {
        // Only the service that holds it gets here, and only once.
        let _ = self.reply.set(reply);
        self.finish(TAKEN, REPLIED)
    }

    /// The service that has taken it will not reply.
    pub(super) fn fail(&self, failure: Failure) -> bool {
        self.finish(TAKEN, failure as u8)
    }

    /// The mailbox drops it: nobody will take it.
    pub(super) fn abandon(&self) {
        self.finish(QUEUED, Failure::Gone as u8);
    }

    fn finish(&self, from: u8, to: u8) -> bool {
        let is_open = self.change(from, to);
        if is_open {
            self.requester.wake();
        }
        is_open
    }

    /// The requester no longer waits. Returns the state in which that found the request; `None` if
    /// it has an outcome already.
    pub(super) fn cancel(&self) -> Option<u8> {
        [QUEUED, TAKEN].into_iter().find(|state| self.change(*state, CANCELLED))
    }

    fn change(&self, from: u8, to: u8) -> bool {
        // Release: what this side wrote is seen by the other one, which acquires the state.
        // Acquire: the requester's cancellation and what led to it come before.
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The outcome, if there is one.
    pub(super) fn outcome(&self) -> Outcome<Q::Reply> {
        match self.state.load(Ordering::Acquire) {
            REPLIED => match self.reply.get() {
                Some(reply) => Outcome::Replied(*reply),
                None => Outcome::Failed(Failure::Dropped),
            },
            state if state >= FAILURES => {
                let failure = Failure::ALL.into_iter().find(|failure| *failure as u8 == state);
                Outcome::Failed(failure.unwrap_or(Failure::Dropped))
            }
            _ => Outcome::Open,
        }
    }

    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.requester.register(waker);
    }
}
