//! The list of users whose processes are accepted at the other end of a socket.

use mycelium_executor::Peer;

use super::super::error::RejectedPeer;
use crate::gate::Gate;

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
    /// If the peer is not a process of these users.
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
