//! A set of actors in a test: [`TestActors`] runs them without threads and without real time.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use mycelium_executor::{Executor, PausedTime};

use super::tasks::{TestExecutor, TestTasks, advance_by_one};
use super::{MANY, START, STEPS};
use crate::actor::{ActorFailure, Actors, Notes, UnhandledMail};

/// A set of actors in a test: it runs on the thread of the test, with time that only
/// [`advance`](TestActors::advance) changes. A clone is the same set.
///
/// Nothing runs between the calls of a test, so all runs of the test are the same. If an actor
/// fails, with an error or a panic, the next call panics with the text of the failure. To test
/// failures and restarts, call [`supervised`](TestActors::supervised).
///
/// ```
/// use mycelium::testing::TestActors;
/// use mycelium::actors::ActorRef;
/// use mycelium::{Result, actor};
///
/// struct Line(String);
///
/// struct Log;
///
/// #[actor]
/// impl Log {
///     #[tell]
///     fn line(&mut self, Line(line): Line) {
///         println!("{line}");
///     }
/// }
///
/// struct Counter {
///     count: u64,
///     log: ActorRef<Log>,
/// }
///
/// #[actor]
/// impl Counter {
///     #[tell]
///     async fn add(&mut self, number: u64) -> Result<()> {
///         self.count += number;
///         self.log.tell(Line(format!("{} in all", self.count))).await?;
///         Ok(())
///     }
/// }
///
/// let actors = TestActors::new();
/// let log = actors.mock::<Log>();
/// let reference = log.reference();
/// let mut counter = actors.spawn(move || Counter { count: 0, log: reference.clone() });
/// counter.tell(3);
/// counter.tell(4);
/// let lines: Vec<_> = log.receive_all().into_iter().map(|Line(line)| line).collect();
/// assert_eq!(lines, ["3 in all", "7 in all"]);
/// ```
#[derive(Clone)]
pub struct TestActors(Rc<Set>);

/// The state that the handles of a test share.
struct Set {
    actors: Actors,
    notes: Arc<Notes>,
    time: PausedTime<TestExecutor>,
    tasks: RefCell<TestTasks>,
    steps: Cell<usize>,
    is_supervised: Cell<bool>,
}

impl TestActors {
    /// Creates a set without actors.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each one has a thread and a time of its own")]
    pub fn new() -> TestActors {
        crate::supervise::note_places();
        let tasks = TestTasks::new("test");
        let time = PausedTime::starting_at(tasks.executor(), SystemTime::UNIX_EPOCH + START);
        let (actors, notes) = (Actors::on(time.clone()), Arc::<Notes>::default());
        actors.note(notes.clone());
        let tasks = RefCell::new(tasks);
        let (steps, is_supervised) = (Cell::new(STEPS), Cell::new(false));
        TestActors(Rc::new(Set { actors, notes, time, tasks, steps, is_supervised }))
    }

    /// Allows actors to fail: a failure does not panic in the test. Failed actors are restarted
    /// after a pause, as outside tests, and [`failures`](TestActors::failures) returns the
    /// failures. Advance the time to end the pause.
    #[must_use]
    pub fn supervised(self) -> TestActors {
        self.0.is_supervised.set(true);
        self
    }

    /// Sets how many steps actors may take at one time of the clock before a call panics because
    /// they never wait: as [`ServiceTest::steps`](super::ServiceTest::steps).
    #[must_use]
    pub fn steps(self, most: usize) -> TestActors {
        self.0.steps.set(most);
        self
    }

    /// Returns the handle of the actors: to find them, and for supervisors, counters and hooks.
    #[must_use]
    pub fn actors(&self) -> &Actors {
        &self.0.actors
    }

    /// Runs all actors until each of them waits for a message, for time, or has ended.
    ///
    /// # Panics
    /// If they never wait, or one has failed.
    #[track_caller]
    pub fn run(&self) {
        self.settle();
        self.panic_of_failures();
    }

    /// Advances the time, from timer to timer, and runs the actors at each.
    ///
    /// # Panics
    /// Same as [`run`](TestActors::run).
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        let time = &self.0.time;
        let end = time.now().saturating_add(duration);
        self.run();
        for _ in 0..MANY {
            let is_end = advance_by_one(time, end);
            self.run();
            if is_end {
                return;
            }
        }
        panic!("{MANY} timers fired within {duration:?}: advance less at once");
    }

    /// Returns the time since the start of the test.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.time.now()
    }

    /// Returns the failures of actors since the last call, in order, including failures after which
    /// `on_error` let the actor continue.
    ///
    /// # Panics
    /// Same as [`run`](TestActors::run).
    #[track_caller]
    pub fn failures(&self) -> Vec<ActorFailure> {
        self.run();
        std::mem::take(&mut self.0.notes.noted().failures)
    }

    /// Returns the messages, since the last call, that were not handled because their actor had
    /// ended. [`Actors::on_dead_mail`] gives the messages themselves.
    ///
    /// # Panics
    /// Same as [`run`](TestActors::run).
    #[track_caller]
    pub fn dead_mail(&self) -> Vec<UnhandledMail> {
        self.run();
        std::mem::take(&mut self.0.notes.noted().dead_mail)
    }

    /// [Shuts the actors down](Actors::shutdown), and advances the time until they have ended or
    /// the deadline has passed. Returns the names of the actors that had not ended by then.
    ///
    /// # Panics
    /// Same as [`run`](TestActors::run).
    #[track_caller]
    pub fn shutdown(&self, within: Duration) -> Vec<Arc<str>> {
        let actors = self.0.actors.clone();
        let mut shutdown = pin!(actors.shutdown(within));
        let late = self.wait_for(|| shutdown.as_mut().now_or_never(), "the shutdown");
        self.run();
        late
    }

    /// Returns how often the actor with this label was restarted.
    pub(super) fn restarts(&self, label: &str) -> u64 {
        self.0.notes.noted().restarts.get(label).copied().unwrap_or(0)
    }

    /// Advances the time from timer to timer until `output` returns a value.
    #[track_caller]
    pub(super) fn wait_for<T>(&self, mut output: impl FnMut() -> Option<T>, of: &str) -> T {
        for _ in 0..MANY {
            // Calls `output` before anything runs, because its first call may begin a shutdown.
            if let Some(output) = output() {
                return output;
            }
            self.run();
            if let Some(output) = output() {
                return output;
            }
            assert!(
                self.0.time.advance_to_next_timer(),
                "{of} waits for something that is not a part of this test"
            );
        }
        panic!("{MANY} timers fired, and {of} still waits")
    }

    /// Runs all actors until they wait.
    #[track_caller]
    fn settle(&self) {
        let Ok(mut tasks) = self.0.tasks.try_borrow_mut() else {
            panic!("an actor called its own test")
        };
        let steps = self.0.steps.get();
        for _ in 0..steps {
            if !tasks.step() {
                return;
            }
        }
        panic!(
            "the actors ran {steps} steps at one time of the clock and never waited: let them wait \
             (`tell_after`, `sleep`), or allow more steps (`TestActors::steps`)"
        );
    }

    #[track_caller]
    fn panic_of_failures(&self) {
        if self.0.is_supervised.get() {
            return;
        }
        let failures = std::mem::take(&mut self.0.notes.noted().failures);
        let (ignored, failed): (Vec<_>, Vec<_>) =
            failures.into_iter().partition(|failure| failure.ignored);
        self.0.notes.noted().failures = ignored;
        if !failed.is_empty() {
            let texts: Vec<_> = failed.iter().map(ActorFailure::to_string).collect();
            panic!("{} (to test failures, call `supervised()`)", texts.join("; "));
        }
    }
}

impl fmt::Debug for TestActors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestActors").field(&self.0.actors).finish()
    }
}
