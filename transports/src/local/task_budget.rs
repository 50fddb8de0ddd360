//! Who tells the other side, and when.
//!
//! To publish or to take a message is a few stores. To tell a sleeping other side takes a fence, which costs as much
//! again, so it is done once for all that a task did in one poll: its handles count their work in the task's [`TaskBudget`],
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
use mycelium_core::wait::Wait;

use super::state::{PublisherState, ReaderEntry, SubscriberState};
use crate::counters::{Line, PublisherValue};
use crate::sync::{AtomicU32, Ordering};

/// After so many operations the handle that did the last one flushes by itself: a long poll delays nobody for long.
const FLUSH_EVERY: u32 = 64;
/// So often a task looks for what it waits for while it owes others a ring: the end of its poll is when they are told.
const SPINS_IN_DEBT: usize = Wait::LOOKS / 20;

thread_local! {
    /// The budget of the task that this thread polls. Only ever compared.
    static CURRENT: Cell<*const TaskBudget> = const { Cell::new(ptr::null()) };
}

/// What one task did in its present poll. Only the thread that polls the task touches it.
#[derive(Debug)]
#[repr(align(64))]
pub struct TaskBudget {
    count: AtomicU32,
    budget: u32,
}

impl TaskBudget {
    /// After so many operations in one poll a task yields, unless it has another budget.
    pub const BUDGET: u32 = 256;

    /// Nothing done yet.
    #[must_use]
    pub fn new() -> Arc<TaskBudget> {
        TaskBudget::with_budget(TaskBudget::BUDGET)
    }

    /// Nothing done yet, by a task that yields after so many operations in one poll.
    #[must_use]
    pub fn with_budget(budget: u32) -> Arc<TaskBudget> {
        Arc::new(TaskBudget { count: AtomicU32::new(0), budget })
    }

    /// Counts one operation and says whether the other side must be told now: every so often, and always outside the
    /// poll of the budget's task.
    #[inline]
    pub(super) fn count_operation(&self) -> bool {
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
    pub(super) fn is_exhausted(&self, context: &Context<'_>) -> bool {
        let spent = self.count.load(Ordering::Relaxed) >= self.budget && self.is_current();
        if spent {
            context.waker().wake_by_ref();
        }
        spent
    }

    /// How often a handle of this task may look in one poll for what it waits for.
    pub(super) fn spins(&self) -> usize {
        let in_debt = self.count.load(Ordering::Relaxed) != 0 && self.is_current();
        if in_debt { SPINS_IN_DEBT } else { Wait::LOOKS }
    }

    #[inline]
    fn is_current(&self) -> bool {
        ptr::eq(CURRENT.get(), self)
    }
}

/// The budget of a handle that no task's budget counts for: after so many polls it yields once.
#[derive(Debug, Default)]
pub(super) struct UntaskedBudget(u32);

impl UntaskedBudget {
    #[inline]
    pub(super) fn is_exhausted(&mut self, context: &Context<'_>) -> bool {
        self.0 += 1;
        let spent = self.0 > TaskBudget::BUDGET;
        if spent {
            self.0 = 0;
            context.waker().wake_by_ref();
        }
        spent
    }
}

/// Polls a task, then tells all that wait for what it did, and gives it a new budget.
#[inline]
pub fn poll_with<R>(
    budget: &TaskBudget,
    wakes: &mut [DeferredWakes],
    poll: impl FnOnce() -> R,
) -> R {
    /// Puts the outer task's budget back, even if the inner task panics.
    struct Outer(*const TaskBudget);

    impl Drop for Outer {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }

    let outer = Outer(CURRENT.replace(budget));
    let result = poll();
    drop(outer);
    if budget.count.load(Ordering::Relaxed) != 0 {
        budget.count.store(0, Ordering::Relaxed);
        announce();
        ring_each(wakes, DeferredWakes::ring);
    }
    result
}

/// The doorbells of the other sides of one publisher or one subscription.
#[derive(Debug)]
pub struct DeferredWakes(Side);

#[derive(Debug)]
enum Side {
    Publisher {
        doorbells: ReaderDoorbells,
        line: Arc<Line<PublisherValue>>,
    },
    Subscription {
        subscriber: Arc<SubscriberState>,
        version: usize,
        publishers: Vec<Arc<PublisherState>>,
    },
}

impl DeferredWakes {
    pub(super) fn of_publisher(
        publisher: Arc<PublisherState>,
        line: Arc<Line<PublisherValue>>,
    ) -> DeferredWakes {
        DeferredWakes(Side::Publisher { doorbells: ReaderDoorbells::new(publisher), line })
    }

    pub(super) fn of_subscription(subscriber: Arc<SubscriberState>) -> DeferredWakes {
        DeferredWakes(Side::Subscription {
            subscriber,
            version: usize::MAX,
            publishers: Vec::new(),
        })
    }

    /// Rings what is parked, and shows what is counted. The caller has announced.
    fn ring(&mut self) {
        match &mut self.0 {
            Side::Publisher { doorbells, line } => {
                doorbells.publisher.show_sent(line);
                doorbells.ring();
            }
            Side::Subscription { subscriber, version, publishers } => {
                let now = subscriber.publishers.version();
                if *version != now {
                    publishers.clone_from(&subscriber.publishers.lock());
                    *version = now;
                }
                ring_each(publishers, |publisher| publisher.room.ring());
            }
        }
    }
}

/// A publisher's readers, copied so that ringing them locks nothing.
#[derive(Debug)]
pub(super) struct ReaderDoorbells {
    publisher: Arc<PublisherState>,
    version: usize,
    /// The version with which there was a reader at the last look, or one that never comes.
    version_with_readers: usize,
    readers: Vec<ReaderEntry>,
}

/// A version that no list reaches.
const NEVER: usize = usize::MAX;

impl ReaderDoorbells {
    pub(super) fn new(publisher: Arc<PublisherState>) -> ReaderDoorbells {
        ReaderDoorbells {
            publisher,
            version: NEVER,
            version_with_readers: NEVER,
            readers: Vec::new(),
        }
    }

    pub(super) fn ring(&mut self) {
        self.refresh();
        ring_each(&self.readers, |reader| reader.subscriber.bell.ring());
    }

    /// Whether the same ones read as when it last looked, and somebody does.
    #[inline]
    pub(super) fn has_readers_as_before(&self) -> bool {
        self.version_with_readers == self.publisher.readers.version()
    }

    /// Whether anybody reads at all.
    pub(super) fn has_readers(&mut self) -> bool {
        self.refresh();
        !self.readers.is_empty()
    }

    fn refresh(&mut self) {
        if self.version != self.publisher.readers.version() {
            self.version = self.publisher.readers.version();
            self.readers.clone_from(&self.publisher.readers.lock());
            self.version_with_readers = if self.readers.is_empty() { NEVER } else { self.version };
        }
    }
}
