//! The endpoint for Prometheus: `/metrics`, `/live` and `/ready`.

use std::net::SocketAddr;
use std::sync::Arc;

use mycelium_telemetry::http::Endpoint;
use mycelium_telemetry::metrics::Collector;

use super::source::{NodeSource, start};
use crate::error::StartError;
use crate::log;
use crate::node::builder::Builder;
use crate::plan::Plan;
use crate::shared::Shared;

/// What the program sets.
#[derive(Debug, Default)]
pub(in crate::node) struct Settings {
    address: Option<SocketAddr>,
    is_exposed: bool,
}

/// The endpoint before its thread has started.
pub(super) struct Listening {
    endpoint: Endpoint,
    address: SocketAddr,
}

impl Settings {
    /// Binds the address, if the node has one.
    pub(super) fn bind(&self, plan: &Plan) -> Result<Option<Listening>, StartError> {
        let (node, topology) = (&*plan.node, &plan.topology);
        let of_file = topology.metrics_address(node).map(|(address, place)| (address, Some(place)));
        let of_program = || self.address.map(|address| (address, None));
        let Some((address, place)) = of_file.or_else(of_program) else { return Ok(None) };
        let error = |problem| {
            let (node, place) = (node.to_owned(), place.clone());
            Err(StartError::Metrics { node, place, address, problem })
        };
        if !address.ip().is_loopback() && !self.is_exposed && !topology.exposes_metrics() {
            return error(
                "other hosts could read it: expected an address of this host, such as \
                 `127.0.0.1:9464`, or `Builder::expose_metrics`, or `expose = true` in `[telemetry]`"
                    .to_owned(),
            );
        }
        let bound = Endpoint::bind(address).and_then(|endpoint| {
            let address = endpoint.address()?;
            Ok(Listening { endpoint, address })
        });
        bound.map(Some).or_else(|problem| error(problem.to_string()))
    }
}

impl Listening {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn start(self, shared: &Arc<Shared>, label_sets: usize) -> Result<(), StartError> {
        let Listening { endpoint, address } = self;
        let (stopper, executor) = (endpoint.stopper(), shared.executor.clone());
        let source = Box::new(NodeSource(Arc::downgrade(shared)));
        let collector = Collector::with_most(label_sets);
        log::info!(node = shared.plan.node, %address, "metrics are served");
        start(shared, "metrics", move || endpoint.run(source, collector, || executor.now()))?;
        shared.sinks.add(move || stopper.stop());
        Ok(())
    }
}

impl Builder {
    /// Serves metrics to Prometheus at this address: `/metrics`, and `/live` and `/ready` from the
    /// node's [health](crate::Running::health). `listen_metrics` of the topology takes precedence.
    /// With port 0 the system chooses one; [`StartReport::metrics_address`] has it.
    ///
    /// The endpoint has a thread of its own on any executor, and ends with the node. An address
    /// that other hosts reach is an error of the start, unless
    /// [`expose_metrics`](Builder::expose_metrics) allows it. Needs the feature `prometheus`.
    ///
    /// [`StartReport::metrics_address`]: crate::StartReport::metrics_address
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// use mycelium::{Context, Node, Result, service};
    ///
    /// struct Idle;
    ///
    /// #[service()]
    /// impl Idle {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         ctx.shutdown_requested().await;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let node = Node::builder("main").service(|| Idle).listen_metrics("127.0.0.1:0".parse()?);
    /// let running = node.build()?.start(mycelium_tokio::Tokio::current()?)?;
    /// let address = running.start_report().metrics_address.expect("an address");
    ///
    /// let mut stream = TcpStream::connect(address)?;
    /// stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
    /// let mut text = String::new();
    /// stream.read_to_string(&mut text)?;
    /// assert!(text.contains("mycelium_service_starts_total{node=\"main\",service=\"Idle\"} 0"));
    ///
    /// running.shutdown();
    /// running.join().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn listen_metrics(mut self, address: SocketAddr) -> Builder {
        self.telemetry.endpoint.address = Some(address);
        self
    }

    /// Allows an address for metrics that other hosts reach. Everybody who reaches it can read the
    /// names of nodes, services and topics, and how much they do.
    #[must_use]
    pub fn expose_metrics(mut self) -> Builder {
        self.telemetry.endpoint.is_exposed = true;
        self
    }
}
