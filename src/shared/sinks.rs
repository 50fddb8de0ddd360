//! The *sinks* of a node: the threads that export its metrics and traces. They end with the node.

use std::sync::{Arc, Mutex};

use super::threads::Threads;
use crate::support::lock::lock;

/// The threads that export the metrics and traces of a node, and the functions that stop them.
#[derive(Default)]
pub(crate) struct Sinks {
    threads: Arc<Threads>,
    /// The threads that end by their own deadlines, in system time: they finish the response to a
    /// scrape, or send the remaining metrics and spans. The executor's time may differ or be
    /// paused, so the node sets them no deadline in executor time.
    exporters: Arc<Threads>,
    stops: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl Sinks {
    /// Adds a started thread; `stop` makes it end soon.
    #[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
    pub(crate) fn add(&self, stop: impl Fn() + Send + 'static) {
        lock(&self.stops).push(Box::new(stop));
    }

    /// Makes all threads end soon.
    pub(crate) fn stop(&self) {
        lock(&self.stops).iter().for_each(|stop| stop());
    }

    pub(crate) fn threads(&self) -> &Arc<Threads> {
        &self.threads
    }

    pub(crate) fn exporters(&self) -> &Arc<Threads> {
        &self.exporters
    }
}
