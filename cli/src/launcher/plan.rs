//! The *plan* of a launcher: the nodes of a topology file that this host runs.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mycelium::Topology;
use mycelium::topology::{NodeCommand, TopologyFiles};

use super::concern::View;
use super::flows::{Flows, Source};
use crate::bundle::wire::UpRequest;
use crate::shared::exit::Failure;
use crate::shared::output::shown;

/// The nodes of a file that this host runs, by name.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The nodes, by name.
    pub nodes: BTreeMap<String, PlannedNode>,
    source: Source,
    flows: Flows,
}

/// A node that this host runs.
#[derive(Clone, Debug)]
pub struct PlannedNode {
    /// How the process of the node is started.
    pub command: NodeCommand,
    /// The nodes of this host that send to this node.
    pub feeders: Vec<String>,
    /// The nodes of this host with which this node exchanges messages, or may exchange them.
    pub peers: Vec<String>,
    /// The parts of the file that concern this node, and its command. The node is restarted when
    /// they change.
    pub view: View,
}

/// The next step of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The node continues.
    Keep,
    /// The node is new, and starts.
    Start,
    /// The node ends and starts again, for this reason.
    Restart(String),
    /// The node ends: it is not in the file any more, or not on this host.
    Stop,
}

/// Reads the file of a request from the disk.
///
/// # Errors
/// If it is not a valid topology.
pub fn topology(request: &UpRequest) -> Result<Topology, Failure> {
    // Reads the files from the disk, even if this launcher itself runs in a bundle, whose launcher
    // has passed texts to it.
    let topology = Topology::options().files(TopologyFiles::default()).load(&request.file);
    let topology = topology.map_err(Failure::of_topology)?;
    Ok(match &request.directory {
        Some(directory) => topology.in_directory(directory),
        None => topology,
    })
}

impl Plan {
    /// Makes the plan of an `up` request from the topology of its file. `flows` determines which
    /// node sends to which.
    ///
    /// # Errors
    /// If the topology has no node for this host, or a node has no command that can be run.
    pub fn new(
        request: &UpRequest,
        topology: &Topology,
        flows: impl FnOnce(&Source) -> Result<Flows, Failure>,
    ) -> Result<Plan, Failure> {
        let names: Vec<String> = topology
            .nodes_of(&request.hosts)
            .map_err(Failure::usage)?
            .into_iter()
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            let file = shown(&request.file);
            return Err(Failure::Usage(format!(
                "{file}: the file has no node for this host: expected a section such as `[node.main]`"
            )));
        }
        let commands = names.iter().map(|node| command(topology, request, node));
        let commands = commands.collect::<Result<Vec<_>, _>>()?;
        let source = Source { program: request.program.clone(), files: topology.files() };
        let flows = flows(&source)?;
        let nodes = commands.into_iter().map(|command| {
            let node = command.node.clone();
            let mut feeders = flows.feeders(&node);
            feeders.retain(|feeder| names.contains(feeder));
            let others = names.iter().filter(|other| **other != node);
            let peers = others.filter(|other| flows.are_peers(&node, other).unwrap_or(true));
            let peers = peers.cloned().collect();
            let view = View::new(topology, &flows, &node, words(&command));
            (node, PlannedNode { command, feeders, peers, view })
        });
        Ok(Plan { nodes: nodes.collect(), source, flows })
    }

    /// Returns for each node the step from the plan `before` to this one. The nodes in `completed`
    /// do not run.
    pub fn steps(&self, before: &Plan, completed: &BTreeSet<String>) -> BTreeMap<String, Step> {
        let mut steps: BTreeMap<String, Step> =
            before.nodes.keys().map(|node| (node.clone(), Step::Stop)).collect();
        for (name, node) in &self.nodes {
            let step = match before.nodes.get(name) {
                None => Step::Start,
                Some(node_before) => match self.difference(before, name, (node, node_before)) {
                    None => Step::Keep,
                    Some(why) => Step::Restart(why),
                },
            };
            steps.insert(name.clone(), step);
        }
        self.restart_peers(completed, &mut steps);
        steps
    }

    /// Returns the changes that concern a node as a text for people, or `None` if there are none.
    fn difference(
        &self,
        before: &Plan,
        name: &str,
        (node, node_before): (&PlannedNode, &PlannedNode),
    ) -> Option<String> {
        if self.source != before.source {
            return node.view.differs_from(&node_before.view);
        }
        // Compares only nodes whose topics are known before and after. Otherwise a program that
        // starts or stops describing itself would be restarted.
        self.flows.differs_from(&before.flows, name)
    }

    /// Also restarts the running peers of a completed node that starts again: they have read the
    /// end of its messages, and have dropped the messages for it.
    fn restart_peers(&self, completed: &BTreeSet<String>, steps: &mut BTreeMap<String, Step>) {
        let restarts = |(node, step): (&String, &Step)| {
            matches!(step, Step::Restart(_))
                .then(|| node.clone())
                .filter(|it| completed.contains(it))
        };
        let mut again: Vec<String> = steps.iter().filter_map(restarts).collect();
        while let Some(node) = again.pop() {
            for peer in &self.nodes[&node].peers {
                if let Some(step) = steps.get_mut(peer).filter(|step| **step == Step::Keep) {
                    *step = Step::Restart(format!("`{node}` had completed, and starts again"));
                    again.extend(completed.get(peer).cloned());
                }
            }
        }
    }
}

impl Step {
    /// Returns the step in the form that `up` prints.
    pub fn line(&self, node: &str) -> String {
        match self {
            Step::Keep => format!("{node}: unchanged"),
            Step::Start => format!("{node}: started"),
            Step::Restart(why) => format!("{node}: restarted: {why}"),
            Step::Stop => format!("{node}: stopped: no longer a node of this host"),
        }
    }
}

/// Returns the command of a node, after checking that it can be run.
fn command(topology: &Topology, request: &UpRequest, node: &str) -> Result<NodeCommand, Failure> {
    let command = match (topology.command(node), request.program.split_first()) {
        (Some(command), _) => command,
        (None, Some((program, arguments))) => {
            topology.command_from(node, program, arguments).map_err(Failure::usage)?
        }
        (None, None) => {
            return Err(Failure::Usage(format!(
                "node `{node}` has no command: set `command` in `[node.{node}]` or `[bundle]` of \
                 {}, or end the command line with `-- PROGRAM ARGUMENTS`",
                shown(&request.file)
            )));
        }
    };
    match check_program(&command.program) {
        Ok(()) => Ok(command),
        Err(problem) => {
            let place = command.place.as_deref().map_or_else(String::new, |at| format!("{at}: "));
            let program = shown(&command.program);
            Err(Failure::Unavailable(format!(
                "{place}node `{node}`: cannot run `{program}`: {problem}"
            )))
        }
    }
}

/// Checks that a program can be run, before any process is stopped for it.
fn check_program(program: &Path) -> Result<(), String> {
    if program.components().count() > 1 || program.is_absolute() {
        return is_executable(program);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found: Vec<PathBuf> =
        env::split_paths(&path).map(|directory| directory.join(program)).collect();
    match found.iter().any(|path| is_executable(path).is_ok()) {
        true => Ok(()),
        false => Err("no directory of `PATH` has it".to_owned()),
    }
}

fn is_executable(program: &Path) -> Result<(), String> {
    let found = fs::metadata(program).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is not a file".to_owned());
    }
    match found.permissions().mode() & 0o111 {
        0 => Err("it is not executable".to_owned()),
        _ => Ok(()),
    }
}

fn words(command: &NodeCommand) -> Vec<String> {
    let program = command.program.clone().into_os_string();
    let directory = command.directory.clone().into_os_string();
    let words = [directory, program].into_iter().chain(command.arguments.iter().cloned());
    words.map(|word: OsString| word.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::flows::Topics;

    /// Creates the view of a command.
    fn view(words: &[&str]) -> View {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        View::new(&Topology::default(), &Flows::default(), "main", words)
    }

    /// Creates a plan of nodes, each with its peers, and with a value as its view.
    fn plan(nodes: &[(&str, &[&str], &str)]) -> Plan {
        let planned = nodes.iter().map(|&(node, peers, value)| {
            let (program, arguments) = ("/bin/true", [].as_slice());
            let topology = Topology::parse("app.toml", &format!("[node.{node}]")).unwrap();
            let command = topology.command_from(node, program, arguments).unwrap();
            let peers = peers.iter().map(|&peer| peer.to_owned()).collect();
            let view = view(&[value]);
            (node.to_owned(), PlannedNode { command, feeders: Vec::new(), peers, view })
        });
        // Plans of other nodes have another source.
        let program = vec![format!("{nodes:?}")];
        let source = Source { program, files: TopologyFiles::default() };
        Plan { nodes: planned.collect(), source, flows: Flows::default() }
    }

    #[test]
    fn a_plan_of_the_same_source_differs_by_topics_that_were_known_and_are_known() {
        let with = |topics: &[(&str, &[&str], &[&str])], value: &'static str| {
            let mut plan = plan(&[("feed", &[], "value"), ("store", &[], "value")]);
            // The known topics are a part of the views.
            plan.nodes.values_mut().for_each(|node| node.view = view(&["value", value]));
            for (node, publishes, reads) in topics {
                let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
                plan.flows.add(node, Topics { publishes: names(publishes), reads: names(reads) });
            }
            plan
        };
        let unknown = with(&[], "unknown");
        let known = with(&[("feed", &["ticks"], &[]), ("store", &[], &["ticks"])], "known");
        let other = with(&[("feed", &["ticks"], &[]), ("store", &[], &[])], "known");
        let changed = |now: &Plan, before: &Plan| {
            let steps = now.steps(before, &BTreeSet::new());
            steps.into_values().filter(|step| *step != Step::Keep).count()
        };
        assert_eq!((changed(&known, &unknown), changed(&unknown, &known)), (0, 0));
        assert_eq!((changed(&other, &known), changed(&known, &other)), (2, 2));
        let mut moved = known.clone();
        moved.source.program.push("more".into());
        assert_eq!((changed(&moved, &unknown), changed(&moved, &known)), (2, 0));
    }

    #[test]
    fn peers_of_completed_nodes_start_again_with_them() {
        let nodes = |value: &'static str| {
            plan(&[
                ("feed", &["sum"], value),
                ("sum", &["feed", "view"], ""),
                ("view", &["sum", "log"], ""),
                ("log", &["view"], ""),
            ])
        };
        let changed = "its command changed";
        let [feed, sum] =
            ["feed", "sum"].map(|node| format!("`{node}` had completed, and starts again"));
        let cases: [(&[&str], [&str; 4]); 4] = [
            (&[], [changed, "", "", ""]),
            (&["view"], [changed, "", "", ""]),
            (&["feed"], [changed, "", &feed, ""]),
            (&["feed", "sum"], [changed, "", &feed, &sum]),
        ];
        for (completed, expected) in cases {
            let completed = completed.iter().map(|&node| node.to_owned()).collect();
            let steps = nodes("new").steps(&nodes("old"), &completed);
            let found = steps.values().map(|step| match step {
                Step::Restart(why) => why.as_str(),
                _ => "",
            });
            assert_eq!(found.collect::<Vec<_>>(), expected, "{completed:?}");
        }
    }
}
