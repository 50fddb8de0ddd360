//! The task budget: decides when the tasks at the other end of a ring are woken, and when a task
//! yields.
//!
//! Publishing or taking a message is a few stores. Waking a parked task on the other side needs a
//! fence, too, which costs about as much. So one poll of a task pays for one fence: the task's
//! handles count their operations in its [`TaskBudget`], and [`poll_with`] polls the task and then
//! wakes the other sides. The `sent` counters are updated then, too. The count also limits the
//! task: it yields when its budget is used up, so that a tight loop of emits or receives does not
//! starve its executor.
//!
//! A handle that is used outside its task's poll wakes the other side at once. A handle without a
//! task has its own count, by which it yields.
//!
//! The handles of a [`ChildTask`] are not known when it begins. A handle that is used in the poll
//! of a child task, and not in the poll of its own task, joins the child task: from then on its
//! operations count there, and its wakes are deferred to the end of the child's polls. It returns
//! to its own task when it is used there again.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::{Arc, Weak};
use std::task::Context;

use mycelium_core::doorbell::{announce, ring_each};
use mycelium_core::wait::WaitStrategy;

use super::ring::ready::Touched;
use super::ring::roster::{Numbered, OUTDATED};
use super::state::{PressureCheck, PublisherState, ReaderEntry, SubscriberState};
use super::trace::TaskTrace;
use crate::counters::{Line, PublisherValue};
use crate::sync::{AtomicU32, Ordering};

/// The number of operations in one poll after which the other sides are woken, so that a long poll
/// does not delay them much.
pub(super) const FLUSH_EVERY: u32 = 64;
/// The spin limit while this task has undelivered wake-ups. They are sent when the poll returns, so
/// it must not spin long.
const SPINS_IN_DEBT: usize = WaitStrategy::SPINS / 20;

/// The limit on how often a handle joins child tasks. Joining allocates, so a handle that joins
/// more often wakes the other side at once.
const JOINS: u8 = 8;

thread_local! {
    /// The budget of the task that this thread polls. The pointer is only compared, never
    /// dereferenced.
    static CURRENT: Cell<*const TaskBudget> = const { Cell::new(ptr::null()) };
    /// The child task that this thread polls.
    static CHILD: RefCell<Option<Joined>> = const { RefCell::new(None) };
    /// The innermost task that [`poll_traced`] is polling on this thread.
    static TRACED: RefCell<Option<Arc<TaskBudget>>> = const { RefCell::new(None) };
}

/// The operations of one task in its current poll. Only the thread that polls the task changes it.
#[derive(Debug)]
// The order of the fields matters: the path of a message uses the address of `count` for both the
// comparison with the current budget and the count.
#[repr(C, align(64))]
pub struct TaskBudget {
    count: AtomicU32,
    limit: u32,
    trace: Option<Box<TaskTrace>>,
}

impl TaskBudget {
    /// The number of operations after which a task yields, if it has no other limit.
    pub const DEFAULT: u32 = 256;

    /// Creates a budget of [`DEFAULT`](TaskBudget::DEFAULT) operations per poll.
    #[must_use]
    pub fn new() -> Arc<TaskBudget> {
        TaskBudget::with_limit(TaskBudget::DEFAULT)
    }

    /// Creates a budget of `limit` operations per poll.
    #[must_use]
    pub fn with_limit(limit: u32) -> Arc<TaskBudget> {
        Arc::new(TaskBudget { count: AtomicU32::new(0), limit, trace: None })
    }

    /// Creates a budget of `limit` operations per poll, for a task whose messages have traces.
    #[must_use]
    pub fn with_trace(limit: u32, trace: TaskTrace) -> Arc<TaskBudget> {
        let trace = Some(Box::new(trace));
        Arc::new(TaskBudget { count: AtomicU32::new(0), limit, trace })
    }

    /// Returns the number of operations after which the task yields.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Returns the traces of the task's deliveries, if it has any.
    #[must_use]
    pub fn trace(&self) -> Option<&TaskTrace> {
        self.trace.as_deref()
    }

    /// Returns the traces as [`trace`](TaskBudget::trace) does, if this thread is polling the task.
    #[must_use]
    pub fn current_trace(&self) -> Option<&TaskTrace> {
        self.trace().filter(|_| self.is_current())
    }

    /// Returns the task that this thread is polling by [`poll_traced`]. Messages that handles of
    /// other tasks send meanwhile get the trace of this task's current delivery.
    #[must_use]
    pub fn traced() -> Option<Arc<TaskBudget>> {
        if CURRENT.get().is_null() {
            return None;
        }
        TRACED.with_borrow(|task| task.clone().filter(|task| task.is_current()))
    }

    /// Counts one operation in the task's poll. Returns whether the other side must be woken now:
    /// after every `FLUSH_EVERY` operations.
    #[inline]
    pub(super) fn count_operation(&self) -> bool {
        // A load and a store are enough: only one thread writes.
        let count = self.count.load(Ordering::Relaxed) + 1;
        self.count.store(count, Ordering::Relaxed);
        count.is_multiple_of(FLUSH_EVERY)
    }

    /// Counts many operations. Returns whether the other side must be woken now.
    #[inline]
    fn count_operations(&self, operations: u32) -> bool {
        if !self.is_current() {
            return true;
        }
        let before = self.count.load(Ordering::Relaxed);
        let count = before.saturating_add(operations);
        self.count.store(count, Ordering::Relaxed);
        before / FLUSH_EVERY != count / FLUSH_EVERY
    }

    /// Ends a poll: sends the wakes if there were operations.
    #[inline]
    fn end_poll(&self, wake: impl FnOnce()) {
        if self.count.load(Ordering::Relaxed) != 0 {
            self.count.store(0, Ordering::Relaxed);
            announce();
            wake();
        }
    }

    #[inline]
    fn is_exhausted(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= self.limit && self.is_current()
    }

    #[inline]
    fn is_current(&self) -> bool {
        ptr::eq(CURRENT.get(), self)
    }
}

/// The budget of one handle: its task's, or its own while it is attached to no task.
#[derive(Debug, Default)]
pub(super) struct HandleBudget {
    task: Option<Arc<TaskBudget>>,
    /// The handle's own task, while the handle has joined a child task.
    home: Option<Arc<TaskBudget>>,
    /// While it lives, the joined child task keeps the handle's wakes.
    membership: Option<Arc<()>>,
    joins: u8,
    /// For a handle without a task: the number of polls since its last yield.
    polls: u32,
}

impl HandleBudget {
    pub(super) fn attach(&mut self, task: &Arc<TaskBudget>) {
        self.task = Some(task.clone());
    }

    /// Counts one operation. Returns whether the other side must be woken now.
    #[inline(always)]
    pub(super) fn count_operation(&self) -> bool {
        self.current().is_none_or(TaskBudget::count_operation)
    }

    /// Returns the handle's task, if this thread polls it. If not, each operation must wake the
    /// other side.
    // Not `filter`, which the compiler turns into conditional moves.
    #[inline(always)]
    pub(super) fn current(&self) -> Option<&TaskBudget> {
        match &self.task {
            Some(task) if task.is_current() => Some(task),
            _ => None,
        }
    }

    /// Counts many operations. Returns whether the other side must be woken now.
    #[inline]
    pub(super) fn count_operations(&self, operations: u32) -> bool {
        self.task.as_ref().is_none_or(|task| task.count_operations(operations))
    }

    /// Decides whether the wakes that are due after `operations` can wait until the end of the
    /// current poll. They can if the poll is that of the handle's own task, to which the handle
    /// then returns, or of a child task, which it then joins. `wakes` creates the wakes for the
    /// child task.
    pub(super) fn joins(&mut self, operations: u32, wakes: impl FnOnce() -> DeferredWakes) -> bool {
        if self.task.as_ref().is_some_and(|task| task.is_current()) {
            return false;
        }
        if let Some(home) = self.home.take_if(|home| home.is_current()) {
            (self.task, self.membership) = (Some(home), None);
            return !self.count_operations(operations);
        }
        if self.joins >= JOINS {
            return false;
        }
        let joined = CHILD.with_borrow_mut(|child| {
            let child = child.as_mut().filter(|child| child.budget.is_current())?;
            let membership = Arc::new(());
            child.add(Arc::downgrade(&membership), wakes());
            Some((child.budget.clone(), membership))
        });
        let Some((task, membership)) = joined else { return false };
        self.joins += 1;
        let before = self.task.replace(task);
        // Without a membership, the earlier task is the handle's own task.
        if self.membership.replace(membership).is_none() {
            self.home = before;
        }
        !self.count_operations(operations)
    }

    /// Returns the traces of the handle's task, if that task is polled now.
    pub(super) fn trace(&self) -> Option<&TaskTrace> {
        self.current()?.trace()
    }

    /// Returns the traces of the handle's task, whether or not it is polled now.
    pub(super) fn any_trace(&self) -> Option<&TaskTrace> {
        self.task.as_ref()?.trace()
    }

    /// Whether the handle is attached to a task.
    pub(super) fn is_attached(&self) -> bool {
        self.task.is_some()
    }

    /// Whether the task must yield before its next operation. If so, this wakes the task again.
    #[inline]
    pub(super) fn is_exhausted(&mut self, context: &Context<'_>) -> bool {
        let is_exhausted = match &self.task {
            Some(task) => task.is_exhausted(),
            None => {
                self.polls += 1;
                let is_exhausted = self.polls > TaskBudget::DEFAULT;
                if is_exhausted {
                    self.polls = 0;
                }
                is_exhausted
            }
        };
        if is_exhausted {
            context.waker().wake_by_ref();
        }
        is_exhausted
    }

    /// Returns the spin limit of one poll.
    pub(super) fn spins(&self) -> usize {
        let has_undelivered_wakes =
            |task: &Arc<TaskBudget>| task.count.load(Ordering::Relaxed) != 0 && task.is_current();
        let in_debt = self.task.as_ref().is_some_and(has_undelivered_wakes);
        if in_debt { SPINS_IN_DEBT } else { WaitStrategy::SPINS }
    }
}

/// Polls a task, then sends its deferred wakes, and renews its budget.
#[inline]
pub fn poll_with<R>(
    budget: &TaskBudget,
    wakes: &mut [DeferredWakes],
    poll: impl FnOnce() -> R,
) -> R {
    let result = poll_as_current(budget, poll);
    budget.end_poll(|| ring_each(wakes, DeferredWakes::wake));
    result
}

/// Restores the state of an outer task when dropped, even if the inner task panics.
struct Restore<F: FnMut()>(F);

impl<F: FnMut()> Drop for Restore<F> {
    #[inline]
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Polls a task, with its budget as the current one.
#[inline]
fn poll_as_current<R>(budget: *const TaskBudget, poll: impl FnOnce() -> R) -> R {
    let outer = CURRENT.replace(budget);
    let _restore = Restore(|| CURRENT.set(outer));
    poll()
}

/// Polls a task with traces, so that handles of other tasks find its current delivery, too: see
/// [`TaskBudget::traced`].
pub fn poll_traced<R>(budget: &Arc<TaskBudget>, poll: impl FnOnce() -> R) -> R {
    with_traced(budget, || poll_as_current(Arc::as_ptr(budget), poll))
}

/// Does the same as [`poll_traced`] for a `poll` that calls [`poll_with`].
pub fn with_traced<R>(budget: &Arc<TaskBudget>, poll: impl FnOnce() -> R) -> R {
    let mut outer = TRACED.replace(Some(budget.clone()));
    let _restore = Restore(|| TRACED.set(outer.take()));
    poll()
}

/// A task whose handles join it when they are used in its polls.
#[derive(Debug)]
pub struct ChildTask(Option<Joined>);

/// The budget of a child task, and the deferred wakes of the handles that have joined it.
#[derive(Debug)]
struct Joined {
    budget: Arc<TaskBudget>,
    /// The wakes of each handle that joined, until the handle is gone.
    wakes: Vec<(Weak<()>, DeferredWakes)>,
}

impl Joined {
    fn add(&mut self, handle: Weak<()>, wakes: DeferredWakes) {
        if self.wakes.len() == self.wakes.capacity() {
            self.wakes.retain(|(handle, _)| handle.strong_count() > 0);
        }
        self.wakes.push((handle, wakes));
    }
}

impl ChildTask {
    /// Creates a task without handles, with this budget.
    #[must_use]
    pub fn new(budget: Arc<TaskBudget>) -> ChildTask {
        ChildTask(Some(Joined { budget, wakes: Vec::new() }))
    }

    /// Polls the task as [`poll_with`] does, with the wakes of all handles that it has used.
    pub fn poll<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        let budget = self.0.as_ref().map_or(ptr::null(), |joined| Arc::as_ptr(&joined.budget));
        let mut outer = CHILD.replace(self.0.take());
        let restore = Restore(|| self.0 = CHILD.replace(outer.take()));
        let result = poll_as_current(budget, poll);
        drop(restore);
        if let Some(Joined { budget, wakes }) = &mut self.0 {
            budget.end_poll(|| ring_each(wakes, |(_, wakes)| wakes.wake()));
        }
        result
    }
}

/// The wake-ups that one publisher or subscription defers to the end of its task's poll.
#[derive(Debug)]
pub struct DeferredWakes(Side);

#[derive(Debug)]
enum Side {
    Publisher(PublisherWakes),
    Subscription(SubscriptionWakes),
}

#[derive(Debug)]
struct PublisherWakes {
    doorbells: ReaderDoorbells,
    line: Arc<Line<PublisherValue>>,
    /// The end of the ring at the last wake.
    woken_at: Option<usize>,
}

#[derive(Debug)]
struct SubscriptionWakes {
    subscriber: Arc<SubscriberState>,
    /// The number of operations at the last wake.
    woken_at: Option<usize>,
    version: usize,
    publishers: Vec<Arc<PublisherState>>,
}

impl DeferredWakes {
    pub(super) fn of_publisher(
        publisher: Arc<PublisherState>,
        line: Arc<Line<PublisherValue>>,
    ) -> DeferredWakes {
        let doorbells = ReaderDoorbells::new(publisher);
        DeferredWakes(Side::Publisher(PublisherWakes { doorbells, line, woken_at: None }))
    }

    pub(super) fn of_subscription(subscriber: Arc<SubscriberState>) -> DeferredWakes {
        let (version, publishers) = (OUTDATED, Vec::new());
        let wakes = SubscriptionWakes { subscriber, woken_at: None, version, publishers };
        DeferredWakes(Side::Subscription(wakes))
    }

    /// Wakes the parked tasks and updates the counters, if the handle had operations since the last
    /// call: other handles of its task may have had all of them. The caller has announced the
    /// operations.
    #[inline]
    fn wake(&mut self) {
        match &mut self.0 {
            Side::Publisher(wakes) => wakes.wake(),
            Side::Subscription(wakes) => wakes.wake(),
        }
    }
}

// Two functions, so that each saves the registers that it uses.
impl PublisherWakes {
    #[inline(never)]
    fn wake(&mut self) {
        let PublisherWakes { doorbells, line, woken_at } = self;
        let end = doorbells.publisher.ring.tail();
        if woken_at.replace(end) == Some(end) {
            return;
        }
        doorbells.publisher.show_sent(line, end);
        doorbells.ring();
        doorbells.pressure.run(&doorbells.publisher, end);
    }
}

impl SubscriptionWakes {
    #[inline(never)]
    fn wake(&mut self) {
        let SubscriptionWakes { subscriber, woken_at, version, publishers } = self;
        let operations = subscriber.operations.load(Ordering::Relaxed);
        if woken_at.replace(operations) == Some(operations) {
            return;
        }
        if *version != subscriber.publishers.version() {
            subscriber.publishers.refresh(publishers, version);
        }
        match (subscriber.ready.touched_now(), publishers.as_slice()) {
            (None, [publisher]) => publisher.ring_room(),
            (None, publishers) => ring_room(publishers),
            (Some(touched), publishers) => ring_touched(touched, publishers),
        }
    }
}

/// Wakes all publishers.
// Not inlined, so that the frequent case of a wake saves few registers.
#[inline(never)]
fn ring_room(publishers: &[Arc<PublisherState>]) {
    ring_each(publishers, |publisher| publisher.ring_room());
}

/// Wakes those of the publishers whose messages were taken since the last call.
// Not inlined, for the same reason as `ring_room`.
#[inline(never)]
fn ring_touched(touched: &Touched, publishers: &[Arc<PublisherState>]) {
    ring_each(touched.take(), |(_, number)| {
        if let Ok(place) = publishers.binary_search_by_key(&number, Numbered::number) {
            publishers[place].ring_room();
        }
    });
}

/// Wakes all readers.
// Not inlined, for the same reason as `ring_room`.
#[inline(never)]
fn ring_readers(readers: &[ReaderEntry]) {
    ring_each(readers, ReaderEntry::ring);
}

/// The doorbells of a publisher's readers, copied so that ringing them takes no lock.
#[derive(Debug)]
pub(super) struct ReaderDoorbells {
    publisher: Arc<PublisherState>,
    version: usize,
    /// The version of the list if it has a reader, or [`OUTDATED`].
    version_with_readers: usize,
    readers: Vec<ReaderEntry>,
    /// Some readers have a bit that tells them to check this publisher.
    has_ready_bits: bool,
    pressure: PressureCheck,
}

impl ReaderDoorbells {
    pub(super) fn new(publisher: Arc<PublisherState>) -> ReaderDoorbells {
        let (version, readers) = (OUTDATED, Vec::new());
        let (version_with_readers, pressure) = (OUTDATED, PressureCheck::new(&publisher));
        let has_ready_bits = false;
        ReaderDoorbells {
            publisher,
            version,
            version_with_readers,
            readers,
            has_ready_bits,
            pressure,
        }
    }

    #[inline(always)]
    pub(super) fn ring(&mut self) {
        self.refresh();
        if self.has_ready_bits {
            self.set_ready_bits();
        }
        match self.readers.as_slice() {
            [reader] => reader.ring(),
            readers => ring_readers(readers),
        }
    }

    /// Sets the bits of the readers that do not always check this publisher.
    #[inline(never)]
    fn set_ready_bits(&self) {
        let mut has_set = false;
        for bit in self.readers.iter().filter_map(|reader| reader.ready.as_ref()) {
            has_set |= bit.set();
        }
        if has_set {
            announce();
        }
    }

    /// Whether the publisher's threshold is exceeded.
    pub(super) fn is_threshold_exceeded(&mut self) -> bool {
        self.check_pressure();
        if self.publisher.room.is_exceeded() {
            self.publisher.compare_depth();
        }
        self.publisher.room.is_exceeded()
    }

    /// Compares the publisher's depth with its threshold, if it may have reached it.
    #[inline]
    pub(super) fn check_pressure(&mut self) {
        self.pressure.run(&self.publisher, self.publisher.ring.tail());
    }

    /// Whether the list of readers has not changed since the last refresh, and is not empty.
    #[inline]
    pub(super) fn has_same_readers(&self) -> bool {
        self.version_with_readers == self.publisher.readers.version()
    }

    /// Whether the publisher has a reader.
    pub(super) fn has_readers(&mut self) -> bool {
        !self.readers().is_empty()
    }

    /// Returns the publisher's present readers.
    pub(super) fn readers(&mut self) -> &[ReaderEntry] {
        self.refresh();
        &self.readers
    }

    #[inline]
    fn refresh(&mut self) {
        if self.version != self.publisher.readers.version() {
            self.copy_readers();
        }
    }

    #[cold]
    #[inline(never)]
    fn copy_readers(&mut self) {
        self.publisher.readers.refresh(&mut self.readers, &mut self.version);
        self.has_ready_bits = self.readers.iter().any(|reader| reader.ready.is_some());
        let is_empty = self.readers.is_empty();
        self.version_with_readers = if is_empty { OUTDATED } else { self.version };
    }
}

#[cfg(test)]
mod tests {
    use mycelium_core::message;

    use super::*;
    use crate::counters::Region;
    use crate::local::{Schema, Topic};

    #[message(topic = "numbers", id = 1)]
    struct Number {
        value: u64,
    }

    #[test]
    fn a_child_task_forgets_handles_that_are_gone() {
        let topic = Topic::new("numbers", Schema::of::<Number>(), 2, Region::new(16)).unwrap();
        let mut child = ChildTask::new(TaskBudget::new());
        for value in 0..100 {
            let mut publisher = topic.publisher("publisher", value).unwrap();
            child.poll(|| publisher.try_emit(Number { value }).unwrap());
        }
        let Joined { wakes, .. } = child.0.unwrap();
        assert!((1..16).contains(&wakes.len()), "{} handles", wakes.len());
    }
}
