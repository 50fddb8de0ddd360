//! The watchdog: a thread that reports services whose polls last too long, and fast handlers that
//! run too long. Such a poll blocks all other tasks of its thread.
//!
//! Each task or publisher has a *mark*, which says whether a poll runs: `shared/poll_mark.rs` has
//! the words that the watchdog checks, and explains how a poll wakes it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use mycelium_core::Code;
use mycelium_executor::{Executor, Thread, ThreadError};
use mycelium_transports::counters::WatchdogValue;

use crate::observe::Event;
use crate::shared::observers::Observers;
use crate::shared::{
    ABANDON_WITHIN, Lifecycle, PollMark, ServiceNode, Services, Sinks, Subject, WatchdogHandle,
};
use crate::support::log;

/// The shortest time between two checks.
const OFTENEST: Duration = Duration::from_millis(1);

/// The watchdog on its thread.
pub(super) struct Watchdog {
    executor: Arc<dyn Executor>,
    lifecycle: Arc<Lifecycle>,
    services: Arc<Services>,
    sinks: Arc<Sinks>,
    handle: Arc<WatchdogHandle>,
    limit: Duration,
    watched: Vec<Watched>,
    /// The names for which a warning was logged: services, and publishers with fast handlers.
    warned: BTreeSet<String>,
    /// The time at which the watchdog first saw the shutdown.
    shut_down_at: Option<Duration>,
}

/// A mark, and the result of its last check.
struct Watched {
    subject: Subject,
    mark: Arc<PollMark>,
    /// The value of the mark at the last check, and the time when this value was first seen.
    polls: u64,
    since: Duration,
    hangs: bool,
    /// Whether the hang was logged; its end is then logged, too.
    is_logged: bool,
}

impl Subject {
    /// Returns the name for which a warning is logged, once.
    fn name(&self) -> String {
        match self {
            Subject::Service(name, _) | Subject::Child(name) => name.clone(),
            Subject::Handlers(handlers) => format!("{} {}", handlers.topic, handlers.publisher),
        }
    }

    /// Returns the service that the polls belong to.
    fn service(&self) -> Option<&str> {
        match self {
            Subject::Service(name, _) | Subject::Child(name) => Some(name),
            Subject::Handlers(_) => None,
        }
    }
}

impl Watchdog {
    /// Starts the thread.
    pub(super) fn start(
        node: &ServiceNode,
        sinks: &Arc<Sinks>,
        handle: &Arc<WatchdogHandle>,
        limit: Duration,
        services: impl Iterator<Item = (String, Arc<PollMark>)>,
    ) -> Result<(), ThreadError> {
        let watched = |(name, mark)| {
            let line = node.topics.counters().line(&format!("service={name}"));
            let subject = Subject::Service(name, line);
            let since = Duration::ZERO;
            Watched { subject, mark, polls: 0, since, hangs: false, is_logged: false }
        };
        let mut watchdog = Watchdog {
            executor: node.executor.clone(),
            lifecycle: node.lifecycle.clone(),
            services: node.services.clone(),
            sinks: sinks.clone(),
            handle: handle.clone(),
            limit,
            watched: services.map(watched).collect(),
            warned: BTreeSet::new(),
            shut_down_at: None,
        };
        let name = format!("watch-{}", node.plan.node).replace(char::is_control, "_");
        let thread = Thread { name, ..Thread::default() };
        let thread_guard = watchdog.handle.threads.start(&thread.name);
        let started = thread.start(move || {
            thread_guard.of_this_thread();
            // Set before the watchdog can park, because a wake needs the handle.
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
                let Watchdog { handle, watched, .. } = self;
                let is_in_poll = |it: &Watched| it.mark.is_in_poll();
                handle.sleep(|| !handle.has_new_marks() && !watched.iter().any(is_in_poll));
            }
        }
    }

    /// Checks all marks. Returns whether a poll ran since the last check: if so, this thread does
    /// not sleep, so that a busy node need not wake it for each poll.
    fn check(&mut self) -> bool {
        let now = self.executor.now();
        let new = self.handle.new_marks().into_iter().map(|(subject, mark)| {
            let (polls, hangs) = (mark.polls(), false);
            Watched { subject, polls, mark, since: now, hangs, is_logged: false }
        });
        self.watched.extend(new);
        let mut any = false;
        let mut hanging_children = Vec::new();
        for watched in &mut self.watched {
            let polls = watched.mark.polls();
            let lasted = now.saturating_sub(watched.since);
            if polls != watched.polls {
                if std::mem::take(&mut watched.hangs) {
                    report_end(&self.lifecycle.observers, watched, lasted);
                }
                (watched.polls, watched.since) = (polls, now);
                any = true;
            } else if polls % 2 == 1 && !watched.hangs && lasted >= self.limit {
                watched.hangs = true;
                if let Subject::Child(service) = &watched.subject {
                    hanging_children.push(service.clone());
                }
                watched.is_logged = self.warned.insert(watched.subject.name());
                report_hang(&self.lifecycle.observers, watched, self.limit);
            }
            any |= polls % 2 == 1;
        }
        for child in hanging_children {
            let line = self.watched.iter().find_map(|watched| match &watched.subject {
                Subject::Service(name, line) if *name == child => Some(line),
                Subject::Service(..) | Subject::Child(_) | Subject::Handlers(_) => None,
            });
            line.inspect(|line| line.add(WatchdogValue::LongPolls, 1));
        }
        // A child task or publisher that has ended has dropped its mark, so this is the only
        // reference left.
        let has_ended = |it: &Watched| match it.subject {
            Subject::Service(..) => false,
            Subject::Child(_) | Subject::Handlers(_) => Arc::strong_count(&it.mark) == 1,
        };
        self.watched.retain(|watched| watched.hangs || !has_ended(watched));
        any
    }

    /// Returns whether the shutdown's deadline has passed while the node's driver could not run,
    /// because a poll hangs on its thread.
    fn node_is_stuck(&mut self) -> bool {
        if !self.lifecycle.shutdown.is_set() || self.services.are_settled.load(Ordering::SeqCst) {
            return false;
        }
        let now = self.executor.now();
        let since = *self.shut_down_at.get_or_insert(now);
        let timeout = self.lifecycle.timeout + 2 * ABANDON_WITHIN;
        now.saturating_sub(since) >= timeout && self.hanging_services().next().is_some()
    }

    /// Ends the node on behalf of the driver, so that its owner learns which services hang.
    fn end_node(&self) {
        let names: BTreeSet<String> = self.hanging_services().map(str::to_owned).collect();
        self.services.abandon(names.into_iter().collect());
        self.sinks.stop();
        self.lifecycle.finish();
    }

    fn hanging_services(&self) -> impl Iterator<Item = &str> {
        let hanging = self.watched.iter().filter(|watched| watched.hangs);
        hanging.filter_map(|watched| watched.subject.service())
    }
}

/// Reports a poll or a fast handler that takes too long.
fn report_hang(observers: &Observers, watched: &Watched, limit: Duration) {
    let (is_logged, code) = (watched.is_logged, Code::POLL_HANGS);
    match &watched.subject {
        Subject::Service(service, _) | Subject::Child(service) => {
            let mut of = "a child task of the service";
            if let Subject::Service(_, line) = &watched.subject {
                line.add(WatchdogValue::LongPolls, 1);
                of = "the service";
            }
            if is_logged {
                log::warn!(
                    service,
                    ?limit,
                    %code,
                    "a poll of {of} hangs: nothing else runs on its thread"
                );
            }
            observers.notify(&Event::PollHangs { service, limit });
        }
        Subject::Handlers(handlers) => {
            let (topic, publisher) = (&*handlers.topic, &*handlers.publisher);
            let handler = handlers.running();
            if is_logged {
                log::warn!(
                    handler,
                    topic,
                    publisher,
                    ?limit,
                    %code,
                    "a fast handler hangs: nothing else runs on the thread of its publisher"
                );
            }
            observers.notify(&Event::FastHandlerHangs { handler, topic, publisher, limit });
        }
    }
}

/// Reports that a reported poll or fast handler has ended.
fn report_end(observers: &Observers, watched: &Watched, lasted: Duration) {
    match &watched.subject {
        Subject::Service(service, _) | Subject::Child(service) => {
            if watched.is_logged {
                log::warn!(service, ?lasted, "a poll of the service has ended, after it hung");
            }
            observers.notify(&Event::PollEnded { service, lasted });
        }
        Subject::Handlers(handlers) => {
            let (topic, publisher) = (&*handlers.topic, &*handlers.publisher);
            if watched.is_logged {
                log::warn!(topic, publisher, ?lasted, "a fast handler has ended, after it hung");
            }
        }
    }
}
