//! Who may connect.

use mycelium_executor::Peer;

use super::super::error::RejectedPeer;

/// The users whose processes may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedPeers {
    /// `None` for all who reach the socket.
    users: Option<Vec<u32>>,
}

impl AllowedPeers {
    /// These users.
    #[must_use]
    pub fn users(users: impl IntoIterator<Item = u32>) -> AllowedPeers {
        AllowedPeers { users: Some(users.into_iter().collect()) }
    }

    /// Whoever reaches the socket, for one whose permissions admit only those who are meant.
    #[must_use]
    pub fn anyone_with_access() -> AllowedPeers {
        AllowedPeers { users: None }
    }

    /// Lets the processes of these users in. Nobody else, and nobody of whom the system does not know whose process it
    /// is.
    ///
    /// # Errors
    /// If the peer is not one of them.
    pub fn check(&self, peer: &Peer) -> Result<(), RejectedPeer> {
        let admits = |user| self.users.as_ref().is_none_or(|users| users.contains(&user));
        match peer {
            Peer::Unix(credentials) if admits(credentials.user) => Ok(()),
            peer => Err(RejectedPeer { peer: peer.clone() }),
        }
    }
}
