//! The course of a service's life: waits until a run may begin, and decides at the end of a run
//! whether another one follows. It does not depend on the type of the service, so it is compiled
//! once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_core::Code;
use mycelium_executor::Executor;
use mycelium_transports::counters::ServiceValue;

use super::emit::Waits;
use super::exit::ExitGuard;
use super::run::{RunEnded, count_drop};
use crate::error::code_of;
use crate::inbox::AnyInbox;
use crate::observe::Event;
use crate::observe::report::Outcome;
use crate::shared::{DeadLetterWriter, ServiceNode};
use crate::supervise::caught;
use crate::supervise::member::{Member, Turn, Verdict};
use crate::supervise::tree::{Moment, RunEnd, Why};
use crate::support::log;

/// The part of a service's life (from its first start to its last end) that does not depend on the
/// type of the service.
pub(crate) struct Course {
    pub(crate) inboxes: Vec<Arc<dyn AnyInbox>>,
    /// `None` if no message that the service reads can become a dead letter.
    pub(crate) dead_letters: Option<DeadLetterWriter>,
    /// The service's place in the supervision of the node.
    pub(crate) member: Member,
    /// Why the previous run ended.
    pub(crate) cause: Option<Box<str>>,
    /// Notifies the node of the end of the service. Dropped last, when everything else of the
    /// service is dropped.
    pub(crate) exit: ExitGuard,
}

impl Course {
    /// Waits until the next run may begin. Returns false if the service has ended instead.
    pub(super) async fn begins(&mut self, waits: &mut Waits) -> bool {
        let node = waits.node.clone();
        // Waits until all services are placed: none runs if one cannot be placed.
        node.lifecycle.placed.wait().await;
        if let Turn::End(why) = self.turn(&*waits.executor, &node).await {
            let cause = self.cause.take();
            self.conclude(waits, why, cause.map(String::from));
            return false;
        }
        if self.cause.is_some() && self.has_nothing_to_drain(waits) {
            self.report(waits, RunEnd::Asked);
            self.complete(waits);
            return false;
        }
        node.services.starts(&waits.service, self.cause.as_deref());
        true
    }

    /// Waits until the next run may begin, or the service has ended. A shutdown ends the pause
    /// before a run and the wait for other services, so that the service can drain before the
    /// deadline.
    async fn turn(&mut self, timer: &dyn Executor, node: &ServiceNode) -> Turn {
        {
            let told = pin!(self.member.turn(&*node.executor, timer));
            let shutdown = pin!(node.lifecycle.shutdown.wait());
            if let Either::Left((turn, _)) = select(told, shutdown).await {
                return turn;
            }
        }
        node.supervision.drain(node.executor.now());
        self.member.turn(&*node.executor, timer).await
    }

    /// Returns whether another run follows the run that has `ended`. If the supervision tree ends
    /// the service, calls `leave`, which drops the instance.
    pub(super) fn goes_on(
        &mut self,
        waits: &mut Waits,
        ended: RunEnded,
        leave: &mut dyn FnMut(),
    ) -> bool {
        if waits.is_shutting_down() {
            waits.node.supervision.drain(waits.node.executor.now());
        }
        let (end, text) = self.settle(waits, ended);
        let (verdict, now) = self.report(waits, end);
        if let Verdict::End(why) = verdict {
            // Drops the instance, which returns a subscription that it kept.
            count_drop(waits, caught(leave));
            self.conclude(waits, why, text);
            return false;
        }
        if self.has_nothing_to_drain(waits) {
            if let Some(error) = &text {
                log::warn!(
                    service = &*waits.service,
                    error,
                    code = %code_of(error),
                    "the service failed during the shutdown"
                );
            }
            self.report(waits, RunEnd::Asked);
            self.complete(waits);
            return false;
        }
        let pause = match verdict {
            Verdict::Restart { at } => at.saturating_sub(now),
            Verdict::Wait | Verdict::End(_) => Duration::ZERO,
        };
        self.cause = Some(announce_restart(waits, end, text, pause).into());
        true
    }

    /// Reports the end of a run to the supervision tree. Returns the consequence, and the time of
    /// the end.
    fn report(&mut self, waits: &mut Waits, end: RunEnd) -> (Verdict, Duration) {
        let now = waits.node.executor.now();
        let jitter = waits.random.u64(..);
        (self.member.ended(end, Moment { now, jitter }), now)
    }

    /// Returns whether the node shuts down and the service has no subscriptions. It is then not
    /// started again.
    fn has_nothing_to_drain(&self, waits: &Waits) -> bool {
        self.inboxes.is_empty() && waits.is_shutting_down()
    }

    /// Applies the end of a run to the messages in flight, and reports a failure to the node and to
    /// a test. Returns the end for the supervision tree, and the text of the failure.
    fn settle(&mut self, waits: &Waits, ended: RunEnded) -> (RunEnd, Option<String>) {
        let failure = match ended {
            RunEnded::Well => return (RunEnd::Returned, None),
            RunEnded::LeftOff => return (self.interrupted(waits, RunEnd::Returned), None),
            RunEnded::Stopped => return (self.interrupted(waits, RunEnd::Stopped), None),
            RunEnded::Failed(failure) => failure,
        };
        let text = failure.to_string();
        #[cfg(feature = "testing")]
        if let Some(probe) = waits.node.probe.get() {
            probe.add_failure(&waits.service, &failure);
        }
        waits.node.services.keep_failure(&waits.service, &text);
        self.inboxes.iter().for_each(|inbox| inbox.fail());
        self.write_dead_letters(waits);
        let end = if failure.is_permanent { RunEnd::FailedForGood } else { RunEnd::Failed };
        (end, Some(text))
    }

    /// Notes that messages in flight are not finished. Returns the end.
    fn interrupted(&mut self, waits: &Waits, end: RunEnd) -> RunEnd {
        self.inboxes.iter().for_each(|inbox| inbox.interrupt());
        self.write_dead_letters(waits);
        end
    }

    /// Reports that the service has ended permanently.
    fn conclude(&mut self, waits: &Waits, why: Why, cause: Option<String>) {
        let service = &*waits.service;
        match why {
            Why::Completed => self.complete(waits),
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
                self.warn_of_unread(waits);
            }
        }
    }

    fn complete(&mut self, waits: &Waits) {
        self.exit.outcome = Outcome::Completed;
        self.write_dead_letters(waits);
        self.inboxes.iter().for_each(|inbox| inbox.finish_message());
        self.warn_of_unread(waits);
    }

    fn warn_of_unread(&self, waits: &Waits) {
        for inbox in &self.inboxes {
            let left = inbox.depth();
            if left > 0 {
                log::warn!(
                    service = &*waits.service,
                    subscription = inbox.name(),
                    left,
                    "the service ended without receiving all messages"
                );
            }
        }
    }

    /// Writes a dead letter for each message that failed at each delivery.
    fn write_dead_letters(&mut self, waits: &Waits) {
        for undelivered in self.inboxes.iter().flat_map(|inbox| inbox.take_undelivered()) {
            waits.line.add(ServiceValue::DeadLetters, 1);
            log::error!(
                service = &*undelivered.reader,
                topic = &*undelivered.topic,
                publisher = %undelivered.publisher.escape_debug(),
                sequence = undelivered.sequence,
                code = %Code::DEAD_LETTER,
                "the service failed at each delivery of a message, which is now a dead letter"
            );
            if let Some(dead_letters) = &mut self.dead_letters {
                dead_letters.write(&waits.node.topics, &waits.service, &undelivered);
            }
        }
    }
}

/// Reports to the log and the observers that another run follows. Returns why the last run ended.
fn announce_restart(waits: &Waits, end: RunEnd, text: Option<String>, pause: Duration) -> String {
    let (node, service) = (&waits.node, &*waits.service);
    let supervisor = node.plan.supervision.of_service(service);
    if end == RunEnd::Stopped {
        let supervisor = supervisor.unwrap_or_default();
        log::warn!(service, supervisor, "the service was stopped, because another one failed");
        node.lifecycle.observers.notify(&Event::ServiceHalted { service, supervisor });
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
    let event = Event::ServiceBackingOff { service, error: &error, pause };
    node.lifecycle.observers.notify(&event);
    error
}
