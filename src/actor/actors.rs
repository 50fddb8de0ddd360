//! The actors of a node, or of a program without one.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use event_listener::Event;
use futures_util::future::{Either, select};
use mycelium_bundle::Restart;
use mycelium_core::channel::{Mpsc, Queue};
use mycelium_executor::Executor;
use mycelium_transports::counters::{ActorValue, Reading, Region};
use slab::Slab;

use super::Actor;
use super::builder::ActorBuilder;
use super::cell::{ActorEnd, AnyCell, Cell, Core, describe};
use super::error::{FindActorError, SpawnActorError};
use super::kind::ActorKind;
use super::mail::DeadMail;
use super::nodes::OtherNodes;
#[cfg(feature = "testing")]
use super::notes::Notes;
use super::reference::{ActorRef, WeakRef};
use crate::latch::until;
use crate::log;
use crate::names::expected_instead_of;
use crate::supervision::Lifetime;
use crate::supervision::member::{Member, Supervision};
use crate::supervision::tree::{AtTop, ChildSpec, SupervisorId};

/// The lines of counters for which a set of actors has room at first.
const LINES: usize = 16;

/// A name that nobody has is compared with at most this many others.
const COMPARED: usize = 1_000;

/// Actors that are spawned, found and stopped together, on one executor.
///
/// A program without a node makes it by [`Actors::on`]; a handle is cheap to clone. When the last
/// handle is dropped, the actors live on until their references are gone.
#[derive(Clone)]
pub struct Actors(Arc<Set>);

/// What all handles and all actors share.
pub(crate) struct Set {
    pub(super) executor: Arc<dyn Executor>,
    pub(super) region: Arc<Region>,
    /// When actors are restarted that say nothing else.
    pub(super) restart: Arc<Restart>,
    registry: Mutex<Registry>,
    next_id: AtomicU64,
    /// Actors whose end was not told to all yet.
    living: AtomicUsize,
    changed: Event,
    on_dead_mail: OnceLock<DeadMailHook>,
    /// What a test sees.
    #[cfg(feature = "testing")]
    pub(super) notes: OnceLock<Arc<Notes>>,
    /// Those of the node, if it has one.
    nodes: OnceLock<Arc<dyn OtherNodes>>,
    /// The tree of its supervisors, made with the first one.
    supervision: OnceLock<Arc<Supervision>>,
}

type DeadMailHook = Box<dyn Fn(&DeadMail<'_>) + Send + Sync>;

#[derive(Default)]
struct Registry {
    living: Slab<Living>,
    names: HashMap<Arc<str>, Arc<dyn AnyCell>>,
    kinds: HashMap<TypeId, Arc<ActorKind>>,
    is_closing: bool,
}

struct Living {
    cell: Arc<dyn AnyCell>,
    /// The set has a reference.
    is_kept: bool,
    /// It ends with its parent.
    is_child: bool,
}

impl Actors {
    /// An empty set of actors, whose tasks run on this executor.
    ///
    /// ```
    /// use mycelium::{ActorContext, Actors, Result, actor};
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
    /// let actors = Actors::on(mycelium_tokio::Tokio::current()?);
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
        Actors::with(Arc::new(executor), Region::new(LINES))
    }

    pub(crate) fn with(executor: Arc<dyn Executor>, region: Arc<Region>) -> Actors {
        Actors(Arc::new(Set {
            executor,
            region,
            restart: Arc::default(),
            registry: Mutex::default(),
            next_id: AtomicU64::new(1),
            living: AtomicUsize::new(0),
            changed: Event::new(),
            on_dead_mail: OnceLock::new(),
            #[cfg(feature = "testing")]
            notes: OnceLock::new(),
            nodes: OnceLock::new(),
            supervision: OnceLock::new(),
        }))
    }

    /// They ask the actors of these nodes.
    pub(crate) fn set_nodes(&self, nodes: Arc<dyn OtherNodes>) {
        let _ = self.0.nodes.set(nodes);
    }

    pub(super) fn set(&self) -> &Arc<Set> {
        &self.0
    }

    pub(super) fn of(set: &Arc<Set>) -> Actors {
        Actors(set.clone())
    }

    /// Spawns an actor with a mailbox for 64 messages. `factory` makes it, and again after
    /// a panic.
    ///
    /// # Errors
    /// As [`ActorBuilder::spawn`].
    pub fn spawn<A: Actor>(
        &self,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<ActorRef<A>, SpawnActorError> {
        self.actor(factory).spawn()
    }

    /// An actor with a name, another mailbox, or other restarts.
    ///
    /// ```
    /// use mycelium::channel::Spsc;
    /// use mycelium::{Actors, Restart, Result, WhenFull, actor};
    /// # struct Log;
    /// # #[actor]
    /// # impl Log { #[tell] fn line(&mut self, line: String) -> Result<()> { Ok(()) } }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let actors = Actors::on(mycelium_tokio::Tokio::current()?);
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

    /// The actor with this name, whose mailbox is of the default queue.
    ///
    /// # Errors
    /// [`FindActorError`]: no actor that lives has the name, or it is of another type.
    pub fn by_name<A: Actor>(&self, name: &str) -> Result<ActorRef<A>, FindActorError> {
        self.by_name_and_queue::<A, Mpsc>(name)
    }

    /// As [`by_name`](Actors::by_name), of another queue.
    ///
    /// # Errors
    /// As [`by_name`](Actors::by_name); and if the queue allows one sender and another reference
    /// has it.
    pub fn by_name_and_queue<A: Actor, Q: Queue>(
        &self,
        name: &str,
    ) -> Result<ActorRef<A, Q>, FindActorError> {
        let registry = self.0.registry();
        let Some(cell) = registry.names.get(name).cloned() else {
            let known: Vec<_> = registry.names.keys().take(COMPARED).collect();
            let expected = expected_instead_of(name, &known);
            return Err(FindActorError::Unknown { name: name.to_owned(), expected });
        };
        drop(registry);
        let found = cell.describe();
        match cell.into_any().downcast::<Cell<A, Q>>() {
            Ok(cell) => ActorRef::of(&cell),
            Err(_) => {
                let (name, expected) = (name.to_owned(), describe::<A, Q>());
                Err(FindActorError::Type { name, expected, found })
            }
        }
    }

    /// All actors of a type that live, with mailboxes of the default queue, in no order.
    #[must_use]
    pub fn all<A: Actor>(&self) -> Vec<WeakRef<A>> {
        let cells: Vec<_> = {
            let registry = self.0.registry();
            registry.living.iter().map(|(_, living)| living.cell.clone()).collect()
        };
        let typed = cells.into_iter().filter_map(|cell| cell.into_any().downcast().ok());
        typed.map(WeakRef::new).collect()
    }

    /// How many actors live.
    #[must_use]
    pub fn count(&self) -> usize {
        // Those who wait for an end learn of it when it is no longer here.
        self.0.registry().living.len()
    }

    /// The current values of their counters.
    #[must_use]
    pub fn counters(&self) -> Vec<Reading> {
        self.0.region.read()
    }

    /// Calls `hook` with each message that was told and that no handler gets, because its actor has
    /// ended. The first hook stays; returns whether it is this one.
    pub fn on_dead_mail(&self, hook: impl Fn(&DeadMail<'_>) + Send + Sync + 'static) -> bool {
        self.0.on_dead_mail.set(Box::new(hook)).is_ok()
    }

    /// A test sees their failures.
    #[cfg(feature = "testing")]
    pub(crate) fn note(&self, notes: Arc<Notes>) {
        let _ = self.0.notes.set(notes);
    }

    /// Refuses to spawn actors, and lets those that live handle the messages in their mailboxes,
    /// call `stopped` and end. Those that have not ended at the deadline are abandoned: they are
    /// dropped at their next poll. Returns their names.
    pub async fn shutdown(&self, within: Duration) -> Vec<Arc<str>> {
        let set = &self.0;
        let parents = set.close();
        if let Some(supervision) = set.supervision.get() {
            supervision.drain(set.executor.now());
        }
        set.all().iter().for_each(|cell| cell.core().set_shuts_down());
        parents.iter().for_each(|cell| cell.core().drain());
        let executor = &set.executor;
        let deadline = executor.sleep_until(executor.now().saturating_add(within));
        let ended = pin!(until(&set.changed, || set.living.load(Ordering::Acquire) == 0));
        if let Either::Left(_) = select(ended, deadline).await {
            return Vec::new();
        }
        let late = set.all();
        let names: Vec<_> = late.iter().map(|cell| cell.core().label()).collect();
        for cell in late {
            cell.core().kill();
        }
        if !names.is_empty() {
            log::error!(actors = ?names, "actors that had not ended by the deadline are abandoned");
        }
        names
    }
}

impl fmt::Debug for Actors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actors({})", self.count())
    }
}

impl Set {
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn kind<A: Actor>(&self) -> Arc<ActorKind> {
        let mut registry = self.registry();
        let kind = registry.kinds.entry(TypeId::of::<A>());
        kind.or_insert_with(|| Arc::new(ActorKind::new::<A>(&self.region))).clone()
    }

    pub(super) fn supervision(&self) -> &Arc<Supervision> {
        self.supervision.get_or_init(|| Supervision::new(AtTop::Stop))
    }

    /// A child of a supervisor, with these pauses, or none if it is temporary. `None` if the
    /// supervisor has ended.
    pub(super) fn member(
        &self,
        supervisor: SupervisorId,
        restart: Option<Arc<Restart>>,
    ) -> Option<Box<Member>> {
        let lifetime = if restart.is_some() { Lifetime::Transient } else { Lifetime::Temporary };
        let restart = restart.unwrap_or_else(|| self.restart.clone());
        let spec = ChildSpec { lifetime, restart };
        self.supervision().add(supervisor, spec, self.executor.now()).map(Box::new)
    }

    /// An actor begins to live.
    pub(super) fn add(
        &self,
        cell: &Arc<dyn AnyCell>,
        is_kept: bool,
        is_child: bool,
    ) -> Result<(), SpawnActorError> {
        let core = cell.core();
        let mut registry = self.registry();
        if registry.is_closing {
            return Err(SpawnActorError::ShuttingDown { actor: core.kind.name });
        }
        if let Some(name) = &core.name {
            if let Some(other) = registry.names.get(name) {
                return Err(SpawnActorError::NameTaken {
                    actor: core.kind.name,
                    name: name.to_string(),
                    other: other.core().kind.name,
                });
            }
            registry.names.insert(name.clone(), cell.clone());
        }
        let place = registry.living.insert(Living { cell: cell.clone(), is_kept, is_child });
        core.place.store(place, Ordering::Relaxed);
        self.living.fetch_add(1, Ordering::AcqRel);
        drop(registry);
        core.kind.count(ActorValue::Spawned);
        Ok(())
    }

    /// An actor has ended.
    pub(super) fn remove(&self, core: &Core, end: ActorEnd) {
        let mut registry = self.registry();
        if let Some(name) = &core.name {
            registry.names.remove(name);
        }
        let living = registry.living.try_remove(core.place.load(Ordering::Relaxed));
        drop(registry);
        core.kind.count(ActorValue::Ended);
        core.set_end(end);
        // Drops a sender of its mailbox.
        if let Some(Living { cell, is_kept: true, .. }) = living {
            cell.release();
        }
        self.living.fetch_sub(1, Ordering::AcqRel);
        self.changed.notify(usize::MAX);
    }

    /// Refuses to spawn actors from now on. Returns those that live and have no parent.
    fn close(&self) -> Vec<Arc<dyn AnyCell>> {
        let mut registry = self.registry();
        registry.is_closing = true;
        let parents = registry.living.iter().filter(|(_, living)| !living.is_child);
        parents.map(|(_, living)| living.cell.clone()).collect()
    }

    /// Whether no actors are spawned any more.
    pub(super) fn is_closing(&self) -> bool {
        self.registry().is_closing
    }

    fn all(&self) -> Vec<Arc<dyn AnyCell>> {
        self.registry().living.iter().map(|(_, living)| living.cell.clone()).collect()
    }

    /// A message that no handler gets.
    pub(super) fn dead_mail(&self, mail: &DeadMail<'_>) {
        #[cfg(feature = "testing")]
        if let Some(notes) = self.notes.get() {
            notes.add_dead_mail(mail);
        }
        if let Some(hook) = self.on_dead_mail.get() {
            hook(mail);
        }
    }

    /// The actor with this number.
    pub(super) fn by_id(&self, id: u64) -> Option<Arc<dyn AnyCell>> {
        let registry = self.registry();
        let found = registry.living.iter().find(|(_, living)| living.cell.core().id == id);
        found.map(|(_, living)| living.cell.clone())
    }

    /// The actor with this name.
    pub(super) fn named(&self, name: &str) -> Option<Arc<dyn AnyCell>> {
        self.registry().names.get(name).cloned()
    }

    pub(super) fn nodes(&self) -> Option<Arc<dyn OtherNodes>> {
        self.nodes.get().cloned()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
