//! The builder's methods for the metrics and traces that a node exports.

#[cfg(feature = "prometheus")]
use std::net::SocketAddr;
#[cfg(feature = "facade")]
use std::time::Duration;

#[cfg(feature = "otlp")]
use mycelium_telemetry::push::OtlpMetrics;
#[cfg(feature = "otlp")]
use mycelium_telemetry::spans::OtlpTraces;

use super::Builder;

#[cfg(feature = "metrics")]
impl Builder {
    /// Measures the latency of a topic's messages, from emit to receive: for a share of the
    /// messages, from 0 to 1, chosen at random by their publishers in this node; 1 measures all. By
    /// default none is measured. Each reader counts its own latencies: as the metric
    /// `mycelium_message_latency_seconds`, and in the counters, where
    /// [`Latency::of`](crate::counters::Latency::of) finds them. `latency_sample` of the topology
    /// takes precedence. Needs the feature `metrics`.
    ///
    /// ```
    /// use mycelium::counters::Latency;
    /// use mycelium::error::{BuildError, Code};
    /// use mycelium::{Context, Node, Result, message, service};
    /// use mycelium::execution::tokio::Tokio;
    ///
    /// #[message(topic = "readings", id = 1)]
    /// struct Reading {
    ///     value: u64,
    /// }
    ///
    /// struct Sensor;
    ///
    /// #[service(emits(Reading))]
    /// impl Sensor {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         Ok(ctx.emit(Reading { value: 7 }).await?)
    ///     }
    /// }
    ///
    /// struct Screen;
    ///
    /// #[service(reads(Reading))]
    /// impl Screen {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut readings = ctx.subscribe::<Reading>()?;
    ///         while readings.recv().await.is_some() {}
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = || Node::builder("main").service(|| Sensor).service(|| Screen);
    /// let node = builder().latency_sample("readings", 1.0).build()?;
    /// let report = node.start(Tokio::current()?)?.join().await?;
    /// let latencies = Latency::of(&report.counters);
    /// assert_eq!(&*latencies[0].reader, "Screen");
    /// println!("at the most {:?} ns", latencies[0].nanoseconds.most());
    ///
    /// let error = builder().latency_sample("readings", 1.5).build().unwrap_err();
    /// assert_eq!(error.code(), Code::LATENCY_SAMPLE);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn latency_sample(mut self, topic: &str, share: f64) -> Builder {
        self.topics.latency_samples.insert(topic.to_owned(), share);
        self
    }
}

#[cfg(feature = "prometheus")]
impl Builder {
    /// Serves metrics to Prometheus at this address: `/metrics`, and `/live` and `/ready` from the
    /// node's [health](crate::Running::health). `listen_metrics` of the topology takes precedence.
    /// With port 0 the system chooses one; [`StartReport::metrics_address`] has it.
    ///
    /// The endpoint has its own thread on any executor, and ends with the node. An address that
    /// other hosts can reach is refused at the start, unless
    /// [`expose_metrics`](Builder::expose_metrics) allows it. Needs the feature `prometheus`.
    ///
    /// [`StartReport::metrics_address`]: crate::execution::StartReport::metrics_address
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
    /// let running = node.build()?.start(mycelium::execution::tokio::Tokio::current()?)?;
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

    /// Allows a metrics address that other hosts can reach. Everybody who can reach it can read the
    /// names of nodes, services and topics, and their activity.
    #[must_use]
    pub fn expose_metrics(mut self) -> Builder {
        self.telemetry.endpoint.is_exposed = true;
        self
    }
}

#[cfg(feature = "facade")]
impl Builder {
    /// Exports the metrics of the node to the recorder of the crate `metrics` that the program has
    /// installed: now, at each interval, and once more at the end of the node, on its own thread.
    /// `interval` of `[telemetry]` in the topology takes precedence. Needs the feature `facade`.
    ///
    /// Names, labels and values are the same as at the Prometheus endpoint; a histogram becomes a
    /// count, a sum and quantiles.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use mycelium::Node;
    ///
    /// let builder = Node::builder("main").metrics_facade(Duration::from_secs(10));
    /// ```
    #[must_use]
    pub fn metrics_facade(mut self, interval: Duration) -> Builder {
        self.telemetry.facade.interval = Some(interval);
        self
    }
}

#[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
impl Builder {
    /// Sets the maximum number of label sets of a metrics family; 1,000 by default. All further
    /// sets are counted as one set, in which each label has the value `other`. `label_sets` of
    /// `[telemetry]` takes precedence.
    #[must_use]
    pub fn metrics_label_sets(mut self, most: usize) -> Builder {
        self.telemetry.label_sets = Some(most);
        self
    }
}

#[cfg(feature = "otlp")]
impl Builder {
    /// Sends the traces of messages to a collector that speaks OTLP over HTTP, such as the
    /// OpenTelemetry Collector, Jaeger or Tempo. Each key that `[telemetry]` in the topology sets
    /// takes precedence. `docs/observability.md` defines traces. Needs the feature `otlp`.
    ///
    /// The node has a thread for sending, on any executor. Services never wait: spans that do not
    /// fit into the queue, and spans that the collector does not accept in time, are dropped,
    /// counted, and logged once a minute. The end of the node waits for the remaining spans, by
    /// default for at most 2 s. All traces are recorded, unless
    /// [`OtlpTraces::sample`](crate::trace::OtlpTraces::sample) sets a share; if
    /// [`traces`](Builder::traces) is called too, both get the same spans, and the share that was
    /// set last counts.
    ///
    /// ```
    /// use mycelium::trace::OtlpTraces;
    /// use mycelium::Node;
    ///
    /// let builder = Node::builder("main").otlp(OtlpTraces::new("http://127.0.0.1:4318").sample(0.1));
    /// let error = Node::builder("main").otlp(OtlpTraces::new("localhost")).build().unwrap_err();
    /// assert!(error.to_string().contains("expected `http://`"));
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn otlp(mut self, traces: OtlpTraces) -> Builder {
        if let Some(share) = traces.share() {
            self.traces.set_share(share);
        }
        self.telemetry.otlp.of_program = Some(traces);
        self
    }

    /// Pushes the metrics of the node to a collector that speaks OTLP over HTTP, such as the
    /// OpenTelemetry Collector or Prometheus: after each interval, and once more at the end of the
    /// node. Each key that `[telemetry]` in the topology sets takes precedence. Needs the feature
    /// `otlp`.
    ///
    /// Names, labels and values are the same as at the Prometheus endpoint. The node has a thread
    /// for the pushes, on any executor. Values are cumulative, so a failed push loses nothing: the
    /// next one has newer values. A failed push is counted, and logged once a minute. The end of
    /// the node waits for the last push, by default for at most 2 s.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use mycelium::metrics::OtlpMetrics;
    /// use mycelium::Node;
    ///
    /// let metrics = OtlpMetrics::new("http://127.0.0.1:4318");
    /// let often = metrics.clone().interval(Duration::from_millis(10));
    /// let builder = Node::builder("main").otlp_metrics(metrics);
    /// let error = Node::builder("main").otlp_metrics(often).build().unwrap_err();
    /// assert!(error.to_string().contains("expected 1 s or more"));
    /// # drop(builder);
    /// ```
    #[must_use]
    pub fn otlp_metrics(mut self, metrics: OtlpMetrics) -> Builder {
        self.telemetry.push.of_program = Some(metrics);
        self
    }
}
