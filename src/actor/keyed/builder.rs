//! The builder of keyed actors.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use mycelium_bundle::Restart;
use mycelium_core::channel::{Mpsc, Queue};
use mycelium_executor::Executor;

use super::handle::Keyed;
use super::idle::clock;
use super::map::{Map, Plan};
use crate::actor::actors::Actors;
use crate::actor::builder::actor_type;
use crate::actor::life::{Actor, Restarts};
use crate::actor::values::{SpawnActorError, WhenFull};

/// The default capacity of a mailbox, in messages. It is small because there may be many actors.
const CAPACITY: usize = 16;

/// Configures keyed actors. See [`Actors::keyed`].
#[must_use = "`build` makes the handle"]
pub struct KeyedBuilder<K, A: Actor, Q: Queue = Mpsc> {
    plan: Plan<K, A>,
    idle: Option<Duration>,
    queue: PhantomData<fn(Q)>,
}

impl Actors {
    /// Returns a builder of actors that each have a key, such as an entity, a symbol or a session.
    /// `factory` creates the actor of a key on the actor's executor: on the first use of the key,
    /// after a panic, and on the next use after the actor has ended.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::time::Duration;
    ///
    /// use mycelium::actors::{ActorEnd, Actors};
    /// use mycelium::supervision::Kept;
    /// use mycelium::actor;
    ///
    /// struct Session {
    ///     user: String,
    ///     words: u64,
    ///     store: Kept<HashMap<String, u64>>,
    /// }
    ///
    /// #[actor]
    /// impl Session {
    ///     #[tell]
    ///     fn say(&mut self, text: String) {
    ///         self.words += text.split(' ').count() as u64;
    ///     }
    ///
    ///     /// Saves the state when the actor ends, also when it is passivated.
    ///     async fn stopped(&mut self) {
    ///         self.store.commit(|store| store.insert(self.user.clone(), self.words));
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let actors = Actors::on(mycelium::execution::tokio::Tokio::current()?);
    /// let store = Kept::<HashMap<String, u64>>::default();
    /// let saved = store.clone();
    /// // The factory loads the saved state.
    /// let make = move |user: &String| Session {
    ///     user: user.clone(),
    ///     words: saved.read(|saved| saved.get(user).copied().unwrap_or(0)),
    ///     store: saved.clone(),
    /// };
    /// let sessions = actors.keyed(make).idle(Duration::from_secs(60)).limit(100_000).build()?;
    ///
    /// let alice = "alice".to_owned();
    /// sessions.tell(&alice, "good morning".to_owned()).await?;
    /// let ended = sessions.get(&alice)?.ended();
    /// // Passivates the actor now, instead of after an idle minute.
    /// sessions.passivate(&alice);
    /// assert_eq!(ended.await, ActorEnd::Passivated);
    /// // Creates another actor, with the state of the first one.
    /// sessions.tell(&alice, "hello again my friend".to_owned()).await?;
    /// actors.shutdown(Duration::from_secs(1)).await;
    /// assert_eq!(store.read(|store| store["alice"]), 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keyed<K, A>(
        &self,
        factory: impl Fn(&K) -> A + Send + Sync + 'static,
    ) -> KeyedBuilder<K, A>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        A: Actor,
    {
        let set = self.set().clone();
        let plan = Plan {
            kind: set.kind(actor_type::<A>()),
            factory: Box::new(factory),
            capacity: CAPACITY,
            when_full: WhenFull::default(),
            restarts: Restarts::Default,
            executors: [set.executor.clone()].into(),
            limit: usize::MAX,
            set,
        };
        KeyedBuilder { plan, idle: None, queue: PhantomData }
    }
}

impl<K, A, Q> KeyedBuilder<K, A, Q>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    /// Sets the capacity of each mailbox, in messages: a power of two, at least 2. The default is
    /// 16.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.plan.capacity = capacity;
        self
    }

    /// Sets what happens to a message when the mailbox is full. The default is to wait.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.plan.when_full = when_full;
        self
    }

    /// Sets when an actor is restarted after failures. The default is the same as for services.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.plan.restarts = Restarts::By(Arc::new(restart));
        self
    }

    /// Ends an actor at its first failure, without a restart. The next use of its key creates
    /// another one.
    pub fn temporary(mut self) -> Self {
        self.plan.restarts = Restarts::Never;
        self
    }

    /// Sets the queue of the mailboxes: [`Mpsc`] (the default),
    /// [`Mpmc`](mycelium_core::channel::Mpmc), or your own [`Queue`] with several senders. A queue
    /// with one sender does not compile:
    ///
    /// ```compile_fail
    /// use mycelium::actors::Actors;
    /// use mycelium::channel::Spsc;
    /// # struct Player;
    /// # #[mycelium::actor]
    /// # impl Player { #[tell] fn walk(&mut self, steps: u64) {} }
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// # let _entered = runtime.enter();
    /// let actors = Actors::on(mycelium::execution::tokio::Tokio::current().unwrap());
    /// let players = actors.keyed(|_: &u64| Player).queue::<Spsc>();
    /// ```
    pub fn queue<R: Queue>(self) -> KeyedBuilder<K, A, R> {
        const { assert!(R::SHARED, "all who tell a keyed actor share the queue of its mailbox") };
        KeyedBuilder { plan: self.plan, idle: self.idle, queue: PhantomData }
    }

    /// Passivates an actor after this time without a message, or at most a quarter of the time
    /// later. By default no actor is passivated. An actor with a timer or children is not idle.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Runs the tasks of the actors on these executors, for example one for each core. A hash of
    /// the key chooses the executor, so the actors of a key always have the same executor, also
    /// after the program has restarted. The default is the executor of the set. The actors' time is
    /// still the time of the set.
    ///
    /// On an executor with several threads the actors must be `Send`: an actor that is not `Send`
    /// can only be spawned on its own thread.
    pub fn placed_on(mut self, executors: impl IntoIterator<Item = Arc<dyn Executor>>) -> Self {
        self.plan.executors = executors.into_iter().collect();
        self
    }

    /// Sets the maximum number of living actors. At the limit, the first use of another key fails
    /// with [`SpawnActorError::Limit`].
    pub fn limit(mut self, limit: usize) -> Self {
        self.plan.limit = limit;
        self
    }

    /// Creates the handle. No actor exists yet.
    ///
    /// # Errors
    /// [`SpawnActorError`]: an invalid capacity, a limit of 0, an empty list of executors, or an
    /// executor that has ended.
    pub fn build(self) -> Result<Keyed<K, A, Q>, SpawnActorError> {
        Q::bounded::<A::Mail>(self.plan.capacity)
            .map_err(|error| SpawnActorError::Capacity { actor: A::NAME, error })?;
        if self.plan.limit == 0 {
            return Err(SpawnActorError::LimitZero { actor: A::NAME });
        }
        if self.plan.executors.is_empty() {
            return Err(SpawnActorError::NoExecutors { actor: A::NAME });
        }
        let map = Arc::new(Map::new(self.plan));
        if let Some(idle) = self.idle {
            let spawned = map.plan.set.executor.spawn(clock(&map, idle));
            spawned.map_err(|error| SpawnActorError::Executor { actor: A::NAME, error })?;
        }
        Ok(Keyed::new(map))
    }
}

impl<K, A: Actor, Q: Queue> fmt::Debug for KeyedBuilder<K, A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { capacity, when_full, limit, .. } = &self.plan;
        f.debug_struct("KeyedBuilder")
            .field("actor", &A::NAME)
            .field("capacity", capacity)
            .field("when_full", when_full)
            .field("idle", &self.idle)
            .field("limit", limit)
            .finish_non_exhaustive()
    }
}
