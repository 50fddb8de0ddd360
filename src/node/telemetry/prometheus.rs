//! The endpoint for Prometheus: `/metrics`, `/live` and `/ready`.

use std::net::SocketAddr;

use mycelium_core::Code;
use mycelium_telemetry::http::Endpoint;
use mycelium_telemetry::metrics::Collector;

use super::source::NodeSource;
use super::thread::start;
use crate::error::StartError;
use crate::plan::Plan;
use crate::shared::{ServiceNode, Sinks};
use crate::support::log;
use crate::topology::Setting;

/// The settings of the program.
#[derive(Debug, Default)]
pub(in crate::node) struct Settings {
    pub(in crate::node) address: Option<SocketAddr>,
    pub(in crate::node) is_exposed: bool,
}

/// The endpoint before its thread has started.
#[derive(Debug)]
pub(super) struct Listening {
    endpoint: Endpoint,
    address: SocketAddr,
}

impl Settings {
    /// Binds the address, if the node has one.
    pub(super) fn bind(&self, plan: &Plan) -> Result<Option<Listening>, StartError> {
        let (node, settings) = (&*plan.node, &plan.settings);
        let place = || plan.places.of(Setting::Metrics(node));
        let of_file = settings.metrics_address.map(|address| (address, place()));
        let of_program = || self.address.map(|address| (address, None));
        let Some((address, place)) = of_file.or_else(of_program) else { return Ok(None) };
        let error = |problem: &str| {
            let problem = format!("node `{node}` cannot serve metrics at `{address}`: {problem}");
            Err(StartError::at(place.clone(), Code::NO_METRICS, problem))
        };
        if !address.ip().is_loopback() && !self.is_exposed && !settings.exposes_metrics {
            return error(
                "other hosts could read it: expected an address of this host, such as \
                 `127.0.0.1:9464`, or `Builder::expose_metrics`, or `expose = true` in `[telemetry]`",
            );
        }
        let bound = Endpoint::bind(address).and_then(|endpoint| {
            let address = endpoint.address()?;
            Ok(Listening { endpoint, address })
        });
        bound.map(Some).or_else(|problem| error(&problem.to_string()))
    }
}

impl Listening {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn start(
        self,
        node: &ServiceNode,
        sinks: &Sinks,
        label_sets: usize,
    ) -> Result<(), StartError> {
        let Listening { endpoint, address } = self;
        let stopper = endpoint.stopper();
        let source = Box::new(NodeSource::new(node));
        let collector = Collector::with_most(label_sets);
        log::info!(node = node.plan.node, %address, "metrics are served");
        start(&node.plan.node, sinks.exporters(), "metrics", move || {
            endpoint.run(source, collector)
        })?;
        sinks.add(move || stopper.stop());
        Ok(())
    }
}
