//! The pusher: when it sends, what it does about errors, and what it counts. Time and the collector
//! come from a [`Port`], so that tests run it on virtual time.

use std::time::{Duration, SystemTime};

use mycelium_transports::counters::PusherValue;

use super::encode::{Requests, Times};
use super::node::PushedNode;
use super::notice::PushNotice;
use super::settings::{OtlpMetrics, OtlpMetricsError};
use crate::otlp::common::nanoseconds;
use crate::otlp::notice::Notices;
use crate::otlp::port::Port;
use crate::otlp::{Answer, Endpoint};

/// A collector that could not be reached this many times in a row gets no push at the end of the
/// node.
const IS_AWAY: u32 = 2;
/// The longest pause that a collector can request.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Pushes the metrics of a node. It is made before the node has started, so that mistakes in its
/// settings are errors of the build: [`open`](Pusher::open) gets what it needs of the system, and
/// the thread that [runs](super::OpenPusher::run) it sends them.
#[derive(Debug)]
pub struct Pusher {
    pub(super) settings: OtlpMetrics,
    pub(super) endpoint: Endpoint,
}

impl Pusher {
    /// A pusher that has sent nothing.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn new(settings: OtlpMetrics) -> Result<Pusher, OtlpMetricsError> {
        let endpoint = settings.check()?;
        Ok(Pusher { settings, endpoint })
    }

    /// Where metrics go.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// The pusher at work.
pub(super) struct Work<F> {
    pub(super) settings: OtlpMetrics,
    pub(super) node: PushedNode,
    /// The node counts from here on.
    pub(super) began: SystemTime,
    pub(super) on_notice: F,
    pub(super) notices: Notices<PushNotice>,
    /// Pushes in a row that have failed.
    pub(super) failures: u32,
    /// No push before this time.
    pub(super) not_before: Duration,
}

impl<F: FnMut(&PushNotice)> Work<F> {
    /// Runs until the pusher is stopped, and the last values were sent or its time is over.
    pub(super) fn run(&mut self, port: &mut impl Port) {
        let interval = self.settings.interval;
        let mut due = port.now().saturating_add(interval);
        loop {
            let stopped = port.stopped_at();
            let now = port.now();
            let next = match stopped {
                None => due.max(self.not_before),
                Some(_) => self.not_before,
            };
            let end = stopped.map(|at| at.saturating_add(self.settings.to.flush));
            let is_away = stopped.is_some() && self.failures >= IS_AWAY;
            if is_away || end.is_some_and(|end| next >= end || now >= end) {
                break;
            }
            if now < next {
                self.rest(port, next);
                continue;
            }
            self.push(port);
            if stopped.is_some() {
                break;
            }
            // A push that took longer than the interval is not made up for.
            due = due.saturating_add(interval);
            if due <= port.now() {
                due = port.now().saturating_add(interval);
            }
        }
        if let Some(notice) = self.notices.rest() {
            (self.on_notice)(&notice);
        }
    }

    /// Sends the present values. A request that fails ends the push, one that is refused does not:
    /// the reason may be a point of this request. A node that has not started has no values.
    fn push(&mut self, port: &mut impl Port) {
        let node = &mut self.node;
        let Some(snapshot) = node.source.snapshot() else { return };
        let families = node.collector.collect(&snapshot);
        drop(snapshot);
        // The time of day may go back, the time of a point may not be before the start.
        let times = [self.began, (node.wall_clock)().max(self.began)].map(nanoseconds);
        let times = Times { start: times[0], now: times[1] };
        let namespace = self.settings.to.namespace.as_deref();
        let mut requests = Requests::new(&families, times, &node.resource, namespace);
        let (line, mut outcome) = (&node.line, PusherValue::Taken);
        while let Some((request, points)) = requests.next() {
            let deadline = port.now().saturating_add(self.settings.to.timeout);
            let (rejected, error) = match port.post(&request, deadline) {
                Answer::Taken { rejected, error } => (rejected.min(points), error),
                Answer::Refused { error } => (points, Some(error)),
                Answer::Failed { error } => {
                    // It is there.
                    self.failures = 0;
                    self.notices.open().error = Some(error);
                    outcome = PusherValue::Failed;
                    break;
                }
                Answer::Later { after, error } => {
                    match after {
                        Some(after) => {
                            self.not_before = port.now().saturating_add(after.min(LONGEST_PAUSE));
                        }
                        None => self.failures = self.failures.saturating_add(1),
                    }
                    self.notices.open().error = Some(error);
                    outcome = PusherValue::Failed;
                    break;
                }
            };
            (self.failures, self.not_before) = (0, Duration::ZERO);
            line.add(PusherValue::Points, points - rejected);
            line.add(PusherValue::PointsRefused, rejected);
            if rejected > 0 {
                outcome = PusherValue::Refused;
            }
            if error.is_some() {
                self.notices.open().error = error;
            }
        }
        line.count(outcome);
        self.notices.open().failed += u64::from(matches!(outcome, PusherValue::Failed));
        self.notices.open().refused += u64::from(matches!(outcome, PusherValue::Refused));
        self.tell(port.now());
    }

    /// Waits until this time, or until something happens, or a notice is due.
    fn rest(&mut self, port: &mut impl Port, until: Duration) {
        port.wait(self.notices.due_at().map_or(until, |due| until.min(due)));
        self.tell(port.now());
    }

    fn tell(&mut self, now: Duration) {
        if let Some(notice) = self.notices.due(now) {
            (self.on_notice)(&notice);
        }
    }
}

#[cfg(test)]
mod tests;
