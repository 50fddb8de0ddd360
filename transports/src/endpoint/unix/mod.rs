//! Unix sockets: where the processes of one machine meet, and who may.
//!
//! A socket is a file in a directory that only its user can enter (0700). The socket itself is closed
//! to others (0600), unless its [`Access`] says that other users are to reach it. A process that
//! listens holds a lock on a file beside the socket for as long as it lives. So the socket of a live
//! process is never taken away, and that of a dead one is always replaced, whichever way the process
//! died. The lock's file stays; it is empty.
//!
//! Who connects is known to the system, not by what it says: [`AllowedPeers`] compares that with a list.

mod access;
mod allowed;
mod bind;
mod directory;
mod error;

pub use access::Access;
pub use allowed::AllowedPeers;
pub use bind::{BoundSocket, connect};
pub use error::{BindError, PathTooLong, RejectedPeer};

/// The most bytes of a socket's path: the system keeps 108, and the last is a zero.
pub const LONGEST_PATH: usize = 107;

/// The user of this process.
#[must_use]
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
