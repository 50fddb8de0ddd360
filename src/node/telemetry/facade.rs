//! Exports the metrics of a node to the recorder of the crate `metrics`, at an interval.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mycelium_telemetry::Source;
use mycelium_telemetry::facade::Facade;
use mycelium_telemetry::metrics::Collector;

use super::source::NodeSource;
use super::thread::start;
use crate::error::StartError;
use crate::plan::Plan;
use crate::shared::{ServiceNode, Sinks};

/// The shortest interval; a shorter setting is raised to this.
const OFTENEST: Duration = Duration::from_millis(10);

/// The settings of the program.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::node) struct Settings {
    pub(in crate::node) interval: Option<Duration>,
}

impl Settings {
    /// Takes the interval of the topology, if the program exports metrics.
    pub(super) fn take(&mut self, plan: &Plan) {
        let of_file = plan.settings.telemetry_interval;
        self.interval = self.interval.map(|own| of_file.unwrap_or(own));
    }

    pub(super) fn start(
        self,
        node: &ServiceNode,
        sinks: &Sinks,
        label_sets: usize,
    ) -> Result<(), StartError> {
        let Some(interval) = self.interval else { return Ok(()) };
        let interval = interval.max(OFTENEST);
        let source = NodeSource::new(node);
        let is_stopped = Arc::<AtomicBool>::default();
        let (stopped, (handle, thread)) = (is_stopped.clone(), std::sync::mpsc::channel());
        start(&node.plan.node, sinks.threads(), "recorder", move || {
            // Cannot fail: the receiver waits for the handle.
            let _ = handle.send(thread::current());
            let mut facade = Facade::new(Collector::with_most(label_sets));
            loop {
                let is_last = stopped.load(Ordering::Acquire);
                let Some(snapshot) = source.snapshot() else { return };
                facade.pass(&snapshot);
                if is_last {
                    return;
                }
                // Returns immediately if the stop came first.
                thread::park_timeout(interval);
            }
        })?;
        if let Ok(thread) = thread.recv() {
            sinks.add(move || {
                is_stopped.store(true, Ordering::Release);
                thread.unpark();
            });
        }
        Ok(())
    }
}
