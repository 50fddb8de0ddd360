//! Who may connect.

use mycelium_executor::Peer;

use super::Unwelcome;

/// The users whose processes may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    users: Vec<u32>,
}

impl Allowed {
    /// These users.
    #[must_use]
    pub fn users(users: impl IntoIterator<Item = u32>) -> Allowed {
        Allowed { users: users.into_iter().collect() }
    }

    /// Lets the processes of these users in. Nobody else, and nobody of whom the system does not know whose process it
    /// is.
    ///
    /// # Errors
    /// If the peer is not one of them.
    pub fn check(&self, peer: &Peer) -> Result<(), Unwelcome> {
        match peer {
            Peer::Unix(credentials) if self.users.contains(&credentials.user) => Ok(()),
            peer => Err(Unwelcome { peer: peer.clone() }),
        }
    }
}
