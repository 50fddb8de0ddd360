//! The pusher, which decides when to send, handles errors and counts, on a separate thread. Time
//! and the collector come from a [`Port`], so that tests run it on virtual time.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mycelium_transports::counters::{Line, PusherValue};

use super::encode::{Requests, Times};
use super::notice::PushNotice;
use super::settings::OtlpMetrics;
use crate::Snapshot;
use crate::metrics::Collector;
use crate::otlp::client::Client;
use crate::otlp::common::nanoseconds;
use crate::otlp::notice::Notices;
use crate::otlp::port::{HttpPort, Port};
use crate::otlp::{Answer, Endpoint, OtlpError, Resource, Stopper};

/// After this number of consecutive failures a collector gets no push at the end of the node.
const IS_AWAY: u32 = 2;
/// The longest pause that a collector can request.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Pushes the metrics of a node. It is created before the node starts, so that invalid settings are
/// errors of the build. [`open`](Pusher::open) then gets its resources from the system.
#[derive(Debug)]
pub struct Pusher {
    settings: OtlpMetrics,
    endpoint: Endpoint,
}

impl Pusher {
    /// Creates a pusher that has sent nothing.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn new(settings: OtlpMetrics) -> Result<Pusher, OtlpError> {
        let endpoint = settings.check_all()?;
        Ok(Pusher { settings, endpoint })
    }

    /// Returns the endpoint to which metrics are sent.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens the files for the pusher's runtime. Returns a stopper, and the function that its
    /// thread runs, which pushes metrics until it is stopped. `on_notice` gets errors, at most once
    /// a minute and once at the end.
    ///
    /// # Errors
    /// If the process cannot open another file.
    pub fn open(
        self,
        node: PushedNode,
        on_notice: impl FnMut(&PushNotice) + Send + 'static,
    ) -> io::Result<(Stopper, impl FnOnce() + Send + 'static)> {
        let Pusher { settings, endpoint } = self;
        let client = Client::new(&endpoint, endpoint.metrics.clone(), &settings.headers);
        let mut port = HttpPort::open(client, settings.flush, Arc::default())?;
        let began = (node.wall_clock)();
        let mut work = Work::new(settings, node, began, on_notice);
        Ok((port.stopper.clone(), move || work.run(&mut port)))
    }
}

/// The node whose metrics are pushed.
pub struct PushedNode {
    /// The resource of all metrics.
    pub resource: Resource,
    /// Returns the state of the node; `None` if there is nothing to push.
    pub snapshot: Box<dyn Fn() -> Option<Snapshot> + Send>,
    /// Makes the families. No other sink may use it, because it remembers the counters.
    pub collector: Collector,
    /// The line of counters for the outcomes of pushes.
    pub line: Line<PusherValue>,
    /// Returns the current time of day.
    pub wall_clock: Box<dyn Fn() -> SystemTime + Send>,
}

/// The state of a running pusher.
struct Work<F> {
    settings: OtlpMetrics,
    node: PushedNode,
    /// The time from which the node counts.
    began: SystemTime,
    notices: Notices<PushNotice, F>,
    /// The number of consecutive failed pushes.
    failures: u32,
    /// The time before which no push is sent.
    not_before: Duration,
}

impl<F: FnMut(&PushNotice)> Work<F> {
    fn new(settings: OtlpMetrics, node: PushedNode, began: SystemTime, on_notice: F) -> Work<F> {
        let notices = Notices::new(on_notice);
        Work { settings, node, began, notices, failures: 0, not_before: Duration::ZERO }
    }

    /// Runs until the pusher is stopped, and the last values were sent or the time for them is
    /// over.
    fn run(&mut self, port: &mut impl Port) {
        let interval = self.settings.own.interval;
        let mut due = port.now().saturating_add(interval);
        loop {
            let stopped = port.stopped_at();
            let now = port.now();
            let next = match stopped {
                None => due.max(self.not_before),
                Some(_) => self.not_before,
            };
            let end = stopped.map(|at| at.saturating_add(self.settings.flush));
            let is_away = stopped.is_some() && self.failures >= IS_AWAY;
            if is_away || end.is_some_and(|end| next >= end || now >= end) {
                break;
            }
            if now < next {
                self.notices.rest(port, next);
                continue;
            }
            self.push(port);
            if stopped.is_some() {
                break;
            }
            // Skips the pushes that were due during a push longer than the interval.
            due = due.saturating_add(interval);
            if due <= port.now() {
                due = port.now().saturating_add(interval);
            }
        }
        self.notices.tell(Duration::MAX);
    }

    /// Sends the current values. A failed request ends the push. A refused one does not, because
    /// the cause may be one of its points. A node that has not started has no values.
    fn push(&mut self, port: &mut impl Port) {
        let node = &mut self.node;
        let Some(snapshot) = (node.snapshot)() else { return };
        let families = node.collector.collect(&snapshot);
        drop(snapshot);
        // Never uses a time before the start: the time of day may go back, but the time of a point
        // must not.
        let times = [self.began, (node.wall_clock)().max(self.began)].map(nanoseconds);
        let times = Times { start: times[0], now: times[1] };
        let namespace = self.settings.namespace.as_deref();
        let mut requests = Requests::new(&families, times, &node.resource, namespace);
        let (line, mut outcome) = (&node.line, PusherValue::Taken);
        while let Some((request, points)) = requests.next() {
            let deadline = port.now().saturating_add(self.settings.timeout);
            let (rejected, error) = match port.post(&request, deadline) {
                Answer::Taken { rejected, error } => (Some(rejected.min(points)), error),
                Answer::Refused { error } => (Some(points), Some(error)),
                Answer::Failed { error } => {
                    // The collector has answered, so earlier failures no longer count.
                    self.failures = 0;
                    (None, Some(error))
                }
                Answer::Later { after, error } => {
                    match after {
                        Some(after) => {
                            self.not_before = port.now().saturating_add(after.min(LONGEST_PAUSE));
                        }
                        None => self.failures = self.failures.saturating_add(1),
                    }
                    (None, Some(error))
                }
            };
            if error.is_some() {
                self.notices.open().error = error;
            }
            let Some(rejected) = rejected else {
                outcome = PusherValue::Failed;
                break;
            };
            (self.failures, self.not_before) = (0, Duration::ZERO);
            line.add(PusherValue::Points, points - rejected);
            line.add(PusherValue::PointsRefused, rejected);
            if rejected > 0 {
                outcome = PusherValue::Refused;
            }
        }
        line.count(outcome);
        self.notices.open().failed += u64::from(matches!(outcome, PusherValue::Failed));
        self.notices.open().refused += u64::from(matches!(outcome, PusherValue::Refused));
        self.notices.tell(port.now());
    }
}

#[cfg(test)]
mod tests;
