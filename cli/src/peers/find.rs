//! Finds nodes and the topics that they publish, and how to reach them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mycelium::error::Code;
use mycelium::untyped::{
    Access, CatalogueEntry, Endpoint, Identity, LinkConfig, UntypedError, UntypedPeer,
    private_directories, private_directory,
};
use mycelium::{Start, Topology};
use mycelium_executor::Executor;
use mycelium_smol::Smol;

use super::args::PeerArgs;
use super::names::{listed, nearest};
use crate::shared::exit::Failure;

/// A node that has answered.
pub(crate) struct Found {
    /// The name of the node, from its socket or the file.
    pub(crate) name: String,
    pub(crate) peer: UntypedPeer,
    /// The topics that may be read from the node.
    pub(crate) topics: Vec<CatalogueEntry>,
}

impl Found {
    /// Returns whether the node has a topic with at least so many publishers.
    fn publishes(&self, topic: &str, least: u32) -> bool {
        let mut topics = self.topics.iter();
        topics.any(|entry| entry.topic == topic && entry.publishers >= least)
    }
}

/// Returns the nodes that answer. The tool comes as the node of the command line, or as `own`.
pub(crate) async fn found(args: &PeerArgs, own: &str, smol: &Smol) -> Result<Vec<Found>, Failure> {
    let candidates = match load(args)? {
        Some(topology) => of_topology(args, &topology)?,
        None => of_sockets(args)?,
    };
    let own = args.own.as_deref().unwrap_or(own);
    let (mut answered, mut silent) = (Vec::new(), Vec::new());
    for (name, endpoints) in candidates {
        let identity = Identity::new(own, smol.entropy());
        let identity =
            identity.map_err(|error| Failure::Usage(format!("node `{own}`: {error}")))?;
        let (node, config) = (Some(name.clone()), LinkConfig::default());
        let executor = Arc::new(smol.clone());
        let peer = UntypedPeer { node, endpoints, identity, config, executor };
        match peer.catalogue().await {
            Ok((_, topics)) => answered.push(Found { name, peer, topics }),
            Err(error) if args.node.is_some() => return Err(unreachable(&name, &error)),
            Err(error) => silent.push(unreachable(&name, &error)),
        }
    }
    if answered.is_empty() { Err(nobody(args, silent)) } else { Ok(answered) }
}

/// The recorder of a topology, and the other nodes as its node reaches them.
pub(crate) struct Recorder {
    pub(crate) topics: Vec<String>,
    pub(crate) peers: Vec<(String, UntypedPeer)>,
}

/// How long confirmations of the recorder may be delayed. It is done with many messages at once,
/// and services may wait for them.
const CONFIRM: Duration = Duration::from_millis(1);

/// Returns the recorder of the topology on the command line, if it has one, and the command line
/// names no other node.
pub(crate) fn recorder(args: &PeerArgs, smol: &Smol) -> Result<Option<Recorder>, Failure> {
    let Some(topology) = load(args)? else { return Ok(None) };
    let Some((own, topics)) = topology.recorder() else { return Ok(None) };
    if args.node.is_some() || args.own.as_deref().is_some_and(|name| name != own) {
        return Ok(None);
    }
    let entropy = smol.entropy();
    let identity = Identity::new(own, entropy);
    let identity = identity.map_err(|error| Failure::Usage(format!("node `{own}`: {error}")))?;
    let others = topology.nodes().filter(|node| *node != own);
    let peers = others.map(|node| {
        let endpoints = topology.reach(node, Some(own)).map_err(Failure::usage)?;
        let mut config = topology.link(node, own);
        config.confirm = config.confirm.min(CONFIRM);
        let executor = Arc::new(smol.clone());
        let (identity, name) = (identity, Some(node.to_owned()));
        Ok((node.to_owned(), UntypedPeer { node: name, endpoints, identity, config, executor }))
    });
    let topics = topics.into_iter().map(str::to_owned).collect();
    Ok(Some(Recorder { topics, peers: peers.collect::<Result<_, Failure>>()? }))
}

/// Loads the topology file of the command line.
fn load(args: &PeerArgs) -> Result<Option<Topology>, Failure> {
    let Some(file) = &args.topology else { return Ok(None) };
    let topology = Topology::load(file).map_err(Failure::usage)?;
    Ok(Some(match &args.directory {
        Some(directory) => topology.in_directory(directory),
        None => topology,
    }))
}

/// Returns the nodes that publish the topic. Nodes without a publisher count only if no node has
/// one, because they only read the topic, or their publishers have not started.
///
/// # Errors
/// If no node has the topic.
pub(crate) async fn publishing<'n>(
    args: &PeerArgs,
    topic: &str,
    nodes: &'n [Found],
) -> Result<Vec<&'n Found>, Failure> {
    let least = u32::from(nodes.iter().any(|of| of.publishes(topic, 1)));
    let publishing: Vec<_> = nodes.iter().filter(|of| of.publishes(topic, least)).collect();
    if publishing.is_empty() { Err(no_topic(args, topic, nodes).await) } else { Ok(publishing) }
}

/// Returns the nodes of a topology file.
fn of_topology(
    args: &PeerArgs,
    topology: &Topology,
) -> Result<Vec<(String, Vec<Endpoint>)>, Failure> {
    let here: [&str; 0] = [];
    let names = match &args.node {
        Some(node) => vec![&**node],
        None => topology.nodes_of(&here).map_err(Failure::usage)?,
    };
    if names.is_empty() {
        let file = args.topology.iter().map(|file| file.display().to_string());
        return Err(Failure::Usage(format!("{}: the file has no nodes", file.collect::<String>())));
    }
    let reached = names.into_iter().map(|node| {
        let endpoints = topology.reach(node, args.own.as_deref());
        Ok((node.to_owned(), endpoints.map_err(Failure::usage)?))
    });
    reached.collect()
}

/// Returns the nodes whose sockets are in the directory, or in the private directories of this
/// user.
fn of_sockets(args: &PeerArgs) -> Result<Vec<(String, Vec<Endpoint>)>, Failure> {
    let failed = |error| Failure::Unavailable(format!("{}: {error}", places(args)));
    let directories: Vec<PathBuf> = match &args.directory {
        Some(directory) => vec![directory.clone()],
        None => private_directories().map_err(failed)?.into_iter().map(|(_, path)| path).collect(),
    };
    let mut found: BTreeMap<String, Vec<Endpoint>> = BTreeMap::new();
    for directory in &directories {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if args.directory.is_some() => {
                return Err(Failure::Usage(format!("{}: {error}", directory.display())));
            }
            // The directory has been removed meanwhile, or belongs to another user.
            Err(error) if [NotFound, PermissionDenied].contains(&error.kind()) => continue,
            Err(error) => {
                return Err(Failure::Unavailable(format!("{}: {error}", directory.display())));
            }
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let stem = path.file_stem().and_then(OsStr::to_str);
            let name = stem.filter(|_| path.extension() == Some(OsStr::new("sock")));
            if let Some(name) =
                name.filter(|name| args.node.as_deref().is_none_or(|it| it == *name))
            {
                let endpoint = Endpoint::unix(&path, Access::default());
                found.entry(name.to_owned()).or_default().push(endpoint);
            }
        }
    }
    if found.is_empty() {
        return Err(match &args.node {
            Some(node) => Failure::Unavailable(format!(
                "no socket of node `{}` in {}: {OBSERVERS}",
                node.escape_debug(),
                places(args)
            )),
            None => nobody(args, Vec::new()),
        });
    }
    // Sockets with one name in several directories belong to different nodes.
    let apart = found.into_iter().flat_map(|(name, endpoints)| {
        endpoints.into_iter().map(move |endpoint| (name.clone(), vec![endpoint]))
    });
    Ok(apart.collect())
}

/// The end of a message: what to do if a node runs and is not found.
const OBSERVERS: &str = "a node listens if another node reads from it, or if its section of the \
                         topology has `observers = true`";

fn places(args: &PeerArgs) -> String {
    match &args.directory {
        Some(directory) => directory.display().to_string(),
        None => private_directory("*").display().to_string(),
    }
}

/// Returns the failure that no node has answered.
fn nobody(args: &PeerArgs, mut failures: Vec<Failure>) -> Failure {
    match failures.len() {
        0 => Failure::Unavailable(format!("no node listens in {}: {OBSERVERS}", places(args))),
        1 => failures.remove(0),
        count => {
            let all: Vec<String> = failures.iter().map(|it| format!("\n  {it}")).collect();
            Failure::Unavailable(format!("none of {count} nodes answers:{}", all.concat()))
        }
    }
}

/// Returns the failure of a node that cannot be reached, or does not list its topics.
fn unreachable(node: &str, error: &UntypedError) -> Failure {
    match (unavailable(node, error), error) {
        (Failure::Unavailable(text), UntypedError::Connect(_))
            if error.code() == Code::PEER_UNREACHABLE =>
        {
            Failure::Unavailable(with_hint(&text, OBSERVERS))
        }
        (failure, _) => failure,
    }
}

/// Returns an error and a hint, with the code of the error at the end.
fn with_hint(error: &str, hint: &str) -> String {
    match Code::split(error) {
        (text, Some(code)) => format!("{text}; {hint} [{code}]"),
        (text, None) => format!("{text}; {hint}"),
    }
}

/// Returns the failure that no node lists the topic. The topic may be one that this side may not
/// read.
async fn no_topic(args: &PeerArgs, topic: &str, answered: &[Found]) -> Failure {
    for tapped in answered {
        let reader = tapped.peer.read(topic, Start::Next);
        let Ok(mut reader) = reader else { continue };
        if let Err(error @ UntypedError::Forbidden { .. }) = reader.recv().await {
            let hint = match &args.own {
                Some(own) => format!(
                    "name `{own}` in them, and use TLS or a Unix socket, or write `trust = \
                     \"network\"` in `[link.\"{}-{own}\"]`",
                    tapped.name
                ),
                None => "come as one of them: `--as NODE` with `--topology FILE`".to_owned(),
            };
            return Failure::Unavailable(with_hint(&error.to_string(), &hint));
        }
    }
    let mut text = format!("no topic `{}`", topic.escape_debug());
    let published = |of: &Found| -> Vec<String> {
        let topics = of.topics.iter().filter(|entry| entry.publishers > 0);
        topics.map(|entry| entry.topic.clone()).collect()
    };
    let all: Vec<String> = answered.iter().flat_map(published).collect();
    if let Some(nearest) = nearest(topic, &all) {
        text.push_str(&format!(": did you mean `{}`?", nearest.escape_debug()));
    }
    for of in answered {
        let topics = match &published(of)[..] {
            [] => "nothing that may be read".to_owned(),
            topics => listed(topic, topics),
        };
        text += &format!("\n  node `{}` publishes {topics}", of.name.escape_debug());
    }
    Failure::Unavailable(text)
}

/// Returns the failure of reading from a node.
pub(crate) fn unavailable(node: &str, error: &UntypedError) -> Failure {
    match error {
        UntypedError::Name { .. } => Failure::usage(error),
        // The text of these errors has the name of the node already.
        UntypedError::NoCatalogue { .. }
        | UntypedError::TooManyTopics { .. }
        | UntypedError::Silent { .. }
        | UntypedError::Answer { .. }
        | UntypedError::Catalogue { .. }
        | UntypedError::Layout { .. }
        | UntypedError::NoTopic { .. }
        | UntypedError::Forbidden { .. }
        | UntypedError::Rejected { .. }
        | UntypedError::Message { .. } => Failure::Unavailable(error.to_string()),
        _ => Failure::Unavailable(format!("node `{node}`: {error}")),
    }
}
