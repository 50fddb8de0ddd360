//! Why a socket could not be had, and why somebody is not welcome.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use mycelium_executor::Peer;

use super::LONGEST_PATH;

/// Why nobody can be listened to at a path.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The path has no directory and no name.
    Path {
        /// The path.
        path: PathBuf,
    },
    /// No socket can have such a long path.
    TooLong(PathTooLong),
    /// The directory is open to others, or is not a directory.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Users who are to reach the socket cannot: a directory above it is closed to them.
    Unreachable {
        /// The directory that is closed.
        directory: PathBuf,
        /// The directory of the socket.
        socket: PathBuf,
        /// One of these users; `None` for the members of a group.
        user: Option<u32>,
    },
    /// A live process listens there.
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Another file lies where the socket of this process was. It is left as it is.
    Displaced {
        /// The path.
        path: PathBuf,
    },
    /// Something lies there that is not a socket. It is left as it is.
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// The system refused something.
    System {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Path { path } => {
                write!(f, "`{}` names no file in a directory", path.display())
            }
            BindError::TooLong(error) => error.fmt(f),
            BindError::Directory { directory, problem } => {
                write!(f, "directory `{}` {problem}", directory.display())
            }
            BindError::Unreachable { directory, socket, user } => {
                match user {
                    Some(user) => write!(f, "user {user}")?,
                    None => f.write_str("the group")?,
                }
                let (directory, socket) = (directory.display(), socket.display());
                write!(f, " cannot reach a socket in `{socket}`: `{directory}` is closed to others")
            }
            BindError::InUse { path } => {
                write!(f, "a live process listens at `{}`", path.display())
            }
            BindError::Displaced { path } => {
                let path = path.display();
                write!(
                    f,
                    "another file lies at `{path}`, where this process listened; it is left alone"
                )
            }
            BindError::Occupied { path } => {
                write!(f, "what lies at `{}` is not a socket, and is left alone", path.display())
            }
            BindError::System { action, path, error } => {
                write!(f, "cannot {action} `{}`: {error}", path.display())
            }
        }
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            BindError::System { error, .. } => Some(error),
            // Its text is this error's own.
            BindError::TooLong(error) => error.source(),
            _ => None,
        }
    }
}

/// A path has more bytes than a socket's may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTooLong {
    /// The path.
    pub path: PathBuf,
    /// How many bytes it has.
    pub found: usize,
}

impl PathTooLong {
    /// Whether a socket can have this path.
    ///
    /// # Errors
    /// If it has more than [`LONGEST_PATH`] bytes.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use mycelium_transports::endpoint::unix::{LONGEST_PATH, PathTooLong};
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

impl fmt::Display for PathTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PathTooLong { path, found } = self;
        let path = path.display();
        write!(f, "`{path}` has {found} bytes, but the path of a socket has at most {LONGEST_PATH}")
    }
}

impl Error for PathTooLong {}

/// Somebody connected who may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedPeer {
    /// Who.
    pub peer: Peer,
}

impl fmt::Display for RejectedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not on the list of those who may connect", self.peer)
    }
}

impl Error for RejectedPeer {}
