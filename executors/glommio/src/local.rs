//! Everything that stays on the thread of one glommio executor: its tasks, and values such as
//! sockets and timers.
//!
//! Other threads refer to these by keys, through the [`Inbox`].

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use mycelium_executor::{LocalFuture, contain};

use crate::inbox::{Inbox, Message};
use crate::slots::{Key, Slots};

thread_local! {
    /// The executors of this thread, rarely more than one.
    static EXECUTORS: RefCell<Vec<Rc<LocalState>>> = const { RefCell::new(Vec::new()) };
}

/// The share of its thread that an executor gets.
#[derive(Clone, Copy)]
pub(crate) struct Weight {
    pub(crate) shares: u32,
    /// How long the executor's tasks may wait.
    pub(crate) interval: Duration,
}

pub(crate) struct LocalState {
    pub(crate) inbox: Arc<Inbox>,
    weight: Weight,
    tasks: RefCell<Slots<Rc<Task>>>,
    /// The tasks to poll, in this order.
    ready: RefCell<VecDeque<Key>>,
    values: RefCell<Slots<Rc<dyn Any>>>,
    /// Wakes the runner, the glommio task that polls the tasks of this executor.
    runner: RefCell<Option<Waker>>,
    /// Whether the runner is being polled, so that it need not be woken.
    polling: Cell<bool>,
    /// An empty list, which is swapped for the list of messages in the inbox.
    spare: Cell<Vec<Message>>,
}

impl LocalState {
    /// Registers an executor on the calling thread, which must be the inbox's thread.
    pub(crate) fn register(inbox: Arc<Inbox>, weight: Weight) -> LocalGuard {
        let state = Rc::new(LocalState {
            inbox,
            weight,
            tasks: RefCell::default(),
            ready: RefCell::default(),
            values: RefCell::default(),
            runner: RefCell::default(),
            polling: Cell::default(),
            spare: Cell::default(),
        });
        EXECUTORS.with(|executors| executors.borrow_mut().push(state.clone()));
        LocalGuard(state)
    }

    /// Returns how long this executor polls its tasks before the other executors of the thread have
    /// their turn, and whether it is the only executor. No task waits longer than the interval of
    /// its executor. Busy executors take turns and get time in proportion to their shares. glommio
    /// cannot do this, because each executor is one glommio task, which waits for the rings after
    /// each turn.
    pub(crate) fn slice(&self) -> (Duration, bool) {
        EXECUTORS.with(|all| {
            let all = all.borrow();
            if all.len() == 1 {
                return (self.weight.interval, true);
            }
            let (mut shortest, mut most) = (self.weight.interval, self.weight.shares);
            for state in &*all {
                shortest = shortest.min(state.weight.interval);
                if !state.ready.borrow().is_empty() {
                    most = most.max(state.weight.shares);
                }
            }
            (shortest.saturating_mul(self.weight.shares) / most.max(1), false)
        })
    }

    /// Returns whether the calling thread has an executor.
    pub(crate) fn is_on_this_thread() -> bool {
        EXECUTORS.try_with(|executors| !executors.borrow().is_empty()).unwrap_or(false)
    }

    /// Returns the executor of an inbox. Returns `None` on another thread, and after the executor's
    /// end.
    pub(crate) fn of(inbox: &Inbox) -> Option<Rc<LocalState>> {
        if !inbox.is_on_this_thread() {
            return None;
        }
        let is_this = |state: &&Rc<LocalState>| state.inbox.id == inbox.id;
        EXECUTORS.try_with(|all| all.borrow().iter().find(is_this).cloned()).ok().flatten()
    }

    pub(crate) fn spawn(&self, task: LocalFuture<()>) {
        let future = RefCell::new(Some(Box::pin(contain(task)) as LocalFuture<()>));
        let key = self.tasks.borrow_mut().insert(|key| {
            let woken = AtomicBool::new(true);
            let wake = Arc::new(TaskWake { inbox: self.inbox.clone(), key, woken });
            Rc::new(Task { future, wake: wake.clone(), waker: wake.into() })
        });
        self.make_ready(key);
    }

    fn make_ready(&self, task: Key) {
        self.ready.borrow_mut().push_back(task);
        if self.polling.get() {
            return;
        }
        if let Some(runner) = &*self.runner.borrow() {
            runner.wake_by_ref();
        }
    }

    /// Handles the messages that other threads have sent.
    pub(crate) fn receive(&self) {
        let mut list = self.spare.take();
        if self.inbox.receive(&mut list) {
            for message in list.drain(..) {
                match message {
                    Message::Spawn(task) => self.spawn(task),
                    Message::Wake(task) => self.make_ready(task),
                    Message::Release(value) => self.release(value),
                }
            }
        }
        self.spare.set(list);
    }

    /// Polls the next ready task. Returns false if no task is ready.
    pub(crate) fn poll_next(&self) -> bool {
        let Some(key) = self.ready.borrow_mut().pop_front() else { return false };
        let task = self.tasks.borrow().get(key).cloned();
        if task.is_some_and(|task| task.is_done()) {
            let task = self.tasks.borrow_mut().remove(key);
            drop(task);
        }
        true
    }

    /// Returns a guard. While it lives, tasks that become ready do not wake the runner.
    pub(crate) fn polling(&self) -> Polling<'_> {
        self.polling.set(true);
        Polling(self)
    }

    /// Sets the waker that is called when a task becomes ready.
    pub(crate) fn set_runner(&self, waker: &Waker) {
        match &mut *self.runner.borrow_mut() {
            Some(runner) => runner.clone_from(waker),
            runner => *runner = Some(waker.clone()),
        }
    }

    fn release(&self, value: Key) {
        // Drops the value after the borrow has ended, because dropping it may release other values.
        let released = self.values.borrow_mut().remove(value);
        drop(released);
    }
}

pub(crate) struct Polling<'a>(&'a LocalState);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.polling.set(false);
    }
}

/// When dropped, ends the executor and drops its tasks and values.
pub(crate) struct LocalGuard(pub(crate) Rc<LocalState>);

impl Drop for LocalGuard {
    fn drop(&mut self) {
        let LocalGuard(state) = self;
        let messages = state.inbox.end();
        let is_other = |other: &Rc<LocalState>| other.inbox.id != state.inbox.id;
        let _ = EXECUTORS.try_with(|executors| executors.borrow_mut().retain(is_other));
        drop(messages);
        drop(state.runner.take());
        drop(state.tasks.take());
        drop(state.values.take());
    }
}

struct Task {
    future: RefCell<Option<LocalFuture<()>>>,
    wake: Arc<TaskWake>,
    waker: Waker,
}

impl Task {
    /// Polls the task. Returns whether it has ended.
    fn is_done(&self) -> bool {
        // Acquire pairs with the swap in `wake_by_ref`: this poll sees what the waking thread did
        // before.
        self.wake.woken.swap(false, Ordering::AcqRel);
        let mut future = self.future.borrow_mut();
        let done = future.as_mut().is_none_or(|future| {
            future.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready()
        });
        if done {
            *future = None;
        }
        done
    }
}

/// Wakes a task from any thread.
struct TaskWake {
    inbox: Arc<Inbox>,
    key: Key,
    /// Whether the task is ready already.
    woken: AtomicBool,
}

impl Wake for TaskWake {
    fn wake(self: Arc<TaskWake>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<TaskWake>) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        match LocalState::of(&self.inbox) {
            Some(state) => state.make_ready(self.key),
            // An error means that the executor has ended and has dropped the task.
            None => drop(self.inbox.send(Message::Wake(self.key))),
        }
    }
}

/// A value that stays on the executor's thread, held by a handle that may move to others. Wherever
/// the handle is dropped, the value is dropped on its own thread.
pub(crate) struct LocalValue<T> {
    inbox: Arc<Inbox>,
    key: Key,
    kind: PhantomData<fn() -> T>,
}

impl<T: 'static> LocalValue<T> {
    /// Keeps the value that `make` creates. Returns `None` on another thread, and after the
    /// executor's end.
    pub(crate) fn new(inbox: &Arc<Inbox>, make: impl FnOnce() -> T) -> Option<LocalValue<T>> {
        let state = LocalState::of(inbox)?;
        let value = Rc::new(RefCell::new(make()));
        let key = state.values.borrow_mut().insert(|_| value);
        Some(LocalValue { inbox: inbox.clone(), key, kind: PhantomData })
    }

    /// Keeps a value as [`new`](LocalValue::new) does, if `make` can create it.
    pub(crate) fn try_new<E>(
        inbox: &Arc<Inbox>,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Option<Result<LocalValue<T>, E>> {
        LocalState::of(inbox)?;
        make().map(|value| LocalValue::new(inbox, || value)).transpose()
    }

    /// Calls `work` with the value. Returns `None` on another thread, and after the executor's end.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let state = LocalState::of(&self.inbox)?;
        let value = state.values.borrow().get(self.key)?.clone();
        Some(work(&mut value.downcast_ref::<RefCell<T>>()?.borrow_mut()))
    }
}

impl<T> fmt::Debug for LocalValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalValue").finish_non_exhaustive()
    }
}

impl<T> Drop for LocalValue<T> {
    fn drop(&mut self) {
        match LocalState::of(&self.inbox) {
            Some(state) => state.release(self.key),
            // An error means that the executor has ended and has dropped the value.
            None => drop(self.inbox.send(Message::Release(self.key))),
        }
    }
}
