//! Sockets for every adapter: [`Stream`] and [`Listener`] wrap the sockets of a runtime,
//! [`bind_tcp`], [`prepare_tcp`] and [`connect_first`] create and prepare them, and [`Credentials`]
//! identify the process of a peer.

mod listener;
mod resolve;
mod stream;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

pub use listener::{Accept, Listener, ListeningSocket};
pub use resolve::connect_first;
pub use stream::{Duplex, Stream, WakeStream};

// Addresses of listeners, and the peers of connections.

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
    /// Returns the credentials of the process at the other end of `socket`.
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

    /// Returns the credentials of the process at the other end of a socket.
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

// TCP sockets for links: binding them, and preparing connected ones.

/// The idle time after which the system probes the peer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The pause between two unanswered probes.
const PROBES: Duration = Duration::from_secs(10);

/// The limit on connections that wait to be accepted; the system may have a lower one. Beyond it,
/// the system drops the packets of further peers. They try again after a second. Until then a peer
/// that reconnects without a pause can take each free place.
const BACKLOG: i32 = 4096;

/// Binds a non-blocking TCP socket to `host:port` and listens. If the port is 0, the system chooses
/// one. Resolving a host name blocks; a numeric address does not.
///
/// ```
/// # // Miri isolates programs from the network.
/// # if cfg!(miri) { return Ok(()) }
/// let first = mycelium_executor::bind_tcp("127.0.0.1:0")?;
/// let address = first.local_addr()?.to_string();
/// let error = mycelium_executor::bind_tcp(&address).unwrap_err();
/// assert!(error.to_string().starts_with(&format!("cannot listen at `{address}`: ")));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// If the address is invalid, unknown, in use or not permitted. The error names the address.
pub fn bind_tcp(address: &str) -> io::Result<TcpListener> {
    let bound = address.to_socket_addrs().and_then(|found| {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in found {
            match listen(address) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    });
    bound.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen at `{address}`: {error}"))
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections that an earlier process has closed then do not keep the port in use.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Prepares a connected TCP socket for messages: small writes are sent at once (`TCP_NODELAY`), and
/// the system probes a peer that is silent (`SO_KEEPALIVE`), so that a connection with a dead
/// machine ends even if nothing is sent. Adapters call it for each socket that they connect, accept
/// or adopt.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
///
/// # // Miri isolates programs from the network.
/// # if cfg!(miri) { return Ok(()) }
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let socket = TcpStream::connect(listener.local_addr()?)?;
/// mycelium_executor::prepare_tcp(&socket)?;
/// assert!(socket.nodelay()?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system's error, for example if the socket is not a TCP socket.
pub fn prepare_tcp<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<()> {
    let socket = socket.into();
    socket.set_tcp_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(PROBES);
    socket.set_tcp_keepalive(&probes)
}
