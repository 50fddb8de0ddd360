//! The exporter on its thread: with the real time, and a collector over HTTP.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mycelium_executor::Clock;
use mycelium_transports::counters::{ExporterValue, Line};

use super::exporter::{Exporter, Port, Work};
use super::notice::{Notice, Notices};
use super::queue::SpanQueue;
use super::resource::Resource;
use super::settings::OtlpTraces;
use crate::otlp::Answer;
use crate::otlp::http::{Client, TimeLeft};

/// An [`Exporter`] that has what it needs of the system, for its thread.
pub struct OpenExporter {
    exporter: Exporter,
    resource: Resource,
    line: Line<ExporterValue>,
    seed: u64,
    client: Client,
    stopper: Stopper,
}

/// Ends an exporter. Any thread may do it.
#[derive(Clone, Debug)]
pub struct Stopper {
    queue: SpanQueue,
    clock: Clock,
    stopped_at: Arc<OnceLock<Duration>>,
}

impl Stopper {
    /// The queue takes no further span. [`OpenExporter::run`] sends what is left, for as long as
    /// the settings say, and returns.
    pub fn stop(&self) {
        // Before the time: a thread that sees the time sees a closed queue.
        self.queue.close();
        let _ = self.stopped_at.set(self.clock.now());
        self.queue.wake();
    }
}

impl Exporter {
    /// Gets what the exporter needs of the system. `line` has its counts, `seed` is for the
    /// pauses between its attempts.
    ///
    /// # Errors
    /// If the process can open no further file.
    pub fn open(
        self,
        resource: Resource,
        line: Line<ExporterValue>,
        seed: u64,
    ) -> io::Result<OpenExporter> {
        let client = Client::new(&self.endpoint, &self.endpoint.traces(), &self.settings.headers)?;
        self.queue.set_waker(client.waker().clone());
        let (queue, clock) = (self.queue.clone(), Clock::start());
        let stopper = Stopper { queue, clock, stopped_at: Arc::default() };
        Ok(OpenExporter { exporter: self, resource, line, seed, client, stopper })
    }
}

impl OpenExporter {
    /// Ends [`run`](OpenExporter::run).
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Sends spans from this thread until the exporter is stopped. `on_notice` gets drops and
    /// errors, at most once a minute and once at the end.
    pub fn run(self, on_notice: impl FnMut(&Notice)) {
        let OpenExporter { exporter, resource, line, seed, client, stopper } = self;
        let Exporter { settings, endpoint: _, queue } = exporter;
        let Stopper { clock, stopped_at, .. } = stopper;
        let OtlpTraces { flush, .. } = settings;
        let mut port = Collector { client, time: Time { clock, stopped_at, flush } };
        let mut work = Work {
            queue,
            settings,
            resource,
            line,
            random: fastrand::Rng::with_seed(seed),
            on_notice,
            notices: Notices::default(),
            dropped: 0,
            failures: 0,
            not_before: Duration::ZERO,
        };
        work.run(&mut port);
    }
}

impl fmt::Debug for OpenExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenExporter").field("exporter", &self.exporter).finish_non_exhaustive()
    }
}

/// A collector over HTTP.
struct Collector {
    client: Client,
    time: Time,
}

/// The real time, and the end.
struct Time {
    clock: Clock,
    stopped_at: Arc<OnceLock<Duration>>,
    flush: Duration,
}

/// The time that a request has.
struct Until<'a> {
    time: &'a Time,
    deadline: Duration,
}

impl TimeLeft for Until<'_> {
    fn left(&self) -> Option<Duration> {
        let Until { time: Time { clock, stopped_at, flush }, deadline } = self;
        let end = stopped_at.get().map(|at| at.saturating_add(*flush));
        let deadline = end.map_or(*deadline, |end| end.min(*deadline));
        deadline.checked_sub(clock.now()).filter(|left| !left.is_zero())
    }
}

impl Port for Collector {
    fn now(&self) -> Duration {
        self.time.clock.now()
    }

    fn stopped_at(&self) -> Option<Duration> {
        self.time.stopped_at.get().copied()
    }

    fn wait(&mut self, until: Duration) {
        self.client.wait(Some(until.saturating_sub(self.now())));
    }

    fn post(&mut self, body: &[u8], deadline: Duration) -> Answer {
        self.client.post(body, &Until { time: &self.time, deadline }).into()
    }
}
