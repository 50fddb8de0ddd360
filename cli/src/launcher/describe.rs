//! The topics of the nodes, as their programs describe them: `mycelium check` finds them, in a
//! process of its own.
//!
//! A program that does not describe itself runs nevertheless: it is then not known what its node
//! publishes and reads.

use std::env;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::flows::{Flows, Topics};
use super::notify::VARIABLES;
use super::plan::Source;
use crate::bundle::wire::UpRequest;
use crate::shared::exit::Failure;

/// How long each program has for its description.
const PATIENCE: &str = "5s";
/// The most bytes of an overview.
const MOST: u64 = 64 << 20;

/// The part of an overview that says who sends to whom.
#[derive(Deserialize)]
struct Overview {
    nodes: Vec<Node>,
    topics: Vec<Topic>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
}

#[derive(Deserialize)]
struct Topic {
    name: String,
    publishers: Vec<Side>,
    readers: Vec<Side>,
}

#[derive(Deserialize)]
struct Side {
    node: String,
}

/// The last description that programs gave of the nodes, and what they described. A program that is
/// late, because the machine is busy, does not restart nodes whose file has not changed.
#[derive(Debug, Default)]
pub struct Described(Mutex<Option<(Source, Flows)>>);

impl Described {
    /// The flows that were found now. If none were, those of before, if they have the same source.
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

/// The topics of the nodes of a request, as their programs describe them with this copy of the
/// topology's files: `None` if a program does not, or not in time.
///
/// # Errors
/// If the nodes do not fit together.
pub fn flows(request: &UpRequest, files: &Path) -> Result<Option<Flows>, Failure> {
    match check(request, files) {
        Ok((Some(0), output, _)) => Ok(parse(&output)),
        // The topology has mistakes.
        Ok((Some(1), _, errors)) => Err(Failure::Found(
            errors.trim_end().strip_prefix("error: ").unwrap_or(&errors).to_owned(),
        )),
        // A program does not describe itself, or cannot be run here.
        Ok(_) | Err(_) => Ok(None),
    }
}

/// The exit code of `mycelium check`, and what it prints.
fn check(request: &UpRequest, files: &Path) -> io::Result<(Option<i32>, Vec<u8>, String)> {
    let mut check = Command::new(env::current_exe()?);
    check.arg("check").arg(&request.file).args(["--output", "json", "--timeout", PATIENCE]);
    check.arg("--files").arg(files);
    if !request.program.is_empty() {
        check.arg("--").args(&request.program);
    }
    for variable in VARIABLES {
        check.env_remove(variable);
    }
    check.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = check.spawn()?;
    // Its errors are few lines, which fit in the pipe.
    let mut output = Vec::new();
    if let Some(out) = process.stdout.take() {
        out.take(MOST).read_to_end(&mut output)?;
    }
    let mut errors = Vec::new();
    if let Some(err) = process.stderr.take() {
        err.take(MOST).read_to_end(&mut errors)?;
    }
    let status = process.wait()?;
    Ok((status.code(), output, String::from_utf8_lossy(&errors).into_owned()))
}

fn parse(output: &[u8]) -> Option<Flows> {
    let overview: Overview = serde_json::from_slice(output).ok()?;
    let mut flows = Flows::default();
    for Node { name } in overview.nodes {
        let names = |sides: fn(&Topic) -> &[Side]| {
            let topics = overview.topics.iter();
            let own = topics.filter(|topic| sides(topic).iter().any(|side| side.node == name));
            own.map(|topic| topic.name.clone()).collect()
        };
        let topics = Topics {
            publishes: names(|topic| &topic.publishers),
            reads: names(|topic| &topic.readers),
        };
        flows.add(&name, topics);
    }
    Some(flows)
}

#[cfg(test)]
mod tests {
    use mycelium::Topology;
    use mycelium::topology::TopologyFiles;

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
