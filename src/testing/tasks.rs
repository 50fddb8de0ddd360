//! The executor of a test: it runs tasks on the thread of the test, step by step, when the test
//! calls it. Its time is paused by [`PausedTime`](mycelium_executor::PausedTime).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::support::lock::lock;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mycelium_executor::{
    Executor, LocalFuture, MakeLocal, PausedTime, SendFuture, SpawnError, contain,
};

/// The seed of the random numbers of every test, so that all runs are the same.
const SEED: u64 = 0x6d79_6365_6c69_756d;

/// The tasks of a test. Dropping this drops them.
pub(super) struct TestTasks {
    state: Arc<State>,
    tasks: FuturesUnordered<LocalFuture<()>>,
}

struct State {
    kind: String,
    thread: ThreadId,
    /// Tasks that were spawned since the last step.
    spawned: Mutex<Vec<Spawned>>,
    /// Whether a task can make progress.
    is_woken: AtomicBool,
    random: Mutex<fastrand::Rng>,
}

enum Spawned {
    Send(SendFuture<()>),
    Local(MakeLocal),
}

/// The executor that spawns the tasks of a test.
#[derive(Clone)]
pub(super) struct TestExecutor(Weak<State>);

/// Advances the time to the next timer, but not beyond `end`. Returns whether it has reached `end`.
pub(super) fn advance_by_one(time: &PausedTime<TestExecutor>, end: Duration) -> bool {
    let next = time.next_timer().filter(|next| *next <= end);
    time.advance(next.unwrap_or(end) - time.now());
    next.is_none()
}

impl TestTasks {
    /// Creates an executor without tasks. `kind` is the kind of executor that the node requests.
    pub(super) fn new(kind: &str) -> TestTasks {
        let state = Arc::new(State {
            kind: kind.to_owned(),
            thread: thread::current().id(),
            spawned: Mutex::default(),
            is_woken: AtomicBool::new(false),
            random: Mutex::new(fastrand::Rng::with_seed(SEED)),
        });
        TestTasks { state, tasks: FuturesUnordered::new() }
    }

    pub(super) fn executor(&self) -> TestExecutor {
        TestExecutor(Arc::downgrade(&self.state))
    }

    /// Polls each task that can make progress about once. Returns whether there was such a task.
    pub(super) fn step(&mut self) -> bool {
        let spawned = std::mem::take(&mut *lock(&self.state.spawned));
        let any_spawned = !spawned.is_empty();
        for task in spawned {
            self.tasks.push(match task {
                Spawned::Send(task) => Box::pin(contain(task)),
                Spawned::Local(make) => Box::pin(contain(make())),
            });
        }
        if !self.state.is_woken.swap(false, Ordering::SeqCst) && !any_spawned {
            return false;
        }
        let waker = Waker::from(self.state.clone());
        // Polls the ready tasks until one of them ends. Tasks after it may be ready, too; the next
        // step polls them.
        if self.tasks.poll_next_unpin(&mut Context::from_waker(&waker)).is_ready() {
            self.state.is_woken.store(!self.tasks.is_empty(), Ordering::SeqCst);
        }
        true
    }
}

impl Wake for State {
    fn wake(self: Arc<State>) {
        self.is_woken.store(true, Ordering::SeqCst);
    }
}

impl Executor for TestExecutor {
    fn name(&self) -> String {
        self.0.upgrade().map_or_else(String::new, |state| format!("{}, in a test", state.kind))
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        let state = self.0.upgrade().ok_or(SpawnError::Ended)?;
        lock(&state.spawned).push(Spawned::Send(task));
        Ok(())
    }

    fn runs_local(&self) -> bool {
        true
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        let state = self.0.upgrade().ok_or(SpawnError::Ended)?;
        if state.thread != thread::current().id() {
            return Err(SpawnError::WrongThread);
        }
        lock(&state.spawned).push(Spawned::Local(make));
        Ok(())
    }

    /// Runs the work on the thread of the test: without other threads, all runs of the test are the
    /// same.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        self.spawn(Box::pin(async { work() }))
    }

    fn now(&self) -> Duration {
        unreachable!("the time of a test is paused")
    }

    fn sleep_until(&self, _: Duration) -> SendFuture<()> {
        unreachable!("the time of a test is paused")
    }

    fn entropy(&self) -> u64 {
        self.0.upgrade().map_or(SEED, |state| lock(&state.random).u64(..))
    }
}
