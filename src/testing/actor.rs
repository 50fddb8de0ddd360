//! Actors in tests: [`TestActors`] runs a set of actors without threads and without real time,
//! [`TestActor`] is one of them, which the test tells and asks.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use mycelium_core::Request;
use mycelium_core::channel::{Mpsc, Queue};
use mycelium_executor::{Executor, PausedTime};

use super::tasks::{TestExecutor, TestTasks};
use super::{MANY, START, STEPS};
use crate::actor::{
    Actor, ActorBuilder, ActorEnd, ActorFailure, ActorRef, Actors, Handles, Notes, Replies,
    TellError, UnhandledMail,
};
use crate::request::{PendingReply, RequestError};

/// A set of actors in a test: on the thread of the test, with time that only
/// [`advance`](TestActors::advance) moves. A clone is the same set.
///
/// Nothing runs between the calls of a test, so each run of it is like the one before. If an actor
/// fails, with an error or a panic, the next call panics with the text of the failure. To test
/// failures and restarts, call [`supervised`](TestActors::supervised).
///
/// ```
/// use mycelium::testing::TestActors;
/// use mycelium::{ActorRef, Result, actor};
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

/// What the handles of a test share.
struct Set {
    actors: Actors,
    notes: Arc<Notes>,
    time: PausedTime<TestExecutor>,
    tasks: RefCell<TestTasks>,
    steps: Cell<usize>,
    is_supervised: Cell<bool>,
}

impl TestActors {
    /// A set without actors.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each one has a thread and a time of its own")]
    pub fn new() -> TestActors {
        crate::supervision::note_places();
        let tasks = TestTasks::new("test");
        let time = PausedTime::starting_at(tasks.executor(), SystemTime::UNIX_EPOCH + START);
        let (actors, notes) = (Actors::on(time.clone()), Arc::<Notes>::default());
        actors.note(notes.clone());
        let tasks = RefCell::new(tasks);
        let (steps, is_supervised) = (Cell::new(STEPS), Cell::new(false));
        TestActors(Rc::new(Set { actors, notes, time, tasks, steps, is_supervised }))
    }

    /// Failures do not panic in the test: actors are restarted after a pause, as always, and
    /// [`failures`](TestActors::failures) has them. Move the time to let the pause pass.
    #[must_use]
    pub fn supervised(self) -> TestActors {
        self.0.is_supervised.set(true);
        self
    }

    /// Sets how many steps actors may take at one time of the clock, before a call panics because
    /// they never wait: as [`ServiceTest::steps`](super::ServiceTest::steps).
    #[must_use]
    pub fn steps(self, most: usize) -> TestActors {
        self.0.steps.set(most);
        self
    }

    /// Spawns an actor for the test, and runs the actors.
    ///
    /// # Panics
    /// If it cannot be spawned, or as [`run`](TestActors::run).
    #[must_use]
    #[track_caller]
    pub fn spawn<A: Actor>(&self, factory: impl FnMut() -> A + Send + 'static) -> TestActor<A> {
        self.spawn_as(factory, |actor| actor)
    }

    /// As [`spawn`](TestActors::spawn), with a name, another mailbox, or other restarts.
    ///
    /// # Panics
    /// As [`spawn`](TestActors::spawn).
    #[must_use]
    #[track_caller]
    pub fn spawn_as<A: Actor, Q: Queue>(
        &self,
        factory: impl FnMut() -> A + Send + 'static,
        set: impl FnOnce(ActorBuilder<A>) -> ActorBuilder<A, Q>,
    ) -> TestActor<A, Q> {
        match set(self.0.actors.actor(factory)).spawn() {
            Ok(reference) => {
                self.run();
                TestActor { reference, set: self.clone() }
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The actors themselves: to find them, for supervisors, counters and hooks.
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

    /// Moves the time, from timer to timer: at each one the actors run.
    ///
    /// # Panics
    /// As [`run`](TestActors::run).
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        let time = &self.0.time;
        let end = time.now().saturating_add(duration);
        self.run();
        for _ in 0..MANY {
            match time.next_timer() {
                Some(next) if next <= end => time.advance(next - time.now()),
                _ => {
                    time.advance(end - time.now());
                    return self.run();
                }
            }
            self.run();
        }
        panic!("{MANY} timers fired within {duration:?}: advance less at once");
    }

    /// The time since the start of the test.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.time.now()
    }

    /// The failures of actors since the last call, in their order, also those after which
    /// `on_error` let the actor continue.
    ///
    /// # Panics
    /// As [`run`](TestActors::run).
    #[track_caller]
    pub fn failures(&self) -> Vec<ActorFailure> {
        self.run();
        std::mem::take(&mut self.0.notes.noted().failures)
    }

    /// The messages that no handler got, because their actor had ended, since the last call.
    /// [`Actors::on_dead_mail`] has the messages themselves.
    ///
    /// # Panics
    /// As [`run`](TestActors::run).
    #[track_caller]
    pub fn dead_mail(&self) -> Vec<UnhandledMail> {
        self.run();
        std::mem::take(&mut self.0.notes.noted().dead_mail)
    }

    /// [Shuts the actors down](Actors::shutdown), and moves the time until they have ended or the
    /// deadline has passed. Returns the names of those that were late.
    ///
    /// # Panics
    /// As [`run`](TestActors::run).
    #[track_caller]
    pub fn shutdown(&self, within: Duration) -> Vec<Arc<str>> {
        let actors = self.0.actors.clone();
        let mut shutdown = pin!(actors.shutdown(within));
        let late = self.wait_for(|| shutdown.as_mut().now_or_never(), "the shutdown");
        self.run();
        late
    }

    /// How often the actor with this label was restarted.
    pub(super) fn restarts(&self, label: &str) -> u64 {
        self.0.notes.noted().restarts.get(label).copied().unwrap_or(0)
    }

    /// Moves the time from timer to timer until there is an output.
    #[track_caller]
    fn wait_for<T>(&self, mut output: impl FnMut() -> Option<T>, of: &str) -> T {
        for _ in 0..MANY {
            // Before anything runs: the first poll begins a shutdown.
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

/// An actor in a test, with its mailbox, and with time that only the test moves.
///
/// ```
/// use std::time::Duration;
///
/// use mycelium::testing::TestActor;
/// use mycelium::{ActorContext, ActorEnd, actor, message};
///
/// #[derive(Default)]
/// struct Account {
///     cents: u64,
/// }
///
/// struct Deposit(u64);
///
/// #[message(topic = "balance-requests", id = 1, reply = Balance)]
/// struct GetBalance {
///     account: u64,
/// }
///
/// #[message(topic = "balances", id = 2)]
/// struct Balance {
///     cents: u64,
/// }
///
/// #[actor]
/// impl Account {
///     /// The money is there a minute later.
///     #[tell]
///     fn deposit(&mut self, Deposit(cents): Deposit, ctx: &mut ActorContext<Self>) {
///         ctx.tell_after(Duration::from_secs(60), cents);
///     }
///
///     #[tell]
///     fn arrived(&mut self, cents: u64) {
///         self.cents += cents;
///     }
///
///     #[ask]
///     fn balance(&mut self, _request: GetBalance) -> Balance {
///         Balance { cents: self.cents }
///     }
/// }
///
/// let mut bank = TestActor::new(Account::default);
/// bank.tell(Deposit(5));
/// assert_eq!(bank.ask(GetBalance { account: 1 }).unwrap().cents, 0);
/// bank.advance(Duration::from_secs(60));
/// assert_eq!(bank.ask(GetBalance { account: 1 }).unwrap().cents, 5);
/// assert_eq!(bank.stop(), ActorEnd::Stopped);
/// ```
pub struct TestActor<A: Actor, Q: Queue = Mpsc> {
    reference: ActorRef<A, Q>,
    set: TestActors,
}

impl<A: Actor> TestActor<A> {
    /// A test of one actor, in a set of its own.
    ///
    /// # Panics
    /// As [`TestActors::spawn`].
    #[must_use]
    #[track_caller]
    pub fn new(factory: impl FnMut() -> A + Send + 'static) -> TestActor<A> {
        TestActors::new().spawn(factory)
    }
}

impl<A: Actor, Q: Queue> TestActor<A, Q> {
    /// Failures do not panic in the test: see [`TestActors::supervised`].
    #[must_use]
    pub fn supervised(self) -> TestActor<A, Q> {
        let TestActor { reference, set } = self;
        TestActor { reference, set: set.supervised() }
    }

    /// Tells the actor a message, and [runs](TestActors::run) the actors.
    ///
    /// # Panics
    /// If the actor has ended, if its mailbox is full and stays so, or as
    /// [`run`](TestActors::run).
    #[track_caller]
    pub fn tell<M>(&mut self, message: M)
    where
        A: Handles<M>,
    {
        let told = match self.reference.try_tell(message) {
            Err(TellError::Full(message)) => {
                // Perhaps it has not run.
                self.set.run();
                self.reference.try_tell(message)
            }
            told => told,
        };
        match told {
            Ok(()) => self.set.run(),
            Err(TellError::Gone(_)) => match self.end() {
                Some(end) => panic!("`{}` is told a message, but {end}", self.label()),
                None => panic!("`{}` is told a message, but refuses it: it ends", self.label()),
            },
            Err(TellError::Full(_)) => panic!(
                "`{}` is told a message, but its mailbox is full ({} messages): it waits, perhaps \
                 for time (`advance`)",
                self.label(),
                self.reference.capacity()
            ),
        }
    }

    /// Tells the actor a message, if its mailbox has room. The actor does not run: several messages
    /// are in its mailbox at once.
    ///
    /// # Errors
    /// As [`ActorRef::try_tell`].
    pub fn try_tell<M>(&mut self, message: M) -> Result<(), TellError<M>>
    where
        A: Handles<M>,
    {
        self.reference.try_tell(message)
    }

    /// Asks the actor, [runs](TestActors::run) the actors, and returns the outcome.
    ///
    /// # Errors
    /// As [`ActorRef::ask`].
    ///
    /// # Panics
    /// If there is no outcome because the actor waits, for time or for the test:
    /// [`start_ask`](TestActor::start_ask) is for that. Or as [`run`](TestActors::run).
    #[track_caller]
    pub fn ask<R: Request>(&mut self, request: R) -> Result<R::Reply, RequestError<R>>
    where
        A: Replies<R>,
    {
        match self.start_ask(request).outcome() {
            Some(outcome) => outcome,
            None => panic!(
                "`{}` has not replied to `{}`: it waits, perhaps for time; use `start_ask` and \
                 `advance`",
                self.label(),
                R::TOPIC
            ),
        }
    }

    /// Asks the actor, and [runs](TestActors::run) the actors. The outcome may come later.
    ///
    /// # Panics
    /// As [`run`](TestActors::run).
    #[track_caller]
    pub fn start_ask<R: Request>(&mut self, request: R) -> TestReply<R>
    where
        A: Replies<R>,
    {
        let mut reply = TestReply {
            reply: Some(self.reference.ask(request)),
            outcome: None,
            set: self.set.clone(),
        };
        reply.poll();
        reply
    }

    /// As [`TestActors::advance`].
    ///
    /// # Panics
    /// As [`TestActors::advance`].
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        self.set.advance(duration);
    }

    /// The set of this actor: for others, failures, dead mail and time.
    #[must_use]
    pub fn set(&self) -> &TestActors {
        &self.set
    }

    /// How often it was restarted.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.set.restarts(&self.label())
    }

    /// How it has ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<ActorEnd> {
        self.reference.ended().now_or_never()
    }

    /// [Stops](ActorRef::stop) it, and moves the time until it has ended: the messages in its
    /// mailbox are dead mail.
    ///
    /// # Panics
    /// If it waits for something that is not a part of the test, or as [`run`](TestActors::run).
    #[track_caller]
    pub fn stop(&mut self) -> ActorEnd {
        self.reference.stop();
        self.set.wait_for(|| self.end(), &format!("`{}`", self.label()))
    }

    /// [Drains](ActorRef::drain) it, and moves the time until it has ended: the messages in its
    /// mailbox are handled first.
    ///
    /// # Panics
    /// As [`stop`](TestActor::stop).
    #[track_caller]
    pub fn drain(&mut self) -> ActorEnd {
        self.reference.drain();
        self.set.wait_for(|| self.end(), &format!("`{}`", self.label()))
    }

    /// Its name, or its type and number.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        self.reference.label()
    }

    /// The reference of the test, for calls that are not here.
    pub fn reference(&mut self) -> &mut ActorRef<A, Q> {
        &mut self.reference
    }
}

impl<A: Actor, Q: Queue> fmt::Debug for TestActor<A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestActor").field(&self.label()).finish()
    }
}

/// A request of a test that has perhaps no outcome yet: [`TestActor::start_ask`]. It is cancelled
/// when this is dropped.
#[must_use = "dropping it cancels the request"]
pub struct TestReply<R: Request> {
    /// `None` once there was an outcome.
    reply: Option<PendingReply<R>>,
    outcome: Option<Result<R::Reply, RequestError<R>>>,
    set: TestActors,
}

impl<R: Request> TestReply<R> {
    /// Limits the wait for the reply, from now on: see [`PendingReply::within`].
    ///
    /// # Panics
    /// As [`TestActors::run`].
    #[track_caller]
    pub fn within(mut self, duration: Duration) -> TestReply<R> {
        self.reply = self.reply.map(|reply| reply.within(duration));
        self.poll();
        self
    }

    /// [Runs](TestActors::run) the actors. The outcome of the request, if there is one; once.
    ///
    /// # Panics
    /// As [`TestActors::run`].
    #[track_caller]
    pub fn outcome(&mut self) -> Option<Result<R::Reply, RequestError<R>>> {
        self.poll();
        self.outcome.take()
    }

    #[track_caller]
    fn poll(&mut self) {
        // A request that found no room is sent after the first run, and replied to in the second.
        for _ in 0..3 {
            let Some(reply) = &mut self.reply else { return };
            self.outcome = reply.now_or_never();
            if self.outcome.is_some() {
                self.reply = None;
            } else {
                self.set.run();
            }
        }
    }
}

impl<R: Request> fmt::Debug for TestReply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestReply").field("topic", &R::TOPIC).finish_non_exhaustive()
    }
}
