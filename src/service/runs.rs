//! The loop around the runs of a service: it waits for its turn, runs, and reports the end, until
//! no further run follows. `run` is one run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_core::Code;
use mycelium_transports::counters::ServiceValue;
use mycelium_transports::local::Undelivered;

use super::run::RunEnded;
use super::{Life, Service};
use crate::error::code_of;
use crate::observe::report::Outcome;
use crate::shared::Shared;
use crate::supervise::member::{Turn, Verdict};
use crate::supervise::tree::{Moment, RunEnd, Why};
use crate::support::log;

/// Runs a service until it ends, fails too often, or the node shuts down. The life is in a box,
/// because a future has room for its arguments twice.
pub async fn supervise<S: Service>(mut life: Box<Life<S>>) {
    let shared = life.context.waits.shared.clone();
    // Waits until all services are placed, because none runs if one cannot be.
    shared.lifecycle.placed.wait().await;
    let mut instance = None;
    // Why the previous run has ended.
    let mut cause: Option<Box<str>> = None;
    loop {
        if let Turn::End(why) = turn(&mut life, &shared).await {
            life.conclude(why, cause.map(String::from));
            break;
        }
        if cause.is_some() && life.has_nothing_to_drain() {
            life.report(RunEnd::Asked);
            life.complete();
            break;
        }
        shared.starts(life.context.name(), cause.as_deref());
        let ended = life.run(&mut instance).await;
        if shared.lifecycle.shutdown.is_set() {
            shared.supervision.drain(shared.executor.now());
        }
        let (end, text) = life.settle(ended);
        let (verdict, now) = life.report(end);
        if let Verdict::End(why) = verdict {
            // Drops the instance, which gives back a subscription that it kept. The drop may panic.
            let instance = instance.take();
            drop(catch_unwind(AssertUnwindSafe(|| drop(instance))));
            life.conclude(why, text);
            break;
        }
        if life.has_nothing_to_drain() {
            if let Some(error) = &text {
                log::warn!(
                    service = life.context.name(),
                    error,
                    code = %code_of(error),
                    "the service failed during the shutdown"
                );
            }
            life.report(RunEnd::Asked);
            life.complete();
            break;
        }
        let pause = match verdict {
            Verdict::Restart { at } => at.saturating_sub(now),
            Verdict::Wait | Verdict::End(_) => Duration::ZERO,
        };
        cause = Some(life.announce_restart(end, text, pause).into());
    }
    // Announces the end before the subscriptions of the service are dropped.
    life.exit.announce();
}

/// Waits for the next run, or for the end. A shutdown ends the pause before a run, and the wait for
/// other services, so that the service can drain before the deadline.
async fn turn<S: Service>(life: &mut Life<S>, shared: &Arc<Shared>) -> Turn {
    let Life { context, member, .. } = life;
    let timer = &*context.waits.executor;
    {
        let told = std::pin::pin!(member.turn(&*shared.executor, timer));
        let shutdown = std::pin::pin!(shared.lifecycle.shutdown.wait());
        if let Either::Left((turn, _)) = select(told, shutdown).await {
            return turn;
        }
    }
    shared.supervision.drain(shared.executor.now());
    member.turn(&*shared.executor, timer).await
}

impl<S: Service> Life<S> {
    /// Reports the end of a run to the supervision tree. Returns the consequence, and the time of
    /// the end.
    fn report(&mut self, end: RunEnd) -> (Verdict, Duration) {
        let now = self.context.waits.shared.executor.now();
        let jitter = self.context.random();
        (self.member.ended(end, Moment { now, jitter }), now)
    }

    /// Whether the node shuts down and the service has no subscriptions: then it is not started
    /// again.
    fn has_nothing_to_drain(&self) -> bool {
        self.inboxes.is_empty() && self.context.is_shutting_down()
    }

    /// Applies the end of a run to the messages in flight, the counters and the test. Returns the
    /// end for the supervision tree, and the text of the failure.
    fn settle(&mut self, ended: RunEnded) -> (RunEnd, Option<String>) {
        let failure = match ended {
            RunEnded::Well => return (RunEnd::Returned, None),
            RunEnded::Stopped => {
                self.inboxes.iter().for_each(|inbox| inbox.interrupt());
                self.write_dead_letters();
                return (RunEnd::Stopped, None);
            }
            RunEnded::Failed(failure) => failure,
        };
        let (text, waits) = (failure.to_string(), &self.context.waits);
        #[cfg(feature = "testing")]
        if let Some(probe) = waits.shared.probe.get() {
            probe.add_failure(&waits.service, &failure);
        }
        waits.shared.services.keep_failure(&waits.service, &text);
        self.inboxes.iter().for_each(|inbox| inbox.fail());
        self.write_dead_letters();
        let end = if failure.is_permanent { RunEnd::FailedForGood } else { RunEnd::Failed };
        (end, Some(text))
    }

    /// Tells the log and the observers that another run follows. Returns why the last one has
    /// ended.
    fn announce_restart(&self, end: RunEnd, text: Option<String>, pause: Duration) -> String {
        let (shared, service) = (&self.context.waits.shared, self.context.name());
        let supervisor = shared.plan.supervision.of_service(service);
        if end == RunEnd::Stopped {
            let supervisor = supervisor.unwrap_or_default();
            log::warn!(service, supervisor, "the service was stopped, because another one failed");
            shared.halts(service, supervisor);
            return format!("stopped by supervisor `{supervisor}`");
        }
        let error = text.unwrap_or_else(|| "it returned, but its lifetime is permanent".to_owned());
        log::warn!(
            service,
            error,
            code = %code_of(&error),
            pause = %format_args!("{pause:.0?}"),
            "the service failed and will be restarted"
        );
        shared.backs_off(service, &error, pause);
        error
    }

    /// Reports that the service has ended permanently.
    fn conclude(&mut self, why: Why, cause: Option<String>) {
        let service = self.context.name();
        match why {
            Why::Completed => self.complete(),
            Why::GaveUp { restarts, window, supervisor } => {
                let error = cause.unwrap_or_else(|| "it returned".to_owned());
                log::error!(
                    service,
                    error,
                    code = %code_of(&error),
                    "the service failed permanently, and the node shuts down"
                );
                self.exit.outcome = Outcome::Failed { error, restarts };
                self.exit.limit = Some(Box::new((window, supervisor)));
            }
            Why::NotRestarted | Why::SupervisorEnded => {
                let reason = cause.unwrap_or_else(|| "its supervisor has stopped it".to_owned());
                log::warn!(service, reason, "the service has ended, and is not restarted");
                self.exit.outcome = Outcome::NotRestarted { reason };
                self.warn_of_unread();
            }
        }
    }

    fn complete(&mut self) {
        self.exit.outcome = Outcome::Completed;
        self.write_dead_letters();
        self.inboxes.iter().for_each(|inbox| inbox.finish_message());
        self.warn_of_unread();
    }

    fn warn_of_unread(&self) {
        for inbox in &self.inboxes {
            let left = inbox.depth();
            if left > 0 {
                log::warn!(
                    service = self.context.name(),
                    subscription = inbox.name(),
                    left,
                    "the service ended without receiving all messages"
                );
            }
        }
    }

    /// Writes a dead letter for each message that failed at each delivery.
    fn write_dead_letters(&mut self) {
        for undelivered in self.inboxes.iter().flat_map(|inbox| inbox.take_undelivered()) {
            self.context.waits.line.add(ServiceValue::DeadLetters, 1);
            report(&undelivered);
            if let Some(dead_letters) = &mut self.dead_letters {
                let waits = &self.context.waits;
                dead_letters.write(&waits.shared.topics, &waits.service, &undelivered);
            }
        }
    }
}

fn report(undelivered: &Undelivered) {
    log::error!(
        service = &*undelivered.reader,
        topic = &*undelivered.topic,
        publisher = %undelivered.publisher.escape_debug(),
        sequence = undelivered.sequence,
        code = %Code::DEAD_LETTER,
        "the service failed at each delivery of a message, which is now a dead letter"
    );
}
