//! An actor in a test: the test tells and asks it through [`TestActor`]. [`TestReply`] is a request
//! that may not have an outcome yet.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use mycelium_core::Request;
use mycelium_core::channel::{Mpsc, Queue};

use super::actors::TestActors;
use crate::actor::{Actor, ActorBuilder, ActorEnd, ActorRef, Handles, Replies, TellError};
use crate::inbox::request::{Call, Failure, PendingReply, RequestError};

/// An actor in a test, with its mailbox, and with time that only the test advances.
///
/// ```
/// use std::time::Duration;
///
/// use mycelium::testing::TestActor;
/// use mycelium::actors::{ActorContext, ActorEnd};
/// use mycelium::{actor, message};
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
///     #[remote]
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

impl TestActors {
    /// Spawns an actor for the test, and runs the actors.
    ///
    /// # Panics
    /// If it cannot be spawned. Also as [`run`](TestActors::run).
    #[must_use]
    #[track_caller]
    pub fn spawn<A: Actor>(&self, factory: impl FnMut() -> A + Send + 'static) -> TestActor<A> {
        self.spawn_as(factory, |actor| actor)
    }

    /// Spawns an actor as [`spawn`](TestActors::spawn), with a name, another mailbox or other
    /// restarts.
    ///
    /// # Panics
    /// Same as [`spawn`](TestActors::spawn).
    #[must_use]
    #[track_caller]
    pub fn spawn_as<A: Actor, Q: Queue>(
        &self,
        factory: impl FnMut() -> A + Send + 'static,
        set: impl FnOnce(ActorBuilder<A>) -> ActorBuilder<A, Q>,
    ) -> TestActor<A, Q> {
        match set(self.actors().actor(factory)).spawn() {
            Ok(reference) => {
                self.run();
                TestActor { reference, set: self.clone() }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl TestActors {
    /// Runs the actors until a request has an outcome, or all wait.
    #[track_caller]
    fn run_for<C: Call>(&self, reply: &mut PendingReply<C>) -> Option<Result<(), Failure>> {
        // Runs at most three times: a request without room is sent after the first run, and
        // answered in the second.
        for _ in 0..3 {
            let polled = reply.poll_outcome(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(result) = polled {
                return Some(result);
            }
            self.run();
        }
        None
    }
}

impl<A: Actor> TestActor<A> {
    /// Creates a test of one actor, in its own set.
    ///
    /// # Panics
    /// Same as [`TestActors::spawn`].
    #[must_use]
    #[track_caller]
    pub fn new(factory: impl FnMut() -> A + Send + 'static) -> TestActor<A> {
        TestActors::new().spawn(factory)
    }
}

impl<A: Actor, Q: Queue> TestActor<A, Q> {
    /// Allows actors to fail: a failure does not panic in the test. See [`TestActors::supervised`].
    #[must_use]
    pub fn supervised(self) -> TestActor<A, Q> {
        let TestActor { reference, set } = self;
        TestActor { reference, set: set.supervised() }
    }

    /// Tells the actor a message, and [runs](TestActors::run) the actors.
    ///
    /// # Panics
    /// If the actor has ended, or its mailbox is full and stays full. Also as
    /// [`run`](TestActors::run).
    #[track_caller]
    pub fn tell<M>(&mut self, message: M)
    where
        A: Handles<M>,
    {
        let told = match self.reference.try_tell(message) {
            Err(TellError::Full(message)) => {
                // The mailbox may be full because the actor has not run yet, so runs it now.
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

    /// Tells the actor a message, if its mailbox has room. The actor does not run, so several
    /// messages can be in its mailbox at once.
    ///
    /// # Errors
    /// Same as [`ActorRef::try_tell`].
    pub fn try_tell<M>(&mut self, message: M) -> Result<(), TellError<M>>
    where
        A: Handles<M>,
    {
        self.reference.try_tell(message)
    }

    /// Asks the actor, [runs](TestActors::run) the actors, and returns the outcome.
    ///
    /// # Errors
    /// Same as [`ActorRef::ask`].
    ///
    /// # Panics
    /// If there is no outcome because the actor waits for time or for the test: use
    /// [`start_ask`](TestActor::start_ask) instead. Also as [`run`](TestActors::run).
    #[track_caller]
    pub fn ask<R: Request>(&mut self, request: R) -> Result<R::Reply, RequestError<R>>
    where
        A: Replies<R>,
    {
        self.call(|actor| actor.ask(request))
    }

    /// Calls a method of the actor, [runs](TestActors::run) the actors, and returns the outcome:
    /// `bank.call(|bank| bank.open(file))`.
    ///
    /// # Errors
    /// Same as the call.
    ///
    /// # Panics
    /// If there is no outcome because the actor waits for time or for the test: use
    /// [`start_call`](TestActor::start_call) instead. Also as [`run`](TestActors::run).
    #[track_caller]
    pub fn call<C: Call>(
        &mut self,
        call: impl FnOnce(&mut ActorRef<A, Q>) -> PendingReply<C>,
    ) -> Result<C::Reply, C::Error> {
        let mut reply = call(&mut self.reference);
        match self.set.run_for(&mut reply) {
            Some(result) => reply.finish(result),
            None => panic!(
                "`{}` has not replied to `{}`: it waits, perhaps for time; use `start_ask` or \
                 `start_call`, and `advance`",
                self.label(),
                C::NAME
            ),
        }
    }

    /// Asks the actor, and [runs](TestActors::run) the actors. The outcome may come later.
    ///
    /// # Panics
    /// Same as [`run`](TestActors::run).
    #[track_caller]
    pub fn start_ask<R: Request>(&mut self, request: R) -> TestReply<R>
    where
        A: Replies<R>,
    {
        self.start_call(|actor| actor.ask(request))
    }

    /// Calls a method of the actor as [`call`](TestActor::call), and [runs](TestActors::run) the
    /// actors. The outcome may come later.
    ///
    /// # Panics
    /// Same as [`run`](TestActors::run).
    #[track_caller]
    pub fn start_call<C: Call>(
        &mut self,
        call: impl FnOnce(&mut ActorRef<A, Q>) -> PendingReply<C>,
    ) -> TestReply<C> {
        let reply = Some(call(&mut self.reference));
        let mut reply = TestReply { reply, outcome: None, set: self.set.clone() };
        reply.poll();
        reply
    }

    /// Advances the time, as [`TestActors::advance`].
    ///
    /// # Panics
    /// Same as [`TestActors::advance`].
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        self.set.advance(duration);
    }

    /// Returns the set of this actor, with other actors, failures, dead mail and the time.
    #[must_use]
    pub fn set(&self) -> &TestActors {
        &self.set
    }

    /// Returns how often the actor was restarted.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.set.restarts(&self.label())
    }

    /// Returns how the actor has ended; `None` if it has not.
    #[must_use]
    pub fn end(&self) -> Option<ActorEnd> {
        self.reference.ended().now_or_never()
    }

    /// [Stops](ActorRef::stop) the actor, and advances the time until it has ended. The messages in
    /// its mailbox become dead mail.
    ///
    /// # Panics
    /// If the actor waits for something outside the test. Also as [`run`](TestActors::run).
    #[track_caller]
    pub fn stop(&mut self) -> ActorEnd {
        self.reference.stop();
        self.set.wait_for(|| self.end(), &format!("`{}`", self.label()))
    }

    /// [Drains](ActorRef::drain) the actor, and advances the time until it has ended. The messages
    /// in its mailbox are handled first.
    ///
    /// # Panics
    /// Same as [`stop`](TestActor::stop).
    #[track_caller]
    pub fn drain(&mut self) -> ActorEnd {
        self.reference.drain();
        self.set.wait_for(|| self.end(), &format!("`{}`", self.label()))
    }

    /// Returns the name of the actor, or its type and number.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        self.reference.label()
    }

    /// Returns the test's reference to the actor, for methods that [`TestActor`] does not have.
    pub fn reference(&mut self) -> &mut ActorRef<A, Q> {
        &mut self.reference
    }
}

impl<A: Actor, Q: Queue> fmt::Debug for TestActor<A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestActor").field(&self.label()).finish()
    }
}

/// A request or a call of a test that may not have an outcome yet: [`TestActor::start_ask`],
/// [`TestActor::start_call`]. Dropping it
/// cancels the request.
#[must_use = "dropping it cancels the request"]
pub struct TestReply<C: Call> {
    /// `None` once the outcome was returned.
    reply: Option<PendingReply<C>>,
    outcome: Option<Result<C::Reply, C::Error>>,
    set: TestActors,
}

impl<C: Call> TestReply<C> {
    /// Limits the wait for the reply, starting now: see [`PendingReply::within`].
    ///
    /// # Panics
    /// Same as [`TestActors::run`].
    #[track_caller]
    pub fn within(mut self, duration: Duration) -> TestReply<C> {
        self.reply = self.reply.map(|reply| reply.within(duration));
        self.poll();
        self
    }

    /// [Runs](TestActors::run) the actors, and returns the outcome of the request, if there is one.
    /// The outcome is returned only once.
    ///
    /// # Panics
    /// Same as [`TestActors::run`].
    #[track_caller]
    pub fn outcome(&mut self) -> Option<Result<C::Reply, C::Error>> {
        self.poll();
        self.outcome.take()
    }

    #[track_caller]
    fn poll(&mut self) {
        let Some(reply) = &mut self.reply else { return };
        if let Some(result) = self.set.run_for(reply) {
            self.outcome = Some(reply.finish(result));
            self.reply = None;
        }
    }
}

impl<C: Call> fmt::Debug for TestReply<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestReply").field("call", &C::NAME).finish_non_exhaustive()
    }
}
