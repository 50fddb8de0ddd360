//! Stalled readers: gating readers that block a publisher, and when the publisher evicts them.
//!
//! Each publisher has a [`StallLimit`], which it calls only when its ring is full. The limit knows
//! since when each reader has blocked the publisher without moving. A reader over the limit is
//! suspended in the ring ([`Producer::suspend`]), and the publisher waits for it again once it
//! moves.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use mycelium_core::ring::broadcast::{Claim, Producer};
use mycelium_executor::{DeadlineTimer, Executor};

use crate::local::ring::shared::Ring;
use crate::sync::{AtomicBool, Ordering, lock};

/// What happens to a gating reader that blocks a publisher.
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
    /// The publisher waits, or its emits are rejected, without a time limit.
    #[default]
    Block,
    /// A reader that has blocked the publisher for this time without moving is evicted: the
    /// publisher continues, and the reader gets a gap with the number of missed messages. The
    /// publisher waits for it again once it has moved.
    EvictAfter(Duration),
}

/// A reader was evicted: a publisher no longer waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// The reader: a subscription, or another node.
    pub reader: Arc<str>,
    /// The time for which the reader had blocked the publisher.
    pub stalled: Duration,
}

/// The evictions at one publisher, shared by the publisher and its readers.
#[derive(Default)]
pub(crate) struct Evictions {
    /// Whether gating readers can be evicted. Set before any reader joins.
    are_possible: AtomicBool,
    /// Whether an evicted reader has not returned yet.
    are_open: AtomicBool,
    open: Mutex<OpenEvictions>,
    observer: OnceLock<Box<dyn Fn(Eviction) + Send + Sync>>,
    observer_of_returns: OnceLock<Box<dyn Fn(Arc<str>) + Send + Sync>>,
}

/// Evicted readers that have not returned, and changes that observers were not notified of yet.
#[derive(Default)]
struct OpenEvictions {
    /// The evicted readers, by the number of the subscription.
    readers: Vec<(u64, Claim, Arc<str>)>,
    pending: VecDeque<EvictionChange>,
    /// A thread is calling the observers. It also reports changes that become pending meanwhile.
    is_notifying: bool,
}

impl OpenEvictions {
    /// Ends the evictions of the readers that have returned.
    fn end(&mut self, has_returned: impl Fn(&(u64, Claim, Arc<str>)) -> bool) {
        let returned = self.readers.extract_if(.., |reader| has_returned(reader));
        self.pending.extend(returned.map(|(.., reader)| EvictionChange::Returned(reader)));
    }
}

enum EvictionChange {
    Evicted(Eviction),
    Returned(Arc<str>),
}

impl Evictions {
    pub(crate) fn allow(&self) {
        self.are_possible.store(true, Ordering::Relaxed);
    }

    pub(crate) fn are_possible(&self) -> bool {
        self.are_possible.load(Ordering::Relaxed)
    }

    /// Calls `observer` at each eviction from now on. Only the first observer counts.
    pub(crate) fn observe(&self, observer: impl Fn(Eviction) + Send + Sync + 'static) {
        let _ = self.observer.set(Box::new(observer));
    }

    /// Calls `observer` with each reader that returns. Only the first observer counts.
    pub(crate) fn observe_returns(&self, observer: impl Fn(Arc<str>) + Send + Sync + 'static) {
        let _ = self.observer_of_returns.set(Box::new(observer));
    }

    /// Adds the eviction of the subscription with this number and claim.
    pub(crate) fn add(&self, number: u64, claim: Claim, eviction: Eviction) {
        let mut open = lock(&self.open);
        // An open eviction of this subscription is over: the subscription has returned unnoticed.
        open.end(|(other, ..)| *other == number);
        open.readers.push((number, claim, eviction.reader.clone()));
        open.pending.push_back(EvictionChange::Evicted(eviction));
        self.notify(open);
    }

    /// Ends the eviction of the subscription with this number, which has moved or left.
    #[cold]
    pub(crate) fn returned(&self, number: u64) {
        self.end(|(other, ..)| *other == number);
    }

    /// Finds the readers that have returned: the publisher waits for them again.
    pub(crate) fn check(&self, ring: &Ring) {
        if self.are_open.load(Ordering::Relaxed) {
            self.end(|(_, claim, _)| !ring.is_suspended(*claim));
        }
    }

    /// Ends the evictions of the readers that have returned, and notifies the observers.
    fn end(&self, has_returned: impl Fn(&(u64, Claim, Arc<str>)) -> bool) {
        let mut open = lock(&self.open);
        open.end(has_returned);
        self.notify(open);
    }

    /// Notifies the observers of changes, one after the other.
    fn notify<'s>(&'s self, mut open: MutexGuard<'s, OpenEvictions>) {
        self.are_open.store(!open.readers.is_empty(), Ordering::Relaxed);
        if open.is_notifying {
            return;
        }
        open.is_notifying = true;
        while let Some(change) = open.pending.pop_front() {
            // Releases the lock first, because an observer may use the publisher's topic.
            drop(open);
            match change {
                EvictionChange::Evicted(eviction) => {
                    self.observer.get().into_iter().for_each(|observer| observer(eviction.clone()));
                }
                EvictionChange::Returned(reader) => {
                    let observer = self.observer_of_returns.get();
                    observer.into_iter().for_each(|observer| observer(reader.clone()));
                }
            }
            open = lock(&self.open);
        }
        open.is_notifying = false;
    }
}

impl fmt::Debug for Evictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evictions").field("are_possible", &self.are_possible()).finish()
    }
}

/// Measures how long readers have blocked one publisher.
#[derive(Debug)]
pub(crate) struct StallLimit {
    limit: Duration,
    /// The readers that block the publisher now, in the order of their entries.
    stalled: Vec<Stalled>,
    /// The readers that blocked the publisher at the previous call of `suspend`.
    before: Vec<Stalled>,
    timer: DeadlineTimer,
}

/// A reader that blocks the publisher, and its position.
#[derive(Clone, Copy, Debug)]
struct Stalled {
    reader: Claim,
    position: usize,
    since: Duration,
}

impl StallLimit {
    pub(crate) fn new(limit: Duration) -> StallLimit {
        StallLimit {
            limit,
            stalled: Vec::new(),
            before: Vec::new(),
            timer: DeadlineTimer::default(),
        }
    }

    /// Suspends the readers that need a message before `sequence`, and have needed it for longer
    /// than the limit. Calls `evicted` with each reader and the time for which it blocked the
    /// publisher. The caller must have loaded the exact positions.
    pub(crate) fn suspend(
        &mut self,
        producer: &mut Producer<Ring>,
        executor: &dyn Executor,
        sequence: usize,
        mut evicted: impl FnMut(Claim, Duration),
    ) {
        let now = executor.now();
        // Swaps two lists, so that a publisher that waits often does not allocate.
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
            // If the reader cannot be suspended, it has just left.
            if is_over && producer.suspend(it.reader) {
                evicted(it.reader, lasted);
            }
            !is_over
        });
    }

    /// Registers the task for the time at which the next reader may be over the limit. Ready if a
    /// reader is over it.
    pub(crate) fn poll(&mut self, context: &Context<'_>, executor: &dyn Executor) -> Poll<()> {
        let mut context = Context::from_waker(context.waker());
        let Some(first) = self.stalled.iter().map(|it| it.since).min() else {
            return Poll::Pending;
        };
        self.timer.poll(&mut context, executor, first.saturating_add(self.limit))
    }
}
