//! Unix sockets, which connect the processes of one machine, and the control of which processes may
//! connect.
//!
//! A socket is a file in a directory that only its user can enter (0700). The socket itself is
//! closed to others (0600), unless its [`Access`] opens it to other users. A process that listens
//! holds a lock on a file beside the socket until it ends. So no process takes the socket of a live
//! process, and the socket of a dead process can always be replaced. The lock file stays; it is
//! empty.
//!
//! The system reports the credentials of a peer, so the peer cannot forge them. Both sides compare
//! them with a list ([`AllowedPeers`]). A process that connects expects a process of its own user,
//! of root, or of the [owner](Access::owner), and first [checks](check_directory) that no other
//! user can replace the socket.

#[cfg(target_os = "linux")]
mod bind;
#[cfg(target_os = "linux")]
#[cfg_attr(
    not(target_pointer_width = "64"),
    expect(dead_code, reason = "shared memory uses most of it")
)]
mod options;
#[cfg(not(target_os = "linux"))]
mod unsupported;

use mycelium_executor::Peer;

use super::error::RejectedPeer;
use crate::gate::Gate;

#[cfg(target_os = "linux")]
pub(super) use bind::open;
#[cfg(target_os = "linux")]
pub use bind::{BoundSocket, check_directory, connect};
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) use bind::{check_listener, connect_unchecked};
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) use options::{peer_credentials, peer_process, refuse_descriptors};
#[cfg(not(target_os = "linux"))]
pub use unsupported::BoundSocket;
#[cfg(not(target_os = "linux"))]
pub(super) use unsupported::open;

/// Returns the user of this process.
#[cfg(target_os = "linux")]
#[must_use]
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user root, who can act as any user and is therefore accepted in place of any user.
#[cfg(target_os = "linux")]
const ROOT: u32 = 0;

// Access to a socket: the permissions of its file and directory, the users that may connect, and
// the user that listens.

/// The users that reach a socket and may connect to it, and the user that listens. The default is
/// the user of this process only.
///
/// When a peer connects, the system checks the permissions of directory and socket, and
/// [`allowed`](Access::allowed) compares the credentials of the peer with the list of users.
///
/// | users | group | directory | socket | users that may connect |
/// | --- | --- | --- | --- | --- |
/// | no list | none | 0700 | 0600 | the own user |
/// | only the own one, or root | none | 0700 | 0600 | these users |
/// | others | none | 0711 | 0666 | these users |
/// | no list | a group | 0710 | 0660 | the own user and the group |
/// | any | a group | 0710 | 0660 | these users, if they are in the group |
///
/// ```
/// use mycelium_transports::endpoint::unix::Access;
///
/// let access = Access::default().users([1000, 1001]).group(1000);
/// assert_eq!((access.directory_mode(1000), access.socket_mode(1000)), (0o710, 0o660));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    users: Option<Vec<u32>>,
    group: Option<u32>,
    mode: Option<u32>,
    owner: Option<u32>,
}

impl Access {
    /// Allows only processes of these users to connect.
    #[must_use]
    pub fn users(self, users: impl IntoIterator<Item = u32>) -> Access {
        Access { users: Some(users.into_iter().collect()), ..self }
    }

    /// Gives the directory and the socket to this group, whose members can then reach the socket.
    #[must_use]
    pub fn group(self, group: u32) -> Access {
        Access { group: Some(group), ..self }
    }

    /// Sets the permissions of the socket, instead of the ones that follow from users and group.
    /// The permissions of the directory follow from it. Keeps only the bits for reading and writing
    /// (`0666`); to report other bits to a user, check them first, as the topology does.
    #[must_use]
    pub fn mode(self, mode: u32) -> Access {
        Access { mode: Some(mode & 0o666), ..self }
    }

    /// Sets the user whose process listens. A process that connects refuses a process of any other
    /// user, except root, and a directory in which another user can replace the socket.
    #[must_use]
    pub fn owner(self, user: u32) -> Access {
        Access { owner: Some(user), ..self }
    }

    /// Returns the permissions of the socket of a process of user `own`.
    #[must_use]
    pub fn socket_mode(&self, own: u32) -> u32 {
        match (self.mode, self.group) {
            (Some(mode), _) => mode,
            (None, Some(_)) => 0o660,
            (None, None) if self.others(own).next().is_some() => 0o666,
            (None, None) => 0o600,
        }
    }

    /// Returns the permissions of the socket's directory: users that may write to the socket may
    /// pass, and no others.
    #[must_use]
    pub fn directory_mode(&self, own: u32) -> u32 {
        let socket = self.socket_mode(own);
        let bit = |socket_bit, bit| if socket & socket_bit == 0 { 0 } else { bit };
        0o700 | bit(0o020, 0o010) | bit(0o002, 0o001)
    }

    /// Returns the peers that may connect to a process of user `own`. If there is a group but no
    /// list, the permissions decide.
    #[must_use]
    pub fn allowed(&self, own: u32) -> AllowedPeers {
        match (&self.users, self.group) {
            (Some(users), _) => AllowedPeers::users(users.iter().copied()),
            (None, Some(_)) => AllowedPeers::anyone_with_access(),
            (None, None) => AllowedPeers::users([own]),
        }
    }

    /// Returns the user whose process must listen, for a process of user `own` that connects.
    #[must_use]
    pub fn listener(&self, own: u32) -> u32 {
        self.owner.unwrap_or(own)
    }

    /// Returns the group that gets the directory and the socket.
    #[cfg(target_os = "linux")]
    fn owning_group(&self) -> Option<u32> {
        self.group
    }

    /// Returns the users on the list that need permissions: all but the own user and root.
    fn others(&self, own: u32) -> impl Iterator<Item = u32> {
        let users = self.users.iter().flatten().copied();
        users.filter(move |user| *user != own && *user != 0)
    }
}

// The list of users whose processes are accepted at the other end of a socket.

/// The users whose processes may connect, or listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedPeers {
    /// The users; `None` for all users that can reach the socket.
    users: Option<Vec<u32>>,
}

impl AllowedPeers {
    /// Allows processes of these users.
    #[must_use]
    pub fn users(users: impl IntoIterator<Item = u32>) -> AllowedPeers {
        AllowedPeers { users: Some(users.into_iter().collect()) }
    }

    /// Allows all processes that can reach the socket: its permissions decide.
    #[must_use]
    pub fn anyone_with_access() -> AllowedPeers {
        AllowedPeers { users: None }
    }

    /// Checks a peer. A peer without credentials is rejected.
    ///
    /// # Errors
    /// If the peer is not a process of an allowed user.
    pub fn check(&self, peer: &Peer) -> Result<(), RejectedPeer> {
        let admits = |user| self.users.as_ref().is_none_or(|users| users.contains(&user));
        match peer {
            Peer::Unix(credentials) if admits(credentials.user) => Ok(()),
            peer => Err(RejectedPeer { peer: peer.clone() }),
        }
    }
}

impl Gate for AllowedPeers {
    fn check(&self, peer: &Peer) -> Result<(), String> {
        self.check(peer).map_err(|error| error.to_string())
    }
}
