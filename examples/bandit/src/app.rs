//! Puts the services into nodes and runs them: the application as a function of its options, for
//! `main` and for tests.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_channel::oneshot;
use mycelium::{
    BuildError, Builder, Description, Kept, Node, Report, Running, StartError, Topology,
    TopologyError,
    counters::{Kind, Reading},
};
use mycelium_executor::{Address, Executor};

use crate::{
    durable::{StateError, States},
    faults::Faults,
    feed::{Feed, Settings},
    figures::Figures,
    metadata::{Db, MetadataError},
    recording::{Recording, RecordingError},
    services::{
        ArbitrageDetector, Board, FeedServer, MetadataService, PolygonAdapter, SignalWriter,
    },
    socket::{Endpoint, EndpointError},
};

/// The built-in topology.
const TOPOLOGY: &str = include_str!("../bandit.toml");
/// The built-in topology of three processes.
const BUNDLED: &str = include_str!("../bundled.toml");
/// The same, with traces and metrics: its name, and its text, which includes that of three
/// processes.
pub const OBSERVED: [(&str, &str); 2] =
    [("observed.toml", include_str!("../observed.toml")), ("bundled.toml", BUNDLED)];
/// The number of faults in each service.
const FAULTS: usize = 20;

/// The options of a run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The node to follow, or `None` for the recorded day.
    pub url: Option<String>,
    /// The recording to replay, or `None` for the built-in one.
    pub recording: Option<PathBuf>,
    /// How the recorded day is replayed.
    pub feed: Settings,
    /// The metadata database, or `None` for one in memory.
    pub database: Option<PathBuf>,
    /// The file of signals, if any.
    pub signals: Option<PathBuf>,
    /// The topology, or `None` for the built-in one.
    pub topology: Option<PathBuf>,
    /// The member of a bundle that this process is, or `None` to run all services in it.
    pub member: Option<Member>,
    /// The seed of the faults, if any.
    pub faults: Option<u64>,
}

/// One process of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// The node of the topology.
    pub node: String,
    /// The directory of the sockets.
    pub directory: PathBuf,
    /// The directory of the saved states, with those of earlier processes. `None` keeps the states
    /// in memory.
    pub state: Option<PathBuf>,
}

/// A run failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The topology is invalid.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The recording cannot be loaded.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The metadata cannot be read.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The states of the services cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The URL of the node is invalid.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The services do not fit together.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A node did not start, or did not end well.
    #[error(transparent)]
    Node(#[from] StartError),
    /// The counters do not account for every message.
    #[error("messages are unaccounted for: {0}")]
    Unaccounted(String),
}

impl Failure {
    /// Whether another attempt would fail in the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Node(error) => error.is_permanent(),
            Self::Unaccounted(_) => false,
            _ => true,
        }
    }
}

/// A run that has started.
pub struct Run {
    /// Its figures.
    pub board: Board,
    /// The source of its logs, for the user.
    pub source: String,
    /// The faults of each service, by its name.
    pub faults: BTreeMap<&'static str, Faults>,
    node: Node,
    feed: Option<Running>,
}

impl Run {
    /// Checks everything and starts the feed, if there is one.
    ///
    /// # Errors
    /// If an option is invalid or the feed cannot start.
    pub async fn prepare<E: Executor + Clone>(
        options: &Options,
        executor: &E,
    ) -> Result<Self, Failure> {
        let topology = topology(options)?;
        let pools = known_pools(options.database.as_deref())?;
        let (url, source, feed, total) = match &options.url {
            Some(url) => (url.clone(), url.clone(), None, None),
            None => {
                let recording = load(options.recording.as_deref())?;
                let source = format!("replays {} recorded logs", recording.len());
                let total = recording.len() as u64;
                let feed = Arc::new(Feed::new(recording, options.feed.clone()));
                let (running, address) = serve(feed, "127.0.0.1:0", executor.clone()).await?;
                (format!("ws://{address}"), source, Some(running), Some(total))
            }
        };
        let mut figures = Figures::new(total);
        pools.iter().for_each(|pool| figures.add_pool(pool));
        let board = Board::new(figures);
        let faults = faults(options.faults);
        let addresses = pools.iter().map(|pool| pool.address).collect();
        let node = wire(options, topology, url, addresses, &board, &faults)?;
        Ok(Self { board, source, faults, node, feed })
    }

    /// Runs to the end and checks that every message is accounted for.
    ///
    /// # Errors
    /// If a service failed permanently, or a message was lost.
    pub async fn finish(self, executor: impl Executor) -> Result<Report, Failure> {
        let report = self.node.run(executor).await?;
        if let Some(feed) = self.feed {
            feed.shutdown();
            feed.join().await?;
        }
        let drops = account_for_all(&report.counters)?;
        // The subscribers have counted the drops that gaps reported.
        let mut figures = self.board.figures();
        let reported = figures.drops();
        figures.count_drops(drops.saturating_sub(reported));
        drop(figures);
        Ok(report)
    }
}

/// The topology of a run or of its bundle.
fn topology(options: &Options) -> Result<Topology, Failure> {
    let (name, text) = match options.member {
        Some(_) => ("bundled.toml", BUNDLED),
        None => ("bandit.toml", TOPOLOGY),
    };
    let topology = match &options.topology {
        Some(path) => Topology::load(path),
        None => Topology::parse(name, text),
    };
    let topology = topology?;
    Ok(match &options.member {
        Some(member) => topology.in_directory(&member.directory),
        None => topology,
    })
}

/// The nodes of a bundle, each with the nodes that it reads from.
///
/// # Errors
/// If the topology is invalid or does not fit the services.
pub fn bundle(options: &Options, hosts: &[String]) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let mut options = Options { member: Some(Member::default()), ..options.clone() };
    let topology = topology(&options)?;
    let nodes: Vec<String> = topology.nodes_of(hosts)?.into_iter().map(str::to_owned).collect();
    let mut bundle = Vec::new();
    for node in &nodes {
        options.member = Some(Member { node: node.clone(), ..Member::default() });
        let board = Board::new(Figures::new(None));
        let url = "ws://localhost".to_owned();
        let wired = wire(&options, topology.clone(), url, Vec::new(), &board, &faults(None))?;
        // This launcher does not start nodes of other hosts.
        let sources = wired.reads_from().filter(|source| nodes.iter().any(|node| node == source));
        let sources = sources.map(str::to_owned).collect();
        bundle.push((node.clone(), sources));
    }
    Ok(bundle)
}

/// What the program says of itself. It needs no feed, no file and no state.
///
/// # Errors
/// None, unless the program is wrong.
pub fn describe(options: &Options) -> Result<Description, Failure> {
    let member = options.member.clone().map(|member| Member { state: None, ..member });
    let options = Options { member, ..options.clone() };
    let (board, url) = (Board::new(Figures::new(None)), "ws://localhost".to_owned());
    Ok(builder(&options, url, Vec::new(), &board, &faults(None))?.describe())
}

/// Starts a node that serves `feed` at `listen`.
///
/// # Errors
/// If it cannot listen there.
pub async fn serve(
    feed: Arc<Feed>,
    listen: &str,
    executor: impl Executor,
) -> Result<(Running, Address), Failure> {
    let (sender, address) = oneshot::channel();
    let mut sender = Some(sender);
    let listen = Kept::new(listen.to_owned());
    let node = Node::builder("feed")
        .service(move || FeedServer::new(feed.clone(), listen.clone(), sender.take()))
        .build()?;
    let running = node.start(executor)?;
    listening(running, address).await
}

/// Waits for the address of a node that has started to listen.
pub(crate) async fn listening(
    running: Running,
    address: oneshot::Receiver<Address>,
) -> Result<(Running, Address), Failure> {
    let Ok(address) = address.await else {
        // The service has ended and dropped the sender; the node has the error.
        running.join().await?;
        return Err(Failure::Unaccounted("a server ended before it was listening".to_owned()));
    };
    Ok((running, address))
}

/// Loads a recording, or the built-in one.
///
/// # Errors
/// If it cannot be read.
pub fn load(path: Option<&Path>) -> Result<Recording, Failure> {
    path.map_or_else(Recording::embedded, Recording::open).map_err(Failure::Recording)
}

fn known_pools(database: Option<&Path>) -> Result<Vec<crate::metadata::Pool>, Failure> {
    let db = database.map_or_else(Db::in_memory, Db::open)?;
    db.pools().map_err(Failure::Metadata)
}

/// The states of the services of this process.
fn states(options: &Options) -> Result<States, Failure> {
    let Some(Member { node, state: Some(directory), .. }) = &options.member else {
        return Ok(States::in_memory());
    };
    States::open(&directory.join(format!("{node}.sqlite"))).map_err(Failure::State)
}

/// The faults of each service. Each message passes two points; the first three services handle some
/// thousand swaps, the last one some fifty signals.
fn faults(seed: Option<u64>) -> BTreeMap<&'static str, Faults> {
    let calls = [
        ("PolygonAdapter", 12_000),
        ("MetadataService", 12_000),
        ("ArbitrageDetector", 12_000),
        ("SignalWriter", 80),
    ];
    let seeded = |index: u64, calls| {
        seed.map_or_else(Faults::none, |seed| {
            Faults::seeded(seed.wrapping_mul(4).wrapping_add(index), FAULTS, calls)
        })
    };
    calls
        .into_iter()
        .zip(0..)
        .map(|((service, calls), index)| (service, seeded(index, calls)))
        .collect()
}

/// The node with its services.
fn wire(
    options: &Options,
    topology: Topology,
    url: String,
    pools: Vec<[u8; 20]>,
    board: &Board,
    faults: &BTreeMap<&'static str, Faults>,
) -> Result<Node, Failure> {
    let builder = builder(options, url, pools, board, faults)?;
    builder.topology(topology).build().map_err(Failure::Build)
}

fn builder(
    options: &Options,
    url: String,
    pools: Vec<[u8; 20]>,
    board: &Board,
    faults: &BTreeMap<&'static str, Faults>,
) -> Result<Builder, Failure> {
    let faults = |service| faults.get(service).cloned().unwrap_or_default();
    let endpoint = Endpoint::parse(&url)?;
    let states = states(options)?;
    let cursor = states.state("PolygonAdapter")?;
    let adapter = {
        let (board, faults) = (board.clone(), faults("PolygonAdapter"));
        move || {
            PolygonAdapter::new(
                url.clone(),
                endpoint.clone(),
                pools.clone(),
                cursor.clone(),
                board.clone(),
                faults.clone(),
            )
        }
    };
    let metadata = {
        let (path, board) = (options.database.clone(), board.clone());
        let (faults, confirms) = (faults("MetadataService"), states.are_durable());
        move || MetadataService::new(path.clone(), confirms, board.clone(), faults.clone())
    };
    let detector = {
        let state = states.state("ArbitrageDetector")?;
        let board = board.clone();
        let faults = faults("ArbitrageDetector");
        move || ArbitrageDetector::new(state.clone(), board.clone(), faults.clone())
    };
    let writer = {
        let state = states.state("SignalWriter")?;
        let (path, board) = (options.signals.clone(), board.clone());
        let faults = faults("SignalWriter");
        move || SignalWriter::new(path.clone(), state.clone(), board.clone(), faults.clone())
    };
    let name = options.member.as_ref().map_or("main", |member| &member.node);
    let builder = Node::builder(name).service(adapter).service(metadata);
    Ok(builder.service(detector).service(writer))
}

/// Checks that each message sent was received or dropped, and returns the number of drops.
fn account_for_all(counters: &[Reading]) -> Result<u64, Failure> {
    let mut drops = 0;
    for feed in counters.iter().filter(|line| line.kind == Kind::Edge) {
        let publisher = counters.iter().find(|line| {
            let same = |key| line.label(key) == feed.label(key);
            line.kind == Kind::Publisher && same("topic") && same("publisher") && same("epoch")
        });
        let (sent, no_subscribers) =
            publisher.map_or((0, 0), |line| (line.value("sent"), line.value("no_subscribers")));
        let dropped: u64 =
            ["overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left", "unknown"]
                .map(|name| feed.value(name))
                .iter()
                .sum();
        // A link may deliver messages after the end of the reader. Nobody has dropped them.
        let accounted = feed.value("joined_at") + feed.value("taken") + dropped;
        if !(accounted..=accounted + no_subscribers).contains(&sent) {
            return Err(Failure::Unaccounted(feed.label.clone()));
        }
        drops += dropped;
    }
    Ok(drops)
}
