//! The descriptions of programs, which nodes name by the key `description`. They are files of the
//! topology: a launcher passes their texts to its nodes, like the other files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::topology::Topology;
use crate::topology::error::{Problem, TopologyError};
use crate::topology::keys::sections::Sections;
use crate::topology::read::files::TopologyFiles;
use crate::topology::read::include::{read, unreadable};
use crate::topology::source::{FileText, Source};

/// Reads the descriptions that nodes name, each once. Returns the file numbers, by node. Files in
/// `given` are not read from the disk.
pub(super) fn descriptions(
    sections: &Sections,
    source: &mut Source,
    given: &TopologyFiles,
) -> Result<BTreeMap<String, usize>, TopologyError> {
    let mut numbers = BTreeMap::<PathBuf, usize>::new();
    let mut descriptions = BTreeMap::new();
    for (node, section) in &sections.node {
        let Some(key) = &section.description else { continue };
        let directory = source.file(&key.span()).parent().unwrap_or(Path::new(""));
        let path = directory.join(key.as_ref());
        let number = match numbers.get(&path) {
            Some(number) => *number,
            None => {
                let found = find(&path, source.bytes(), given);
                let (real, text) = found.map_err(|reason| {
                    source.error(key.span(), Problem::include(key.as_ref(), &reason))
                })?;
                let number = source.add(path.clone(), text);
                source.found(number, &real, &path);
                numbers.insert(path, number);
                number
            }
        };
        descriptions.insert(node.as_ref().clone(), number);
    }
    Ok(descriptions)
}

/// Returns the path without symlinks, and the text of a file. `others` is the size of the other
/// files in bytes.
fn find(path: &Path, others: usize, given: &TopologyFiles) -> Result<(PathBuf, String), String> {
    if let Some(FileText { paths, text }) = given.find(path) {
        return Ok((paths[0].clone(), text.clone()));
    }
    let real = fs::canonicalize(path).map_err(|error| unreadable(path, &error))?;
    // Refuses a pipe: opening it may block forever.
    if !real.is_file() {
        return Err("it is not a file".to_owned());
    }
    Ok((real, read(path, others)?))
}

impl Topology {
    /// Checks that each node has a list of services if a node has a description: a program without
    /// the services of other nodes learns only from the lists where they are.
    pub(super) fn check_descriptions(&self) -> Result<(), TopologyError> {
        let nodes = &self.sections.node;
        let Some(key) = nodes.values().find_map(|node| node.description.as_ref()) else {
            return Ok(());
        };
        let without = nodes.iter().find(|(_, section)| section.services.is_none());
        let Some((node, _)) = without else { return Ok(()) };
        let message = format!(
            "`description` needs a list of the services of each node: expected `services = [..]` \
             in `[node.{}]`, perhaps an empty one",
            node.as_ref()
        );
        Err(self.file.contradiction(key.span(), message))
    }

    /// Returns the number of the file with the description of a node's program, if the file names
    /// one that was read.
    #[cfg(feature = "describe")]
    pub(crate) fn description_number(&self, node: &str) -> Option<usize> {
        self.descriptions.get(node).copied()
    }

    /// Returns the text of the file with this number.
    #[cfg(feature = "describe")]
    pub(crate) fn text_of(&self, file: usize) -> &str {
        self.file.text_of(file).0
    }

    /// Returns the path of a node's description, as written in the file.
    #[cfg(feature = "describe")]
    pub(crate) fn description_path(&self, node: &str) -> Option<PathBuf> {
        Some(self.sections.node.get(node)?.description.as_ref()?.as_ref().clone())
    }
}
