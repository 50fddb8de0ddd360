//! Launches the services of a node and sees to its end: by itself, by a shutdown, or at the shutdown's deadline.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable, Either, select};
use mycelium_executor::{Executor, SpawnError};
use mycelium_transports::local::{Finisher, Flusher, Pulse, poll_with};

use super::{Hook, Outcome, Prepared, Shared};
use crate::error::StartError;
use crate::inbox::AnyInbox;

/// A declared subscription that nobody has taken after this is named in the log.
const TAKE_WITHIN: Duration = Duration::from_secs(5);
/// So long after the deadline, tasks that were told to go have time to be dropped.
const ABANDON_WITHIN: Duration = Duration::from_millis(200);

/// Launches all services, and the task that waits for them.
pub(super) fn start(
    shared: &Arc<Shared>,
    prepared: Vec<Prepared>,
    hooks: Vec<Hook>,
) -> Result<(), StartError> {
    let mut driver = Driver { shared: shared.clone(), services: Vec::new() };
    for mut service in prepared {
        let (abort, registration) = AbortHandle::new_pair();
        driver.services.push(Handle {
            name: service.name.clone(),
            abort,
            inboxes: std::mem::take(&mut service.inboxes),
            finishers: std::mem::take(&mut service.finishers),
        });
        let name = service.name.clone();
        launch(&*shared.executor, service, registration).map_err(|error| {
            driver.services.iter().for_each(|service| service.abort.abort());
            StartError::Spawn { service: name, error }
        })?;
    }
    let spawned = shared.executor.spawn(Box::pin(driver.run(hooks)));
    spawned.map_err(|error| StartError::Spawn { service: "(the node)".to_owned(), error })
}

fn launch(
    executor: &dyn Executor,
    service: Prepared,
    registration: AbortRegistration,
) -> Result<(), SpawnError> {
    let Prepared { launch, pulse, flushers, .. } = service;
    if service.is_send {
        let task = launch().into_send().ok_or(SpawnError::LocalUnsupported)?;
        let task = Abortable::new(Beating { task, pulse, flushers }, registration);
        executor.spawn(Box::pin(async {
            let _ = task.await;
        }))
    } else {
        executor.spawn_local(Box::new(move || {
            let task = launch().into_local();
            let task = Abortable::new(Beating { task, pulse, flushers }, registration);
            Box::pin(async {
                let _ = task.await;
            })
        }))
    }
}

/// A service's task. After each poll, those that wait for what it did are told.
struct Beating<F> {
    task: F,
    pulse: Arc<Pulse>,
    flushers: Vec<Flusher>,
}

impl<F: Future<Output = ()> + Unpin> Future for Beating<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Beating { task, pulse, flushers } = self.get_mut();
        poll_with(pulse, flushers, || Pin::new(task).poll(context))
    }
}

struct Driver {
    shared: Arc<Shared>,
    services: Vec<Handle>,
}

/// A service that was launched.
struct Handle {
    name: String,
    abort: AbortHandle,
    inboxes: Vec<Weak<dyn AnyInbox>>,
    finishers: Vec<(&'static str, Finisher)>,
}

impl Driver {
    async fn run(self, hooks: Vec<Hook>) {
        let deadline = self.see_services_off().await;
        self.see_messages_off(deadline).await;
        self.run_hooks(hooks).await;
        // Dropping the driver says that the node has finished.
    }

    /// Returns when the shutdown has to be over, if there was one.
    async fn see_services_off(&self) -> Option<Duration> {
        let shared = &self.shared;
        let quiet = async {
            shared.executor.sleep_until(shared.executor.now() + TAKE_WITHIN).await;
            self.name_untaken_subscriptions();
            std::future::pending::<()>().await;
        };
        let (all_ended, shutdown) = (pin!(shared.left.wait()), pin!(shared.shutdown.wait()));
        select(select(all_ended, shutdown), pin!(quiet)).await;
        if !shared.shutdown.is_set() {
            return None;
        }
        let deadline = shared.executor.now() + self.patience();
        self.shut_down(deadline).await;
        Some(deadline)
    }

    fn patience(&self) -> Duration {
        self.shared.plan.topology.shutdown(&self.shared.plan.node)
    }

    /// What services sent to other nodes is brought there: until the shutdown's deadline or, without a shutdown, as long
    /// as anything arrives within the time that one may take.
    async fn see_messages_off(&self, mut shutdown: Option<Duration>) {
        let shared = &self.shared;
        let Some(links) = shared.links.get() else { return };
        let patience = self.patience();
        links.drain();
        loop {
            let before = links.progress();
            let deadline = shutdown.unwrap_or_else(|| shared.executor.now() + patience);
            let overdue = pin!(shared.overdue.wait());
            let late = select(shared.executor.sleep_until(deadline), overdue);
            let is_told = shutdown.is_some();
            let told = async move {
                if is_told {
                    std::future::pending::<()>().await;
                }
                shared.shutdown.wait().await;
            };
            match select(pin!(links.ended()), select(pin!(told), late)).await {
                Either::Right((Either::Left(_), _)) => {
                    links.shut_down();
                    shutdown = Some(shared.executor.now() + patience);
                }
                Either::Right(_) if shutdown.is_none() && links.progress() > before => {}
                _ => break,
            }
        }
        links.stop();
        let grace = shared.executor.sleep_until(shared.executor.now() + ABANDON_WITHIN);
        select(pin!(links.ended()), grace).await;
        let left = links.undelivered();
        if !left.is_empty() {
            let error = StartError::Undelivered { left, patience };
            tracing::error!(node = shared.plan.node, %error, "gives up");
            shared.state().error.get_or_insert(error);
        }
    }

    /// In the reverse of their order, all together within the shutdown's deadline.
    async fn run_hooks(&self, hooks: Vec<Hook>) {
        let shared = &self.shared;
        let patience = self.patience();
        let all = async {
            for hook in hooks.into_iter().rev() {
                let hook = AssertUnwindSafe(async { hook().await }).catch_unwind();
                if hook.await.is_err() {
                    tracing::error!(node = shared.plan.node, "a stop hook panicked");
                }
            }
        };
        let deadline = shared.executor.sleep_until(shared.executor.now() + patience);
        let overdue = pin!(shared.overdue.wait());
        if let Either::Right(_) = select(pin!(all), select(deadline, overdue)).await {
            tracing::error!(node = shared.plan.node, ?patience, "stop hooks took too long");
        }
    }

    fn name_untaken_subscriptions(&self) {
        let inboxes = self.services.iter().flat_map(|service| &service.inboxes);
        for inbox in inboxes.filter_map(Weak::upgrade).filter(|inbox| !inbox.was_taken()) {
            tracing::warn!(
                subscription = inbox.name(),
                "declared, but not taken within {TAKE_WITHIN:?}: it holds its publishers"
            );
        }
    }

    async fn shut_down(&self, deadline: Duration) {
        let shared = &self.shared;
        let patience = self.patience();
        tracing::info!(node = shared.plan.node, deadline = ?patience, "node shuts down");
        if let Some(links) = shared.links.get() {
            links.shut_down();
        }
        self.finish_what_has_no_end();
        let deadline = shared.executor.sleep_until(deadline);
        let overdue = pin!(shared.overdue.wait());
        let all_ended = pin!(shared.left.wait());
        if let Either::Left(_) = select(all_ended, select(deadline, overdue)).await {
            return;
        }
        let late = self.not_ended();
        if late.is_empty() {
            return;
        }
        for service in &self.services {
            service.finishers.iter().for_each(|(_, finisher)| finisher.finish_when_empty());
            service.abort.abort();
        }
        let grace = shared.executor.sleep_until(shared.executor.now() + ABANDON_WITHIN);
        select(pin!(shared.left.wait()), grace).await;
        tracing::error!(node = shared.plan.node, services = ?late, "abandoned at the shutdown's deadline");
        let mut state = shared.state();
        for name in &late {
            state.ended.insert(name.clone(), Outcome::Abandoned);
        }
        let error = StartError::Abandoned { services: late, deadline: patience };
        state.error.get_or_insert(error);
    }

    /// Most subscriptions end when their publishers have. Those that close a circle of services, that have publishers
    /// outside the services, or none at all, end when they are empty.
    fn finish_what_has_no_end(&self) {
        let plan = &self.shared.plan;
        let from_outside = self.shared.state().from_outside.clone();
        for service in &self.services {
            for (topic, finisher) in &service.finishers {
                let feeds_back =
                    plan.feedback.iter().any(|(to, fed)| *to == service.name && fed == topic);
                let unfed = plan.topics.get(topic).is_none_or(|planned| planned.publishers == 0);
                let far_away = plan.neighbours.writes(topic);
                if feeds_back || unfed || far_away || from_outside.contains(topic) {
                    finisher.finish_when_empty();
                }
            }
        }
    }

    fn not_ended(&self) -> Vec<String> {
        let state = self.shared.state();
        let names = self.services.iter().map(|service| &service.name);
        names.filter(|name| !state.ended.contains_key(*name)).cloned().collect()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut lost = self.not_ended();
        let mut state = self.shared.state();
        let dropped = state.ended.iter().filter(|(_, outcome)| **outcome == Outcome::Abandoned);
        lost.extend(dropped.map(|(name, _)| name.clone()));
        if !lost.is_empty() {
            state.error.get_or_insert(StartError::ExecutorEnded { services: lost });
        }
        drop(state);
        self.shared.finished.set();
    }
}
