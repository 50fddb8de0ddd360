//! The copy of a topology's files from which the nodes of one request read them.
//!
//! A node that starts, even after a crash, reads the texts that the launcher has read for the
//! node's last request, not the files on the disk.

use std::io;
use std::path::{Path, PathBuf};

use mycelium::topology::TopologyFiles;

use crate::bundle::place::Place;

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
