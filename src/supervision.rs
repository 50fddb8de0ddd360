//! Keeps a service running: restarts it after errors and panics, with growing pauses, up to a
//! limit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::FutureExt;
use mycelium_bundle::Failures;
use mycelium_transports::counters::ServiceValue;
use mycelium_transports::local::Undelivered;

use crate::error::{Error, panic_text};
use crate::log;
use crate::report::Outcome;
use crate::service::{Life, Service};
use crate::shared::Runs;

/// The longest pause before a restart during a shutdown.
const LONGEST_AT_SHUTDOWN: Duration = Duration::from_millis(100);

/// Runs a service until it ends, fails too often, or the node shuts down. The life is in a box: a
/// future has room for its arguments twice.
pub async fn supervise<S: Service>(mut life: Box<Life<S>>) {
    // If one service cannot be placed, none runs.
    life.context.waits.shared.clone().lifecycle.placed.wait().await;
    let mut failures = Failures::default();
    let mut instance = None;
    let mut failed: Option<String> = None;
    loop {
        life.context.waits.shared.starts(life.context.name(), failed.as_deref());
        let failure = match attempt(&mut life, &mut instance).await {
            Ok(()) => {
                // This returns a subscription that the instance kept. Its drop may panic.
                let instance = instance.take();
                drop(catch_unwind(AssertUnwindSafe(|| drop(instance))));
                break life.complete();
            }
            Err(failure) => failure,
        };
        #[cfg(feature = "testing")]
        if let Some(probe) = life.context.waits.shared.probe.get() {
            probe.add_failure(life.context.name(), &failure.text);
        }
        life.inboxes.iter().for_each(|inbox| inbox.fail());
        life.write_dead_letters();
        let shared = life.context.waits.shared.clone();
        let executor = life.context.waits.executor.clone();
        let (now, jitter) = (executor.now(), life.context.random());
        let restarts = failures.count();
        let pause = failures.pause(&life.restart, now, jitter);
        let Some(pause) = pause.filter(|_| !failure.permanent) else {
            log::error!(
                service = life.context.name(),
                error = failure.text,
                "the service failed permanently, and the node shuts down"
            );
            life.exit.outcome = Outcome::Failed { error: failure.text, restarts };
            break;
        };
        let shuts_down = shared.lifecycle.shutdown.is_set();
        if shuts_down && life.inboxes.is_empty() {
            // It has nothing to drain: it is not restarted.
            log::warn!(
                service = life.context.name(),
                error = failure.text,
                "the service failed during the shutdown"
            );
            break life.complete();
        }
        // Short, so that a service that fails each time does so before the deadline.
        let pause = if shuts_down { pause.min(LONGEST_AT_SHUTDOWN) } else { pause };
        log::warn!(
            service = life.context.name(),
            error = failure.text,
            pause = %format_args!("{pause:.0?}"),
            "the service failed and will be restarted"
        );
        shared.backs_off(life.context.name(), &failure.text, pause);
        failed = Some(failure.text);
        let wake = executor.sleep_until(now.saturating_add(pause));
        if shuts_down {
            wake.await;
        } else {
            // A shutdown ends the pause, so that the service can drain before the deadline.
            futures_util::future::select(wake, std::pin::pin!(shared.lifecycle.shutdown.wait()))
                .await;
        }
        if shared.lifecycle.shutdown.is_set() && life.inboxes.is_empty() {
            break life.complete();
        }
    }
    // Before its subscriptions are dropped.
    life.exit.announce();
}

/// Why a run of a service ended early.
struct Failure {
    text: String,
    permanent: bool,
}

/// Runs the service once. After an error the next run uses the same instance, after a panic a new
/// one.
async fn attempt<S: Service>(life: &mut Life<S>, instance: &mut Option<S>) -> Result<(), Failure> {
    life.count(ServiceValue::Starts, |runs| runs.starts += 1);
    life.inboxes.iter().for_each(|inbox| inbox.begin_run());
    let made = match instance.take() {
        Some(service) => Ok(service),
        None => catch_unwind(AssertUnwindSafe(&mut life.factory)),
    };
    let ran = match made {
        Ok(mut service) => {
            let run = AssertUnwindSafe(service.run(&mut life.context)).catch_unwind().await;
            match run {
                Ok(_) => *instance = Some(service),
                // The drop of the instance may panic again.
                Err(_) => drop(catch_unwind(AssertUnwindSafe(|| drop(service)))),
            }
            run
        }
        Err(panic) => Err(panic),
    };
    life.context.end_tasks().await;
    match ran {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if ends_by_shutdown(life, &error) => Ok(()),
        Ok(Err(error)) => {
            life.count(ServiceValue::Errors, |runs| runs.errors += 1);
            Err(Failure { text: error.to_string(), permanent: error.is_permanent() })
        }
        Err(panic) => {
            life.count(ServiceValue::Panics, |runs| runs.panics += 1);
            Err(Failure { text: format!("panic: {}", panic_text(&*panic)), permanent: false })
        }
    }
}

fn ends_by_shutdown<S: Service>(life: &Life<S>, error: &Error) -> bool {
    life.context.is_shutting_down() && error.is_of_shutdown()
}

impl<S: Service> Life<S> {
    /// Counts for readers of the counters, and for the node's report.
    fn count(&self, value: ServiceValue, count: impl FnOnce(&mut Runs)) {
        let waits = &self.context.waits;
        waits.line.add(value, 1);
        waits.shared.services.count_run(&waits.service, count);
    }

    fn complete(&mut self) {
        self.exit.outcome = Outcome::Completed;
        self.write_dead_letters();
        for inbox in &self.inboxes {
            inbox.finish_message();
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
        "the service failed at each delivery of a message, which is now a dead letter"
    );
}
