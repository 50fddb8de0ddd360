//! Pushes the metrics of a node to an OpenTelemetry collector.

use mycelium_executor::ThreadError;
use mycelium_telemetry::metrics::Collector;
use mycelium_telemetry::otlp::Resource;
use mycelium_telemetry::push::{OtlpMetrics, PushNotice, PushedNode, Pusher};

use super::source::NodeSource;
use super::thread::{refused, start};
use crate::error::{BuildError, StartError};
use crate::shared::{ServiceNode, Sinks};
use crate::support::log;
use crate::topology::Topology;

/// The settings of the program, and the pusher built from them.
#[derive(Debug, Default)]
pub(in crate::node) struct Settings {
    pub(in crate::node) of_program: Option<OtlpMetrics>,
    /// The pusher, created when the node is built, because its settings are checked then.
    pusher: Option<Pusher>,
}

impl Settings {
    /// Creates the pusher, if there is a collector.
    pub(super) fn check(&mut self, topology: &Topology) -> Result<(), BuildError> {
        if let Some(settings) = topology.otlp_metrics(self.of_program.take())? {
            self.pusher = Some(Pusher::new(settings).map_err(BuildError::OtlpMetrics)?);
        }
        Ok(())
    }

    pub(super) fn start(
        self,
        node: &ServiceNode,
        sinks: &Sinks,
        resource: Resource,
        label_sets: usize,
    ) -> Result<(), StartError> {
        let Some(pusher) = self.pusher else { return Ok(()) };
        let name = node.plan.node.clone();
        let collector = pusher.endpoint().to_string();
        let executor = node.executor.clone();
        let of_node = NodeSource::new(node);
        let pushed = PushedNode {
            resource,
            snapshot: Box::new(move || of_node.started_snapshot()),
            collector: Collector::with_most(label_sets),
            line: node.topics.counters().line("exporter=metrics"),
            wall_clock: Box::new(move || executor.wall_clock()),
        };
        let shown = collector.clone();
        let tell = move |notice: &PushNotice| match &notice.error {
            Some(error) => log::warn!(node = name, collector, %error, "metrics: {notice}"),
            None => log::warn!(node = name, collector, "metrics: {notice}"),
        };
        let (stopper, run) = pusher
            .open(pushed, tell)
            .map_err(|error| refused("pushes", ThreadError::Start { error: error.to_string() }))?;
        log::info!(node = node.plan.node, collector = shown, "metrics are pushed");
        start(&node.plan.node, sinks.exporters(), "pushes", run)?;
        sinks.add(move || stopper.stop());
        Ok(())
    }
}
