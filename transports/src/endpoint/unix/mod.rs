//! Unix sockets: how the processes of one machine connect, and which processes may.
//!
//! A socket is a file in a directory that only its user can enter (0700). The socket itself is
//! closed to others (0600), unless its [`Access`] opens it to other users. A process that listens
//! holds a lock on a file beside the socket until it ends. So the socket of a live process is never
//! taken away, and the socket of a dead process is always replaced, however the process died. The
//! lock file stays; it is empty.
//!
//! The system reports the credentials of a peer, so the peer cannot forge them: [`AllowedPeers`]
//! compares them with a list. Both sides do so. A process that connects expects a process of its
//! own user, of root, or of the [owner](Access::owner), and first [checks](check_directory) that no
//! other user can replace the socket.

mod access;
mod allowed;
#[cfg(target_os = "linux")]
mod bind;
#[cfg(target_os = "linux")]
mod directory;
#[cfg(not(target_os = "linux"))]
mod unsupported;

pub use access::Access;
pub use allowed::AllowedPeers;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub(crate) use bind::connect_to;
#[cfg(target_os = "linux")]
pub use bind::{BoundSocket, connect};
#[cfg(target_os = "linux")]
pub use directory::check_directory;
#[cfg(not(target_os = "linux"))]
pub use unsupported::BoundSocket;

#[cfg(target_os = "linux")]
pub(super) use bind::open;
#[cfg(not(target_os = "linux"))]
pub(super) use unsupported::open;

/// Returns the user of this process.
#[cfg(target_os = "linux")]
#[must_use]
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user root, who can act as any other user, and so is accepted in place of any user.
#[cfg(target_os = "linux")]
const ROOT: u32 = 0;
