//! Nodes as members of a bundle.

use std::sync::Arc;

use mycelium::topology::TopologyFiles;
use mycelium_bundle::Member;

use super::files::FilesCopy;
use super::notify::VARIABLES;
use super::plan::PlannedNode;
use crate::bundle::place::Place;

/// How a launcher runs its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// In the background: each member has a log.
    Detached,
    /// In the foreground, with the output of the members.
    Plain,
    /// In the foreground, with a table: each member has a log.
    Table,
}

/// The member that runs a node, each time with these files.
pub fn member(place: &Place, manner: Manner, node: &PlannedNode, files: &Arc<FilesCopy>) -> Member {
    let files = files.clone();
    let (place, command, name) = (place.clone(), node.command.clone(), node.command.node.clone());
    let log = name.clone();
    let start = move || {
        let mut process = command.process();
        process.env(TopologyFiles::VARIABLE, files.path());
        for variable in VARIABLES {
            process.env_remove(variable);
        }
        if manner != Manner::Plain
            // Without room for a log the output goes where that of the launcher goes.
            && let Ok(output) = place.open_log(&log)
            && let Ok(errors) = output.try_clone()
        {
            process.stdout(output).stderr(errors);
        }
        process
    };
    node.feeders.iter().fold(Member::new(&name, start), |it, feeder| it.ends_after(feeder))
}
