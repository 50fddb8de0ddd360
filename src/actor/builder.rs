//! The builder of an actor: sets its name, its mailbox and its restarts, and spawns it.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use mycelium_bundle::Restart;
use mycelium_core::channel::{Mpsc, Queue, QueueSender};
use mycelium_executor::Executor;
use mycelium_transports::local::poll_traced;

use super::answer::answer;
use super::life::{Actor, ActorLife, Beginning, Maker, Restarts};
use super::reference::ActorRef;
use super::set::Set;
use super::set::cell::Cell;
use super::set::core::{AnyCell, Core, Relation};
use super::set::kind::ActorType;
use super::values::{SpawnActorError, WhenFull, is_name};
use crate::supervise::tree::SupervisorId;
use crate::task::launch::Launch;

/// The default capacity of a mailbox, in messages.
const CAPACITY: usize = 64;

/// Sets how an actor is spawned. See [`Actors::actor`](super::Actors::actor).
#[must_use = "`spawn` spawns the actor"]
pub struct ActorBuilder<A: Actor, Q: Queue = Mpsc> {
    settings: Settings<A>,
    queue: PhantomData<fn(Q)>,
}

struct Settings<A: Actor> {
    set: Arc<Set>,
    parent: Option<Arc<dyn AnyCell>>,
    supervisor: Option<SupervisorId>,
    maker: Box<dyn Maker<A>>,
    name: Option<Arc<str>>,
    capacity: usize,
    when_full: WhenFull,
    restarts: Restarts,
    keeps: bool,
    /// The executor of the actor's task; `None`: the executor of the set.
    executor: Option<Arc<dyn Executor>>,
}

impl<A: Actor> ActorBuilder<A> {
    pub(super) fn new(
        set: &Arc<Set>,
        parent: Option<Arc<dyn AnyCell>>,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> ActorBuilder<A> {
        let settings = Settings {
            set: set.clone(),
            parent,
            supervisor: None,
            maker: Box::new(factory),
            name: None,
            capacity: CAPACITY,
            when_full: WhenFull::default(),
            restarts: Restarts::Default,
            keeps: false,
            executor: None,
        };
        ActorBuilder { settings, queue: PhantomData }
    }
}

impl<A: Actor, Q: Queue> ActorBuilder<A, Q> {
    /// Places the actor under a supervisor, which restarts it.
    pub(super) fn under(mut self, supervisor: SupervisorId) -> Self {
        self.settings.supervisor = Some(supervisor);
        self
    }

    /// Sets a name, by which [`Actors::by_name`](super::Actors::by_name) finds the actor: 1 to 62
    /// bytes without spaces, `=` and control characters. Two living actors cannot have the same
    /// name.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Sets the capacity of the mailbox, in messages: a power of two, at least 2. The default is
    /// 64.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.settings.capacity = capacity;
        self
    }

    /// Sets the queue of the mailbox: [`Mpsc`] (the default),
    /// [`Mpmc`](mycelium_core::channel::Mpmc), [`Spsc`](mycelium_core::channel::Spsc),
    /// [`Stamped`](mycelium_core::channel::Stamped), the channel of an executor, or your own
    /// [`Queue`]. If the queue has one sender, the reference cannot be cloned, and a second
    /// reference is refused.
    pub fn queue<R: Queue>(self) -> ActorBuilder<A, R> {
        ActorBuilder { settings: self.settings, queue: PhantomData }
    }

    /// Runs the actor's task on this executor, for example one that is pinned to a core, instead of
    /// the executor of the set. The actor's time is still the time of the set.
    pub fn on(mut self, executor: Arc<dyn Executor>) -> Self {
        self.settings.executor = Some(executor);
        self
    }

    /// Sets what happens to a message when the mailbox is full. The default is to wait.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.settings.when_full = when_full;
        self
    }

    /// Sets when the actor is restarted after failures. The default is the same as for services.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.settings.restarts = Restarts::By(Arc::new(restart));
        self
    }

    /// Lets the first failure end the actor, without a restart.
    pub fn temporary(mut self) -> Self {
        self.settings.restarts = Restarts::Never;
        self
    }

    /// Keeps the actor alive when all references are dropped: it ends only when it is stopped.
    pub fn keep(mut self) -> Self {
        self.settings.keeps = true;
        self
    }

    /// Spawns the actor. Messages can be told to it immediately.
    ///
    /// # Errors
    /// [`SpawnActorError`]: the name is invalid or taken, the capacity is invalid, the executor has
    /// ended or cannot run the actor, or the node shuts down.
    pub fn spawn(self) -> Result<ActorRef<A, Q>, SpawnActorError> {
        self.spawn_by(A::launch())
    }

    /// Spawns the actor as `spawn` does, with the task that the caller chooses.
    pub(super) fn spawn_by(
        self,
        task: Launch<ActorLife<A, Q>>,
    ) -> Result<ActorRef<A, Q>, SpawnActorError> {
        let Settings { set, parent, maker, name, restarts, keeps, .. } = self.settings;
        if let Some(name) = name.as_deref().filter(|name| !is_name(name)) {
            return Err(SpawnActorError::Name { actor: A::NAME, name: name.to_owned() });
        }
        let executor = self.settings.executor.as_ref().unwrap_or(&set.executor);
        let (sender, receiver) = Q::bounded::<A::Mail>(self.settings.capacity)
            .map_err(|error| SpawnActorError::Capacity { actor: A::NAME, error })?;
        let beginning = match self.settings.supervisor {
            None => None,
            Some(supervisor) => {
                let member = set.member(supervisor, restarts.limits(&set).cloned());
                let member = member.ok_or(SpawnActorError::ShuttingDown { actor: A::NAME })?;
                Some(Beginning::Supervised(member))
            }
        };
        let (further, when_full) = (sender.try_clone(), self.settings.when_full);
        let named = name.clone();
        let make = |id, kind| {
            let core = Core::new(id, name, kind, when_full, answer::<A, Q>);
            if keeps {
                let _ = core.try_refer();
            }
            Arc::new(Cell::<A::Mail, Q>::new(core, set.clone(), further))
        };
        // The new core counts one reference: the one that is returned.
        let cell = set.add(actor_type::<A>(), named.as_deref(), (keeps, parent.is_some()), make)?;
        let reference = ActorRef::new(cell.clone(), sender);
        if let Some(parent) = parent {
            cell.core.watch(parent, Relation::Parent);
        }
        let life = ActorLife::new(cell, receiver, maker, restarts, beginning);
        launch(&**executor, life, task)?;
        Ok(reference)
    }
}

pub(super) fn actor_type<A: Actor>() -> ActorType {
    ActorType { id: TypeId::of::<A>(), name: A::NAME, calls: A::CALLS }
}

/// Spawns the task of an actor. If the executor refuses the task, the life is dropped, which ends
/// the actor.
pub(super) fn launch<A: Actor, Q: Queue>(
    executor: &dyn Executor,
    life: ActorLife<A, Q>,
    task: Launch<ActorLife<A, Q>>,
) -> Result<(), SpawnActorError> {
    let task = match &life.traces {
        Some(traces) => {
            task.traced(traces.budget.clone(), |budget, poll| poll_traced(budget, poll))
        }
        None => task,
    };
    let spawned = match task {
        Launch::Send(task) => executor.spawn(task(life)),
        Launch::Local(task) => executor.spawn_local(Box::new(move || task(life))),
    };
    spawned.map_err(|error| SpawnActorError::Executor { actor: A::NAME, error })
}

impl<A: Actor, Q: Queue> fmt::Debug for ActorBuilder<A, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { name, capacity, when_full, .. } = &self.settings;
        f.debug_struct("ActorBuilder")
            .field("actor", &A::NAME)
            .field("name", name)
            .field("capacity", capacity)
            .field("when_full", when_full)
            .finish_non_exhaustive()
    }
}
