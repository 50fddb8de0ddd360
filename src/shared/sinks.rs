//! The threads that pass on what a node knows of itself: they end with the node.

use std::sync::{Arc, Mutex};

use super::threads::Threads;
use crate::support::lock::lock;

/// The threads that pass on what a node knows of itself, and how each of them is stopped.
#[derive(Default)]
pub(crate) struct Sinks {
    threads: Arc<Threads>,
    /// Those that end by themselves, however long the executor waits: they make the response to a
    /// scrape, or send what is left within their own time.
    exporters: Arc<Threads>,
    stops: Mutex<Vec<Box<dyn Fn() + Send>>>,
}

impl Sinks {
    /// A thread was started; `stop` ends it soon.
    #[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
    pub(crate) fn add(&self, stop: impl Fn() + Send + 'static) {
        lock(&self.stops).push(Box::new(stop));
    }

    /// All of them end soon.
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
