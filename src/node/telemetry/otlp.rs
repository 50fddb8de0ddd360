//! Sends the spans of a node to an OpenTelemetry collector.

use std::sync::Arc;

use mycelium_executor::ThreadError;
use mycelium_telemetry::otlp::{OtlpError, Resource};
use mycelium_telemetry::spans::{Exporter, Notice, OtlpTraces};
use mycelium_transports::local::SpanSink;

use super::thread::{refused, start};
use crate::error::StartError;
use crate::shared::{ServiceNode, Sinks};
use crate::support::log;
use crate::topology::Topology;

/// The settings of the program, and the exporter built from them.
#[derive(Debug, Default)]
pub(in crate::node) struct Settings {
    pub(in crate::node) of_program: Option<OtlpTraces>,
    /// The exporter, created when the node is built, because the topics need its queue.
    exporter: Option<Exporter>,
}

impl Settings {
    /// Creates the exporter, if there is a collector. Returns the exporter's queue.
    pub(super) fn queue(
        &mut self,
        topology: &Topology,
    ) -> Result<Option<Arc<dyn SpanSink>>, OtlpError> {
        let Some(settings) = topology.otlp(self.of_program.take()) else { return Ok(None) };
        let exporter = self.exporter.insert(Exporter::new(settings)?);
        Ok(Some(Arc::new(exporter.queue())))
    }

    pub(super) fn start(
        self,
        node: &ServiceNode,
        sinks: &Sinks,
        resource: Resource,
    ) -> Result<(), StartError> {
        let Some(exporter) = self.exporter else { return Ok(()) };
        let name = node.plan.node.clone();
        let line = node.topics.counters().line("exporter=traces");
        let collector = exporter.endpoint().to_string();
        let seed = node.executor.entropy();
        let shown = collector.clone();
        let tell = move |notice: &Notice| match &notice.error {
            Some(error) => log::warn!(node = name, collector, %error, "traces: {notice}"),
            None => log::warn!(node = name, collector, "traces: {notice}"),
        };
        let (stopper, run) = exporter
            .open(resource, line, seed, tell)
            .map_err(|error| refused("traces", ThreadError::Start { error: error.to_string() }))?;
        log::info!(node = node.plan.node, collector = shown, "traces are sent");
        start(&node.plan.node, sinks.exporters(), "traces", run)?;
        sinks.add(move || stopper.stop());
        Ok(())
    }
}
