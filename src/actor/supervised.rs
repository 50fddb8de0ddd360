//! Supervisors of actors: actors that are restarted together, by the rules of
//! `docs/actors.md`.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::{Either, select};
use mycelium_bundle::Restart;
use mycelium_core::channel::Queue;
use mycelium_transports::counters::ActorValue;

use super::actors::Actors;
use super::builder::ActorBuilder;
use super::life::{Actor, ActorLife};
use super::set::Set;
use super::set::cell::Cell;
use super::task::drops::{Guarded, Instance, discard};
use super::task::run::Failure;
use super::values::{ActorEnd, Mail};
use crate::observe::health_state::HealthState;
use crate::supervise::Strategy;
use crate::supervise::member::{Member, Turn, Verdict};
use crate::supervise::tree::{Moment, RunEnd, SupervisorId, SupervisorSpec, Why};
use crate::support::log;

/// A supervisor of actors and of other supervisors. When one of its actors fails, it restarts this
/// actor, all actors, or this actor and the later ones, by its strategy. After too many restarts it
/// gives up: its actors end, and its parent, if any, restarts it.
///
/// ```
/// use mycelium::actors::Actors;
/// use mycelium::supervision::{Restart, Strategy};
/// use mycelium::{Result, actor};
/// # #[derive(Default)]
/// # struct Feed;
/// # #[actor]
/// # impl Feed { #[tell] fn tick(&mut self, tick: u64) -> Result<()> { Ok(()) } }
/// # #[derive(Default)]
/// # struct Book;
/// # #[actor]
/// # impl Book { #[tell] fn fill(&mut self, fill: u64) -> Result<()> { Ok(()) } }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let actors = Actors::on(mycelium::execution::tokio::Tokio::current()?);
/// let pricing = actors.supervisor("pricing", Strategy::RestForOne, Restart::default());
/// let feed = pricing.actor(Feed::default).spawn()?;
/// let mut book = pricing.actor(Book::default).spawn()?;
/// book.tell(7).await?;
/// # drop(feed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ActorSupervisor {
    set: Arc<Set>,
    id: SupervisorId,
    name: Arc<str>,
}

impl Actors {
    /// Creates a supervisor of actors. `limits` has the maximum of restarts of all its actors
    /// together within a window, and the pauses before the supervisor itself is restarted. Each
    /// actor has its own pauses.
    #[must_use]
    pub fn supervisor(&self, name: &str, strategy: Strategy, limits: Restart) -> ActorSupervisor {
        let set = self.set();
        let root = set.supervision().tree(|tree| tree.root());
        ActorSupervisor::below(set, root, name, strategy, limits)
    }
}

impl ActorSupervisor {
    fn below(
        set: &Arc<Set>,
        parent: SupervisorId,
        name: &str,
        strategy: Strategy,
        restart: Restart,
    ) -> ActorSupervisor {
        let (name, supervision) = (Arc::<str>::from(name), set.supervision());
        let spec = SupervisorSpec { name: name.clone(), strategy, restart };
        // If the parent has ended, this supervisor has ended too: it refuses actors as the parent
        // does.
        let id = supervision.tree(|tree| {
            let id = tree.add_supervisor(parent, spec).unwrap_or(parent);
            tree.start(id, set.executor.now());
            id
        });
        ActorSupervisor { set: set.clone(), id, name }
    }

    /// Returns the supervisor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a supervisor after the other children. If it gives up, this supervisor restarts it.
    #[must_use]
    pub fn supervisor(&self, name: &str, strategy: Strategy, limits: Restart) -> ActorSupervisor {
        ActorSupervisor::below(&self.set, self.id, name, strategy, limits)
    }

    /// Returns the builder of an actor after the other children. It is spawned as by
    /// [`Actors::actor`]. Its `started` runs when the `started` of all earlier children has
    /// returned, also when all are restarted.
    pub fn actor<A: Actor>(&self, factory: impl FnMut() -> A + Send + 'static) -> ActorBuilder<A> {
        ActorBuilder::new(&self.set, None, factory).under(self.id)
    }

    /// Returns the health of the supervisor, computed from its actors and supervisors: `Stopped` if
    /// it has ended, `Starting` if the hook `started` of one has never returned, `BackingOff` if
    /// all wait for a restart, `Degraded` if some do, and otherwise `Ready`.
    #[must_use]
    pub fn health(&self) -> HealthState {
        self.set.supervision().tree(|tree| tree.health(self.id))
    }

    /// Ends the supervisor and its actors, the last one first. It refuses further actors. Runs are
    /// dropped without `stopped`, which is called only if an actor waits for its restart.
    pub fn stop(&self) {
        let moment = Moment { now: self.set.executor.now(), jitter: 0 };
        self.set.supervision().tree(|tree| tree.stop(self.id, moment));
    }
}

impl fmt::Debug for ActorSupervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActorSupervisor").field(&self.name).finish()
    }
}

impl<A: Actor, Q: Queue> ActorLife<A, Q> {
    /// Runs a supervised actor again and again, until it ends.
    pub(crate) async fn live_supervised(&mut self, mut member: Member) -> ActorEnd {
        // Ends before the member does, so before its siblings go on.
        let mut instance = Instance::none(&self.cell);
        // Why the previous run has ended.
        let mut cause: Option<Arc<str>> = None;
        loop {
            match turn(&self.cell, &mut member).await {
                None => {
                    member.ended(RunEnd::Asked, self.moment());
                    self.stop_instance(&mut instance.actor).await;
                    return ActorEnd::Stopped;
                }
                Some(Turn::End(why)) => {
                    self.stop_instance(&mut instance.actor).await;
                    return concluded(why, cause);
                }
                Some(Turn::Begin) => {}
            }
            if cause.is_some() {
                self.count(ActorValue::Restarts);
                self.note_restart();
            }
            let (end, failure) = match self.run_once(&mut member, &mut instance.actor).await {
                Some(Ok(end)) => {
                    member.ended(RunEnd::Asked, self.moment());
                    return end;
                }
                Some(Err(failure)) if failure.is_permanent => {
                    (RunEnd::FailedForGood, Some(failure))
                }
                Some(Err(failure)) => (RunEnd::Failed, Some(failure)),
                None => {
                    discard(&*self.cell, instance.actor.take());
                    (RunEnd::Stopped, None)
                }
            };
            self.forget_run().await;
            let (actor, reason) = (self.core().label(), failure.map(|failure| failure.text));
            let error = reason.as_deref().unwrap_or("its supervisor has stopped it");
            let code = Failure::code(error);
            let verdict = member.ended(end, self.moment());
            match &verdict {
                Verdict::Restart { .. } | Verdict::Wait => {
                    let actor = &*actor;
                    log::warn!(actor, error, %code, "the actor has ended and will be restarted");
                }
                Verdict::End(Why::SupervisorEnded) => {
                    log::warn!(actor = &*actor, "the actor has ended with its supervisor");
                }
                Verdict::End(_) => {
                    log::error!(actor = &*actor, error, %code, "the actor has ended permanently");
                }
            }
            cause = Some(error.into());
            if let Verdict::End(why) = verdict {
                self.stop_instance(&mut instance.actor).await;
                return concluded(why, cause);
            }
        }
    }

    /// Runs the actor once, until it ends. `None` if its supervisor stops it: the run is then
    /// dropped.
    async fn run_once(
        &mut self,
        member: &mut Member,
        instance: &mut Option<A>,
    ) -> Option<Result<ActorEnd, Failure>> {
        let cell = self.cell.clone();
        cell.core.set_started(false);
        let (mut has_started, mut waker) = (false, None);
        let mut run = Guarded { future: pin!(Some(self.attempt(instance))), cell: &*cell };
        poll_fn(|context| {
            if member.poll_stop(&mut waker, context).is_ready() {
                return Poll::Ready(None);
            }
            let ran = run.poll(context).map(Some);
            if !has_started && cell.core.has_started() {
                has_started = true;
                member.started();
            }
            ran
        })
        .await
    }

    fn moment(&self) -> Moment {
        let executor = &self.cell.set.executor;
        Moment { now: executor.now(), jitter: executor.entropy() }
    }
}

/// Returns the end of the actor, in the form that watchers get.
fn concluded(why: Why, cause: Option<Arc<str>>) -> ActorEnd {
    match why {
        Why::Completed | Why::SupervisorEnded => ActorEnd::Stopped,
        Why::NotRestarted | Why::GaveUp { .. } => {
            let error = cause.unwrap_or_else(|| "its supervisor gave up".into());
            ActorEnd::Failed { error }
        }
    }
}

/// Waits until the actor may begin a run. `None` if it is told to stop first.
async fn turn<M: Mail, Q: Queue>(cell: &Cell<M, Q>, member: &mut Member) -> Option<Turn> {
    let executor = &*cell.set.executor;
    let (turn, stop) = (pin!(member.turn(executor, executor)), pin!(cell.core.told_to_stop()));
    match select(turn, stop).await {
        Either::Left((turn, _)) => Some(turn),
        Either::Right(_) => None,
    }
}
