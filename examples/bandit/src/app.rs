//! Puts the services into nodes and runs them: the application as a function of its settings, for
//! `main` and for tests.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_channel::oneshot;
use mycelium::{
    BuildError, Kept, Node, Report, Running, StartError, Topology, TopologyError,
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

/// The topology that bandit brings along.
const TOPOLOGY: &str = include_str!("../bandit.toml");
/// The same services as three processes.
const BUNDLED: &str = include_str!("../bundled.toml");
/// How many faults a seed makes in each service.
const FAULTS: usize = 20;

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The node to follow; the recorded day if there is none.
    pub url: Option<String>,
    /// The recording to replay; the one that bandit brings along if there is none.
    pub recording: Option<PathBuf>,
    /// How the recorded day is replayed.
    pub feed: Settings,
    /// The metadata; in memory if there is no file.
    pub database: Option<PathBuf>,
    /// Where to write the signals.
    pub signals: Option<PathBuf>,
    /// The topology; bandit's own if there is none.
    pub topology: Option<PathBuf>,
    /// The process of a bundle that this is; all services run in this one if it is none.
    pub member: Option<Member>,
    /// Makes each service panic at twenty points.
    pub faults: Option<u64>,
}

/// One process of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// Which node of the topology it runs.
    pub node: String,
    /// Where the processes of the bundle meet.
    pub directory: PathBuf,
    /// Where the states of its services outlive it: what a process before it saved is there. In
    /// memory if there is no directory.
    pub state: Option<PathBuf>,
}

/// What is in the way of a run.
#[derive(Debug)]
pub enum Failure {
    /// The topology file.
    Topology(TopologyError),
    /// The recording.
    Recording(RecordingError),
    /// The metadata.
    Metadata(MetadataError),
    /// The states of its services.
    State(StateError),
    /// The node's URL.
    Endpoint(EndpointError),
    /// The services do not fit together.
    Build(BuildError),
    /// A node did not start, or did not end well.
    Node(StartError),
    /// A message was lost, and nothing says where.
    Unaccounted(String),
}

impl Failure {
    /// Whether another try would fail in the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Node(error) => error.is_permanent(),
            Self::Unaccounted(_) => false,
            _ => true,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topology(error) => error.fmt(f),
            Self::Recording(error) => error.fmt(f),
            Self::Metadata(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Endpoint(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::Node(error) => error.fmt(f),
            Self::Unaccounted(feed) => write!(f, "messages are unaccounted for: {feed}"),
        }
    }
}

impl std::error::Error for Failure {}

/// A run that has begun.
pub struct Run {
    /// Where its figures are.
    pub board: Board,
    /// Where its logs come from, for people.
    pub source: String,
    /// The faults of each service, by its name.
    pub faults: BTreeMap<&'static str, Faults>,
    node: Node,
    feed: Option<Running>,
}

impl Run {
    /// Checks everything and starts the feed, if the run has one of its own.
    ///
    /// # Errors
    /// If anything is in the way.
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
    /// If a service failed for good, or a message was lost.
    pub async fn finish(self, executor: impl Executor) -> Result<Report, Failure> {
        let report = self.node.run(executor).await.map_err(Failure::Node)?;
        if let Some(feed) = self.feed {
            feed.shutdown();
            feed.join().await.map_err(Failure::Node)?;
        }
        let drops = account_for_all(&report.counters)?;
        // The readers have counted those that they were told of.
        let mut figures = self.board.figures();
        let told = figures.drops();
        figures.count_drops(drops.saturating_sub(told));
        drop(figures);
        Ok(report)
    }
}

/// The topology of a run, or of the bundle that it is a member of.
fn topology(options: &Options) -> Result<Topology, Failure> {
    let (name, text) = match options.member {
        Some(_) => ("bundled.toml", BUNDLED),
        None => ("bandit.toml", TOPOLOGY),
    };
    let topology = match &options.topology {
        Some(path) => Topology::load(path),
        None => Topology::parse(name, text),
    };
    let topology = topology.map_err(Failure::Topology)?;
    Ok(match &options.member {
        Some(member) => topology.in_directory(&member.directory),
        None => topology,
    })
}

/// The nodes of a bundle, each with those that it reads from.
///
/// # Errors
/// If the topology is wrong, or does not fit the services.
pub fn bundle(options: &Options) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let nowhere = Member::default();
    let mut options = Options { member: Some(nowhere), ..options.clone() };
    let nodes: Vec<String> = topology(&options)?.nodes().map(str::to_owned).collect();
    let mut bundle = Vec::new();
    for node in nodes {
        options.member = Some(Member { node: node.clone(), ..Member::default() });
        let board = Board::new(Figures::new(None));
        let url = "ws://localhost".to_owned();
        let wired = wire(&options, topology(&options)?, url, Vec::new(), &board, &faults(None))?;
        bundle.push((node, wired.reads_from().map(str::to_owned).collect()));
    }
    Ok(bundle)
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
    let (sender, listening) = oneshot::channel();
    let mut sender = Some(sender);
    let listen = Kept::new(listen.to_owned());
    let node = Node::builder("feed")
        .service(move || FeedServer::new(feed.clone(), listen.clone(), sender.take()))
        .build()
        .map_err(Failure::Build)?;
    let running = node.start(executor).map_err(Failure::Node)?;
    match listening.await {
        Ok(address) => Ok((running, address)),
        // The service is gone, and with it the sender: the node says why.
        Err(_) => match running.join().await {
            Err(error) => Err(Failure::Node(error)),
            Ok(_) => Err(Failure::Unaccounted("the feed ended before it began".to_owned())),
        },
    }
}

/// Loads a recording, or the one that bandit brings along.
///
/// # Errors
/// If it cannot be read.
pub fn load(path: Option<&Path>) -> Result<Recording, Failure> {
    path.map_or_else(Recording::embedded, Recording::open).map_err(Failure::Recording)
}

fn known_pools(database: Option<&Path>) -> Result<Vec<crate::metadata::Pool>, Failure> {
    let db = database.map_or_else(Db::in_memory, Db::open).map_err(Failure::Metadata)?;
    db.pools().map_err(Failure::Metadata)
}

/// Where the services of this process keep their states.
fn states(options: &Options) -> Result<States, Failure> {
    let Some(Member { node, state: Some(directory), .. }) = &options.member else {
        return Ok(States::in_memory());
    };
    States::open(&directory.join(format!("{node}.sqlite"))).map_err(Failure::State)
}

/// The faults of each service: a few thousand swaps pass by the first three, some fifty signals by
/// the last, each with two points.
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

fn wire(
    options: &Options,
    topology: Topology,
    url: String,
    pools: Vec<[u8; 20]>,
    board: &Board,
    faults: &BTreeMap<&'static str, Faults>,
) -> Result<Node, Failure> {
    let faults = |service| faults.get(service).cloned().unwrap_or_default();
    let endpoint = Endpoint::parse(&url).map_err(Failure::Endpoint)?;
    let states = states(options)?;
    let cursor = states.state("PolygonAdapter").map_err(Failure::State)?;
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
        let state = states.state("ArbitrageDetector").map_err(Failure::State)?;
        let board = board.clone();
        let faults = faults("ArbitrageDetector");
        move || ArbitrageDetector::new(state.clone(), board.clone(), faults.clone())
    };
    let writer = {
        let state = states.state("SignalWriter").map_err(Failure::State)?;
        let (path, board) = (options.signals.clone(), board.clone());
        let faults = faults("SignalWriter");
        move || SignalWriter::new(path.clone(), state.clone(), board.clone(), faults.clone())
    };
    Node::builder(options.member.as_ref().map_or("main", |member| &member.node))
        .topology(topology)
        .service(adapter)
        .service(metadata)
        .service(detector)
        .service(writer)
        .build()
        .map_err(Failure::Build)
}

/// Checks that what was sent is what was taken and dropped, and returns what was dropped.
fn account_for_all(counters: &[Reading]) -> Result<u64, Failure> {
    let mut drops = 0;
    for feed in counters.iter().filter(|line| line.kind == Kind::Edge) {
        let publisher = counters.iter().find(|line| {
            let same = |key| line.label(key) == feed.label(key);
            line.kind == Kind::Publisher && same("topic") && same("publisher") && same("epoch")
        });
        let sent = publisher.map_or(0, |line| line.value("sent"));
        let dropped: u64 = ["overwritten", "skipped", "dead_lettered", "left", "unknown"]
            .map(|name| feed.value(name))
            .iter()
            .sum();
        if sent != feed.value("joined_at") + feed.value("taken") + dropped {
            return Err(Failure::Unaccounted(feed.label.clone()));
        }
        drops += dropped;
    }
    Ok(drops)
}
