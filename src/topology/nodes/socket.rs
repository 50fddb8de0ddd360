//! The endpoints of nodes, the users that own them, and the users that may connect: the keys
//! `socket`, `owner`, `users`, `group` and `mode` of a node.

use std::path::PathBuf;

use mycelium_core::Code;
use mycelium_transports::endpoint::{Access, Endpoint, LONGEST_PATH};
use serde_spanned::Spanned;

use crate::topology::Topology;
use crate::topology::error::{Problem, TopologyError};
use crate::topology::keys::values::Mode;

impl Topology {
    /// Returns the endpoint at which a node listens.
    pub(crate) fn endpoint(&self, node: &str) -> Endpoint {
        let section = self.sections.node.get(node);
        let address = section.and_then(|section| section.socket.clone()).map(Spanned::into_inner);
        let address =
            address.unwrap_or_else(|| self.runtime_directory().join(format!("{node}.sock")));
        let access = section.map(|section| {
            let users = section.users.as_ref().map(|users| users.as_ref().as_slice());
            let group = section.group.as_ref().map(|group| *group.as_ref());
            let access = access(users, group, section.mode.as_ref());
            match section.owner {
                Some(owner) => access.owner(owner),
                None => access,
            }
        });
        Endpoint::unix(address, access.unwrap_or_default())
    }

    /// Checks that a node can listen on its endpoint, as far as the address itself shows.
    pub(crate) fn check_endpoint(&self, node: &str) -> Result<(), TopologyError> {
        let Err(error) = self.endpoint(node).check() else { return Ok(()) };
        let section = self.sections.node.get_key_value(node);
        let place = section.map(|(name, section)| {
            section.socket.as_ref().map_or_else(|| name.span(), Spanned::span)
        });
        let text = format!(
            "node `{node}` would listen at `{}`, which has {} bytes, but the path of a socket has \
             at most {LONGEST_PATH}: set a shorter one (`socket`, or `Topology::in_directory`)",
            error.path.display(),
            error.found
        );
        let problem = Problem::new(Code::SOCKET_PATH_TOO_LONG, text);
        Err(self.file.error(place.unwrap_or(0..0), problem))
    }

    /// Checks that `users`, `group` and `mode` of each node do not contradict each other.
    pub(crate) fn check_sockets(&self) -> Result<(), TopologyError> {
        for section in self.sections.node.values() {
            let Some(mode) = &section.mode else { continue };
            let (has_users, has_group) = (section.users.is_some(), section.group.is_some());
            if let Some(text) = contradiction_of_mode(mode, has_users, has_group) {
                return Err(self.file.contradiction(mode.span(), text));
            }
        }
        Ok(())
    }

    /// Returns the directory of the nodes' sockets, except sockets of nodes with the key `socket`:
    /// see [`in_directory`](Topology::in_directory).
    #[must_use]
    pub fn runtime_directory(&self) -> PathBuf {
        if let Some(directory) = &self.directory {
            return directory.clone();
        }
        let name = self.file.path().file_stem().unwrap_or("topology".as_ref()).to_string_lossy();
        mycelium_transports::private_directory(&name)
    }
}

/// Returns how the permissions of a socket contradict `users` or `group`, if they do.
pub(crate) fn contradiction_of_mode(
    mode: &Spanned<Mode>,
    has_users: bool,
    has_group: bool,
) -> Option<&'static str> {
    let Mode(bits) = *mode.as_ref();
    if bits & 0o006 != 0 && !has_users {
        Some(
            "this mode lets processes of all users connect: list those that may (`users`), or close it to others",
        )
    } else if bits & 0o020 == 0 && has_group {
        Some(
            "this mode does not let the group of this node (`group`) connect: expected one like \"0660\"",
        )
    } else {
        None
    }
}

/// Returns the users that may connect to a socket: only the node's own user, unless the section
/// adds others.
pub(crate) fn access(
    users: Option<&[u32]>,
    group: Option<u32>,
    mode: Option<&Spanned<Mode>>,
) -> Access {
    let mut access = Access::default();
    if let Some(users) = users {
        access = access.users(users.iter().copied());
    }
    if let Some(group) = group {
        access = access.group(group);
    }
    if let Some(mode) = mode {
        access = access.mode(mode.as_ref().0);
    }
    access
}
