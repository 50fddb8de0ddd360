//! One run of a service: it is polled until it ends, or until its supervisor or its start deadline
//! ends it. A panic of the service ends the run. The part that depends on the type of the service
//! is in `runs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::ServiceValue;

use super::emit::Waits;
use crate::error::Result;
use crate::inbox::AnyInbox;
use crate::shared::Runs;
use crate::supervise::member::Member;
use crate::supervise::{Failure, Panic};
use crate::support::log;

/// How a run ended.
pub(super) enum RunEnded {
    /// The service returned `Ok`.
    Well,
    /// The service returned the error of a shutdown: it may have left off in the middle of a message.
    LeftOff,
    Failed(Box<Failure>),
    /// The supervisor has stopped the run.
    Stopped,
}

// Inlined into the task of each service, and so into one function with it.
#[inline(always)]
pub(super) fn poll_run(
    run: Pin<&mut impl Future<Output = Result<()>>>,
    watch: &mut Option<Box<Watch<'_>>>,
    context: &mut Context<'_>,
) -> Poll<Polled> {
    if let Some(watch) = watch
        && let Poll::Ready(polled) = watch.poll(context)
    {
        return Poll::Ready(polled);
    }
    // The result is kept here, and not returned by the closure: `catch_unwind` copies its whole
    // result even if the run is pending, and that copy waits for the store of the tag.
    let mut ended = None;
    let poll = || {
        if let Poll::Ready(result) = run.poll(context) {
            ended = Some(result);
        }
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(poll)) {
        return Poll::Ready(Polled::Panicked(panic));
    }
    if let Some(result) = ended {
        return Poll::Ready(Polled::Ended(result));
    }
    if watch.as_mut().is_some_and(|watch| watch.is_over()) {
        *watch = None;
    }
    Poll::Pending
}

/// Returns how a run ended, and whether the next run uses the same instance.
pub(super) fn judge(polled: Polled, waits: &Waits) -> (RunEnded, bool) {
    match polled {
        Polled::Ended(result) => {
            let ended = judge_result(result, waits.is_shutting_down());
            let has_panicked = matches!(&ended, RunEnded::Failed(failure) if failure.panicked);
            (ended, !has_panicked)
        }
        Polled::Panicked(panic) => (RunEnded::Failed(Failure::of_panic(panic)), false),
        Polled::Stopped => (RunEnded::Stopped, false),
        Polled::Late(error) => {
            let failure = Failure { error, panicked: false, place: None, is_permanent: false };
            (RunEnded::Failed(Box::new(failure)), false)
        }
    }
}

/// Returns whether the result of a run is a failure. Reading the error may panic, because it is
/// user code.
fn judge_result(result: Result<()>, shuts_down: bool) -> RunEnded {
    let Err(error) = result else { return RunEnded::Well };
    let mut is_permanent = false;
    let judged = catch_unwind(AssertUnwindSafe(|| {
        // Moves the error here: its drop may panic, too.
        let error = error;
        if shuts_down && error.is_of_shutdown() {
            return RunEnded::LeftOff;
        }
        is_permanent = error.is_permanent();
        let error = error.to_string();
        let failure = Failure { error, panicked: false, place: None, is_permanent };
        RunEnded::Failed(Box::new(failure))
    }));
    judged.unwrap_or_else(|panic| {
        RunEnded::Failed(Box::new(Failure { is_permanent, ..*Failure::of_panic(panic) }))
    })
}

pub(super) fn count_end(ended: &RunEnded, waits: &Waits) {
    match ended {
        RunEnded::Failed(failure) if failure.panicked => {
            count(waits, ServiceValue::Panics, |runs| runs.panics += 1);
        }
        RunEnded::Failed(_) => count(waits, ServiceValue::Errors, |runs| runs.errors += 1),
        RunEnded::Well | RunEnded::LeftOff | RunEnded::Stopped => {}
    }
}

/// Counts and logs a panic in the drop of an instance. It does not change how the service ends.
pub(super) fn count_drop(waits: &Waits, dropped: Result<(), Panic>) {
    if let Err(panic) = dropped {
        count(waits, ServiceValue::Panics, |runs| runs.panics += 1);
        let error = Failure::of_panic(panic).to_string();
        waits.node.services.keep_failure(&waits.service, &error);
        let service = &*waits.service;
        log::error!(service, error, "the service panicked when it was dropped");
    }
}

/// Counts a start or an end of a run, for readers of the counters and for the node's report.
pub(super) fn count(waits: &Waits, value: ServiceValue, count: impl FnOnce(&mut Runs)) {
    waits.line.add(value, 1);
    waits.node.services.count_run(&waits.service, count);
}

/// How the polls of a run ended.
pub(super) enum Polled {
    Ended(Result<()>),
    Panicked(Panic),
    Stopped,
    /// The run did not start within its deadline.
    Late(String),
}

impl Polled {
    /// Returns how the run ended after its future was dropped, which may have panicked. If the run
    /// was ended from outside, that reason stays, and this returns the panic, too.
    pub(super) fn dropped(self, dropped: Result<(), Panic>) -> (Polled, Result<(), Panic>) {
        match (dropped, self) {
            (Err(panic), Polled::Ended(_) | Polled::Panicked(_)) => {
                (Polled::Panicked(panic), Ok(()))
            }
            (dropped, polled) => (polled, dropped),
        }
    }
}

/// The causes that end a run from outside: a supervisor, or a start deadline. Optional, because few
/// services have such a cause, and it would enlarge every future.
pub(super) struct Watch<'a> {
    has_started: bool,
    /// The waker that is registered with the member.
    waker: Option<Waker>,
    member: &'a mut Member,
    inboxes: &'a [Arc<dyn AnyInbox>],
    deadline: Option<(Duration, SendFuture<()>)>,
}

impl Watch<'_> {
    pub(super) fn new<'a>(
        member: &'a mut Member,
        inboxes: &'a [Arc<dyn AnyInbox>],
        waits: &Waits,
    ) -> Option<Box<Watch<'a>>> {
        let deadline = waits.node.plan.supervision.start_deadline(&waits.service);
        if member.is_alone() && deadline.is_none() {
            return None;
        }
        let timer = &waits.executor;
        let timer = |within| timer.sleep_until(timer.now().saturating_add(within));
        let deadline = deadline.map(|within| (within, timer(within)));
        Some(Box::new(Watch { has_started: false, waker: None, member, inboxes, deadline }))
    }

    /// Runs before each poll of the run: ready if the run should end.
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

    /// Runs after each poll. A run has started when its first poll has returned and it has taken
    /// all its subscriptions. Returns whether the run can no longer be ended from outside.
    fn is_over(&mut self) -> bool {
        if !self.has_started && self.inboxes.iter().all(|inbox| inbox.is_taken()) {
            self.has_started = true;
            self.deadline = None;
            self.member.started();
        }
        self.has_started && self.member.is_alone()
    }
}
