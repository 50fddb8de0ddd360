//! Where nodes listen, and who reaches them there.

use std::path::PathBuf;

use toml::Spanned;

use super::Topology;
use super::error::{Problem, TopologyError};
use super::values::Mode;

/// Who reaches a socket, as far as the topology says: the default is its own user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub(crate) users: Option<Vec<u32>>,
    pub(crate) group: Option<u32>,
    pub(crate) mode: Option<u32>,
}

impl Topology {
    /// Where a node listens.
    pub(crate) fn socket(&self, node: &str) -> PathBuf {
        let said = self.sections.node.get(node).and_then(|section| section.socket.clone());
        let said = said.map(Spanned::into_inner);
        said.unwrap_or_else(|| self.run_directory().join(format!("{node}.sock")))
    }

    /// The socket of a node can have its path.
    pub(crate) fn check_socket(&self, node: &str) -> Result<(), TopologyError> {
        let path = self.socket(node);
        let (limit, found) = (super::values::LONGEST_PATH, path.as_os_str().len());
        if found <= limit {
            return Ok(());
        }
        let section = self.sections.node.get_key_value(node);
        let place = section.map(|(name, section)| {
            section.socket.as_ref().map_or_else(|| name.span(), Spanned::span)
        });
        let problem = Problem::PathTooLong { node: node.to_owned(), path, found, limit };
        Err(self.file.error(place.unwrap_or(0..0), problem))
    }

    /// Who reaches the socket of a node, and may connect to it.
    pub(crate) fn access(&self, node: &str) -> Access {
        let Some(section) = self.sections.node.get(node) else { return Access::default() };
        let (users, group) = (section.users.clone(), section.group);
        Access { users, group, mode: section.mode.as_ref().map(|mode| mode.as_ref().0) }
    }

    /// What sections say of users, group and mode fits together.
    pub(super) fn check_sockets(&self) -> Result<(), TopologyError> {
        for section in self.sections.node.values() {
            let Some(mode) = &section.mode else { continue };
            let Mode(bits) = *mode.as_ref();
            let message = if bits & 0o006 != 0 && section.users.is_none() {
                "this mode lets processes of all users connect: list those that may (`users`), or close it to others"
            } else if bits & 0o020 == 0 && section.group.is_some() {
                "this mode does not let the group of this node (`group`) connect: expected one like \"0660\""
            } else {
                continue;
            };
            let problem = Problem::Contradiction { message: message.to_owned() };
            return Err(self.file.error(mode.span(), problem));
        }
        Ok(())
    }

    fn run_directory(&self) -> PathBuf {
        if let Some(directory) = &self.directory {
            return directory.clone();
        }
        let name = self.file.path.file_stem().unwrap_or("topology".as_ref()).to_string_lossy();
        mycelium_transports::own_directory(&name)
    }
}
