//! The peer's end of a [wake socket](super::wake_socket), in this process.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;

/// A socket that the peer has passed: a byte there wakes the peer's task.
#[derive(Debug)]
pub(super) struct PeerSocket {
    socket: OwnedFd,
    has_ended: bool,
}

impl PeerSocket {
    /// Wraps the socket. [`Closers`](super::closers::Closers) have to drop the result.
    pub(super) fn new(socket: OwnedFd) -> PeerSocket {
        PeerSocket { socket, has_ended: false }
    }

    /// Wakes the peer, without waiting. Returns false if the peer no longer reads there.
    pub(super) fn ring(&mut self) -> bool {
        while !self.has_ended {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.socket, b"w", flags) {
                // Without room, the unread bytes will wake the peer.
                Ok(_) | Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => {}
                Err(_) => self.has_ended = true,
            }
        }
        false
    }
}
