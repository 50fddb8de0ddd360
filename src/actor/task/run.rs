//! The task of an actor: it handles messages, restarts the actor after failures, and ends it.

use std::future::poll_fn;
use std::mem;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use mycelium_bundle::Failures;
use mycelium_core::Code;
use mycelium_core::channel::{Queue, QueueReceiver};
use mycelium_transports::counters::ActorValue;

use crate::actor::life::{
    Actor, ActorContext, ActorLife, Beginning, Maker, OnError, Restarts, exclusive,
};
use crate::actor::set::cell::{Cell, SetCell};
use crate::actor::set::core::{Control, Core, Relation};
use crate::actor::set::traces::ActorTraces;
use crate::actor::task::drops::{Guarded, Instance, count_panic, discard, note_failure, panicked};
use crate::actor::values::{ActorEnd, Gone, Mail, MailContent, Severity};
use crate::error::{Error, Result};
use crate::supervise::Panic;
use crate::support::log;

/// The number of messages after which the task yields.
const BUDGET: u32 = 64;

/// Runs an actor until it ends, again and again if it fails. Not an `async fn`, because that would
/// store the actor twice.
#[expect(clippy::manual_async_fn, reason = "see above")]
pub fn run_actor<A: Actor, Q: Queue>(
    mut life: ActorLife<A, Q>,
) -> impl Future<Output = ()> + use<A, Q> {
    async move {
        let (mut instance, mut failures) = (Instance::none(&life.cell), None);
        let lived = 'lived: {
            if life.beginning.is_some() {
                let begun = {
                    let mut begun = Box::pin(Some(life.begin_or_live()));
                    attended(&*instance.cell, begun.as_mut()).await
                };
                match begun {
                    Some(None) => {}
                    ended => break 'lived ended.flatten(),
                }
            }
            loop {
                // Does not call `attempt`, which would be one more future in the task.
                let ran = {
                    let run = AssertUnwindSafe(life.handle_all(&mut instance.actor)).catch_unwind();
                    attended(&*instance.cell, pin!(Some(run))).await
                };
                let failure = match ran.map(|ran| life.outcome(&mut instance.actor, ran)) {
                    None => break None,
                    Some(Ok(end)) => break Some(end),
                    Some(Err(failure)) => failure,
                };
                let failures = failures.get_or_insert_default();
                let restarted = {
                    let restart = life.restart_or_end(&mut instance.actor, failures, failure);
                    let mut restart = Box::pin(Some(restart));
                    attended(&*instance.cell, restart.as_mut()).await
                };
                match restarted {
                    Some(None) => {}
                    ended => break ended.flatten(),
                }
            }
        };
        // An instance ends before its children, and both before others learn of the end, unless the
        // executor drops the task.
        drop(instance);
        if life.context.children() != 0 {
            Box::pin(life.stop_children()).await;
        }
        life.finish(lived.unwrap_or(ActorEnd::Abandoned)).await;
    }
}

/// Polls a part of a life, also when the control word changes. Returns `None` if the actor is
/// abandoned. The part is dropped with this future.
pub(crate) fn attended<'a, F: Future, C: SetCell>(
    cell: &'a C,
    living: Pin<&'a mut Option<F>>,
) -> impl Future<Output = Option<F::Output>> + use<'a, F, C> {
    // No waker's.
    let mut registered = (0, 0);
    let mut living = Guarded { future: living, cell };
    poll_fn(move |context| {
        let core = living.cell.core();
        // Registers the waker before the control word is read, so that a later change wakes the
        // task. The core keeps the waker, so no other waker has the same data pointer.
        let waker = context.waker();
        let identity = (waker.data().addr(), ptr::from_ref(waker.vtable()).addr());
        if registered != identity {
            core.register(waker);
            registered = identity;
        }
        if core.is_killed() {
            return Poll::Ready(None);
        }
        living.poll(context).map(Some)
    })
}

// Size of the task: rarely used futures are boxed, because each actor's task has room for its
// largest unboxed future. Futures that always run are blocks, and hold no message and no actor in a
// variable while they wait, because each such variable takes room in the task.

/// Why a run of an actor ended early.
pub(crate) struct Failure {
    pub(crate) text: Arc<str>,
    pub(crate) is_permanent: bool,
}

impl Failure {
    fn of(error: &Error) -> Failure {
        Failure { text: error.to_string().into(), is_permanent: error.is_permanent() }
    }

    /// Returns the code of a failure with this text.
    pub(crate) fn code(text: &str) -> Code {
        Code::at_end(text).unwrap_or(Code::ACTOR_FAILED)
    }
}

/// What the task does next.
pub(crate) enum Next<M> {
    Message(M),
    Event(Box<(Relation, Gone)>),
    Stop,
    /// The mailbox is empty, and no sender is left.
    Closed,
}

impl<A: Actor, Q: Queue> ActorLife<A, Q> {
    pub(crate) fn new(
        cell: Arc<Cell<A::Mail, Q>>,
        receiver: Q::Receiver<A::Mail>,
        maker: Box<dyn Maker<A>>,
        restarts: Restarts,
        beginning: Option<Beginning>,
    ) -> ActorLife<A, Q> {
        let context = ActorContext::new(cell.clone());
        let traces = cell.set.tracer.clone().map(|tracer| ActorTraces::new(tracer, &cell.core));
        let is_supervised = matches!(beginning, Some(Beginning::Supervised(_)));
        ActorLife {
            maker,
            restarts,
            beginning: beginning.map(Box::new),
            is_supervised,
            has_ended: false,
            context,
            traces,
            cell,
            is_draining: false,
            since_yield: 0,
            receiver,
        }
    }

    /// Waits until the first run may begin. Under a supervisor it runs the actor instead, and
    /// returns the end.
    async fn begin_or_live(&mut self) -> Option<ActorEnd> {
        let beginning = *self.beginning.take()?;
        match beginning {
            Beginning::Supervised(member) => Some(self.live_supervised(member).await),
            Beginning::After(before) => {
                for cell in before {
                    cell.core().ended().await;
                }
                None
            }
        }
    }

    /// Calls `stopped` of the instance that the last run left.
    pub(crate) async fn stop_instance(&mut self, instance: &mut Option<A>) {
        if let Some(actor) = instance {
            self.call_stopped(actor).await;
        }
    }

    /// Ends the children and timers of the last run, before the next run.
    pub(crate) async fn forget_run(&mut self) {
        self.end_handling(false);
        self.cancel_timers();
        self.stop_children().await;
    }

    pub(crate) fn cancel_timers(&mut self) {
        if let Some(timers) = &mut self.context.timers {
            let timers = exclusive(timers);
            while let Some(message) = timers.pop() {
                discard(&*self.cell, message);
            }
        }
    }

    /// Waits for the restart after a failure. If the actor ends instead, calls `stopped` and
    /// returns the end.
    async fn restart_or_end(
        &mut self,
        instance: &mut Option<A>,
        failures: &mut Box<Failures>,
        failure: Failure,
    ) -> Option<ActorEnd> {
        let ControlFlow::Break(end) = self.restart(failures, failure).await else { return None };
        self.stop_instance(instance).await;
        Some(end)
    }

    /// Waits for the restart after a failure. `Break` if the actor ends instead.
    async fn restart(
        &mut self,
        failures: &mut Box<Failures>,
        failure: Failure,
    ) -> ControlFlow<ActorEnd> {
        self.forget_run().await;
        let now = self.cell.set.executor.now();
        let pause = match self.restarts.limits(&self.cell.set) {
            Some(restart) if !failure.is_permanent => {
                failures.pause(restart, now, self.cell.set.executor.entropy())
            }
            _ => None,
        };
        let (actor, error) = (self.core().label(), &*failure.text);
        let code = Failure::code(error);
        let Some(pause) = pause else {
            log::error!(actor = &*actor, error, %code, "the actor failed permanently");
            return ControlFlow::Break(ActorEnd::Failed { error: failure.text });
        };
        log::warn!(
            actor = &*actor,
            error,
            %code,
            pause = %format_args!("{pause:.0?}"),
            "the actor failed and will be restarted"
        );
        self.pause(now.saturating_add(pause)).await?;
        self.count(ActorValue::Restarts);
        self.note_restart();
        ControlFlow::Continue(())
    }

    /// Waits until the time of the restart. `Break` if the actor is told to stop first.
    async fn pause(&mut self, until: Duration) -> ControlFlow<ActorEnd> {
        let core = &self.cell.core;
        let mut sleep = self.cell.set.executor.sleep_until(until);
        let mut has_yielded = false;
        poll_fn(|context| {
            let control = core.control();
            // Yields once even without a pause, so that other tasks run, and this one can be
            // abandoned.
            if !has_yielded && control != Control::Stop {
                has_yielded = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match control {
                Control::Stop => return Poll::Ready(ControlFlow::Break(ActorEnd::Stopped)),
                // A drain needs no pause: the messages in the mailbox are handled before the end.
                Control::Drain => return Poll::Ready(ControlFlow::Continue(())),
                // Ignores these: the next run sees them.
                Control::Events | Control::Idle | Control::Nothing => {}
            }
            sleep.as_mut().poll(context).map(ControlFlow::Continue)
        })
        .await
    }

    /// Runs the actor once, for a supervisor.
    pub(crate) async fn attempt(&mut self, instance: &mut Option<A>) -> Result<ActorEnd, Failure> {
        let ran = AssertUnwindSafe(self.handle_all(instance)).catch_unwind().await;
        self.outcome(instance, ran)
    }

    /// Ends a run. The next run uses the same instance after an error, and a new instance after a
    /// panic. Returns the end of the actor, or why it has failed.
    fn outcome(
        &mut self,
        instance: &mut Option<A>,
        ran: Result<Result<ActorEnd, Failure>, Panic>,
    ) -> Result<ActorEnd, Failure> {
        if ran.is_err() {
            self.end_handling(true);
            discard(&*self.cell, instance.take());
        }
        self.flush();
        match ran {
            Ok(Ok(end)) => Ok(end),
            Ok(Err(failure)) => {
                self.count(ActorValue::Errors);
                note_failure(&*self.cell, &failure.text, Severity::Error);
                Err(failure)
            }
            Err(panic) => {
                self.count(ActorValue::Panics);
                let text: Arc<str> = format!("panic: {}", panicked(panic)).into();
                note_failure(&*self.cell, &text, Severity::Panic);
                Err(Failure { text, is_permanent: false })
            }
        }
    }

    /// Runs an instance from `started` to `stopped`: the one that the last run has left, or a new
    /// one. The factory may panic, as a handler may.
    #[expect(clippy::manual_async_fn, reason = "see `run_actor`")]
    fn handle_all<'a>(
        &'a mut self,
        instance: &'a mut Option<A>,
    ) -> impl Future<Output = Result<ActorEnd, Failure>> + use<'a, A, Q> {
        async move {
            let actor = instance.get_or_insert_with(|| self.maker.make());
            let done = actor.call_started(&mut self.context).await;
            self.judge_start(actor, done)?;
            loop {
                let mail = match self.handle_until_wait(actor).await? {
                    Next::Message(mail) => mail,
                    Next::Event(event) => {
                        let done = Box::pin(self.see(actor, *event)).await?;
                        self.judge(actor, done)?;
                        continue;
                    }
                    Next::Stop | Next::Closed => break,
                };
                let done = actor.receive(mail, &mut self.context).await;
                self.judge(actor, done)?;
            }
            self.flush();
            if self.context.children() != 0 {
                Box::pin(self.stop_children()).await;
            }
            self.call_stopped(actor).await;
            Ok(self.core().end_of_run())
        }
    }

    /// Handles messages until one has a handler that waits, which it returns, or something else
    /// comes. The other messages never move into the task's memory. `Err` if the actor fails.
    #[inline]
    fn handle_until_wait<'a>(
        &'a mut self,
        actor: &'a mut A,
    ) -> impl Future<Output = Result<Next<A::Mail>, Failure>> + use<'a, A, Q> {
        poll_fn(move |task| {
            loop {
                let mail = match ready!(self.poll_next(task)) {
                    Next::Message(mail) => mail,
                    other => return Poll::Ready(Ok(other)),
                };
                if let Some(traces) = &self.traces {
                    traces.begin(&mail);
                }
                match actor.receive_now(mail, &mut self.context) {
                    Ok(done) => self.judge(actor, done)?,
                    Err(mail) => return Poll::Ready(Ok(Next::Message(mail))),
                }
            }
        })
    }

    fn judge_start(&mut self, actor: &mut A, done: Result<()>) -> Result<(), Failure> {
        if self.is_supervised && done.is_ok() {
            self.core().set_started(true);
        }
        self.judge(actor, done)
    }

    /// Decides the effect of an error of a handler or a hook. `Err` if the actor fails.
    #[inline]
    fn judge(&mut self, actor: &mut A, done: Result<()>) -> Result<(), Failure> {
        match done {
            Ok(()) => {
                self.end_handling(false);
                Ok(())
            }
            Err(error) => self.judge_error(actor, &error),
        }
    }

    #[cold]
    fn judge_error(&mut self, actor: &mut A, error: &Error) -> Result<(), Failure> {
        let is_told_to_stop = error.is_of_shutdown() && self.core().control() == Control::Stop;
        self.end_handling(!is_told_to_stop);
        if is_told_to_stop {
            return Ok(());
        }
        match actor.call_on_error(error) {
            OnError::Continue => {
                self.count(ActorValue::Errors);
                note_failure(&*self.cell, error, Severity::Ignored);
                let actor = self.core().label();
                let code = error.code().unwrap_or(Code::ACTOR_FAILED);
                log::warn!(actor = &*actor, %error, %code, "the actor failed, and continues");
                Ok(())
            }
            OnError::Restart => Err(Failure::of(error)),
            OnError::Stop => Err(Failure { is_permanent: true, ..Failure::of(error) }),
        }
    }

    /// Handles an event beside the mailbox. `Err` if the actor fails.
    async fn see(
        &mut self,
        actor: &mut A,
        (relation, gone): (Relation, Gone),
    ) -> Result<Result<()>, Failure> {
        let (what, is_concerned) = match relation {
            Relation::Watching => return Ok(actor.call_gone(gone, &mut self.context).await),
            // A child of an earlier run is not in the list: it was stopped at the restart, or
            // failed at the same time.
            Relation::Parent => ("child", self.forget_child(gone.id)),
            Relation::Linked => ("linked actor", true),
        };
        if !is_concerned || !gone.end.is_failure() {
            return Ok(Ok(()));
        }
        // A linked actor has failed, so this actor fails too.
        let text = format!("{what} `{}`: {}", gone.actor, gone.end).into();
        Err(Failure { text, is_permanent: false })
    }

    /// Waits for the next message or event.
    #[cfg(feature = "testing")]
    pub(crate) fn next(&mut self) -> impl Future<Output = Next<A::Mail>> + use<'_, A, Q> {
        poll_fn(|task| self.poll_next(task))
    }

    #[inline]
    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Next<A::Mail>> {
        match self.core().control() {
            Control::Nothing => {}
            Control::Stop => return Poll::Ready(Next::Stop),
            Control::Events => {
                if let Some(event) = self.core().next_event() {
                    return Poll::Ready(Next::Event(Box::new(event)));
                }
                // The event was taken before its bit was set. Polls again for the other bits.
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            Control::Drain => self.refuse(),
            Control::Idle => self.passivate(),
        }
        if self.since_yield >= BUDGET {
            self.since_yield = 0;
            self.core().set_active();
            self.flush();
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.since_yield += 1;
        let mut is_turn_of_mailbox = false;
        if let Some(timers) = &mut self.context.timers {
            let timers = exclusive(timers);
            is_turn_of_mailbox = timers.is_turn_of_mailbox();
            if !is_turn_of_mailbox
                && let Poll::Ready(mail) = timers.poll(&*self.cell.set.executor, task)
            {
                return Poll::Ready(self.taken(mail));
            }
        }
        match self.receiver.poll_recv(task) {
            Poll::Ready(Some(mail)) => return Poll::Ready(self.taken(mail)),
            // The actor is still referenced and continues, although its only sender is dropped.
            Poll::Ready(None) if !Q::SHARED && !self.is_draining && self.core().is_referred() => {}
            Poll::Ready(None) => return Poll::Ready(Next::Closed),
            // The mailbox is empty, and its only sender can send no more, so the actor need not
            // wait until the sender is dropped.
            Poll::Pending if self.is_draining && !Q::SHARED => {
                return Poll::Ready(Next::Closed);
            }
            Poll::Pending => {}
        }
        if is_turn_of_mailbox
            && let Some(timers) = &mut self.context.timers
            && let Poll::Ready(mail) = exclusive(timers).poll(&*self.cell.set.executor, task)
        {
            return Poll::Ready(self.taken(mail));
        }
        // Above 1, messages were handled since the last wait, because this poll has counted itself.
        if self.since_yield > 1 {
            self.core().set_active();
        }
        self.since_yield = 0;
        self.flush();
        Poll::Pending
    }

    /// Counts a mail that a handler is about to get.
    #[inline]
    fn taken(&mut self, mail: A::Mail) -> Next<A::Mail> {
        self.context.handled += u64::from(matches!(mail.content(), MailContent::Message(..)));
        Next::Message(mail)
    }

    /// Decides whether the actor, which the clock considers idle, can be passivated. If it has no
    /// work left, it refuses further messages.
    #[cold]
    fn passivate(&mut self) {
        let context = &mut self.context;
        let has_timers = match &mut context.timers {
            Some(timers) => !exclusive(timers).is_empty(),
            None => false,
        };
        let is_idle = self.since_yield == 0
            && context.children() == 0
            && !has_timers
            && self.receiver.is_empty();
        self.core().decide_passivation(is_idle);
        if is_idle {
            self.refuse();
        }
    }

    /// Closes the mailbox for new messages. The actor handles the remaining ones, and ends.
    fn refuse(&mut self) {
        if !self.is_draining {
            self.is_draining = true;
            self.receiver.refuse_sends();
        }
    }

    /// Notes a restart for a test.
    pub(crate) fn note_restart(&self) {
        #[cfg(feature = "testing")]
        if let Some(notes) = self.cell.set.notes.get() {
            notes.add_restart(&self.core().label());
        }
        let _ = self;
    }

    /// Removes a child that has ended. Returns whether the child was one of this run.
    fn forget_child(&mut self, id: u64) -> bool {
        self.context.children.as_mut().is_some_and(|children| children.remove(&id).is_some())
    }

    /// Ends the children, the last one first.
    pub(crate) async fn stop_children(&mut self) {
        while let Some(children) = &mut self.context.children {
            let Some((_, child)) = children.pop_last() else { return };
            match self.is_draining {
                true => child.core().drain(),
                false => child.core().stop(),
            }
            Box::pin(child.core().ended()).await;
        }
    }

    /// Calls `stopped`. A panic in it does not change how the actor ends.
    async fn call_stopped(&mut self, actor: &mut A) {
        let stopped = actor.call_stopped(&mut self.context);
        if let Err(panic) = AssertUnwindSafe(stopped).catch_unwind().await {
            count_panic(&*self.cell, panic, "the actor panicked at its end");
        }
    }

    /// Adds the number of messages handled since the last call to the counters.
    pub(crate) fn flush(&mut self) {
        let context = &mut self.context;
        if context.handled != 0 {
            self.cell.core.kind.line.count_many(ActorValue::Handled, context.handled);
            context.taken += mem::take(&mut context.handled);
        }
    }

    /// Ends the span of the last message: later actions do not belong to it.
    #[inline]
    fn end_handling(&self, has_failed: bool) {
        if let Some(traces) = &self.traces {
            traces.end(has_failed);
        }
    }

    pub(crate) fn count(&self, value: ActorValue) {
        self.core().kind.count(value);
    }

    pub(crate) fn core(&self) -> &Core {
        &self.cell.core
    }
}
