//! Who tells the other side, and when.
//!
//! To publish or to take a message is a few stores. To tell a sleeping other side takes a fence, which costs as much
//! again, so it is done once for all that a task did in one poll: its handles count their work in the task's [`Pulse`],
//! and whoever polls the task does so through [`poll_with`], which flushes afterwards. How many messages were
//! sent, which the ring knows, is shown in the counters then, too. The count is also the task's
//! budget: a task that has used it up yields, so that neither a tight loop of emits nor one of receives starves its
//! executor.
//!
//! A handle that is used anywhere else, outside its task's poll, tells the other side at once. One that belongs to no
//! task yields by a count of its own.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::task::Context;

use mycelium_core::doorbell::{announce, ring_each};
use mycelium_core::wait::WaitStrategy;

use super::outlet::{Inlet, Outlet, ReaderInfo};
use crate::counters::{Line, PublisherValue};
use crate::sync::{AtomicU32, Ordering};

/// After so many operations the handle that did the last one flushes by itself: a long poll delays nobody for long.
const FLUSH_EVERY: u32 = 64;
/// So often a task looks for what it waits for while it owes others a ring: the end of its poll is when they are told.
const LOOKS_IN_DEBT: usize = WaitStrategy::SPINS / 20;

thread_local! {
    /// The pulse of the task that this thread polls. Only ever compared.
    static CURRENT: Cell<*const Pulse> = const { Cell::new(ptr::null()) };
}

/// What one task did in its present poll. Only the thread that polls the task touches it.
#[derive(Debug)]
#[repr(align(64))]
pub struct Pulse {
    count: AtomicU32,
    budget: u32,
}

impl Pulse {
    /// After so many operations in one poll a task yields, unless it has another budget.
    pub const BUDGET: u32 = 256;

    /// Nothing done yet.
    #[must_use]
    pub fn new() -> Arc<Pulse> {
        Pulse::with_budget(Pulse::BUDGET)
    }

    /// Nothing done yet, by a task that yields after so many operations in one poll.
    #[must_use]
    pub fn with_budget(budget: u32) -> Arc<Pulse> {
        Arc::new(Pulse { count: AtomicU32::new(0), budget })
    }

    /// Counts one operation and says whether the other side must be told now: every so often, and always outside the
    /// poll of the pulse's task.
    #[inline]
    pub(super) fn beat(&self) -> bool {
        if !self.is_current() {
            return true;
        }
        // One thread: a load and a store are enough.
        let count = self.count.load(Ordering::Relaxed) + 1;
        self.count.store(count, Ordering::Relaxed);
        count.is_multiple_of(FLUSH_EVERY)
    }

    /// Whether the task must yield before it does more in this poll; it is woken again then.
    #[inline]
    pub(super) fn is_spent(&self, context: &Context<'_>) -> bool {
        let spent = self.count.load(Ordering::Relaxed) >= self.budget && self.is_current();
        if spent {
            context.waker().wake_by_ref();
        }
        spent
    }

    /// How often a handle of this task may look in one poll for what it waits for.
    pub(super) fn looks(&self) -> usize {
        let in_debt = self.count.load(Ordering::Relaxed) != 0 && self.is_current();
        if in_debt { LOOKS_IN_DEBT } else { WaitStrategy::SPINS }
    }

    #[inline]
    fn is_current(&self) -> bool {
        ptr::eq(CURRENT.get(), self)
    }
}

/// The budget of a handle that no task's pulse counts for: after so many polls it yields once.
#[derive(Debug, Default)]
pub(super) struct Alone(u32);

impl Alone {
    #[inline]
    pub(super) fn is_spent(&mut self, context: &Context<'_>) -> bool {
        self.0 += 1;
        let spent = self.0 > Pulse::BUDGET;
        if spent {
            self.0 = 0;
            context.waker().wake_by_ref();
        }
        spent
    }
}

/// Polls a task, then tells all that wait for what it did, and gives it a new budget.
#[inline]
pub fn poll_with<R>(pulse: &Pulse, flushers: &mut [Flusher], poll: impl FnOnce() -> R) -> R {
    /// Puts the outer task's pulse back, even if the inner task panics.
    struct Outer(*const Pulse);

    impl Drop for Outer {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }

    let outer = Outer(CURRENT.replace(pulse));
    let result = poll();
    drop(outer);
    if pulse.count.load(Ordering::Relaxed) != 0 {
        pulse.count.store(0, Ordering::Relaxed);
        announce();
        ring_each(flushers, Flusher::ring);
    }
    result
}

/// The bells of the other sides of one publisher or one subscription.
#[derive(Debug)]
pub struct Flusher(Side);

#[derive(Debug)]
enum Side {
    Publisher { bells: Bells, line: Arc<Line<PublisherValue>> },
    Subscription { inlet: Arc<Inlet>, version: usize, outlets: Vec<Arc<Outlet>> },
}

impl Flusher {
    pub(super) fn of_publisher(outlet: Arc<Outlet>, line: Arc<Line<PublisherValue>>) -> Flusher {
        Flusher(Side::Publisher { bells: Bells::new(outlet), line })
    }

    pub(super) fn of_subscription(inlet: Arc<Inlet>) -> Flusher {
        Flusher(Side::Subscription { inlet, version: usize::MAX, outlets: Vec::new() })
    }

    /// Rings what is parked, and shows what is counted. The caller has announced.
    fn ring(&mut self) {
        match &mut self.0 {
            Side::Publisher { bells, line } => {
                bells.outlet.show_sent(line);
                bells.ring();
            }
            Side::Subscription { inlet, version, outlets } => {
                let now = inlet.outlets.version();
                if *version != now {
                    outlets.clone_from(&inlet.outlets.lock());
                    *version = now;
                }
                ring_each(outlets, |outlet| outlet.room.ring());
            }
        }
    }
}

/// A publisher's readers, copied so that ringing them locks nothing.
#[derive(Debug)]
pub(super) struct Bells {
    outlet: Arc<Outlet>,
    version: usize,
    /// The version with which there was a reader at the last look, or one that never comes.
    heard: usize,
    readers: Vec<ReaderInfo>,
}

/// A version that no list reaches.
const NEVER: usize = usize::MAX;

impl Bells {
    pub(super) fn new(outlet: Arc<Outlet>) -> Bells {
        Bells { outlet, version: NEVER, heard: NEVER, readers: Vec::new() }
    }

    pub(super) fn ring(&mut self) {
        self.refresh();
        ring_each(&self.readers, |reader| reader.inlet.bell.ring());
    }

    /// Whether the same ones read as when it last looked, and somebody does.
    #[inline]
    pub(super) fn is_heard_as_before(&self) -> bool {
        self.heard == self.outlet.readers.version()
    }

    /// Whether anybody reads at all.
    pub(super) fn is_heard(&mut self) -> bool {
        self.refresh();
        !self.readers.is_empty()
    }

    fn refresh(&mut self) {
        if self.version != self.outlet.readers.version() {
            self.version = self.outlet.readers.version();
            self.readers.clone_from(&self.outlet.readers.lock());
            self.heard = if self.readers.is_empty() { NEVER } else { self.version };
        }
    }
}
