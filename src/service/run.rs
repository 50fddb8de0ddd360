//! One run of a service: it is polled until it ends, or until its supervisor or its start deadline
//! ends it. A panic of the service ends the run, wherever it happens.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::ServiceValue;

use super::{Life, Service};
use crate::error::{Error, Result};
use crate::inbox::AnyInbox;
use crate::shared::Runs;
use crate::supervise::Failure;
use crate::supervise::member::{Member, StopWaker};

/// How a run ended.
pub(super) enum RunEnded {
    /// The service returned `Ok`, or the error of a shutdown.
    Well,
    Failed(Box<Failure>),
    /// The supervisor has stopped the run.
    Stopped,
}

impl<S: Service> Life<S> {
    /// Runs the service once. After an error the next run uses the same instance; after a panic or
    /// a stop it uses a new one.
    pub(super) async fn run(&mut self, instance: &mut Option<S>) -> RunEnded {
        self.count(ServiceValue::Starts, |runs| runs.starts += 1);
        self.inboxes.iter().for_each(|inbox| inbox.begin_run());
        let made = match instance.take() {
            Some(service) => Ok(service),
            None => catch_unwind(AssertUnwindSafe(&mut self.factory)),
        };
        let ended = match made {
            Ok(mut service) => {
                let polled = self.poll_to_end(&mut service).await;
                let (ended, keeps) = match polled {
                    Polled::Ended(result) => (self.judge(result), true),
                    Polled::Panicked(panic) => (RunEnded::Failed(Failure::of_panic(panic)), false),
                    Polled::Stopped => (RunEnded::Stopped, false),
                    Polled::Late(error) => {
                        let place = None;
                        let failure =
                            Failure { error, panicked: false, place, is_permanent: false };
                        (RunEnded::Failed(Box::new(failure)), false)
                    }
                };
                if keeps {
                    *instance = Some(service);
                } else {
                    // Catches a panic, because dropping the instance may panic, too.
                    drop(catch_unwind(AssertUnwindSafe(|| drop(service))));
                }
                ended
            }
            Err(panic) => RunEnded::Failed(Failure::of_panic(panic)),
        };
        self.context.end_tasks().await;
        match &ended {
            RunEnded::Failed(failure) if failure.panicked => {
                self.count(ServiceValue::Panics, |runs| runs.panics += 1);
            }
            RunEnded::Failed(_) => self.count(ServiceValue::Errors, |runs| runs.errors += 1),
            RunEnded::Well | RunEnded::Stopped => {}
        }
        ended
    }

    async fn poll_to_end(&mut self, service: &mut S) -> Polled {
        let Life { context, member, inboxes, .. } = self;
        let start_deadline = context.waits.shared.plan.supervision.start_deadline(context.name());
        let timer = context.waits.executor.clone();
        let mut watch = Watch::new(member, inboxes, start_deadline, timer);
        let mut run = pin!(Some(AssertUnwindSafe(service.run(context)).catch_unwind()));
        let polled = poll_fn(|context| {
            if let Some(watch) = &mut watch
                && let Poll::Ready(polled) = watch.poll(context)
            {
                return Poll::Ready(polled);
            }
            let Some(run) = run.as_mut().as_pin_mut() else { return Poll::Pending };
            match run.poll(context) {
                Poll::Ready(Ok(result)) => Poll::Ready(Polled::Ended(result)),
                Poll::Ready(Err(panic)) => Poll::Ready(Polled::Panicked(panic)),
                Poll::Pending => {
                    if watch.as_mut().is_some_and(|watch| watch.is_over()) {
                        watch = None;
                    }
                    Poll::Pending
                }
            }
        })
        .await;
        // Dropping the future may panic, because the drop of a value that the service holds across
        // an await may.
        match catch_unwind(AssertUnwindSafe(|| run.set(None))) {
            Ok(()) => polled,
            Err(panic) => match polled {
                Polled::Stopped => {
                    drop(Failure::of_panic(panic));
                    Polled::Stopped
                }
                Polled::Ended(_) | Polled::Panicked(_) | Polled::Late(_) => Polled::Panicked(panic),
            },
        }
    }

    /// Returns whether the result of a run is a failure. Reading the error may panic: it is code of
    /// the user, too.
    fn judge(&self, result: Result<()>) -> RunEnded {
        let Err(error) = result else { return RunEnded::Well };
        let shuts_down = self.context.is_shutting_down();
        let judged = catch_unwind(AssertUnwindSafe(|| of_error(error, shuts_down)));
        match judged {
            Ok(Some(failure)) => RunEnded::Failed(Box::new(failure)),
            Ok(None) => RunEnded::Well,
            Err(panic) => RunEnded::Failed(Failure::of_panic(panic)),
        }
    }

    /// Counts an end of a run, for readers of the counters and for the node's report.
    fn count(&self, value: ServiceValue, count: impl FnOnce(&mut Runs)) {
        let waits = &self.context.waits;
        waits.line.add(value, 1);
        waits.shared.services.count_run(&waits.service, count);
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
    Panicked(Box<dyn Any + Send>),
    Stopped,
    /// The run did not start within its deadline.
    Late(String),
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
        timer: Arc<dyn Executor>,
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
