//! The states of a node's services: started, about to end, ended; and how often each ran. Observers
//! are notified of starts and ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::lifecycle::Lifecycle;
use crate::observe::Event;
use crate::observe::report::Outcome;
use crate::support::latch::Countdown;
use crate::support::lock::lock;

/// The states of all services. *Others* are the services that do not end last. Readers of dead
/// letters end last: see `DeadLetterPlan`.
pub(crate) struct Services {
    lifecycle: Arc<Lifecycle>,
    names: Mutex<Names>,
    /// A hash table: each start of a service looks here, and the cost must not grow with the node.
    runs: Mutex<HashMap<Arc<str>, Runs>>,
    /// The last error or panic of each service that has failed.
    last_failures: Mutex<HashMap<Arc<str>, String>>,
    pub(crate) unstarted: Countdown,
    /// The number of services that have not ended.
    pub(crate) running: Countdown,
    /// The number of *others* that have not ended.
    pub(crate) others_running: Countdown,
    /// The number of *others* that have not announced their end.
    others_unannounced: AtomicUsize,
    /// Whether the driver no longer waits for services: all have ended or were abandoned.
    pub(crate) are_settled: AtomicBool,
}

/// How often a service was started, and how its runs failed. The report of a node has this even if
/// the counters have no room for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    pub(crate) starts: u64,
    pub(crate) errors: u64,
    pub(crate) panics: u64,
}

#[derive(Default)]
struct Names {
    ended: BTreeMap<String, Outcome>,
    /// The names of the ended services, in the order of their ends.
    ended_in_order: Vec<String>,
}

impl Services {
    pub(super) fn new(lifecycle: Arc<Lifecycle>, count: usize, others: usize) -> Services {
        Services {
            lifecycle,
            names: Mutex::default(),
            runs: Mutex::default(),
            last_failures: Mutex::default(),
            unstarted: Countdown::new(count),
            running: Countdown::new(count),
            others_running: Countdown::new(others),
            others_unannounced: AtomicUsize::new(others),
            are_settled: AtomicBool::new(false),
        }
    }

    /// Notes that a service is about to run; `error` is the error that ended its previous run.
    pub(crate) fn starts(&self, service: &str, error: Option<&str>) {
        let observers = &self.lifecycle.observers;
        match error {
            Some(error) => observers.notify(&Event::ServiceRestarted { service, error }),
            None => {
                observers.notify(&Event::ServiceStarted { service });
                self.unstarted.count_down();
            }
        }
    }

    /// Notes that a service has ended, or that the node has stopped waiting for it.
    pub(crate) fn end(&self, service: &str, outcome: &Outcome) {
        if self.add_ended(service, outcome) {
            self.lifecycle.observers.notify(&Event::ServiceStopped { service, outcome });
        }
    }

    /// Abandons these services: the shutdown's deadline has passed, and the node stops waiting for
    /// them.
    pub(crate) fn abandon(&self, services: Vec<String>) {
        // The line comes before the events: an observer may block.
        self.lifecycle.report_abandoned(services.clone());
        services.iter().for_each(|service| self.end(service, &Outcome::Abandoned));
    }

    /// Adds an ended service. Returns whether it had started, and had not ended before.
    fn add_ended(&self, service: &str, outcome: &Outcome) -> bool {
        let has_started = self.runs_of(service).starts > 0;
        let mut names = lock(&self.names);
        let has_ended = names.ended.insert(service.to_owned(), outcome.clone()).is_some();
        if !has_ended {
            names.ended_in_order.push(service.to_owned());
        }
        !has_ended && has_started
    }

    /// Counts a start or a failure of a run of a service.
    pub(crate) fn count_run(&self, service: &Arc<str>, count: impl FnOnce(&mut Runs)) {
        count(lock(&self.runs).entry(service.clone()).or_default());
    }

    /// Stores the last error or panic of a service.
    pub(crate) fn keep_failure(&self, service: &Arc<str>, text: &str) {
        lock(&self.last_failures).insert(service.clone(), text.to_owned());
    }

    /// Returns the last error or panic of a service.
    pub(crate) fn last_failure(&self, service: &str) -> Option<String> {
        lock(&self.last_failures).get(service).cloned()
    }

    /// Returns the counts of a service's runs so far.
    pub(crate) fn runs_of(&self, service: &str) -> Runs {
        lock(&self.runs).get(service).copied().unwrap_or_default()
    }

    /// Announces the end of one of the *others*. Returns whether it is the last one.
    pub(crate) fn announce_end(&self) -> bool {
        self.others_unannounced.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Returns the services that have ended, by name.
    pub(crate) fn ended(&self) -> BTreeMap<String, Outcome> {
        lock(&self.names).ended.clone()
    }

    /// Returns the ended services in the order of their ends, without the first `known` ones.
    pub(crate) fn ended_from(&self, known: usize) -> Vec<String> {
        lock(&self.names).ended_in_order.get(known..).unwrap_or_default().to_vec()
    }
}
