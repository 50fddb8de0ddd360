//! One run of a service: it is polled until it ends, or until its supervisor or its start deadline
//! ends it. A panic of the service ends the run, wherever it happens.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::ServiceValue;

use super::Service;
use super::emit::Waits;
use super::runs::Course;
use crate::error::{Error, Result};
use crate::inbox::AnyInbox;
use crate::shared::Runs;
use crate::supervise::member::{Member, StopWaker};
use crate::supervise::{Failure, Panic, caught};
use crate::task::run_tasks::RunTasks;

/// How a run ended.
pub(super) enum RunEnded {
    /// The service returned `Ok`, or the error of a shutdown.
    Well,
    Failed(Box<Failure>),
    /// The supervisor has stopped the run.
    Stopped,
}

/// Runs a service once. After an error the next run uses the same instance; after a panic or a stop
/// it uses a new one.
pub(super) async fn run<S: Service>(
    factory: &mut (dyn FnMut() -> S + Send),
    context: &mut super::Context<S>,
    course: &mut Course,
    instance: &mut Option<S>,
) -> RunEnded {
    course.begin(&context.waits);
    let mut made = Ok(());
    if instance.is_none() {
        made = caught(&mut || *instance = Some(factory()));
    }
    let polled = match (made, &mut *instance) {
        (Ok(()), Some(service)) => {
            let mut watch = course.watch(&context.waits);
            let mut run = pin!(Some(service.run(context)));
            let polled = poll_fn(|context| {
                let Some(run) = run.as_mut().as_pin_mut() else { return Poll::Pending };
                poll_run(run, &mut watch, context)
            });
            let polled = polled.await;
            // Dropping the future may panic, because the drop of a value that the service holds
            // across an await may.
            polled.dropped(caught(&mut || run.set(None)))
        }
        (Ok(()), None) => Polled::Stopped,
        (Err(panic), _) => Polled::Panicked(panic),
    };
    let (ended, keeps) = judge(polled, &context.waits);
    if !keeps {
        // Catches a panic, because dropping the instance may panic, too.
        drop(caught(&mut || *instance = None));
    }
    RunTasks::end_all(&mut context.run).await;
    count_end(&ended, &context.waits);
    ended
}

fn poll_run(
    run: Pin<&mut dyn Future<Output = Result<()>>>,
    watch: &mut Option<Box<Watch<'_>>>,
    context: &mut Context<'_>,
) -> Poll<Polled> {
    if let Some(watch) = watch
        && let Poll::Ready(polled) = watch.poll(context)
    {
        return Poll::Ready(polled);
    }
    match catch_unwind(AssertUnwindSafe(|| run.poll(context))) {
        Ok(Poll::Ready(result)) => Poll::Ready(Polled::Ended(result)),
        Err(panic) => Poll::Ready(Polled::Panicked(panic)),
        Ok(Poll::Pending) => {
            if watch.as_mut().is_some_and(|watch| watch.is_over()) {
                *watch = None;
            }
            Poll::Pending
        }
    }
}

/// Returns how a run ended, and whether the next one uses the same instance.
fn judge(polled: Polled, waits: &Waits) -> (RunEnded, bool) {
    match polled {
        Polled::Ended(result) => (judge_result(result, waits.is_shutting_down()), true),
        Polled::Panicked(panic) => (RunEnded::Failed(Failure::of_panic(panic)), false),
        Polled::Stopped => (RunEnded::Stopped, false),
        Polled::Late(error) => {
            let failure = Failure { error, panicked: false, place: None, is_permanent: false };
            (RunEnded::Failed(Box::new(failure)), false)
        }
    }
}

/// Returns whether the result of a run is a failure. Reading the error may panic: it is code of the
/// user, too.
fn judge_result(result: Result<()>, shuts_down: bool) -> RunEnded {
    let Err(error) = result else { return RunEnded::Well };
    match catch_unwind(AssertUnwindSafe(|| of_error(error, shuts_down))) {
        Ok(Some(failure)) => RunEnded::Failed(Box::new(failure)),
        Ok(None) => RunEnded::Well,
        Err(panic) => RunEnded::Failed(Failure::of_panic(panic)),
    }
}

fn count_end(ended: &RunEnded, waits: &Waits) {
    match ended {
        RunEnded::Failed(failure) if failure.panicked => {
            count(waits, ServiceValue::Panics, |runs| runs.panics += 1);
        }
        RunEnded::Failed(_) => count(waits, ServiceValue::Errors, |runs| runs.errors += 1),
        RunEnded::Well | RunEnded::Stopped => {}
    }
}

/// Counts a start or an end of a run, for readers of the counters and for the node's report.
fn count(waits: &Waits, value: ServiceValue, count: impl FnOnce(&mut Runs)) {
    waits.line.add(value, 1);
    waits.shared.services.count_run(&waits.service, count);
}

impl Course {
    fn begin(&self, waits: &Waits) {
        count(waits, ServiceValue::Starts, |runs| runs.starts += 1);
        self.inboxes.iter().for_each(|inbox| inbox.begin_run());
    }

    fn watch(&mut self, waits: &Waits) -> Option<Box<Watch<'_>>> {
        let deadline = waits.shared.plan.supervision.start_deadline(&waits.service);
        Watch::new(&mut self.member, &self.inboxes, deadline, &*waits.executor)
    }
}

/// Returns the failure of an error. `None` if it is the error of a shutdown.
fn of_error(error: Error, shuts_down: bool) -> Option<Failure> {
    if shuts_down && error.is_of_shutdown() {
        return None;
    }
    let (text, is_permanent) = (error.to_string(), error.is_permanent());
    Some(Failure { error: text, panicked: false, place: None, is_permanent })
}

/// How a run left its loop of polls.
enum Polled {
    Ended(Result<()>),
    Panicked(Panic),
    Stopped,
    /// The run did not start within its deadline.
    Late(String),
}

impl Polled {
    /// Returns how the run ended after its future was dropped, which may have panicked.
    fn dropped(self, dropped: Result<(), Panic>) -> Polled {
        match (dropped, self) {
            (Ok(()), polled) => polled,
            (Err(panic), Polled::Stopped) => {
                drop(Failure::of_panic(panic));
                Polled::Stopped
            }
            (Err(panic), Polled::Ended(_) | Polled::Panicked(_) | Polled::Late(_)) => {
                Polled::Panicked(panic)
            }
        }
    }
}

/// The causes that end a run from outside: a supervisor, or a start deadline. It is optional,
/// because few services have such a cause, and a future is as large as all that it may hold.
struct Watch<'a> {
    has_started: bool,
    waker: StopWaker,
    member: &'a mut Member,
    inboxes: &'a [Arc<dyn AnyInbox>],
    deadline: Option<(Duration, SendFuture<()>)>,
}

impl Watch<'_> {
    fn new<'a>(
        member: &'a mut Member,
        inboxes: &'a [Arc<dyn AnyInbox>],
        deadline: Option<Duration>,
        timer: &dyn Executor,
    ) -> Option<Box<Watch<'a>>> {
        if member.is_alone() && deadline.is_none() {
            return None;
        }
        let timer = |within| timer.sleep_until(timer.now().saturating_add(within));
        let deadline = deadline.map(|within| (within, timer(within)));
        let (has_started, waker) = (false, StopWaker::default());
        Some(Box::new(Watch { has_started, waker, member, inboxes, deadline }))
    }

    /// Called before each poll of the run: ready if the run should end.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Polled> {
        if self.member.poll_stop(&mut self.waker, context).is_ready() {
            return Poll::Ready(Polled::Stopped);
        }
        if let Some((within, timer)) = &mut self.deadline
            && timer.as_mut().poll(context).is_ready()
        {
            let untaken = self.inboxes.iter().find(|inbox| !inbox.is_taken());
            let untaken = untaken.map_or_else(String::new, |inbox| {
                format!(": it has not taken subscription `{}`", inbox.name())
            });
            return Poll::Ready(Polled::Late(format!(
                "it did not start within {within:?}{untaken}"
            )));
        }
        Poll::Pending
    }

    /// Called after each poll. A run has started when its first poll has returned, and it has taken
    /// all of its subscriptions. Returns whether nothing can end it from outside any more.
    fn is_over(&mut self) -> bool {
        if !self.has_started && self.inboxes.iter().all(|inbox| inbox.is_taken()) {
            self.has_started = true;
            self.deadline = None;
            self.member.started();
        }
        self.has_started && self.member.is_alone()
    }
}
