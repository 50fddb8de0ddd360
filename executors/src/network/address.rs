//! Where a listener listens, and which peer a connection comes from.

use std::fmt;
#[cfg(unix)]
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket; empty if the socket has no path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(unix)]
impl From<std::os::unix::net::SocketAddr> for Address {
    fn from(address: std::os::unix::net::SocketAddr) -> Address {
        Address::Unix(address.as_pathname().map(Into::into).unwrap_or_default())
    }
}

/// The other end of an accepted connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP address. It does not identify a process or a user.
    Tcp(SocketAddr),
    /// A process on this machine, identified by the system.
    Unix(Credentials),
}

/// The credentials of a process at the time when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The process id, if the system reports it.
    pub process: Option<u32>,
    /// The user id.
    pub user: u32,
    /// The group id.
    pub group: u32,
}

impl Credentials {
    /// The credentials of the process at the other end of `socket`.
    ///
    /// # Errors
    /// If the system does not report them.
    #[cfg(target_os = "linux")]
    pub fn of(socket: &std::os::unix::net::UnixStream) -> io::Result<Credentials> {
        let found = rustix::net::sockopt::socket_peercred(socket)?;
        Ok(Credentials {
            process: u32::try_from(found.pid.as_raw_nonzero().get()).ok(),
            user: found.uid.as_raw(),
            group: found.gid.as_raw(),
        })
    }

    /// The credentials of the process at the other end of a socket.
    ///
    /// # Errors
    /// Always: this is implemented on Linux only.
    #[cfg(all(unix, not(target_os = "linux")))]
    pub fn of(_: &std::os::unix::net::UnixStream) -> io::Result<Credentials> {
        let text = "the credentials of a peer are available on Linux only";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix(credentials) => credentials.fmt(f),
        }
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "process {process} of user {}", self.user),
            None => write!(f, "a process of user {}", self.user),
        }
    }
}
