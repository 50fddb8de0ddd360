//! Launches the services of a node and sees to its end: by itself, by a shutdown, or at the shutdown's deadline.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Either, select};
use mycelium_core::Message;
use mycelium_core::wait::Wait;
use mycelium_executor::block_on;
use mycelium_transports::local::Finisher;

use super::placing::place;
use super::threads::Threads;
use super::watchdog::Dog;
use super::{Hook, Outcome, Prepared, Shared};
use crate::dead_letter::DeadLetter;
use crate::error::StartError;
use crate::inbox::AnyInbox;
use crate::observe::Phase;

/// A declared subscription that nobody has taken after this is named in the log.
const TAKE_WITHIN: Duration = Duration::from_secs(5);
/// So long after the deadline, tasks that were told to go have time to be dropped.
pub(super) const ABANDON_WITHIN: Duration = Duration::from_millis(200);

/// Places all services, and the task that waits for them; then lets them run.
pub(super) fn start(
    shared: &Arc<Shared>,
    prepared: Vec<Prepared>,
    dog: Option<Arc<Dog>>,
    hooks: Vec<Hook>,
) -> Result<(), StartError> {
    let started = place_all(shared, prepared, dog.clone(), hooks);
    match &started {
        Ok(()) => _ = shared.placed.set(),
        // Services that were placed have been told to go, and have not run.
        Err(_) => {
            block_on(shared.threads.gone(), Wait::Park);
            dog.iter().for_each(|dog| block_on(dog.threads().gone(), Wait::Park));
        }
    }
    started
}

fn place_all(
    shared: &Arc<Shared>,
    prepared: Vec<Prepared>,
    dog: Option<Arc<Dog>>,
    hooks: Vec<Hook>,
) -> Result<(), StartError> {
    let (shared_with, messages_seen_off) = (shared.clone(), AtomicBool::new(false));
    let mut driver = Driver { shared: shared_with, services: Vec::new(), dog, messages_seen_off };
    let mut placements = Vec::new();
    for mut service in prepared {
        let (abort, registration) = AbortHandle::new_pair();
        driver.services.push(Handle {
            name: service.name.clone(),
            abort,
            inboxes: std::mem::take(&mut service.inboxes),
            finishers: std::mem::take(&mut service.finishers),
        });
        placements.push(place(shared, service, registration)?);
    }
    let _ = shared.placements.set(placements);
    let spawned = shared.executor.spawn(Box::pin(driver.run(hooks)));
    spawned.map_err(|error| StartError::Spawn { service: "(the node)".to_owned(), error })
}

struct Driver {
    shared: Arc<Shared>,
    services: Vec<Handle>,
    dog: Option<Arc<Dog>>,
    /// What services sent to other nodes has arrived there, or was given up.
    messages_seen_off: AtomicBool,
}

/// A service that was launched.
struct Handle {
    name: String,
    abort: AbortHandle,
    inboxes: Vec<Weak<dyn AnyInbox>>,
    finishers: Vec<(&'static str, Finisher)>,
}

impl Driver {
    fn abort(&self) {
        self.services.iter().for_each(|service| service.abort.abort());
    }

    async fn run(self, hooks: Vec<Hook>) {
        let deadline = self.see_services_off().await;
        self.shared.seen_off.store(true, Ordering::SeqCst);
        self.shared.reach(Phase::Draining);
        self.see_messages_off(deadline).await;
        self.see_threads_off(&self.shared.threads, deadline).await;
        self.run_hooks(hooks).await;
        if let Some(dog) = &self.dog {
            dog.stop();
            self.see_threads_off(dog.threads(), Some(Duration::ZERO)).await;
        }
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
        let ready = async {
            shared.unstarted.wait().await;
            let met = match shared.links.get() {
                Some(links) => links.ready().await,
                None => true,
            };
            if met {
                shared.reach(Phase::Ready);
            }
            std::future::pending::<()>().await
        };
        let (all_ended, shutdown) = (pin!(shared.left.wait()), pin!(shared.shutdown.wait()));
        let (mut ready, quiet, letters) = (pin!(ready), pin!(quiet), pin!(self.see_letters_off()));
        let waiting = select(ready.as_mut(), select(quiet, letters));
        select(waiting, select(all_ended, shutdown)).await;
        // Services may have started and ended since it was last asked.
        select(ready, std::future::ready(())).await;
        if !shared.shutdown.is_set() {
            return None;
        }
        let deadline = shared.executor.now() + shared.patience();
        self.shut_down(deadline).await;
        Some(deadline)
    }

    /// Once all services have ended that do not wait for dead letters, and the links have if these can end first: nothing
    /// becomes a dead letter any more. Never ready.
    async fn see_letters_off(&self) {
        self.shared.others_left.wait().await;
        let letters = &self.shared.plan.letters;
        if letters.are_read() && !letters.cross_links {
            self.see_messages_off(None).await;
        }
        if !letters.have_no_end {
            self.end_letters();
        }
        std::future::pending::<()>().await
    }

    /// Readers of dead letters receive what there is, and then the end.
    fn end_letters(&self) {
        self.shared.end_letters();
        for (topic, finisher) in self.services.iter().flat_map(|service| &service.finishers) {
            if *topic == DeadLetter::TOPIC {
                // Services that end after their readers can still write some.
                finisher.finish_when_empty();
            }
        }
    }

    /// What services sent to other nodes is brought there: until the shutdown's deadline. Without a shutdown, it goes on as
    /// long as anything arrives within the time that a shutdown may take, or a launcher says that the reader comes.
    async fn see_messages_off(&self, mut shutdown: Option<Duration>) {
        let shared = &self.shared;
        let Some(links) = shared.links.get() else { return };
        if self.messages_seen_off.load(Ordering::SeqCst) {
            return;
        }
        let patience = shared.patience();
        links.drain();
        loop {
            let before = links.progress();
            let deadline = shutdown.unwrap_or_else(|| shared.executor.now() + patience);
            let overdue = pin!(shared.overdue.wait());
            let time_up = select(shared.executor.sleep_until(deadline), overdue);
            let is_told = shutdown.is_some();
            let told = async move {
                if is_told {
                    std::future::pending::<()>().await;
                }
                shared.shutdown.wait().await;
            };
            match select(pin!(links.ended()), select(pin!(told), time_up)).await {
                Either::Right((Either::Left(_), _)) => {
                    links.shut_down();
                    shutdown = Some(shared.executor.now() + patience);
                }
                Either::Right(_)
                    if shutdown.is_none()
                        && (links.progress() > before || links.has_readers_to_come()) => {}
                _ => break,
            }
        }
        links.stop();
        let grace = shared.executor.sleep_until(shared.executor.now() + ABANDON_WITHIN);
        select(pin!(links.ended()), grace).await;
        let left = links.undelivered();
        if !left.is_empty() {
            shared.leave_undelivered(left);
        }
        self.messages_seen_off.store(true, Ordering::SeqCst);
    }

    /// A thread has nothing to do but end when its service has.
    async fn see_threads_off(&self, threads: &Threads, shutdown: Option<Duration>) {
        let shared = &self.shared;
        let now = shared.executor.now();
        let deadline = shutdown.unwrap_or_else(|| now + shared.patience());
        let deadline = shared.executor.sleep_until(deadline.max(now + ABANDON_WITHIN));
        let (overdue, gone) = (pin!(shared.overdue.wait()), pin!(threads.gone()));
        select(gone, select(deadline, overdue)).await;
        let threads = threads.names();
        if !threads.is_empty() {
            let error = StartError::Threads { threads };
            tracing::error!(node = shared.plan.node, %error, "gives up");
            shared.state().error.get_or_insert(error);
        }
    }

    /// In the reverse of their order, all together within the shutdown's deadline.
    async fn run_hooks(&self, hooks: Vec<Hook>) {
        let shared = &self.shared;
        let patience = shared.patience();
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
        let patience = shared.patience();
        tracing::info!(node = shared.plan.node, deadline = ?patience, "node shuts down");
        if let Some(links) = shared.links.get() {
            links.shut_down();
        }
        self.finish_what_has_no_end();
        if shared.plan.letters.feed_others {
            self.end_letters();
        }
        let overdue = pin!(shared.overdue.wait());
        let time_up = select(shared.executor.sleep_until(deadline), overdue);
        let half_time = shared.executor.sleep_until(shared.executor.now() + patience / 2);
        let all_ended = pin!(async {
            // In the first half of the time services still take what other nodes have sent.
            let ended = pin!(async {
                shared.others_left.wait().await;
                self.end_letters();
                shared.left.wait().await;
            });
            if let Either::Right((_, ended)) = select(ended, half_time).await {
                self.leave_the_rest();
                ended.await;
            }
        });
        if let Either::Left(_) = select(all_ended, time_up).await {
            return;
        }
        let unfinished = self.not_ended();
        if unfinished.is_empty() {
            return;
        }
        for service in &self.services {
            service.finishers.iter().for_each(|(_, finisher)| finisher.finish_when_empty());
        }
        self.abort();
        let grace = shared.executor.sleep_until(shared.executor.now() + ABANDON_WITHIN);
        select(pin!(shared.left.wait()), grace).await;
        shared.abandon(unfinished);
    }

    /// Most subscriptions end when their publishers have. Those that close a circle of services, that have publishers
    /// outside the services, or none at all, end when they are empty.
    fn finish_what_has_no_end(&self) {
        let plan = &self.shared.plan;
        let from_outside = self.shared.state().from_outside.clone();
        for service in &self.services {
            // Dead letters have an end of their own.
            let finishers = service.finishers.iter();
            for (topic, finisher) in finishers.filter(|(topic, _)| *topic != DeadLetter::TOPIC) {
                let feeds_back =
                    plan.feedback.iter().any(|(to, fed)| *to == service.name && fed == topic);
                let unfed = plan.topics.get(topic).is_none_or(|planned| planned.publishers == 0);
                let far_away = plan.peer_topics.writes(topic);
                if feeds_back || unfed || far_away || from_outside.contains(topic) {
                    finisher.finish_when_empty();
                }
            }
        }
    }

    /// Ends the subscriptions to topics of other nodes. What they have not taken is kept there for the
    /// next process of this node.
    fn leave_the_rest(&self) {
        for (topic, finisher) in self.services.iter().flat_map(|service| &service.finishers) {
            if self.shared.plan.peer_topics.writes(topic) {
                finisher.finish_now();
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
            let services = lost.clone();
            state.error.get_or_insert(StartError::ExecutorEnded { services });
        }
        drop(state);
        // On other executors they go on otherwise.
        self.abort();
        self.dog.iter().for_each(|dog| dog.stop());
        if self.shared.placed.is_set() {
            lost.iter().for_each(|service| self.shared.end(service, &Outcome::Abandoned));
            self.shared.finish();
        } else {
            // It has never been one that observers could be told of.
            self.shared.finished.set();
        }
    }
}
