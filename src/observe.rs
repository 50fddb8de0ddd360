//! What happens to a node and its services, told to whoever wants to know.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::node::Outcome;

/// Something that happened, told to [observers](crate::Builder::observe).
///
/// A service's own thread starts before any service does. When all services have started, and the node has met those that it
/// is joined with, it is ready. It drains before any service can see the shutdown; services stop, then their threads, then
/// the node. `docs/guarantees.md` says all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A service's own thread is there, with its executor. Told on that thread.
    ThreadStarted {
        /// Its name.
        thread: &'a str,
        /// Whose it is.
        service: &'a str,
    },
    /// The service of a thread has stopped, and the thread is about to end. Told on that thread.
    ThreadStopped {
        /// Its name.
        thread: &'a str,
        /// Whose it was.
        service: &'a str,
    },
    /// A service is about to run for the first time. Told where it runs.
    ServiceStarted {
        /// Its name.
        service: &'a str,
    },
    /// A service that failed is about to run again. Told where it runs.
    ServiceRestarted {
        /// Its name.
        service: &'a str,
        /// The error or panic that ended the run before.
        error: &'a str,
    },
    /// A service has stopped for good, or was abandoned.
    ServiceStopped {
        /// Its name.
        service: &'a str,
        /// How it ended.
        outcome: &'a Outcome,
    },
    /// All services were started, and the nodes that this one is joined with have met it.
    NodeReady {
        /// Its name.
        node: &'a str,
    },
    /// The node is about to end: it was asked to, a service failed for good, or all services have stopped.
    NodeDraining {
        /// Its name.
        node: &'a str,
    },
    /// Nothing of the node is left to be done.
    NodeStopped {
        /// Its name.
        node: &'a str,
    },
    /// A poll of a service has lasted longer than the watchdog's limit, and lasts on: nothing else runs on its thread. Told
    /// on the watchdog's thread.
    PollHangs {
        /// The service.
        service: &'a str,
        /// The limit.
        limit: Duration,
    },
    /// A poll that was told of has ended. Told on the watchdog's thread.
    PollEnded {
        /// The service.
        service: &'a str,
        /// How long it lasted, about.
        lasted: Duration,
    },
}

type Observer = Box<dyn Fn(&Event<'_>) + Send + Sync>;

/// All who want to know.
#[derive(Default)]
pub(crate) struct Observers(Vec<Observer>);

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        self.0.push(Box::new(observer));
    }

    /// Tells all, in their order. A panic of one harms nobody.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        for observer in &self.0 {
            if catch_unwind(AssertUnwindSafe(|| observer(event))).is_err() {
                tracing::error!(?event, "an observer panicked");
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}

/// What a node goes through, in this order; it may leave out being ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    #[default]
    Starting,
    Ready,
    Draining,
    Stopped,
}

/// Where a node is. Phases are told one after the other, whichever threads reach them.
#[derive(Debug, Default)]
pub(crate) struct Phases(Mutex<Reached>);

#[derive(Debug, Default)]
struct Reached {
    phase: Phase,
    told: Phase,
    untold: VecDeque<Phase>,
    is_telling: bool,
}

impl Phases {
    /// The node reaches a phase, unless it is beyond it. If somebody is telling an earlier one just now, they tell this
    /// one, too, and it has not been told yet when this returns.
    pub(crate) fn reach(&self, phase: Phase, tell: impl Fn(Phase)) {
        let mut reached = self.reached();
        if reached.phase < phase {
            reached.phase = phase;
            reached.untold.push_back(phase);
        }
        if reached.is_telling {
            return;
        }
        reached.is_telling = true;
        while let Some(next) = reached.untold.pop_front() {
            // Not while it is locked: an observer may shut the node down.
            drop(reached);
            tell(next);
            reached = self.reached();
            reached.told = next;
        }
        reached.is_telling = false;
    }

    /// The last phase of which all have been told.
    pub(crate) fn told(&self) -> Phase {
        self.reached().told
    }

    fn reached(&self) -> MutexGuard<'_, Reached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
