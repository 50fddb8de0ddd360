//! The driver: a task that starts the services of a node and waits for the end. The node ends when
//! its services have ended, by a shutdown, or at the shutdown's deadline. The order of the end:
//! services, links, threads, stop hooks, watchdog, sinks.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Either, select};
use mycelium_core::Message;
use mycelium_core::wait::WaitStrategy;
use mycelium_executor::block_on;
use mycelium_transports::local::Finisher;

use super::endless::Endless;
use super::placing::{Placement, place};
use super::prepare::{Prepared, StopHook};
use crate::error::StartError;
use crate::inbox::AnyInbox;
use crate::inbox::ending::Ending;
use crate::links::Links;
use crate::observe::report::{Outcome, StartWarning};
use crate::plan::dead_letter::DeadLetter;
use crate::shared::{ABANDON_WITHIN, Phase, ServiceNode, Sinks, Threads, WatchdogHandle};
use crate::support::lock::lock;
use crate::support::log;

/// How long the driver waits before it logs declared subscriptions that were not taken, and topics
/// without a subscription.
const TAKE_WITHIN: Duration = Duration::from_secs(5);

/// How long a shutdown may take before the log says what it waits for.
const SLOW_SHUTDOWN: Duration = Duration::from_secs(1);

/// Places all services and the driver, then lets them run.
pub(super) fn start(
    node: &Arc<ServiceNode>,
    links: &Arc<OnceLock<Links>>,
    of_node: &NodeThreads,
    prepared: Vec<Prepared>,
    hooks: Vec<StopHook>,
    unread: Vec<StartWarning>,
) -> Result<Vec<Placement>, StartError> {
    let mut driver = Driver {
        node: node.clone(),
        links: links.clone(),
        threads: of_node.clone(),
        services: Vec::with_capacity(prepared.len()),
        unread: Mutex::new(unread),
        are_links_drained: AtomicBool::new(false),
        has_ended: false,
    };
    let mut placements = Vec::with_capacity(prepared.len());
    for mut service in prepared {
        let (abort, registration) = AbortHandle::new_pair();
        driver.services.push(Handle {
            name: service.name.clone(),
            abort,
            inboxes: std::mem::take(&mut service.inboxes),
            endings: std::mem::take(&mut service.endings),
        });
        placements.push(place(node, &of_node.of_services, service, registration)?);
    }
    let spawned = node.executor.spawn(Box::pin(driver.run(hooks)));
    spawned.map_err(|error| StartError::Spawn { service: "(the node)".to_owned(), error })?;
    node.lifecycle.placed.set();
    Ok(placements)
}

/// The threads of a node.
#[derive(Clone, Default)]
pub(super) struct NodeThreads {
    /// The services' own threads.
    pub(super) of_services: Arc<Threads>,
    /// The threads that export the metrics and traces of the node.
    pub(super) sinks: Arc<Sinks>,
    pub(super) watchdog: Option<Arc<WatchdogHandle>>,
}

impl NodeThreads {
    /// Ends the threads of a node that cannot start. Placed services were aborted before they ran,
    /// so the threads have nothing to do.
    pub(super) fn abort_start(&self) {
        let NodeThreads { of_services, sinks, watchdog } = self;
        sinks.stop();
        let of_watchdog = watchdog.as_ref().map(|watchdog| {
            watchdog.stop();
            &*watchdog.threads
        });
        let of_node: [&Threads; 3] = [of_services, sinks.threads(), sinks.exporters()];
        for threads in of_node.into_iter().chain(of_watchdog) {
            block_on(threads.gone(), WaitStrategy::Park);
        }
    }
}

struct Driver {
    node: Arc<ServiceNode>,
    links: Arc<OnceLock<Links>>,
    threads: NodeThreads,
    services: Vec<Handle>,
    /// The warnings of topics that no service reads; empty once they are logged.
    unread: Mutex<Vec<StartWarning>>,
    /// Whether the links have ended: messages to other nodes were delivered, or reported as
    /// undelivered.
    are_links_drained: AtomicBool,
    /// Whether all steps of the end are done.
    has_ended: bool,
}

/// A service that was placed.
struct Handle {
    name: String,
    abort: AbortHandle,
    inboxes: Vec<Weak<dyn AnyInbox>>,
    endings: Vec<(Arc<str>, Ending)>,
}

impl Driver {
    fn abort(&self) {
        self.services.iter().for_each(|service| service.abort.abort());
    }

    async fn run(mut self, hooks: Vec<StopHook>) {
        select(pin!(self.wait_for_the_end(hooks)), pin!(self.log_slow_shutdown())).await;
        if let Some(watchdog) = &self.threads.watchdog {
            watchdog.stop();
            // Needs no timer: the watchdog's thread ends by itself. A timer would advance the
            // executor's time if that is paused.
            let overdue = pin!(self.node.lifecycle.overdue.wait());
            select(pin!(watchdog.threads.gone()), overdue).await;
        }
        self.threads.sinks.stop();
        self.wait_for_threads(self.threads.sinks.threads(), Some(Duration::ZERO)).await;
        self.wait_for_exporters().await;
        self.has_ended = true;
        // The driver is dropped here; its drop reports that the node has ended.
    }

    /// Waits for services, actors, links and threads, and runs the stop hooks.
    async fn wait_for_the_end(&self, hooks: Vec<StopHook>) {
        let deadline = self.wait_for_services().await;
        #[cfg(feature = "actors")]
        self.end_actors(deadline).await;
        self.node.services.are_settled.store(true, Ordering::SeqCst);
        self.node.topics.finish_outside_subscriptions();
        self.node.lifecycle.reach(Phase::Draining);
        self.drain_links(deadline).await;
        self.wait_for_threads(&self.threads.of_services, deadline).await;
        self.run_hooks(hooks).await;
    }

    /// Logs what a shutdown waits for, after 1, 2, 4 seconds, and so on. The future never
    /// completes.
    async fn log_slow_shutdown(&self) {
        let node = &self.node;
        node.lifecycle.shutdown.wait().await;
        let (begun, mut taken) = (node.executor.now(), SLOW_SHUTDOWN);
        loop {
            node.executor.sleep_until(begun.saturating_add(taken)).await;
            let waits_for = self.unfinished_work();
            log::warn!(node = node.plan.node, ?taken, waits_for, "the shutdown is not complete");
            taken *= 2;
        }
    }

    /// Returns what the end of the node waits for.
    fn unfinished_work(&self) -> String {
        let services = self.names(|outcome| outcome.is_none());
        if !services.is_empty() {
            return format!("services {}", services.join(", "));
        }
        let are_settled = self.node.services.are_settled.load(Ordering::SeqCst);
        match self.links.get() {
            _ if !are_settled => return "actors".to_owned(),
            Some(links) if !self.are_links_drained.load(Ordering::SeqCst) => {
                let undelivered = links.undelivered().into_iter();
                let each = undelivered
                    .map(|(node, topic, left)| format!(", {left} of `{topic}` to `{node}`"));
                return format!("links to other nodes{}", each.collect::<String>());
            }
            Some(_) | None => {}
        }
        match self.threads.of_services.names() {
            threads if threads.is_empty() => "stop hooks".to_owned(),
            threads => format!("threads {}", threads.join(", ")),
        }
    }

    /// Ends the actors. They end after the services, which may send messages to them.
    #[cfg(feature = "actors")]
    async fn end_actors(&self, deadline: Option<Duration>) {
        let node = &self.node;
        let left = match deadline {
            Some(deadline) => deadline.saturating_sub(node.executor.now()),
            None => node.lifecycle.timeout,
        };
        node.actors.shutdown(left).await;
    }

    /// Waits until all services have ended or were abandoned. Returns the deadline of the shutdown,
    /// if the node shuts down.
    async fn wait_for_services(&self) -> Option<Duration> {
        let node = &self.node;
        let quiet = async {
            node.executor.sleep_until(node.executor.now().saturating_add(TAKE_WITHIN)).await;
            self.warn_of_untaken_subscriptions();
            self.warn_of_unread_topics();
            std::future::pending::<()>().await;
        };
        let ready = async {
            node.services.unstarted.wait().await;
            let met = match self.links.get() {
                Some(links) => links.ready().await,
                None => true,
            };
            if met {
                node.lifecycle.reach(Phase::Ready);
            }
            std::future::pending::<()>().await
        };
        let (all_ended, shutdown) =
            (pin!(node.services.running.wait()), pin!(node.lifecycle.shutdown.wait()));
        let (mut ready, quiet, dead_letters) =
            (pin!(ready), pin!(quiet), pin!(self.wait_for_dead_letters()));
        let waiting = select(ready.as_mut(), select(quiet, dead_letters));
        select(waiting, select(all_ended, shutdown)).await;
        // Polls `ready` once more: services may have started and ended since its last poll.
        select(ready, std::future::ready(())).await;
        self.warn_of_unread_topics();
        if !node.lifecycle.shutdown.is_set() {
            return None;
        }
        let deadline = node.executor.now().saturating_add(node.lifecycle.timeout);
        self.shut_down(deadline).await;
        Some(deadline)
    }

    /// Ends the subscriptions to dead letters when all other services have ended. If the links can
    /// end before the readers of dead letters, drains the links first, because links can write dead
    /// letters, too. The future never completes.
    async fn wait_for_dead_letters(&self) {
        self.node.services.others_running.wait().await;
        let dead_letters = &self.node.plan.dead_letters;
        if dead_letters.are_read() && !dead_letters.cross_links {
            self.drain_links(None).await;
        }
        if !dead_letters.have_no_end {
            self.end_dead_letters();
        }
        std::future::pending::<()>().await
    }

    /// Ends the subscriptions to dead letters: their readers receive the remaining ones, and then
    /// `None`.
    fn end_dead_letters(&self) {
        self.node.topics.end_dead_letters();
        for (topic, ending) in self.services.iter().flat_map(|service| &service.endings) {
            if **topic == *DeadLetter::TOPIC {
                // Ends them when they are empty instead of now: services that end after the readers
                // can still write dead letters.
                ending.finish(Finisher::finish_when_empty);
            }
        }
    }

    /// Delivers the messages that services have sent to other nodes, until the shutdown's deadline.
    /// Without a shutdown, waits as long as readers confirm a message within each shutdown timeout,
    /// or the launcher runs a reader or will run it again.
    async fn drain_links(&self, mut shutdown: Option<Duration>) {
        let node = &self.node;
        let Some(links) = self.links.get() else { return };
        if self.are_links_drained.load(Ordering::SeqCst) {
            return;
        }
        let timeout = node.lifecycle.timeout;
        links.drain();
        loop {
            let before = links.progress();
            let deadline = shutdown.unwrap_or_else(|| node.executor.now().saturating_add(timeout));
            let overdue = pin!(node.lifecycle.overdue.wait());
            let time_up = select(node.executor.sleep_until(deadline), overdue);
            let is_told = shutdown.is_some();
            let told = async move {
                if is_told {
                    std::future::pending::<()>().await;
                }
                node.lifecycle.shutdown.wait().await;
            };
            match select(pin!(links.ended()), select(pin!(told), time_up)).await {
                Either::Right((Either::Left(_), _)) => {
                    shutdown = Some(node.executor.now().saturating_add(timeout));
                }
                Either::Right(_)
                    if shutdown.is_none()
                        && (links.progress() > before || links.has_readers_to_come()) => {}
                _ => break,
            }
        }
        let grace =
            || node.executor.sleep_until(node.executor.now().saturating_add(ABANDON_WITHIN));
        select(pin!(links.stop()), grace()).await;
        // A transport that is dropped reports its undelivered messages.
        if let Either::Right(_) = select(pin!(links.abandon()), grace()).await {
            log::error!(
                node = node.plan.node,
                "the node ends, but a link or a transport of the program does not"
            );
        }
        let left = links.undelivered();
        if !left.is_empty() {
            let let_go = links.let_go(&left);
            node.lifecycle.report_undelivered(left, let_go);
        }
        self.are_links_drained.store(true, Ordering::SeqCst);
    }

    /// Waits until the threads have ended. If some still run at the deadline, the node ends with an
    /// error.
    async fn wait_for_threads(&self, threads: &Threads, shutdown: Option<Duration>) {
        let node = &self.node;
        let now = node.executor.now();
        let deadline = shutdown.unwrap_or_else(|| now.saturating_add(node.lifecycle.timeout));
        let deadline = node.executor.sleep_until(deadline.max(now.saturating_add(ABANDON_WITHIN)));
        let (overdue, gone) = (pin!(node.lifecycle.overdue.wait()), pin!(threads.gone()));
        select(gone, select(deadline, overdue)).await;
        let threads = threads.names();
        if !threads.is_empty() {
            log::error!(
                node = node.plan.node,
                ?threads,
                "the node ends, but threads of its services still run"
            );
            node.lifecycle.failure.set(StartError::Threads { threads });
        }
    }

    /// Waits until the exporters have sent the remaining metrics and spans, and have answered a
    /// running scrape. Exporters have their own deadlines, in system time, which may differ from
    /// the executor's time.
    async fn wait_for_exporters(&self) {
        let exporters = self.threads.sinks.exporters();
        let overdue = pin!(self.node.lifecycle.overdue.wait());
        select(pin!(exporters.gone()), overdue).await;
        self.wait_for_threads(exporters, Some(Duration::ZERO)).await;
    }

    /// Runs the hooks in reverse order, all within one shutdown timeout.
    async fn run_hooks(&self, hooks: Vec<StopHook>) {
        let node = &self.node;
        let timeout = node.lifecycle.timeout;
        let all = async {
            for hook in hooks.into_iter().rev() {
                let hook = AssertUnwindSafe(async { hook().await }).catch_unwind();
                if hook.await.is_err() {
                    log::error!(node = node.plan.node, "a stop hook panicked");
                }
            }
        };
        let deadline = node.executor.sleep_until(node.executor.now().saturating_add(timeout));
        let overdue = pin!(node.lifecycle.overdue.wait());
        if let Either::Right(_) = select(pin!(all), select(deadline, overdue)).await {
            log::error!(
                node = node.plan.node,
                ?timeout,
                "stop hooks took longer than the shutdown timeout and were aborted"
            );
        }
    }

    fn warn_of_untaken_subscriptions(&self) {
        let inboxes = self.services.iter().flat_map(|service| &service.inboxes);
        for inbox in inboxes.filter_map(Weak::upgrade).filter(|inbox| !inbox.was_taken()) {
            log::warn!(
                subscription = inbox.name(),
                "the subscription was declared, but not taken within {TAKE_WITHIN:?}: \
                 its publishers wait when its rings are full; call `subscribe` in `run`, or do not declare it"
            );
        }
    }

    /// Warns of topics without any subscription, inside or outside the services.
    fn warn_of_unread_topics(&self) {
        let unread = &mut *lock(&self.unread);
        for warning in std::mem::take(unread) {
            let StartWarning::NoReader { topic, .. } = &warning else { continue };
            if !self.node.topics.has_outside_subscription(topic) {
                log::warn!(node = self.node.plan.node, "{warning}");
            }
        }
    }

    async fn shut_down(&self, deadline: Duration) {
        let node = &self.node;
        let timeout = node.lifecycle.timeout;
        log::info!(node = node.plan.node, deadline = ?timeout, "node shuts down");
        let mut finishing = pin!(self.finish_endless_subscriptions());
        select(finishing.as_mut(), std::future::ready(())).await;
        if node.plan.dead_letters.feed_others {
            self.end_dead_letters();
        }
        let overdue = pin!(node.lifecycle.overdue.wait());
        let time_up = select(node.executor.sleep_until(deadline), overdue);
        let half_time = node.executor.sleep_until(node.executor.now().saturating_add(timeout / 2));
        let all_ended = pin!(async {
            // In the first half of the time, services still take messages from other nodes.
            let ended = pin!(async {
                node.services.others_running.wait().await;
                self.end_dead_letters();
                node.services.running.wait().await;
            });
            if let Either::Right((_, ended)) = select(ended, half_time).await {
                self.leave_remote_topics();
                ended.await;
            }
        });
        let ended = select(finishing, select(all_ended, time_up)).await;
        if let Either::Right((Either::Left(_), _)) = ended {
            return;
        }
        let unfinished = self.names(|outcome| outcome.is_none());
        if unfinished.is_empty() {
            return;
        }
        for service in &self.services {
            service
                .endings
                .iter()
                .for_each(|(_, ending)| ending.finish(Finisher::finish_when_empty));
        }
        self.abort();
        let grace = node.executor.sleep_until(node.executor.now().saturating_add(ABANDON_WITHIN));
        select(pin!(node.services.running.wait()), grace).await;
        node.services.abandon(unfinished);
    }

    /// Ends subscriptions that would not end by themselves. The future never completes.
    async fn finish_endless_subscriptions(&self) {
        let running = &self.node.services.running;
        let subscriptions = self.services.iter().flat_map(|service| {
            let endings = service.endings.iter();
            endings.map(|(topic, ending)| (&*service.name, &**topic, ending))
        });
        let mut endless = Endless::new(&self.node, subscriptions);
        loop {
            let left = running.left();
            endless.finish();
            if left == 0 {
                std::future::pending::<()>().await;
            }
            running.wait_below(left).await;
        }
    }

    /// Ends the subscriptions to topics of other nodes. Those that are joined by a link keep untaken
    /// messages for the next process of this node.
    fn leave_remote_topics(&self) {
        let (plan, topics) = (&self.node.plan, &self.node.topics);
        for (topic, ending) in self.services.iter().flat_map(|service| &service.endings) {
            if plan.peer_topics.writes(topic) || topics.is_received(topic) {
                ending.finish(Finisher::finish_now);
            }
        }
    }

    /// Returns the services for whose outcome `fits` is true; a service that has not ended has the
    /// outcome `None`.
    fn names(&self, fits: impl Fn(Option<&Outcome>) -> bool) -> Vec<String> {
        let ended = self.node.services.ended();
        let names = self.services.iter().map(|service| &service.name);
        names.filter(|name| fits(ended.get(*name))).cloned().collect()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Takes one snapshot of the outcomes: another thread may be dropping the tasks of services.
        let lost = self.names(|outcome| matches!(outcome, None | Some(Outcome::Abandoned)));
        if !lost.is_empty() || (!self.has_ended && self.node.lifecycle.placed.is_set()) {
            self.node.lifecycle.failure.set(StartError::ExecutorEnded { services: lost.clone() });
        }
        // Aborts services on other executors, which would continue to run otherwise.
        self.abort();
        self.threads.watchdog.iter().for_each(|watchdog| watchdog.stop());
        self.threads.sinks.stop();
        self.node.topics.finish_outside_subscriptions();
        if self.node.lifecycle.placed.is_set() {
            lost.iter().for_each(|service| self.node.services.end(service, &Outcome::Abandoned));
            self.node.lifecycle.finish();
        } else {
            // The node has never run, so observers get no event.
            self.node.lifecycle.finished.set();
        }
    }
}
