//! Events of a node and its services, and the observers that are notified of them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::report::Outcome;

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
    pub(crate) fn notify(&self, event: &Event<'_>) {
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
