//! A stand-in for an actor in a test: it handles nothing; the test receives the messages and
//! requests of others, and replies.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use mycelium_core::Request;
use mycelium_core::channel::{Mpsc, Queue};

use super::actors::TestActors;
use crate::actor::{Actor, ActorBuilder, ActorRef, Handles, Record, Replies, WeakRef};
use crate::inbox::request::{Asked, Call, PendingReply};

/// Stands for any parameter of a method in [`MockActor::called`].
///
/// # Panics
/// Always: the method is not called.
#[must_use]
pub fn any<T>() -> T {
    unreachable!("the closure names a method, and is not called")
}

/// Replaces an actor of type `A` in a test: [`TestActors::mock`]. No `A` is created. Messages are
/// kept for the test, and the test replies to requests. It has a mailbox, a name and an end like
/// any actor, and others can watch it or link with it.
///
/// ```
/// use mycelium::testing::TestActors;
/// use mycelium::actors::ActorRef;
/// use mycelium::{Result, actor, message};
///
/// #[message(topic = "rate-requests", id = 1, reply = Rate)]
/// struct RateRequest {
///     pair: u64,
/// }
///
/// #[message(topic = "rates", id = 2)]
/// struct Rate {
///     percent: u64,
/// }
///
/// struct Rates;
///
/// #[actor]
/// impl Rates {
///     #[remote]
///     async fn rate(&mut self, _: RateRequest) -> Result<Rate> {
///         todo!("asks a server")
///     }
/// }
///
/// #[message(topic = "price-requests", id = 3, reply = Price)]
/// struct PriceRequest {
///     cents: u64,
/// }
///
/// #[message(topic = "prices", id = 4)]
/// struct Price {
///     cents: u64,
/// }
///
/// struct Shop {
///     rates: ActorRef<Rates>,
/// }
///
/// #[actor]
/// impl Shop {
///     #[remote]
///     async fn price(&mut self, request: PriceRequest) -> Result<Price> {
///         let rate = self.rates.ask(RateRequest { pair: 1 }).await?;
///         Ok(Price { cents: request.cents * rate.percent / 100 })
///     }
/// }
///
/// let actors = TestActors::new();
/// let rates = actors.mock::<Rates>();
/// let reference = rates.reference();
/// let mut shop = actors.spawn(move || Shop { rates: reference.clone() });
/// let mut price = shop.start_ask(PriceRequest { cents: 500 });
/// rates.asked::<RateRequest>().unwrap().reply(Rate { percent: 120 });
/// assert_eq!(price.outcome().unwrap().unwrap().cents, 600);
/// ```
pub struct MockActor<A: Actor, Q: Queue = Mpsc> {
    actor: WeakRef<A, Q>,
    /// The only reference to a mailbox with one sender, until it is given to another actor.
    first: RefCell<Option<ActorRef<A, Q>>>,
    record: Arc<Record<A>>,
    set: TestActors,
}

impl TestActors {
    /// Spawns a [`MockActor`] that replaces an actor of type `A`.
    ///
    /// # Panics
    /// Same as [`spawn`](TestActors::spawn).
    #[must_use]
    #[track_caller]
    pub fn mock<A: Actor>(&self) -> MockActor<A> {
        self.mock_as(|actor| actor)
    }

    /// Spawns a mock as [`mock`](TestActors::mock), with a name or another mailbox.
    ///
    /// # Panics
    /// Same as [`spawn`](TestActors::spawn).
    #[must_use]
    #[track_caller]
    pub fn mock_as<A: Actor, Q: Queue>(
        &self,
        set: impl FnOnce(ActorBuilder<A>) -> ActorBuilder<A, Q>,
    ) -> MockActor<A, Q> {
        let factory = || unreachable!("a mock makes no actor");
        let mock = MockActor::spawn(self, set(self.actors().actor(factory)));
        self.run();
        mock
    }
}

impl<A: Actor, Q: Queue> MockActor<A, Q> {
    #[track_caller]
    fn spawn(set: &TestActors, builder: ActorBuilder<A, Q>) -> MockActor<A, Q> {
        let record = Arc::<Record<A>>::default();
        let reference = match builder.keep().spawn_recorded(&record) {
            Ok(reference) => reference,
            Err(error) => panic!("{error}"),
        };
        let (actor, first) = (reference.downgrade(), RefCell::new(Some(reference)));
        MockActor { actor, first, record, set: set.clone() }
    }

    /// Returns a reference to the mock, for other actors.
    ///
    /// # Panics
    /// If the mock has ended, or its mailbox has one sender and another actor has the reference.
    #[must_use]
    #[track_caller]
    pub fn reference(&self) -> ActorRef<A, Q> {
        match self.actor.upgrade().or_else(|| self.first.take()) {
            Some(reference) => reference,
            None => panic!(
                "no reference to `{}`: it has ended, or another one has the only sender of its \
                 mailbox",
                self.actor.label()
            ),
        }
    }

    /// Returns the next message of this type that other actors told the mock and the test has not
    /// received. If there is none, the actors [run](TestActors::run) until there is one, or all
    /// wait.
    ///
    /// # Panics
    /// Same as [`TestActors::run`].
    #[track_caller]
    pub fn receive<M: 'static>(&self) -> Option<M>
    where
        A: Handles<M>,
    {
        self.set.run();
        self.record.take()
    }

    /// Returns all messages of this type that other actors told the mock and the test has not
    /// received.
    ///
    /// # Panics
    /// Same as [`TestActors::run`].
    #[track_caller]
    pub fn receive_all<M: 'static>(&self) -> Vec<M>
    where
        A: Handles<M>,
    {
        self.set.run();
        std::iter::from_fn(|| self.record.take()).collect()
    }

    /// Returns the next request of this type that other actors asked the mock. The reply reaches
    /// the requester when the actors run next. If the returned [`Asked`] is dropped, the requester
    /// gets [`HandlerFailed`](crate::requests::RequestError::HandlerFailed).
    ///
    /// # Panics
    /// Same as [`TestActors::run`].
    #[track_caller]
    pub fn asked<R: Request>(&self) -> Option<Asked<R>>
    where
        A: Replies<R>,
    {
        self.set.run();
        self.record.take_call().map(|(asked, ())| asked)
    }

    /// Returns the next call of a method of the mock, with its parameters, as
    /// [`asked`](MockActor::asked) returns a request. `method` names the method by a call that is
    /// never made: [`any`] stands for each parameter.
    ///
    /// ```
    /// use mycelium::testing::{TestActors, any};
    /// use mycelium::actor;
    ///
    /// struct Rates;
    ///
    /// #[actor]
    /// impl Rates {
    ///     async fn rate(&mut self, from: String, to: String) -> f64 {
    ///         todo!("asks a server")
    ///     }
    /// }
    ///
    /// let actors = TestActors::new();
    /// let rates = actors.mock::<Rates>();
    /// let mut reference = rates.reference();
    /// let call = reference.rate("EUR".into(), "USD".into());
    /// let (asked, (from, to)) = rates.called(|rates| rates.rate(any(), any())).unwrap();
    /// assert_eq!((&*from, &*to), ("EUR", "USD"));
    /// asked.reply(1.1);
    /// # assert_eq!(futures_util::FutureExt::now_or_never(call), Some(Ok(1.1)));
    /// ```
    ///
    /// # Panics
    /// Same as [`TestActors::run`].
    #[track_caller]
    pub fn called<C: Call>(
        &self,
        method: impl FnOnce(&mut ActorRef<A, Q>) -> PendingReply<C>,
    ) -> Option<(Asked<C>, C::Args)>
    where
        A: Replies<C>,
    {
        let _ = method;
        self.set.run();
        self.record.take_call()
    }

    /// Returns the number of messages and requests, of all types, that the test has not taken.
    ///
    /// # Panics
    /// Same as [`TestActors::run`].
    #[must_use]
    #[track_caller]
    pub fn waiting(&self) -> usize {
        self.set.run();
        self.record.len()
    }

    /// Ends the mock like a stopped actor: its watchers are notified.
    ///
    /// # Panics
    /// Same as [`TestActors::run`].
    #[track_caller]
    pub fn stop(&self) {
        self.actor.stop();
        self.set.run();
    }

    /// Ends the mock like an actor that has failed permanently with this error: its watchers and
    /// linked actors are notified.
    ///
    /// # Panics
    /// Same as [`TestActors::run`].
    #[track_caller]
    pub fn fail(&self, error: &str) {
        self.record.fail(error);
        self.stop();
    }
}

impl<A: Actor, Q: Queue> fmt::Debug for MockActor<A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MockActor").field(&self.actor.label()).finish()
    }
}
