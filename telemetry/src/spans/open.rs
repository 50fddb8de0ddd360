//! The exporter on its thread: with the real time, and a collector over HTTP.

use std::fmt;
use std::io;
use std::time::Duration;

use mycelium_transports::counters::{ExporterValue, Line};

use super::exporter::{Exporter, Work};
use super::notice::Notice;
use super::queue::SpanQueue;
use crate::otlp::Resource;
use crate::otlp::client::Client;
use crate::otlp::notice::Notices;
use crate::otlp::port::{Ending, HttpPort};
use crate::runtime::Runtime;

/// An [`Exporter`] that has what it needs of the system, for its thread.
pub struct OpenExporter {
    exporter: Exporter,
    resource: Resource,
    line: Line<ExporterValue>,
    seed: u64,
    port: HttpPort,
}

/// Ends an exporter. Any thread may do it.
#[derive(Clone, Debug)]
pub struct Stopper {
    queue: SpanQueue,
    ending: Ending,
}

impl Stopper {
    /// The queue takes no further span. [`OpenExporter::run`] sends what is left, for as long as
    /// the settings say, and returns.
    pub fn stop(&self) {
        // Before the time: a thread that sees the time sees a closed queue.
        self.queue.close();
        self.ending.stop();
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
        let headers = self.settings.to.headers();
        let client = Client::new(&self.endpoint, self.endpoint.traces(), headers);
        let ending = Ending::new(self.queue.bell());
        let port =
            HttpPort { runtime: Runtime::new()?, client, ending, flush: self.settings.to.flush };
        Ok(OpenExporter { exporter: self, resource, line, seed, port })
    }
}

impl OpenExporter {
    /// Ends [`run`](OpenExporter::run).
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        let (queue, ending) = (self.exporter.queue.clone(), self.port.ending.clone());
        Stopper { queue, ending }
    }

    /// Sends spans from this thread until the exporter is stopped. `on_notice` gets drops and
    /// errors, at most once a minute and once at the end.
    pub fn run(self, on_notice: impl FnMut(&Notice)) {
        let OpenExporter { exporter, resource, line, seed, mut port } = self;
        let Exporter { settings, endpoint: _, queue } = exporter;
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
