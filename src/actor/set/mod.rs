//! The *set* of actors of a node or of a program: the living actors, their names and types, and the
//! handling of their ends. `core` is the state that one actor shares with others: its control word,
//! its end, and its watchers. `cell` is a core with its mailbox, `kind` has the counters of a type;
//! `timers` and `traces` belong to one actor.

pub(super) mod cell;
pub(super) mod core;
pub(super) mod kind;
pub(super) mod timers;
pub(super) mod traces;

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use event_listener::Event;
use futures_util::future::{Either, select};
use mycelium_bundle::Restart;
use mycelium_executor::Executor;
use mycelium_transports::counters::{ActorValue, Region};
use mycelium_transports::local::Tracer;
use slab::Slab;

use crate::actor::far::OtherNodes;
use crate::actor::set::core::{AnyCell, Core};
use crate::actor::set::kind::{ActorKind, ActorType};
#[cfg(feature = "testing")]
use crate::actor::values::Notes;
use crate::actor::values::{ActorEnd, DeadMail, SpawnActorError};
use crate::supervise::Lifetime;
use crate::supervise::member::{Member, Supervision};
use crate::supervise::tree::{AtTop, ChildSpec, SupervisorId};
use crate::support::latch::until;
use crate::support::lock::lock;
use crate::support::log;
/// The state that all handles and all actors share.
pub(crate) struct Set {
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) region: Arc<Region>,
    /// Begins the traces of a node, if the node has traces.
    pub(crate) tracer: Option<Arc<Tracer>>,
    /// The default restart limits of actors.
    pub(crate) restart: Arc<Restart>,
    registry: Mutex<Registry>,
    /// Whether the set refuses to spawn actors. Changed with the registry locked.
    is_closing: AtomicBool,
    /// The number of actors that have ended, and whose watchers are all notified of the end.
    ended: AtomicUsize,
    /// Notified of ends once the set is closing.
    changed: Event,
    pub(crate) on_dead_mail: OnceLock<DeadMailHook>,
    /// The notes for a test.
    #[cfg(feature = "testing")]
    pub(crate) notes: OnceLock<Arc<Notes>>,
    /// The other nodes, if the set belongs to a node.
    pub(crate) nodes: OnceLock<Arc<dyn OtherNodes>>,
    /// The tree of the set's supervisors, created with the first one.
    supervision: OnceLock<Arc<Supervision>>,
}

pub(crate) type DeadMailHook = Box<dyn Fn(&DeadMail<'_>) + Send + Sync>;

/// The number of ended actors whose names are remembered.
const ENDED: usize = 1_024;

#[derive(Default)]
struct Registry {
    living: Slab<Living>,
    names: HashMap<Arc<str>, Arc<dyn AnyCell>>,
    /// The names of ended actors, the most recent one last.
    ended: VecDeque<Arc<str>>,
    kinds: BTreeMap<TypeId, Arc<ActorKind>>,
    /// The number of actors that were added.
    added: usize,
    last_id: u64,
}

struct Living {
    cell: Arc<dyn AnyCell>,
    /// Whether the set has a reference to the actor.
    is_kept: bool,
    /// Whether the actor ends with its parent.
    is_child: bool,
}

impl Registry {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Returns the kind of actors of this type.
    fn kind(&mut self, of: ActorType, region: &Arc<Region>) -> Arc<ActorKind> {
        let kind = self.kinds.entry(of.id);
        kind.or_insert_with(|| Arc::new(ActorKind::new(of, region))).clone()
    }
}

impl Set {
    pub(crate) fn new(
        executor: Arc<dyn Executor>,
        region: Arc<Region>,
        tracer: Option<Arc<Tracer>>,
    ) -> Set {
        Set {
            executor,
            region,
            tracer,
            restart: Arc::default(),
            registry: Mutex::default(),
            is_closing: AtomicBool::new(false),
            ended: AtomicUsize::new(0),
            changed: Event::new(),
            on_dead_mail: OnceLock::new(),
            #[cfg(feature = "testing")]
            notes: OnceLock::new(),
            nodes: OnceLock::new(),
            supervision: OnceLock::new(),
        }
    }

    pub(crate) fn next_id(&self) -> u64 {
        lock(&self.registry).next_id()
    }

    /// Returns the kind of actors of this type.
    pub(crate) fn kind(&self, of: ActorType) -> Arc<ActorKind> {
        lock(&self.registry).kind(of, &self.region)
    }

    pub(crate) fn supervision(&self) -> &Arc<Supervision> {
        self.supervision.get_or_init(|| Supervision::new(AtTop::Stop))
    }

    /// Adds a child to a supervisor, with these pauses; without pauses the child is temporary.
    /// `None` if the supervisor has ended.
    pub(crate) fn member(
        &self,
        supervisor: SupervisorId,
        restart: Option<Arc<Restart>>,
    ) -> Option<Member> {
        let lifetime = if restart.is_some() { Lifetime::Transient } else { Lifetime::Temporary };
        let restart = restart.unwrap_or_else(|| self.restart.clone());
        let spec = ChildSpec { lifetime, restart };
        self.supervision().add(supervisor, spec, self.executor.now())
    }

    /// Adds a new actor, whose cell `make` creates with the registry locked.
    pub(crate) fn add<C: AnyCell>(
        &self,
        of: ActorType,
        name: Option<&str>,
        (is_kept, is_child): (bool, bool),
        make: impl FnOnce(u64, Arc<ActorKind>) -> Arc<C>,
    ) -> Result<Arc<C>, SpawnActorError> {
        let mut registry = lock(&self.registry);
        if self.is_closing() {
            return Err(SpawnActorError::ShuttingDown { actor: of.name });
        }
        if let Some(name) = name
            && let Some(other) = registry.names.get(name)
        {
            let (name, other) = (name.to_owned(), other.core().kind.name);
            return Err(SpawnActorError::NameTaken { actor: of.name, name, other });
        }
        let made = make(registry.next_id(), registry.kind(of, &self.region));
        let core = made.core();
        if let Some(name) = &core.name {
            registry.names.insert(name.clone(), made.clone());
        }
        let place = registry.living.insert(Living { cell: made.clone(), is_kept, is_child });
        core.place.store(place, Ordering::Relaxed);
        registry.added += 1;
        // The lock makes this thread the only writer of the value.
        core.kind.line.add(ActorValue::Spawned, 1);
        Ok(made)
    }

    /// Removes an actor that has ended, and notifies others of its end.
    pub(crate) fn remove(&self, core: &Core, end: ActorEnd) {
        let mut registry = lock(&self.registry);
        if let Some(name) = &core.name {
            registry.names.remove(name);
            if registry.ended.len() == ENDED {
                registry.ended.pop_front();
            }
            registry.ended.push_back(name.clone());
        }
        let living = registry.living.try_remove(core.place.load(Ordering::Relaxed));
        // The lock makes this thread the only writer of the value.
        core.kind.line.add(ActorValue::Ended, 1);
        drop(registry);
        core.set_end(end);
        // Drops the set's reference, and with it a sender of the mailbox.
        if let Some(Living { cell, is_kept: true, .. }) = living {
            cell.release();
        }
        // Notifies only if it must, because that locks. Both are SeqCst, and so are the store of
        // `close` and the load of `shutdown`: one of the two threads sees what the other has done.
        self.ended.fetch_add(1, Ordering::SeqCst);
        if self.is_closing.load(Ordering::SeqCst) {
            self.changed.notify(usize::MAX);
        }
    }

    /// See [`Actors::shutdown`](super::Actors::shutdown).
    pub(crate) async fn shutdown(&self, within: Duration) -> Vec<Arc<str>> {
        let (parents, added) = self.close();
        if let Some(supervision) = self.supervision.get() {
            supervision.drain(self.executor.now());
        }
        self.all().iter().for_each(|cell| cell.core().set_shuts_down());
        parents.iter().for_each(|cell| cell.core().drain());
        let executor = &self.executor;
        let deadline = executor.sleep_until(executor.now().saturating_add(within));
        let ended = pin!(until(&self.changed, || self.ended.load(Ordering::SeqCst) == added));
        if let Either::Left(_) = select(ended, deadline).await {
            return Vec::new();
        }
        let late = self.all();
        let names: Vec<_> = late.iter().map(|cell| cell.core().label()).collect();
        for cell in late {
            cell.core().kill();
        }
        if !names.is_empty() {
            log::error!(actors = ?names, "actors that had not ended by the deadline are abandoned");
        }
        names
    }

    /// Refuses to spawn actors from now on. Returns the living actors that have no parent, and how
    /// many actors were added.
    fn close(&self) -> (Vec<Arc<dyn AnyCell>>, usize) {
        let registry = lock(&self.registry);
        self.is_closing.store(true, Ordering::SeqCst);
        let parents = registry.living.iter().filter(|(_, living)| !living.is_child);
        (parents.map(|(_, living)| living.cell.clone()).collect(), registry.added)
    }

    /// Returns whether the set refuses to spawn actors.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    /// Returns the number of living actors. An actor is no longer counted when others are notified
    /// of its end.
    pub(crate) fn count(&self) -> usize {
        lock(&self.registry).living.len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<dyn AnyCell>> {
        lock(&self.registry).living.iter().map(|(_, living)| living.cell.clone()).collect()
    }

    /// Passes an unhandled message to the hook.
    pub(crate) fn dead_mail(&self, mail: &DeadMail<'_>) {
        #[cfg(feature = "testing")]
        if let Some(notes) = self.notes.get() {
            notes.add_dead_mail(mail);
        }
        if let Some(hook) = self.on_dead_mail.get() {
            hook(mail);
        }
    }

    /// Returns the actor with this number.
    pub(crate) fn by_id(&self, id: u64) -> Option<Arc<dyn AnyCell>> {
        let registry = lock(&self.registry);
        let found = registry.living.iter().find(|(_, living)| living.cell.core().id == id);
        found.map(|(_, living)| living.cell.clone())
    }

    /// Returns the actor with this name.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<dyn AnyCell>> {
        lock(&self.registry).names.get(name).cloned()
    }

    /// Returns whether an actor with this name has ended recently.
    pub(crate) fn has_ended(&self, name: &str) -> bool {
        lock(&self.registry).ended.iter().any(|ended| **ended == *name)
    }

    /// Returns the names of at most `most` living actors.
    pub(crate) fn names(&self, most: usize) -> Vec<Arc<str>> {
        lock(&self.registry).names.keys().take(most).cloned().collect()
    }
}
