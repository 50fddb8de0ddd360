//! The handle of a set of actors: of a node, or of a program without a node.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::channel::{Mpsc, Queue};
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::{Reading, Region};
use mycelium_transports::local::Tracer;

use super::builder::ActorBuilder;
use super::far::{ActorCall, Answer, OtherNodes, WatchCall, WatchReply};
use super::life::Actor;
use super::reference::{ActorRef, WeakRef};
use super::set::Set;
use super::set::cell::{Cell, describe};
#[cfg(feature = "testing")]
use super::values::Notes;
use super::values::{DeadMail, FindActorError, SpawnActorError};
use crate::observe::counters_region;
use crate::support::names::expected_instead_of;

/// The number of counter lines for which a set of actors has room at first.
const LINES: usize = 16;

/// The number of names that are compared with an unknown name to find the nearest one.
const COMPARED: usize = 1_000;

/// Actors that are spawned, found and stopped together, on one executor.
///
/// A program without a node creates such a set by [`Actors::on`]. A handle is cheap to clone. When
/// the last handle is dropped, the actors continue until all references to them are dropped.
#[derive(Clone)]
pub struct Actors(pub(super) Arc<Set>);

impl Actors {
    /// Creates an empty set of actors, whose tasks run on this executor.
    ///
    /// ```
    /// use mycelium::actors::{ActorContext, Actors};
    /// use mycelium::{Result, actor};
    ///
    /// #[derive(Default)]
    /// struct Sum(u64);
    ///
    /// #[actor]
    /// impl Sum {
    ///     #[tell]
    ///     fn add(&mut self, number: u64) -> Result<()> {
    ///         self.0 += number;
    ///         Ok(())
    ///     }
    ///
    ///     async fn stopped(&mut self, ctx: &mut ActorContext<Self>) {
    ///         ctx.info("the sum", self.0);
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let actors = Actors::on(mycelium::execution::tokio::Tokio::current()?);
    /// let mut sum = actors.spawn(Sum::default)?;
    /// sum.tell(3).await?;
    /// sum.tell(4).await?;
    /// sum.drain();
    /// sum.ended().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on(executor: impl Executor) -> Actors {
        Actors::with(Arc::new(executor), counters_region::shared(LINES), None)
    }

    pub(crate) fn with(
        executor: Arc<dyn Executor>,
        region: Arc<Region>,
        tracer: Option<Arc<Tracer>>,
    ) -> Actors {
        Actors(Arc::new(Set::new(executor, region, tracer)))
    }

    /// Sets how these actors reach the actors of other nodes.
    pub(crate) fn set_nodes(&self, nodes: Arc<dyn OtherNodes>) {
        let _ = self.0.nodes.set(nodes);
    }

    /// Asks the actor that a call from another node names. Dropping the future cancels the request.
    pub(crate) fn answer(&self, call: &ActorCall, within: Option<Duration>) -> Answer {
        self.0.answer(call, within)
    }

    /// Waits for the end of the actor that a call from another node names.
    pub(crate) fn answer_watch(&self, call: &WatchCall) -> SendFuture<WatchReply> {
        self.0.answer_watch(call)
    }

    pub(super) fn set(&self) -> &Arc<Set> {
        &self.0
    }

    /// Spawns an actor with a mailbox for 64 messages. `factory` creates the actor, and creates it
    /// again after a panic.
    ///
    /// # Errors
    /// Same as [`ActorBuilder::spawn`].
    pub fn spawn<A: Actor>(
        &self,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<ActorRef<A>, SpawnActorError> {
        self.actor(factory).spawn()
    }

    /// Returns a builder for an actor with a name, another mailbox or other restart limits.
    ///
    /// ```
    /// use mycelium::channel::Spsc;
    /// use mycelium::actors::{Actors, WhenFull};
    /// use mycelium::supervision::Restart;
    /// use mycelium::{Result, actor};
    /// # struct Log;
    /// # #[actor]
    /// # impl Log { #[tell] fn line(&mut self, line: String) -> Result<()> { Ok(()) } }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let actors = Actors::on(mycelium::execution::tokio::Tokio::current()?);
    /// let mut log = actors
    ///     .actor(|| Log)
    ///     .name("log")
    ///     .capacity(1_024)
    ///     .queue::<Spsc>()
    ///     .when_full(WhenFull::Refuse)
    ///     .restart(Restart { limit: 3, ..Restart::default() })
    ///     .spawn()?;
    /// log.tell("a line".to_owned()).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn actor<A: Actor>(&self, factory: impl FnMut() -> A + Send + 'static) -> ActorBuilder<A> {
        ActorBuilder::new(&self.0, None, factory)
    }

    /// Returns a reference to the actor with this name, whose mailbox has the default queue.
    ///
    /// # Errors
    /// [`FindActorError`]: no living actor has the name, or it has another type.
    pub fn by_name<A: Actor>(&self, name: &str) -> Result<ActorRef<A>, FindActorError> {
        self.by_name_and_queue::<A, Mpsc>(name)
    }

    /// Finds an actor as [`by_name`](Actors::by_name) does, with another queue.
    ///
    /// # Errors
    /// Same as [`by_name`](Actors::by_name). Also if the queue allows one sender and another
    /// reference has it.
    pub fn by_name_and_queue<A: Actor, Q: Queue>(
        &self,
        name: &str,
    ) -> Result<ActorRef<A, Q>, FindActorError> {
        let Some(cell) = self.0.named(name) else {
            let expected = expected_instead_of(name, &self.0.names(COMPARED));
            return Err(FindActorError::Unknown { name: name.to_owned(), expected });
        };
        let found = cell.describe();
        match (cell as Arc<dyn Any + Send + Sync>).downcast::<Cell<A::Mail, Q>>() {
            Ok(cell) => ActorRef::of(&cell),
            Err(_) => {
                let (name, expected) = (name.to_owned(), describe::<Q>(A::NAME));
                Err(FindActorError::Type { name, expected, found })
            }
        }
    }

    /// Returns all living actors of a type whose mailboxes have the default queue, in no order.
    #[must_use]
    pub fn all<A: Actor>(&self) -> Vec<WeakRef<A>> {
        let cells = self.0.all().into_iter();
        let typed = cells.filter_map(|cell| (cell as Arc<dyn Any + Send + Sync>).downcast().ok());
        typed.map(WeakRef::new).collect()
    }

    /// Returns the number of living actors.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// Returns the current values of the actors' counters.
    #[must_use]
    pub fn counters(&self) -> Vec<Reading> {
        self.0.region.read()
    }

    /// Registers `hook`, which is called with each told message that is not handled because its
    /// actor has ended. Only the first hook counts. Returns whether `hook` is the first one.
    pub fn on_dead_mail(&self, hook: impl Fn(&DeadMail<'_>) + Send + Sync + 'static) -> bool {
        self.0.on_dead_mail.set(Box::new(hook)).is_ok()
    }

    /// Records the failures of the actors for a test.
    #[cfg(feature = "testing")]
    pub(crate) fn note(&self, notes: Arc<Notes>) {
        let _ = self.0.notes.set(notes);
    }

    /// Refuses to spawn further actors. Living actors handle the messages in their mailboxes, call
    /// `stopped` and end. Actors that have not ended at the deadline are abandoned: they are
    /// dropped at their next poll. Returns the names of the abandoned actors.
    pub async fn shutdown(&self, within: Duration) -> Vec<Arc<str>> {
        self.0.shutdown(within).await
    }
}

impl fmt::Debug for Actors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actors({})", self.count())
    }
}
