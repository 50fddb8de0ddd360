//! Where nodes listen, and which users may connect: the keys `socket`, `users`, `group` and `mode`
//! of a node.

use std::path::PathBuf;

use mycelium_transports::endpoint::{Access, Endpoint, LONGEST_PATH};
use toml::Spanned;

use super::Topology;
use super::error::{Problem, TopologyError};
use super::sections::NodeSection;
use super::values::Mode;

impl Topology {
    /// Where a node listens.
    pub(crate) fn endpoint(&self, node: &str) -> Endpoint {
        let section = self.sections.node.get(node);
        let address = section.and_then(|section| section.socket.clone()).map(Spanned::into_inner);
        let address = address.unwrap_or_else(|| self.run_directory().join(format!("{node}.sock")));
        Endpoint::unix(address, section.map(access).unwrap_or_default())
    }

    /// Checks that a node can listen at its endpoint, as far as the address itself says.
    pub(crate) fn check_endpoint(&self, node: &str) -> Result<(), TopologyError> {
        let Err(error) = self.endpoint(node).check() else { return Ok(()) };
        let section = self.sections.node.get_key_value(node);
        let place = section.map(|(name, section)| {
            section.socket.as_ref().map_or_else(|| name.span(), Spanned::span)
        });
        let (path, found, limit) = (error.path, error.found, LONGEST_PATH);
        let problem = Problem::PathTooLong { node: node.to_owned(), path, found, limit };
        Err(self.file.error(place.unwrap_or(0..0), problem))
    }

    /// Where the file sets the socket of a node, if it does.
    pub(crate) fn place_of_socket(&self, node: &str) -> Option<String> {
        let socket = self.sections.node.get(node)?.socket.as_ref()?;
        Some(self.file.location(socket.span()).to_string())
    }

    /// Checks that `users`, `group` and `mode` of each node do not contradict each other.
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
        let name = self.file.path().file_stem().unwrap_or("topology".as_ref()).to_string_lossy();
        mycelium_transports::private_directory(&name)
    }
}

/// The users that may connect to a node: its own, unless the section says more.
fn access(section: &NodeSection) -> Access {
    let mut access = Access::default();
    if let Some(users) = &section.users {
        access = access.users(users.as_ref().iter().copied());
    }
    if let Some(group) = &section.group {
        access = access.group(*group.as_ref());
    }
    if let Some(mode) = &section.mode {
        access = access.mode(mode.as_ref().0);
    }
    access
}
