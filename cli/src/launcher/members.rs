//! The members of a bundle that run nodes, and the copy of the topology's files that the nodes of
//! one request read.
//!
//! A node that starts, even after a crash, reads the texts that the launcher read for the node's
//! last request, not the files on the disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mycelium::topology::TopologyFiles;
use mycelium_bundle::Member;

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

/// Returns the member that runs a node. Each start of it reads these files.
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
            // If there is no room for a log, the output goes to the launcher's output.
            && let Ok(output) = place.open_log(&log)
            && let Ok(errors) = output.try_clone()
        {
            process.stdout(output).stderr(errors);
        }
        process
    };
    node.feeders.iter().fold(Member::new(&name, start), |it, feeder| it.ends_after(feeder))
}

/// A copy of the files in the directory of the bundle. Dropping it removes the copy.
#[derive(Debug)]
pub struct FilesCopy {
    place: Place,
    path: PathBuf,
    files: TopologyFiles,
}

impl FilesCopy {
    /// Writes the copy with this number.
    ///
    /// # Errors
    /// If the system refuses the file.
    pub fn write(place: &Place, number: u64, files: TopologyFiles) -> io::Result<FilesCopy> {
        let path = place.files(number);
        files.write(&path)?;
        Ok(FilesCopy { place: place.clone(), path, files })
    }

    /// Returns the path of the copy. Writes the copy again if it was removed, for example by a
    /// program that cleans up directories for temporary files.
    pub fn path(&self) -> &Path {
        if !self.path.exists() {
            // Ignores an error: if there is no room, the node says that the copy is missing.
            let _ = self.place.create().and_then(|()| self.files.write(&self.path));
        }
        &self.path
    }
}

impl Drop for FilesCopy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
