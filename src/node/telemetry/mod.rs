//! The exporters of a node's metrics and traces, each with its own thread: the endpoint for
//! Prometheus, metrics for the recorder of the crate `metrics`, and spans and metrics for
//! OpenTelemetry collectors. The threads end with the node.

#[cfg(feature = "facade")]
mod facade;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "prometheus")]
mod prometheus;
#[cfg(feature = "otlp")]
mod push;
#[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
mod source;
#[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
mod thread;

use std::net::SocketAddr;
use std::sync::Arc;

#[cfg(feature = "otlp")]
use mycelium_telemetry::otlp::Resource;
use mycelium_transports::local::SpanSink;

use crate::error::{BuildError, StartError};
use crate::plan::Plan;
use crate::shared::{ServiceNode, Sinks};
use crate::topology::Topology;

/// The settings of the program; keys of the topology take precedence.
#[derive(Debug, Default)]
pub(super) struct Telemetry {
    #[cfg(feature = "prometheus")]
    pub(super) endpoint: prometheus::Settings,
    /// The endpoint, once its address is bound.
    #[cfg(feature = "prometheus")]
    listening: Option<prometheus::Listening>,
    #[cfg(feature = "facade")]
    pub(super) facade: facade::Settings,
    #[cfg(feature = "otlp")]
    pub(super) otlp: otlp::Settings,
    #[cfg(feature = "otlp")]
    pub(super) push: push::Settings,
    #[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
    pub(super) label_sets: Option<usize>,
}

impl Telemetry {
    /// Returns whether the program sends its traces to a collector.
    #[cfg(feature = "describe")]
    #[cfg_attr(not(feature = "otlp"), allow(clippy::unused_self, reason = "no spans are sent"))]
    pub(super) fn sends_traces(&self) -> bool {
        #[cfg(feature = "otlp")]
        return self.otlp.of_program.is_some();
        #[cfg(not(feature = "otlp"))]
        false
    }

    /// Returns the queue of spans for a collector, if the program or the topology names one. Also
    /// checks the settings of metrics for a collector.
    #[cfg_attr(
        not(feature = "otlp"),
        allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "no spans are sent")
    )]
    pub(super) fn span_queue(
        &mut self,
        topology: &Topology,
    ) -> Result<Option<Arc<dyn SpanSink>>, BuildError> {
        let _ = topology;
        #[cfg(feature = "otlp")]
        self.push.check(topology)?;
        #[cfg(feature = "otlp")]
        return Ok(self.otlp.queue(topology)?);
        #[cfg(not(feature = "otlp"))]
        Ok(None)
    }

    /// Takes the settings of the topology, and binds the address of the endpoint, if the node has
    /// one.
    #[cfg_attr(
        not(any(feature = "prometheus", feature = "facade", feature = "otlp")),
        allow(clippy::unused_self, reason = "nothing is passed on")
    )]
    #[cfg_attr(
        not(feature = "prometheus"),
        allow(clippy::unnecessary_wraps, reason = "the node has no endpoint")
    )]
    pub(super) fn bind(&mut self, plan: &Plan) -> Result<(), StartError> {
        let _ = plan;
        #[cfg(feature = "prometheus")]
        {
            self.listening = self.endpoint.bind(plan)?;
        }
        #[cfg(feature = "facade")]
        self.facade.take(plan);
        #[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
        {
            self.label_sets = plan.settings.label_sets.or(self.label_sets);
        }
        Ok(())
    }

    /// Returns the address of the endpoint.
    #[cfg_attr(
        not(feature = "prometheus"),
        allow(clippy::unused_self, reason = "the node has no endpoint")
    )]
    pub(super) fn address(&self) -> Option<SocketAddr> {
        #[cfg(feature = "prometheus")]
        return self.listening.as_ref().map(prometheus::Listening::address);
        #[cfg(not(feature = "prometheus"))]
        None
    }

    /// Starts the threads.
    #[cfg_attr(
        not(any(feature = "prometheus", feature = "facade", feature = "otlp")),
        allow(clippy::unnecessary_wraps, reason = "nothing is passed on")
    )]
    pub(super) fn start(self, node: &ServiceNode, sinks: &Sinks) -> Result<(), StartError> {
        let _ = (node, sinks);
        #[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
        let label_sets = self.label_sets.unwrap_or(mycelium_telemetry::metrics::LABEL_SETS);
        #[cfg(feature = "prometheus")]
        if let Some(listening) = self.listening {
            listening.start(node, sinks, label_sets)?;
        }
        #[cfg(feature = "facade")]
        self.facade.start(node, sinks, label_sets)?;
        #[cfg(feature = "otlp")]
        {
            // One number for spans and metrics: both identify the same start of the node.
            let random = || u128::from(node.executor.entropy());
            let resource = Resource::of_node(&node.plan.node, random() << 64 | random());
            self.otlp.start(node, sinks, resource.clone())?;
            self.push.start(node, sinks, resource, label_sets)?;
        }
        Ok(())
    }
}
