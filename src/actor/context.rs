//! The context of an actor's handlers: time, timers, children, watches, requests and logs.

use std::any::Any;
use std::fmt::{self, Debug};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_core::channel::{Mpsc, Queue};
use mycelium_executor::Executor;

use super::actors::Actors;
use super::asking::{Asking, Asks};
use super::builder::ActorBuilder;
use super::life::{Actor, ActorContext, Handles, exclusive};
use super::reference::ActorRef;
use super::remote::RemoteRef;
use super::set::cell::{Cell, SetCell};
use super::set::core::{AnyCell, Relation};
use super::set::timers::{Message, Timer, Timers};
use super::values::{Gone, SpawnActorError};
use crate::error::{Problem, ShuttingDown, zero_period};
use crate::inbox::request::{Call, PendingReply};
use crate::support::log;

impl<A: Actor> ActorContext<A> {
    pub(super) fn new(cell: Arc<dyn SetCell>) -> ActorContext<A> {
        ActorContext { cell, timers: None, children: None, handled: 0, taken: 0 }
    }

    /// Returns the actor's number, which is unique in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.cell.core().id
    }

    /// Returns the actor's name, or its type and number.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        self.cell.core().label()
    }

    /// Returns a reference to this actor, to give to others. An actor that keeps its own reference
    /// does not end when all others are dropped. `None` if all references are dropped already.
    #[must_use]
    pub fn myself(&self) -> Option<ActorRef<A>> {
        self.myself_by_queue::<Mpsc>()
    }

    /// Returns a reference as [`myself`](ActorContext::myself) does, for a mailbox with another
    /// queue. `None` also if the mailbox has a different queue, or the queue allows one sender.
    #[must_use]
    pub fn myself_by_queue<Q: Queue>(&self) -> Option<ActorRef<A, Q>> {
        let cell: Arc<dyn Any + Send + Sync> = self.cell.clone();
        let cell = cell.downcast::<Cell<A::Mail, Q>>().ok()?;
        ActorRef::of(&cell).ok()
    }

    /// Returns the handle of all actors of the actor's node or program.
    #[must_use]
    pub fn actors(&self) -> Actors {
        Actors(self.cell.set().clone())
    }

    /// Spawns a child. The child ends when this actor ends or is restarted, before `stopped` runs.
    /// If the executor drops this actor's task, the child is only told to stop. If the child fails
    /// too often, this actor fails.
    ///
    /// # Errors
    /// Same as [`ActorBuilder::spawn`].
    pub fn spawn<C: Actor>(
        &mut self,
        factory: impl FnMut() -> C + Send + 'static,
    ) -> Result<ActorRef<C>, SpawnActorError> {
        self.spawn_as(factory, |child| child)
    }

    /// Spawns a child as [`spawn`](ActorContext::spawn) does, with a name, another mailbox or other
    /// restarts.
    ///
    /// # Errors
    /// Same as [`ActorBuilder::spawn`].
    pub fn spawn_as<C: Actor, Q: Queue>(
        &mut self,
        factory: impl FnMut() -> C + Send + 'static,
        set: impl FnOnce(ActorBuilder<C>) -> ActorBuilder<C, Q>,
    ) -> Result<ActorRef<C, Q>, SpawnActorError> {
        let parent: Arc<dyn AnyCell> = self.cell.clone();
        let builder = ActorBuilder::new(self.cell.set(), Some(parent), factory);
        let child = set(builder).spawn()?;
        self.children.get_or_insert_default().insert(child.id(), child.any());
        Ok(child)
    }

    /// Returns the number of living children.
    #[must_use]
    pub fn children(&self) -> usize {
        self.children.as_ref().map_or(0, |children| children.len())
    }

    /// Watches another actor: when it ends, this actor's hook `gone` is called, once for each
    /// watched actor even if `watch` is called again, for example after a restart. If the other
    /// actor has already ended, each call of `watch` calls the hook.
    pub fn watch<B: Actor, Q: Queue>(&self, other: &ActorRef<B, Q>) {
        other.any().core().watch(self.cell.clone(), Relation::Watching);
    }

    /// Watches an actor of another node, as [`watch`](ActorContext::watch) does: the hook `gone` is
    /// called once for each address, with how the actor has ended ([`RemoteRef::ended`]).
    /// `Unreachable` also ends the watch; call this again to watch again.
    pub fn watch_remote<B: Actor>(&self, other: &RemoteRef<B>) {
        let (id, actor, ended) = (other.id(), other.label(), other.ended());
        if !self.cell.core().begin_watch(actor.clone()) {
            return;
        }
        let cell = self.cell.clone();
        let watching = async move {
            let watcher = cell.core();
            if let Either::Left((end, _)) = select(pin!(ended), pin!(watcher.ended())).await {
                watcher.end_watch(Gone { id, actor, end });
            }
        };
        // Ignores an error, because an executor that has ended runs no actor, either.
        let _ = self.executor().spawn(Box::pin(watching));
    }

    /// Links this actor with another one: if one of them fails permanently, the other one fails
    /// too, and is restarted as after an error of its own. An end without a failure has no effect
    /// on the other.
    pub fn link<B: Actor, Q: Queue>(&self, other: &ActorRef<B, Q>) {
        let cell = other.any();
        cell.core().watch(self.cell.clone(), Relation::Linked);
        self.cell.core().watch(cell, Relation::Linked);
    }

    /// Tells this actor a message after `delay`. The message does not go through the mailbox, and
    /// needs no room there. Timers end with a restart.
    pub fn tell_after<M>(&mut self, delay: Duration, message: M) -> Timer
    where
        A: Handles<M>,
    {
        let at = self.now().saturating_add(delay);
        self.timers().add(at, Message::Once(Some(<A as Handles<M>>::wrap(message))))
    }

    /// Tells this actor a message periodically, first after one period. If the actor is too slow,
    /// the messages of missed periods are skipped.
    ///
    /// # Errors
    /// [`Problem`] if the period is zero.
    pub fn tell_every<M: Clone + Send + 'static>(
        &mut self,
        period: Duration,
        message: M,
    ) -> Result<Timer, Problem>
    where
        A: Handles<M>,
    {
        if period.is_zero() {
            return Err(zero_period());
        }
        let first = self.now().saturating_add(period);
        let make = Box::new(move || <A as Handles<M>>::wrap(message.clone()));
        Ok(self.timers().add(first, Message::Every(period, make)))
    }

    /// Cancels a timer. Returns whether the timer still had a message to tell.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        self.timers().cancel(timer)
    }

    /// Waits for the reply of another actor: `ctx.ask(bank.open(file))`, or `ctx.ask(bank.ask(q))`.
    /// If the reply is late because the other actor also waits, by an `ask` of its context,
    /// directly or indirectly for this one, a log line names the cycle.
    pub fn ask<C: Call>(&self, reply: PendingReply<C>) -> Asking<C> {
        let asks = reply.actor().map(|asked| {
            let cell = self.cell.clone();
            cell.core().asks.store(asked, Ordering::Relaxed);
            Asks { cell, asked }
        });
        Asking { reply, asks }
    }

    /// Ends this actor after the current message.
    pub fn stop(&self) {
        self.cell.core().stop();
    }

    /// Returns whether this actor was told to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.cell.core().is_stopping()
    }

    /// Returns the monotonic time of the actors.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.executor().now()
    }

    /// Waits for `duration`. No message is handled meanwhile;
    /// [`tell_after`](ActorContext::tell_after) does not block the mailbox.
    ///
    /// # Errors
    /// [`ShuttingDown`] if this actor is [stopped](ActorRef::stop), before or during the wait. A
    /// handler that returns this error with `?` does not count as failed.
    pub fn sleep(
        &self,
        duration: Duration,
    ) -> impl Future<Output = Result<(), ShuttingDown>> + Send + use<A> + 'static {
        let cell = self.cell.clone();
        let sleep = self.executor().sleep_until(self.now().saturating_add(duration));
        async move {
            match select(pin!(cell.core().told_to_stop()), sleep).await {
                Either::Left(_) => Err(ShuttingDown),
                Either::Right(_) => Ok(()),
            }
        }
    }

    /// Logs an event of level INFO, with the name of the actor.
    pub fn info(&self, message: &str, details: impl Debug) {
        log::info!(actor = %self.label(), ?details, "{}", message);
    }

    /// Logs an event of level WARN, as [`info`](ActorContext::info).
    pub fn warn(&self, message: &str, details: impl Debug) {
        log::warn!(actor = %self.label(), ?details, "{}", message);
    }

    /// Logs an event of level ERROR, as [`info`](ActorContext::info).
    pub fn error(&self, message: &str, details: impl Debug) {
        log::error!(actor = %self.label(), ?details, "{}", message);
    }

    fn timers(&mut self) -> &mut Timers<A::Mail> {
        exclusive(self.timers.get_or_insert_default())
    }

    fn executor(&self) -> &Arc<dyn Executor> {
        &self.cell.set().executor
    }
}

impl<A: Actor> Debug for ActorContext<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorContext").field("actor", &self.label()).finish_non_exhaustive()
    }
}
