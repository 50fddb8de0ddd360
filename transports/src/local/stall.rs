//! Gating readers that hold a publisher up, and when the publisher no longer waits for them.
//!
//! A [`StallLimit`] belongs to one publisher. The publisher calls it only when its ring is full,
//! and knows since when each reader has held the publisher up without moving. A reader over the
//! limit is suspended in the ring ([`Producer::suspend`]): it is waited for again once it moves.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use mycelium_core::ring::broadcast::{Claim, Producer};
use mycelium_executor::{DeadlineTimer, Executor};

use super::shared::Ring;
use crate::sync::{AtomicBool, Ordering};

/// What happens to a gating reader that holds a publisher up.
///
/// ```
/// # use mycelium_core::message;
/// # use mycelium_executor::{Executor, SendFuture, SpawnError};
/// # use mycelium_transports::counters::Region;
/// # use mycelium_transports::local::{Delivery, GapReason, OnStall, Policy, Schema, Topic, TopicError};
/// # use std::{sync::Arc, time::Duration};
/// # #[message(topic = "ticks", id = 1)]
/// # struct Tick {
/// #     price: u64,
/// # }
/// # struct Paused;
/// # impl Executor for Paused {
/// #     fn name(&self) -> String { "paused".to_owned() }
/// #     fn spawn(&self, _: SendFuture<()>) -> Result<(), SpawnError> { Err(SpawnError::Ended) }
/// #     fn now(&self) -> Duration { Duration::ZERO }
/// #     fn sleep_until(&self, _: Duration) -> SendFuture<()> { Box::pin(std::future::pending()) }
/// # }
/// # let executor: Arc<dyn Executor> = Arc::new(Paused);
/// let topic = Topic::new("ticks", Schema::of::<Tick>(), 2, Region::new(16))?;
/// // Zero is for this example: the first full ring is too long.
/// topic.set_on_stall(OnStall::EvictAfter(Duration::ZERO));
/// topic.set_executor(executor);
/// let mut slow = topic.subscribe::<Tick>("slow", Policy::Block)?;
/// let mut publisher = topic.publisher::<Tick>("writer", 1)?;
/// for price in 0..3 {
///     publisher.try_emit(Tick { price }).expect("nobody is waited for");
/// }
/// match slow.try_recv().delivery() {
///     Some(Delivery::Gap(gap)) => assert_eq!((gap.count, gap.reason), (1, GapReason::Evicted)),
///     other => panic!("expected a gap, found {}", other.is_some()),
/// }
/// # Ok::<(), TopicError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStall {
    /// The publisher waits, or its emits are rejected, for as long as it takes.
    #[default]
    Block,
    /// A reader that has held the publisher up for this time without moving is evicted: the
    /// publisher continues, and the reader gets the number of messages that it missed. The
    /// publisher waits for it again once it has moved.
    EvictAfter(Duration),
}

/// A publisher no longer waits for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The reader: a subscription, or another node.
    pub reader: Arc<str>,
    /// For how long it had held the publisher up.
    pub stalled: Duration,
}

/// What the publisher's side shares about evictions.
#[derive(Default)]
pub(super) struct Evictions {
    /// Whether gating readers can be evicted. Set before any reader joins.
    are_possible: AtomicBool,
    observer: OnceLock<Box<dyn Fn(Eviction) + Send + Sync>>,
}

impl Evictions {
    pub(super) fn allow(&self) {
        self.are_possible.store(true, Ordering::Relaxed);
    }

    pub(super) fn are_possible(&self) -> bool {
        self.are_possible.load(Ordering::Relaxed)
    }

    /// Calls `observer` at each eviction from now on. The first call of this counts.
    pub(super) fn observe(&self, observer: impl Fn(Eviction) + Send + Sync + 'static) {
        let _ = self.observer.set(Box::new(observer));
    }

    pub(super) fn notify(&self, eviction: Eviction) {
        if let Some(observer) = self.observer.get() {
            observer(eviction);
        }
    }
}

impl fmt::Debug for Evictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evictions").field("are_possible", &self.are_possible()).finish()
    }
}

/// How long readers have held one publisher up.
#[derive(Debug)]
pub(super) struct StallLimit {
    limit: Duration,
    /// In the order of their entries.
    stalled: Vec<Stalled>,
    /// Those of the call before.
    before: Vec<Stalled>,
    timer: DeadlineTimer,
}

/// A reader that was at a position when the publisher found that it holds it up.
#[derive(Clone, Copy, Debug)]
struct Stalled {
    reader: Claim,
    position: usize,
    since: Duration,
}

impl StallLimit {
    pub(super) fn new(limit: Duration) -> StallLimit {
        StallLimit {
            limit,
            stalled: Vec::new(),
            before: Vec::new(),
            timer: DeadlineTimer::default(),
        }
    }

    /// Suspends the readers that need a message before `sequence`, and have needed it for too long.
    /// Calls `evicted` with each, and for how long. The caller has loaded the exact positions.
    pub(super) fn suspend(
        &mut self,
        producer: &mut Producer<Ring>,
        executor: &dyn Executor,
        sequence: usize,
        mut evicted: impl FnMut(Claim, Duration),
    ) {
        let now = executor.now();
        // Two lists in turn, so that a publisher that waits often does not allocate.
        std::mem::swap(&mut self.stalled, &mut self.before);
        self.stalled.clear();
        let mut known = self.before.iter().peekable();
        for (reader, position) in producer.behind(sequence) {
            while known.next_if(|it| it.reader.entry < reader.entry).is_some() {}
            let same = known.next_if(|it| (it.reader, it.position) == (reader, position));
            let since = same.map_or(now, |it| it.since);
            self.stalled.push(Stalled { reader, position, since });
        }
        self.stalled.retain(|it| {
            let lasted = now.saturating_sub(it.since);
            let is_over = lasted >= self.limit;
            // If not suspended, it has left just now.
            if is_over && producer.suspend(it.reader) {
                evicted(it.reader, lasted);
            }
            !is_over
        });
    }

    /// Has the task woken when the next reader may be over the limit. Ready if one is.
    pub(super) fn poll(&mut self, context: &Context<'_>, executor: &dyn Executor) -> Poll<()> {
        let mut context = Context::from_waker(context.waker());
        let Some(first) = self.stalled.iter().map(|it| it.since).min() else {
            return Poll::Pending;
        };
        self.timer.poll(&mut context, executor, first.saturating_add(self.limit))
    }
}
