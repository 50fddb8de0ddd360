//! Puts the services into nodes and runs them: the application as a function of its options, for
//! `main` and for tests.

use std::{fmt::Write, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use futures_channel::oneshot;
use mycelium::error::StartError;
use mycelium::observe::Report;
use mycelium::overview::Description;
use mycelium::{
    Builder, Error, Node, Result, Running, Topology,
    counters::{Kind, Latency, Metric, MetricValue},
};
use mycelium_executor::{Address, Executor};

use crate::{
    durable::Durable,
    ethereum::endpoint::Endpoint,
    ethereum::feed::{Feed, Settings},
    faults::Faults,
    load::Meter,
    metadata::first_rows,
    services::{
        ArbitrageDetector, FeedServer, FillSimulator, MetadataService, PolygonAdapter, SignalWriter,
    },
    stores::{Client, Pools},
};

/// The built-in topology.
const TOPOLOGY: &str = include_str!("../bandit.toml");
/// The built-in topology of three processes.
const BUNDLED: &str = include_str!("../bundled.toml");
/// The built-in topology of three processes with traces and metrics: the names and texts of its two
/// files, of which the first one includes the second.
pub const OBSERVED: [(&str, &str); 2] =
    [("observed.toml", include_str!("../observed.toml")), ("bundled.toml", BUNDLED)];

/// Known pools are looked up again after this time, unless an option says otherwise.
const REFRESH: Duration = Duration::from_secs(60);
/// The price of gas in gwei, unless an option says otherwise: about that of the recorded day.
const GAS_PRICE: u32 = 20;

/// The options of a run.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Follow this node (wss://host:port/path, or ws://) instead of the recorded day.
    #[arg(long, value_name = "URL", env = "BANDIT_URL", hide_env_values = true)]
    #[arg(conflicts_with_all = ["speed", "drop_every", "fork_every"])]
    pub url: Option<String>,
    /// Trust the authorities in this PEM file, too, for the certificate of a node at wss://.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub ca: Option<PathBuf>,
    /// Follow three pairs of Uniswap V2, too. The recorded day does not have them: their logs are
    /// made from it.
    #[arg(long)]
    pub pairs: bool,
    /// How the recorded day is replayed.
    #[command(flatten)]
    pub feed: Settings,
    /// Write the signals to this file, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    pub signals: Option<PathBuf>,
    /// Read the metadata of pools from this store, which is filled if it is new: sqlite:FILE,
    /// postgres://user@host/database or redis://host. By default it is in memory.
    #[arg(long, value_name = "URL", env = "BANDIT_STORE", hide_env_values = true)]
    pub store: Option<String>,
    /// Simulate fills at this price of gas, in gwei; 20 by default.
    #[arg(long, value_name = "GWEI")]
    pub gas_price: Option<u32>,
    /// Look up known pools again after this time, such as 10s; a minute by default.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub refresh: Option<Duration>,
    /// Use this topology instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    pub topology: Option<PathBuf>,
    /// Make each service panic at twenty points chosen by this seed; the outcome must not change.
    #[arg(long, value_name = "SEED")]
    pub faults: Option<u64>,
    /// The member of a bundle that this process is, or `None` to run all services in it.
    #[arg(skip)]
    pub member: Option<Member>,
}

/// One process of a bundle. Earlier processes of the same member have saved their states in
/// `state`; without this directory the states are in memory.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Member {
    /// The node of the topology.
    pub node: String,
    /// The directory of the sockets.
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: PathBuf,
    /// The directory of the saved states.
    #[arg(long, value_name = "DIRECTORY")]
    pub state: Option<PathBuf>,
    /// Write to this file when each enriched swap arrives.
    #[arg(long, value_name = "FILE")]
    pub receipts: Option<PathBuf>,
}

/// A run that has started.
pub struct Run {
    node: Node,
    feed: Option<Running>,
}

impl Run {
    /// Checks everything and starts the feed, if there is one.
    ///
    /// # Errors
    /// If an option is invalid or the feed cannot start; another attempt would fail, too.
    pub async fn prepare<E: Executor + Clone>(options: &Options, executor: &E) -> Result<Self> {
        let topology = topology(options)?;
        let (url, feed) = source(options, executor).await?;
        let node = builder(options, url)?.topology(topology).build()?;
        Ok(Self { node, feed })
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// If a service failed permanently, or a message was lost.
    pub async fn finish(self, executor: impl Executor) -> std::result::Result<Report, StartError> {
        let report = self.node.run(executor).await?;
        if let Some(feed) = self.feed {
            feed.shutdown();
            feed.join().await?;
        }
        Ok(report)
    }
}

/// Returns the URL of the Ethereum node to follow. Without a URL in the options, starts a node that
/// serves the recorded day, and returns it, too.
///
/// # Errors
/// If it cannot listen.
pub async fn source<E: Executor + Clone>(
    options: &Options,
    executor: &E,
) -> Result<(String, Option<Running>)> {
    if let Some(url) = &options.url {
        return Ok((url.clone(), None));
    }
    let feed = Arc::new(Feed::new(options.feed.clone(), options.pairs));
    let (url, feed) = serve(feed, executor).await?;
    Ok((url, Some(feed)))
}

/// Starts a node that serves a feed, and returns its URL, too.
///
/// # Errors
/// If it cannot listen.
pub async fn serve<E: Executor + Clone>(
    feed: Arc<Feed>,
    executor: &E,
) -> Result<(String, Running)> {
    let (sender, address) = oneshot::channel::<Address>();
    let mut sender = Some(sender);
    let node = Node::builder("feed")
        .service(move || FeedServer { feed: feed.clone(), listening: sender.take() });
    let running = node.build()?.start(executor.clone())?;
    match address.await {
        Ok(address) => Ok((format!("ws://{address}"), running)),
        // The service has ended and dropped the sender; the node has the error.
        Err(ended) => Err(running.join().await.map_or_else(Into::into, |_| ended.into())),
    }
}

/// The topology of a run or of its bundle.
fn topology(options: &Options) -> Result<Topology> {
    let topology = match (&options.topology, &options.member) {
        (Some(path), _) => Topology::load(path)?,
        (None, Some(_)) => Topology::parse("bundled.toml", BUNDLED)?,
        (None, None) => Topology::parse("bandit.toml", TOPOLOGY)?,
    };
    Ok(match &options.member {
        Some(member) => topology.in_directory(&member.directory),
        None => topology,
    })
}

/// The nodes of a bundle, each with the nodes that it reads from.
///
/// # Errors
/// If the topology is invalid or does not fit the services.
pub fn bundle(options: &Options, hosts: &[String]) -> Result<Vec<(String, Vec<String>)>> {
    let member = Member { state: None, ..options.member.clone().unwrap_or_default() };
    let mut options = Options { member: Some(member.clone()), ca: None, ..options.clone() };
    let topology = topology(&options)?;
    // `mycelium record` runs the recorder, if the topology has one.
    let recorder = topology.recorder().map(|(node, _)| node);
    let nodes = topology.nodes_of(hosts)?.into_iter().filter(|node| Some(*node) != recorder);
    let nodes: Vec<String> = nodes.map(str::to_owned).collect();
    if nodes.is_empty() {
        return Err(Error::msg("the topology has no node: expected one `[node.NAME]` a process"));
    }
    let mut bundle = Vec::new();
    for node in &nodes {
        options.member = Some(Member { node: node.clone(), ..member.clone() });
        let url = "ws://localhost".to_owned();
        let wired = builder(&options, url)?.topology(topology.clone()).build()?;
        // This launcher does not start nodes of other hosts.
        let sources = wired.reads_from().filter(|source| nodes.iter().any(|node| node == source));
        bundle.push((node.clone(), sources.map(str::to_owned).collect()));
    }
    Ok(bundle)
}

/// Returns the description of the program. This needs no feed, no file and no state.
///
/// # Errors
/// None, unless the program is wrong.
pub fn describe(options: &Options) -> Result<Description> {
    let member = options.member.clone().map(|member| Member { state: None, ..member });
    let options = Options { member, ca: None, store: None, ..options.clone() };
    Ok(builder(&options, "ws://localhost".to_owned())?.describe())
}

/// Returns the builder of the node with its services, without a topology.
///
/// # Errors
/// If an option is invalid, or a saved state cannot be used.
pub fn builder(options: &Options, url: String) -> Result<Builder> {
    let node = Endpoint::new(&url, options.ca.as_deref())?;
    let store = Client::new(options.store.as_deref(), first_rows(options.pairs))?;
    let pools = Pools::new(store, options.refresh.unwrap_or(REFRESH));
    let member = options.member.as_ref();
    let state = member.and_then(|member| Some(member.state.as_ref()?.join(&member.node)));
    let state = state.as_deref();
    // Each message passes two points; the first three services handle some thousand swaps, the last
    // two some fifty signals.
    let faults = |number, calls| match options.faults {
        Some(seed) => Faults::seeded(seed.wrapping_mul(5).wrapping_add(number), calls),
        None => Faults::default(),
    };
    let cursor = Durable::load(state, "PolygonAdapter")?;
    let adapter = PolygonAdapter::new(node, pools.clone(), cursor, faults(0, 12_000));
    let metadata = MetadataService { pools, confirms: state.is_some(), faults: faults(1, 12_000) };
    let detector = ArbitrageDetector {
        detector: Durable::load(state, "ArbitrageDetector")?,
        faults: faults(2, 12_000),
    };
    let writer = SignalWriter {
        path: options.signals.clone(),
        committed: Durable::load(state, "SignalWriter")?,
        faults: faults(3, 80),
    };
    let simulator = FillSimulator {
        ledger: Durable::load(state, "FillSimulator")?,
        gas_price: options.gas_price.unwrap_or(GAS_PRICE),
        faults: faults(4, 80),
    };
    let name = member.map_or("main", |member| &member.node);
    let builder = Node::builder(name).service(move || adapter.clone());
    let builder = match member.and_then(|member| member.receipts.clone()) {
        Some(receipts) => builder.service(move || Meter { receipts: receipts.clone() }),
        None => builder,
    };
    let builder = builder.service(move || metadata.clone()).service(move || detector.clone());
    Ok(builder.service(move || writer.clone()).service(move || simulator.clone()))
}

/// Returns what the services of a node have counted, one count in each line, with the dropped
/// messages, the panics, and the latencies of measured topics.
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    // Writing into a text cannot fail.
    let mut line = |count: u64, name: &str| _ = writeln!(text, "{count:>8} {name}");
    for Metric { name, labels, value, .. } in Metric::of(&report.counters) {
        let count = match value {
            MetricValue::Counter(count) => count,
            MetricValue::Gauge(value) => value.unsigned_abs(),
            _ => 0,
        };
        if count > 0 {
            let labels: String = labels.iter().map(|(_, value)| format!(" of {value}")).collect();
            line(count, &(name + &labels));
        }
    }
    let lost = ["overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left", "unknown"];
    let edges = report.counters.iter().filter(|line| line.kind == Kind::Edge);
    line(edges.flat_map(|edge| lost.map(|name| edge.value(name))).sum(), "drops");
    for service in report.services.iter().filter(|service| service.panics > 0) {
        line(service.panics, &format!("panics of {}", service.name));
    }
    for latency in Latency::of(&report.counters) {
        let at = |part| latency.nanoseconds.quantile(part).unwrap_or(0) / 1000;
        let (p50, p99, reader) = (at(0.5), at(0.99), &latency.reader);
        line(latency.nanoseconds.count(), &format!("to {reader}: p50 {p50} µs, p99 {p99} µs"));
    }
    text
}
