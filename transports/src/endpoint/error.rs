//! Errors of endpoints: a node cannot listen at an address, a peer may not connect, or a process
//! refuses to connect to a socket.
//!
//! This module knows no socket and no executor. All transports use these types.

use std::io;
use std::path::{Path, PathBuf};

use mycelium_core::{Code, debug_as_display};
use mycelium_executor::{Credentials, Peer};
use thiserror::Error;

/// The most bytes in the path of a Unix socket: the system has 108, and the last one is a zero.
pub const LONGEST_PATH: usize = 107;

/// Why a node cannot listen at an [`Endpoint`](super::Endpoint).
#[derive(Error)]
#[non_exhaustive]
pub enum BindError {
    /// The path of a socket has no file name, or no directory.
    #[error("invalid socket path `{}`: expected a file in a directory", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// The path is longer than the path of a socket may be.
    #[error(transparent)]
    TooLong(#[from] PathTooLong),
    /// The directory of the socket is open to other users, or is not a directory.
    #[error("directory `{}` {problem}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The problem.
        problem: String,
    },
    /// Users who may connect cannot reach the socket: a directory above it is closed to them.
    #[error(
        "{} cannot reach a socket in `{}`: directory `{}` is closed to other users",
        user.map_or("the group".to_owned(), |user| format!("user {user}")),
        socket.display(),
        directory.display()
    )]
    Unreachable {
        /// The closed directory.
        directory: PathBuf,
        /// The directory of the socket.
        socket: PathBuf,
        /// A user who cannot reach the socket; `None` for the members of a group.
        user: Option<u32>,
    },
    /// A live process listens at this address already.
    #[error(
        "a live process listens at `{}`: end it, or choose another address (`socket`)",
        path.display()
    )]
    InUse {
        /// The address.
        path: PathBuf,
    },
    /// The socket of this process was replaced by another file, which stays.
    #[error(
        "another file has replaced the socket of this process at `{}`; it is not removed",
        path.display()
    )]
    Displaced {
        /// The path.
        path: PathBuf,
    },
    /// The file at this path is not a socket. It stays.
    #[error(
        "`{}` is not a socket, and is not removed: move it, or choose another address (`socket`)",
        path.display()
    )]
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// The node cannot listen at a TCP address.
    #[error("{error}{}", advice(error))]
    Tcp {
        /// The address.
        address: String,
        /// The system's error. Its text names the address.
        #[source]
        error: io::Error,
    },
    /// A system call failed.
    #[error("cannot {action} `{}`: {error}", path.display())]
    System {
        /// The purpose of the call.
        action: &'static str,
        /// The file, or the address.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
}

/// Returns advice for an error of a TCP address.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": end the process that listens there, or choose another port",
        io::ErrorKind::AddrNotAvailable => {
            ": name an address of this machine, or `listen = \"0.0.0.0:<port>\"` for all of them"
        }
        _ => "",
    }
}

/// A path is longer than the path of a Unix socket may be.
#[derive(Clone, PartialEq, Eq, Error)]
#[error(
    "socket path `{}` has {found} bytes: expected at most {LONGEST_PATH}",
    path.display()
)]
pub struct PathTooLong {
    /// The path.
    pub path: PathBuf,
    /// The length of the path in bytes.
    pub found: usize,
}

impl PathTooLong {
    /// Checks that a path is short enough for a socket.
    ///
    /// # Errors
    /// If it has more than [`LONGEST_PATH`] bytes.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use mycelium_transports::endpoint::{LONGEST_PATH, PathTooLong};
    ///
    /// assert!(PathTooLong::check(Path::new("/run/me/main.sock")).is_ok());
    /// let long = "x".repeat(1 + LONGEST_PATH);
    /// assert_eq!(PathTooLong::check(Path::new(&long)).unwrap_err().found, 108);
    /// ```
    pub fn check(path: &Path) -> Result<(), PathTooLong> {
        match path.as_os_str().len() {
            0..=LONGEST_PATH => Ok(()),
            found => Err(PathTooLong { path: path.to_owned(), found }),
        }
    }
}

/// Why a process refuses to connect to a socket: another user could send in place of the node.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UntrustedSocket {
    /// Other users can replace the files in the socket's directory.
    #[error("directory `{}` {problem}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A process of another user listens at the socket.
    #[error("{found} listens at `{}`: expected user {expected}", path.display())]
    Listener {
        /// The socket.
        path: PathBuf,
        /// The process that listens.
        found: Credentials,
        /// The user whose process was expected.
        expected: u32,
    },
}

impl UntrustedSocket {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            UntrustedSocket::Directory { .. } => Code::SOCKET_DIRECTORY,
            UntrustedSocket::Listener { .. } => Code::SOCKET_OTHER_USER,
        }
    }
}

impl From<UntrustedSocket> for io::Error {
    fn from(error: UntrustedSocket) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, error)
    }
}

/// Returns the code of a failed attempt to connect.
pub(crate) fn connect_code(error: &io::Error) -> Code {
    let untrusted = error.get_ref().and_then(|error| error.downcast_ref::<UntrustedSocket>());
    untrusted.map_or(Code::PEER_UNREACHABLE, UntrustedSocket::code)
}

/// Creates the error of an attempt to connect, with the address and the meaning of the error.
pub(super) fn cannot_connect(path: &Path, error: io::Error) -> io::Error {
    // These errors name the address themselves, so it is not added.
    if error.get_ref().is_some_and(|it| it.is::<PathTooLong>() || it.is::<UntrustedSocket>()) {
        return error;
    }
    let (kind, path) = (error.kind(), path.display());
    let text = match kind {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no process listens at `{path}`: {error}")
        }
        io::ErrorKind::WouldBlock => {
            format!("the process at `{path}` does not accept connections fast enough: {error}")
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "this user may not connect to `{path}` (`users` and `group` of the node): {error}"
            )
        }
        _ => format!("`{path}`: {error}"),
    };
    io::Error::new(kind, text)
}

/// The peer that connected is not of an allowed user.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("{peer} is not on the list of users that may connect")]
pub struct RejectedPeer {
    /// The peer.
    pub peer: Peer,
}

debug_as_display!(BindError, PathTooLong, RejectedPeer, UntrustedSocket);

impl BindError {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            BindError::Path { .. } => Code::SOCKET_PATH,
            BindError::TooLong(_) => Code::SOCKET_PATH_TOO_LONG,
            BindError::Directory { .. } => Code::SOCKET_DIRECTORY,
            BindError::Unreachable { .. } => Code::SOCKET_UNREACHABLE,
            BindError::InUse { .. } => Code::ADDRESS_IN_USE,
            BindError::Displaced { .. } => Code::SOCKET_REPLACED,
            BindError::Occupied { .. } => Code::SOCKET_OCCUPIED,
            BindError::Tcp { error, .. } => match error.kind() {
                io::ErrorKind::AddrInUse => Code::ADDRESS_IN_USE,
                _ => Code::TCP_ADDRESS,
            },
            BindError::System { .. } => Code::SOCKET_SYSTEM,
        }
    }
}
