//! The exporter, which takes spans from the queue and sends them in batches, on a separate thread.
//! Time and the collector come from a [`Port`], so that tests run it on virtual time.

use std::io;
use std::time::Duration;

use hyper::body::Bytes;
use mycelium_executor::Backoff;
use mycelium_transports::counters::{ExporterValue, Line};
use mycelium_transports::local::Span;

use super::encode::encode;
use super::notice::Notice;
use super::queue::SpanQueue;
use super::settings::{OfTraces, OtlpTraces};
use crate::otlp::client::Client;
use crate::otlp::notice::Notices;
use crate::otlp::port::{HttpPort, Port};
use crate::otlp::{Answer, Endpoint, OtlpError, Resource, Stopper};

/// The pauses between attempts: the first and the longest.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(5) };
/// After this number of consecutive failures a collector gets no attempt at the end of the node.
const IS_AWAY: u32 = 2;

/// How long the exporter waits for a task that is in the middle of a push into the queue.
const MOMENT: Duration = Duration::from_millis(1);

/// Sends the spans of a node. It is created before the node starts, so that spans have a queue.
/// [`open`](Exporter::open) then gets its resources from the system.
#[derive(Debug)]
pub struct Exporter {
    settings: OtlpTraces,
    endpoint: Endpoint,
    queue: SpanQueue,
}

impl Exporter {
    /// Creates an exporter with an empty queue.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn new(settings: OtlpTraces) -> Result<Exporter, OtlpError> {
        let (endpoint, places) = settings.check_all()?;
        let queue = SpanQueue::new(places, settings.own.batch);
        Ok(Exporter { settings, endpoint, queue })
    }

    /// Returns the queue for spans.
    pub fn queue(&self) -> SpanQueue {
        self.queue.clone()
    }

    /// Returns the endpoint to which spans are sent.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens the files for the exporter's runtime. The exporter counts in `line`; `seed` makes the
    /// pauses between its attempts random. Returns a stopper, and the function that its thread
    /// runs, which sends spans until it is stopped, then closes the queue and sends the rest.
    /// `on_notice` gets drops and errors, at most once a minute and once at the end.
    ///
    /// # Errors
    /// If the process cannot open another file.
    pub fn open(
        self,
        resource: Resource,
        line: Line<ExporterValue>,
        seed: u64,
        on_notice: impl FnMut(&Notice) + Send + 'static,
    ) -> io::Result<(Stopper, impl FnOnce() + Send + 'static)> {
        let to = &self.settings;
        let client = Client::new(&self.endpoint, self.endpoint.traces.clone(), &to.headers);
        let mut port = HttpPort::open(client, to.flush, self.queue.bell())?;
        let mut work = Work::new(self, resource, line, seed, on_notice);
        Ok((port.stopper.clone(), move || work.run(&mut port)))
    }
}

/// The state of a running exporter.
struct Work<F> {
    queue: SpanQueue,
    settings: OtlpTraces,
    resource: Resource,
    line: Line<ExporterValue>,
    random: fastrand::Rng,
    notices: Notices<Notice, F>,
    /// The number of spans that the queue has dropped, as last counted.
    dropped: u64,
    /// The number of consecutive failed attempts.
    failures: u32,
    /// The time before which no attempt is made.
    not_before: Duration,
}

impl<F: FnMut(&Notice)> Work<F> {
    fn new(
        exporter: Exporter,
        resource: Resource,
        line: Line<ExporterValue>,
        seed: u64,
        on_notice: F,
    ) -> Work<F> {
        let Exporter { settings, endpoint: _, queue } = exporter;
        let (random, notices) = (fastrand::Rng::with_seed(seed), Notices::new(on_notice));
        let (dropped, failures, not_before) = (0, 0, Duration::ZERO);
        Work { queue, settings, resource, line, random, notices, dropped, failures, not_before }
    }

    /// Runs until the exporter is stopped, and the remaining spans were sent or dropped.
    fn run(&mut self, port: &mut impl Port) {
        let OfTraces { batch, delay, .. } = self.settings.own;
        let mut spans: Vec<Span> = Vec::with_capacity(batch);
        // A span waits in the queue for at most `delay`.
        let mut due = port.now().saturating_add(delay);
        loop {
            let is_last = port.stopped_at().is_some();
            if is_last {
                self.queue.close();
            }
            let is_time = is_last || port.now() >= due;
            let is_drained = self.queue.take(&mut spans, batch, is_time);
            self.count_drops_of_queue(port.now());
            if spans.is_empty() && !is_time {
                self.rest(port, due);
                continue;
            }
            if !spans.is_empty() {
                let namespace = self.settings.namespace.as_deref();
                let request = encode(&self.resource, namespace, &mut spans);
                self.send(port, &request, spans.len() as u64);
                spans.clear();
            } else if is_drained {
                break;
            } else if is_last {
                // The queue is not empty, but a task is in the middle of a push, so this waits a
                // moment.
                port.wait(port.now().saturating_add(MOMENT));
            }
            due = port.now().saturating_add(delay);
        }
        self.count_drops_of_queue(port.now());
        self.notices.tell(Duration::MAX);
    }

    /// Sends a batch until the collector has accepted or refused it, or its time is over.
    fn send(&mut self, port: &mut impl Port, request: &Bytes, spans: u64) {
        let deadline = port.now().saturating_add(self.settings.timeout);
        loop {
            // Computed for each attempt, because the node may end meanwhile.
            let flush = self.settings.flush;
            let stopped = port.stopped_at();
            let end = stopped.map_or(deadline, |at| deadline.min(at.saturating_add(flush)));
            let now = port.now();
            let is_away = stopped.is_some() && self.failures >= IS_AWAY;
            if is_away || self.not_before >= end || now >= end {
                return self.drop_spans(port, ExporterValue::DroppedFailed, spans);
            }
            if now < self.not_before {
                self.rest(port, self.not_before);
                continue;
            }
            let (why, dropped, error) = match port.post(request, deadline) {
                Answer::Taken { rejected, error } => {
                    self.line.count(ExporterValue::Batches);
                    self.line.add(ExporterValue::Exported, spans.saturating_sub(rejected));
                    (ExporterValue::DroppedRefused, rejected.min(spans), error)
                }
                Answer::Refused { error } => (ExporterValue::DroppedRefused, spans, Some(error)),
                Answer::Failed { error } => (ExporterValue::DroppedFailed, spans, Some(error)),
                Answer::Later { after, error } => {
                    self.count_error(error);
                    let timeout = self.settings.timeout;
                    // At most half of the timeout, so that every batch gets an attempt.
                    let own = BACKOFF.pause(self.failures, self.random.u64(..)).min(timeout / 2);
                    let pause = if let Some(after) = after {
                        // A collector can extend the pause, but not shorten it.
                        after.min(timeout).max(own)
                    } else {
                        self.failures = self.failures.saturating_add(1);
                        own
                    };
                    self.not_before = port.now().saturating_add(pause);
                    self.notices.tell(port.now());
                    continue;
                }
            };
            // The answer is final, which resets failures and pause.
            (self.failures, self.not_before) = (0, Duration::ZERO);
            error.into_iter().for_each(|error| self.count_error(error));
            return self.drop_spans(port, why, dropped);
        }
    }

    /// Waits until this time, or until the port wakes.
    fn rest(&mut self, port: &mut impl Port, until: Duration) {
        self.notices.rest(port, until);
        self.count_drops_of_queue(port.now());
    }

    /// Counts spans that were dropped because of a failure or a refusal.
    fn drop_spans(&mut self, port: &impl Port, why: ExporterValue, spans: u64) {
        let open = self.notices.open();
        match why {
            ExporterValue::DroppedRefused => open.dropped_refused += spans,
            _ => open.dropped_failed += spans,
        }
        self.line.add(why, spans);
        self.notices.tell(port.now());
    }

    fn count_error(&mut self, error: String) {
        self.line.count(ExporterValue::Errors);
        let open = self.notices.open();
        open.errors += 1;
        open.error = Some(error);
    }

    fn count_drops_of_queue(&mut self, now: Duration) {
        let dropped = self.queue.dropped();
        let new = dropped - self.dropped;
        self.dropped = dropped;
        self.line.add(ExporterValue::DroppedFull, new);
        self.notices.open().dropped_full += new;
        self.notices.tell(now);
    }
}

#[cfg(test)]
mod tests;
