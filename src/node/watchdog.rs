//! The watchdog: a thread that reports services whose polls last too long. Nothing else runs on the
//! thread of such a poll.
//!
//! `shared/poll_mark.rs` has the words that it checks, and how a poll wakes it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use mycelium_executor::{Thread, ThreadError};
use mycelium_transports::counters::{Line, WatchdogValue};

use crate::log;
use crate::observe::Event;
use crate::shared::{ABANDON_WITHIN, PollMark, Shared, WatchdogHandle};

/// The shortest time between two checks.
const OFTENEST: Duration = Duration::from_millis(1);

/// The watchdog on its thread.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    handle: Arc<WatchdogHandle>,
    limit: Duration,
    services: Vec<Watched>,
    /// The time at which it first saw the shutdown.
    shut_down_at: Option<Duration>,
}

/// A service or a child task of it, and what the last check found.
struct Watched {
    /// The name of the service.
    name: String,
    mark: Arc<PollMark>,
    /// `None` for a child task: those of a service count in its line.
    line: Option<Line<WatchdogValue>>,
    /// Its word at the last check, and when this value was first seen.
    polls: u64,
    since: Duration,
    hangs: bool,
}

impl Watchdog {
    /// Starts the thread.
    pub(super) fn start(
        shared: &Arc<Shared>,
        handle: &Arc<WatchdogHandle>,
        limit: Duration,
        services: impl Iterator<Item = (String, Arc<PollMark>)>,
    ) -> Result<(), ThreadError> {
        let watched = |(name, mark)| {
            let line = Some(shared.topics.counters().line(&format!("service={name}")));
            Watched { name, mark, line, polls: 0, since: Duration::ZERO, hangs: false }
        };
        let services = services.map(watched).collect();
        let (node, handle) = (shared.clone(), handle.clone());
        let mut watchdog = Watchdog { shared: node, handle, limit, services, shut_down_at: None };
        let name = format!("watch-{}", shared.plan.node).replace(char::is_control, "_");
        let thread = Thread { name, ..Thread::default() };
        let thread_guard = watchdog.handle.threads.start(&thread.name);
        let started = thread.start(move || {
            thread_guard.of_this_thread();
            // Set before the watchdog can park: a wake needs it.
            let _ = watchdog.handle.thread.set(thread::current());
            Ok(move || watchdog.run())
        });
        started.map(drop)
    }

    fn run(&mut self) {
        let pause = (self.limit / 4).max(OFTENEST);
        while !self.handle.stopped.load(Ordering::SeqCst) {
            if self.check() {
                if self.node_is_stuck() {
                    return self.end_node();
                }
                thread::park_timeout(pause);
            } else {
                let Watchdog { handle, services, .. } = self;
                let is_in_poll = |service: &Watched| service.mark.is_in_poll();
                handle.sleep(|| !handle.has_new_children() && !services.iter().any(is_in_poll));
            }
        }
    }

    /// Checks all services and their child tasks. Returns whether any is in a poll.
    fn check(&mut self) -> bool {
        let now = self.shared.executor.now();
        let mut any = false;
        let children = self.handle.new_children().into_iter().map(|(name, mark)| {
            let (polls, since, hangs) = (mark.polls(), now, false);
            Watched { name, mark, line: None, polls, since, hangs }
        });
        self.services.extend(children);
        let mut hanging_children = Vec::new();
        for service in &mut self.services {
            let polls = service.mark.polls();
            let lasted = now.saturating_sub(service.since);
            if polls != service.polls {
                if std::mem::take(&mut service.hangs) {
                    log::warn!(
                        service = service.name,
                        ?lasted,
                        "a poll of the service has ended, after it hung"
                    );
                    let service = &service.name;
                    self.shared.lifecycle.observers.notify(&Event::PollEnded { service, lasted });
                }
                (service.polls, service.since) = (polls, now);
            } else if polls % 2 == 1 && !service.hangs && lasted >= self.limit {
                service.hangs = true;
                let (line, service, limit) = (&service.line, &service.name, self.limit);
                if let Some(line) = line {
                    line.add(WatchdogValue::LongPolls, 1);
                    log::warn!(
                        service,
                        ?limit,
                        "a poll of the service hangs: nothing else runs on its thread"
                    );
                } else {
                    hanging_children.push(service.clone());
                    log::warn!(
                        service,
                        ?limit,
                        "a poll of a child task of the service hangs: nothing else runs on its thread"
                    );
                }
                self.shared.lifecycle.observers.notify(&Event::PollHangs { service, limit });
            }
            any |= polls % 2 == 1;
        }
        for child in hanging_children {
            let mut lines = self.services.iter().filter(|service| service.name == child);
            if let Some(line) = lines.find_map(|service| service.line.as_ref()) {
                line.add(WatchdogValue::LongPolls, 1);
            }
        }
        // A child task that has ended has dropped its mark.
        let has_ended =
            |child: &Watched| child.line.is_none() && Arc::strong_count(&child.mark) == 1;
        self.services.retain(|service| service.hangs || !has_ended(service));
        any
    }

    /// Whether the shutdown's deadline has passed while the node's driver could not run, because a
    /// poll hangs on its thread.
    fn node_is_stuck(&mut self) -> bool {
        if !self.shared.lifecycle.shutdown.is_set()
            || self.shared.services.are_settled.load(Ordering::SeqCst)
        {
            return false;
        }
        let now = self.shared.executor.now();
        let since = *self.shut_down_at.get_or_insert(now);
        let timeout = self.shared.shutdown_timeout() + 2 * ABANDON_WITHIN;
        now.saturating_sub(since) >= timeout && self.services.iter().any(|service| service.hangs)
    }

    /// Ends the node in place of the driver, so that its owner learns which services hang.
    fn end_node(&self) {
        let hanging = self.services.iter().filter(|service| service.hangs);
        let names: BTreeSet<String> = hanging.map(|service| service.name.clone()).collect();
        self.shared.abandon(names.into_iter().collect());
        self.shared.sinks.stop();
        self.shared.lifecycle.finish();
    }
}
