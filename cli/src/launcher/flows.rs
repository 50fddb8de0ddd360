//! The *flows*: which nodes send to which, as far as their programs describe it. `mycelium check`
//! finds that out in a separate process.
//!
//! A program that does not describe itself still runs, but the topics of its node are unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use mycelium::topology::TopologyFiles;
use serde_json::Value;

use super::notify::VARIABLES;
use crate::bundle::wire::UpRequest;
use crate::shared::exit::Failure;

/// The time limit for each program to print its description.
const PATIENCE: &str = "5s";

/// The topics of each node. Nodes whose programs do not describe themselves are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    nodes: BTreeMap<String, Topics>,
}

/// The topics of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    /// Topics to which services of the node publish.
    pub publishes: BTreeSet<String>,
    /// Topics that services of the node read.
    pub reads: BTreeSet<String>,
}

impl Flows {
    /// Adds a node.
    pub fn add(&mut self, node: &str, topics: Topics) {
        self.nodes.insert(node.to_owned(), topics);
    }

    /// Returns the topics of a node, if they are known.
    pub fn of(&self, node: &str) -> Option<&Topics> {
        self.nodes.get(node)
    }

    /// Returns the nodes that send to this one.
    pub fn feeders(&self, node: &str) -> Vec<String> {
        let Some(own) = self.of(node) else { return Vec::new() };
        let others = self
            .nodes
            .iter()
            .filter(|(other, topics)| *other != node && !topics.publishes.is_disjoint(&own.reads));
        others.map(|(other, _)| other.clone()).collect()
    }

    /// Returns the changes of the topics that this node exchanges with others, as a text, or `None`
    /// without changes. Compares only nodes whose topics are known both now and before.
    pub fn differs_from(&self, before: &Flows, node: &str) -> Option<String> {
        let others = self.nodes.keys().filter(|other| *other != node);
        let differing: Vec<String> = others
            .filter(|other| match (self.between(node, other), before.between(node, other)) {
                (Some(now), Some(before)) => now != before,
                _ => false,
            })
            .map(|other| format!("its topics with `{other}`"))
            .collect();
        (!differing.is_empty()).then(|| format!("{} changed", differing.join(", ")))
    }

    /// Returns whether two nodes exchange messages, if that is known.
    pub fn are_peers(&self, one: &str, other: &str) -> Option<bool> {
        Some(!self.between(one, other)?.is_empty())
    }

    /// Returns the topics that two nodes exchange, each with the publishing node. `None` if the
    /// topics of one of the two are not known.
    pub fn between(&self, one: &str, other: &str) -> Option<BTreeSet<String>> {
        let (first, second) = (self.of(one)?, self.of(other)?);
        let to = |from: &Topics, to: &Topics, name: &str| -> Vec<String> {
            from.publishes
                .intersection(&to.reads)
                .map(|topic| format!("{topic} of {name}"))
                .collect()
        };
        let mut topics = to(first, second, one);
        topics.extend(to(second, first, other));
        Some(topics.into_iter().collect())
    }
}

/// The inputs of a plan, except the descriptions of programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The command for nodes that have none in the file.
    pub program: Vec<String>,
    /// The texts of the file, and of the files that it includes.
    pub files: TopologyFiles,
}

/// The last flows that programs have described, with their source. With them, a program that is
/// late on a busy machine does not restart nodes whose file has not changed.
#[derive(Debug, Default)]
pub struct Described(Mutex<Option<(Source, Flows)>>);

impl Described {
    /// Returns the flows `found` now, or the earlier flows if none were found and the source is the
    /// same.
    pub fn update(&self, source: &Source, found: Option<Flows>) -> Flows {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (found, &*last) {
            (Some(flows), _) => {
                *last = Some((source.clone(), flows.clone()));
                flows
            }
            (None, Some((before, flows))) if before == source => flows.clone(),
            (None, _) => Flows::default(),
        }
    }
}

/// Returns the topics of a request's nodes, as their programs describe them with this copy of the
/// topology's files, or the reason why they are unknown: a program does not describe itself in time,
/// or cannot run here.
///
/// # Errors
/// If the nodes contradict each other.
pub fn flows(request: &UpRequest, files: &Path) -> Result<Result<Flows, String>, Failure> {
    let Output { status, stdout, stderr } = match check(request, files) {
        Ok(output) => output,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let errors = String::from_utf8_lossy(&stderr);
    let errors = errors.trim_end();
    let text = errors.strip_prefix("error: ").unwrap_or(errors).to_owned();
    match status.code() {
        Some(0) => Ok(parse(&stdout).ok_or(text)),
        // This exit code means that the topology has mistakes.
        Some(1) => Err(Failure::Found(text)),
        _ => Ok(Err(text)),
    }
}

/// Runs `mycelium check`.
fn check(request: &UpRequest, files: &Path) -> io::Result<Output> {
    let mut check = Command::new(env::current_exe()?);
    check.arg("check").arg(&request.file).args(["--output", "json", "--timeout", PATIENCE]);
    check.arg("--files").arg(files);
    if !request.program.is_empty() {
        check.arg("--").args(&request.program);
    }
    for variable in VARIABLES {
        check.env_remove(variable);
    }
    check.output()
}

/// Returns the topics of the nodes in the JSON of an overview.
fn parse(overview: &[u8]) -> Option<Flows> {
    let overview: Value = serde_json::from_slice(overview).ok()?;
    let (nodes, topics) = (overview["nodes"].as_array()?, overview["topics"].as_array()?);
    let mut flows = Flows::default();
    for node in nodes.iter().filter_map(|node| node["name"].as_str()) {
        let of_side = |side: &str| {
            let is_own = |topic: &&Value| {
                topic[side].as_array().is_some_and(|all| all.iter().any(|it| it["node"] == node))
            };
            let own = topics.iter().filter(is_own).filter_map(|topic| topic["name"].as_str());
            own.map(str::to_owned).collect()
        };
        let topics = Topics { publishes: of_side("publishers"), reads: of_side("readers") };
        flows.add(node, topics);
    }
    Some(flows)
}

#[cfg(test)]
mod tests {
    use mycelium::Topology;

    use super::*;

    #[test]
    fn an_overview_says_who_feeds_whom() {
        let text = r#"{"mycelium_overview": 1, "nodes": [{"name": "feed", "more": 1}, {"name": "store"}],
            "topics": [{"name": "ticks", "publishers": [{"node": "feed", "service": "Feed"}],
                        "readers": [{"node": "store", "service": "Store"}]}]}"#;
        let flows = parse(text.as_bytes()).unwrap();
        assert_eq!((flows.feeders("store"), flows.feeders("feed")), (vec!["feed".into()], vec![]));
        assert!(flows.between("feed", "store").unwrap().contains("ticks of feed"));
        assert_eq!(flows.between("feed", "moon"), None);
        assert_eq!(parse(b"{}"), None);
    }

    #[test]
    fn nodes_that_are_not_described_now_are_as_before_unless_something_changed() {
        let described = Described::default();
        let path = std::env::temp_dir().join(format!("mycelium-described-{}", std::process::id()));
        let source = |text: &str, program: &[&str]| {
            std::fs::write(&path, text).unwrap();
            let options = Topology::options().files(TopologyFiles::default());
            let program = program.iter().map(|word| (*word).to_owned()).collect();
            Source { program, files: options.load(&path).unwrap().files() }
        };
        let mut flows = Flows::default();
        flows.add("feed", Topics::default());
        let first = source("[node.a]", &[]);
        assert_eq!(described.update(&first, None), Flows::default());
        assert_eq!(described.update(&first, Some(flows.clone())), flows);
        assert_eq!(described.update(&first, None), flows);
        for other in [source("[node.b]", &[]), source("[node.a]", &["feed"])] {
            assert_eq!(described.update(&other, None), Flows::default());
        }
        std::fs::remove_file(&path).unwrap();
    }
}
