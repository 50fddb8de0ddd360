//! Addresses at which nodes listen and to which others connect. Only this module knows all stream
//! transports.
//!
//! The rest of the runtime uses four types:
//!
//! - [`Endpoint`]: an address of the topology. Any process can try to [connect](Endpoint::connect)
//!   to it.
//! - [`BoundEndpoint`]: an endpoint at which this process listens. [`Endpoint::bind`] creates it
//!   without waiting, so its errors are errors of the node's start.
//! - [`BindError`]: why listening failed.
//! - [`Gate`]: decides which peers may connect, and secures their connections.
//!
//! To add a transport of streams, write a module beside [`unix`] and add an arm to each `match`
//! here. Links do not change; the topology needs keys for its address.

mod error;
mod shortage;
mod tcp;
pub mod unix;

use std::fmt;
use std::future::ready;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "tls")]
use std::time::Duration;

use mycelium_executor::{Executor, Listener, SendFuture, Stream};

#[cfg(feature = "tls")]
use crate::tls::Tls;
use unix::BoundSocket;

pub use crate::gate::{Anyone, Gate, NameProof, Secured};
pub(crate) use error::connect_code;
pub use error::{BindError, LONGEST_PATH, PathTooLong, RejectedPeer, UntrustedSocket};
pub(crate) use shortage::process;
pub use shortage::{SpareDescriptor, is_shortage, oldest_of_most};
pub use tcp::BoundTcp;
pub use unix::Access;

/// The address of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A Unix socket.
    Unix {
        /// The path of the socket.
        path: PathBuf,
        /// The users that may connect, and the user that listens.
        access: Access,
    },
    /// TCP addresses, each `host:port`.
    Tcp {
        /// The addresses to which others connect, tried in this order.
        addresses: Vec<String>,
        /// The addresses at which the node listens; if empty, all of `addresses`.
        listen: Vec<String>,
    },
    /// TCP addresses, where both sides prove their names.
    #[cfg(feature = "tls")]
    Tls {
        /// The addresses to which others connect, tried in this order.
        addresses: Vec<String>,
        /// The addresses at which the node listens; if empty, all of `addresses`.
        listen: Vec<String>,
        /// The node that listens.
        node: String,
        /// The files with which this process proves its own name.
        tls: Arc<Tls>,
        /// How long a node that accepts a connection may take to prove its name.
        handshake: Duration,
    },
}

impl Endpoint {
    /// Creates the endpoint of a Unix socket, with the users that may connect and the one that
    /// listens.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>, access: Access) -> Endpoint {
        Endpoint::Unix { path: path.into(), access }
    }

    /// Checks the address without using it, so that a mistake is found when the node is built and
    /// not when it starts.
    ///
    /// # Errors
    /// If no process can ever listen at this address.
    pub fn check(&self) -> Result<(), PathTooLong> {
        match self {
            Endpoint::Unix { path, .. } => PathTooLong::check(path),
            _ => Ok(()),
        }
    }

    /// Returns the path of the control socket beside this endpoint, over which processes of one
    /// machine share memory, and the users that may connect to it: the same users as for the
    /// endpoint. Returns `None` if processes of other machines can connect to the endpoint.
    #[must_use]
    pub fn control_socket(&self) -> Option<(PathBuf, Access)> {
        let Endpoint::Unix { path, access } = self else { return None };
        let mut control = path.clone().into_os_string();
        control.push(".shm");
        Some((control.into(), access.clone()))
    }

    /// Returns where a process with this endpoint listens: its socket, or its TCP addresses.
    #[must_use]
    pub fn listens_at(&self) -> String {
        match self {
            Endpoint::Tcp { listen, .. } if !listen.is_empty() => listen.join(", "),
            #[cfg(feature = "tls")]
            Endpoint::Tls { listen, .. } if !listen.is_empty() => listen.join(", "),
            other => other.to_string(),
        }
    }

    /// Connects to the process that listens at this endpoint. The stream belongs to `executor`, so
    /// poll the future there.
    ///
    /// The error names the address. It contains an [`UntrustedSocket`] if another user could send
    /// in place of the node at a Unix socket. [`WouldBlock`](io::ErrorKind::WouldBlock) means that
    /// the process listens, but its queue of connections is full: try again.
    #[must_use]
    pub fn connect(&self, executor: &Arc<dyn Executor>) -> SendFuture<io::Result<Stream>> {
        let executor = executor.clone();
        match self {
            Endpoint::Unix { path, access } => {
                let (path, access) = (path.clone(), access.clone());
                Box::pin(async move {
                    let opened = unix::open(&path, &access, &*executor);
                    opened.map_err(|error| error::cannot_connect(&path, error))
                })
            }
            Endpoint::Tcp { addresses, .. } => {
                let addresses = addresses.clone();
                Box::pin(async move {
                    tcp::connect(&addresses, &*executor, |stream| ready(Ok(stream))).await
                })
            }
            #[cfg(feature = "tls")]
            Endpoint::Tls { addresses, node, tls, handshake, .. } => {
                let (addresses, node, tls) = (addresses.clone(), node.clone(), tls.clone());
                let limit = *handshake;
                Box::pin(async move {
                    let secure = |stream| {
                        let late = executor.sleep_until(executor.now().saturating_add(limit));
                        tls.connect_within(stream, &node, late, limit)
                    };
                    tcp::connect(&addresses, &*executor, secure).await
                })
            }
        }
    }

    /// Starts to listen at this endpoint, without waiting.
    ///
    /// # Errors
    /// If the address is in use, or the process may not use it.
    pub fn bind(&self) -> Result<BoundEndpoint, BindError> {
        match self {
            Endpoint::Unix { path, access } => {
                BoundSocket::with_access(path, access.clone()).map(BoundEndpoint::Unix)
            }
            Endpoint::Tcp { addresses, listen } => {
                BoundTcp::bind(addresses, listen).map(BoundEndpoint::Tcp)
            }
            #[cfg(feature = "tls")]
            Endpoint::Tls { addresses, listen, tls, .. } => {
                let sockets = BoundTcp::bind(addresses, listen)?;
                Ok(BoundEndpoint::Tls { sockets, tls: tls.clone() })
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix { path, .. } => path.display().fmt(f),
            Endpoint::Tcp { addresses, .. } => f.write_str(&addresses.join(", ")),
            #[cfg(feature = "tls")]
            Endpoint::Tls { addresses, .. } => f.write_str(&addresses.join(", ")),
        }
    }
}

/// An endpoint at which this process listens. Dropping it frees the address.
#[derive(Debug)]
#[non_exhaustive]
pub enum BoundEndpoint {
    /// A Unix socket.
    Unix(BoundSocket),
    /// TCP sockets.
    Tcp(BoundTcp),
    /// TCP sockets whose peers prove their names.
    #[cfg(feature = "tls")]
    Tls {
        /// The sockets.
        sockets: BoundTcp,
        /// The files with which this process proves its own name.
        tls: Arc<Tls>,
    },
}

impl BoundEndpoint {
    /// Returns a listener that accepts connections on an executor.
    ///
    /// # Errors
    /// If the process has no descriptor left, or the executor has no network.
    pub fn listener(&self, executor: &dyn Executor) -> io::Result<Listener> {
        match self {
            BoundEndpoint::Unix(socket) => socket.listener(executor),
            BoundEndpoint::Tcp(sockets) => sockets.listener(executor),
            #[cfg(feature = "tls")]
            BoundEndpoint::Tls { sockets, .. } => sockets.listener(executor),
        }
    }

    /// Returns the gate that each accepted connection must pass.
    #[must_use]
    pub fn gate(&self) -> Arc<dyn Gate> {
        match self {
            BoundEndpoint::Unix(socket) => Arc::new(socket.allowed()),
            // Anyone may connect, because a TCP address proves nothing about a peer.
            BoundEndpoint::Tcp(_) => Arc::new(Anyone),
            #[cfg(feature = "tls")]
            BoundEndpoint::Tls { tls, .. } => tls.clone(),
        }
    }

    /// Checks that the address still leads to this process, and restores it if it has vanished: the
    /// file of a Unix socket can be deleted. Returns whether it was restored. After that, peers can
    /// no longer reach an earlier listener.
    ///
    /// # Errors
    /// If the address has vanished and cannot be restored. The next call tries again.
    pub fn restore(&mut self) -> Result<bool, BindError> {
        match self {
            BoundEndpoint::Unix(socket) => socket.restore(),
            // A TCP address does not vanish while its process listens.
            _ => Ok(false),
        }
    }
}
