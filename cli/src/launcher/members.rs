//! Nodes as members of a bundle, and the copy of the topology's files that the nodes of one request
//! read.
//!
//! A node that starts, even after a crash, reads the texts that the launcher has read for the
//! node's last request, not the files on the disk.

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

/// A copy in the directory of the bundle, which is removed with this.
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

    /// Its path. It is written again if something has removed it, as those do that tidy up
    /// directories for temporary files.
    pub fn path(&self) -> &Path {
        if !self.path.exists() {
            // If there is no room for it, the node says that it is not there.
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
