//! The sockets under links.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{LazyLock, Mutex, PoisonError};

use mycelium_executor::{Executor, Stream};

use super::tls;

/// A kind of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    Unix,
    /// Over the loopback interface.
    Tcp,
    /// TCP, encrypted.
    Tls,
}

/// A connected socket.
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    /// The end of an encrypted connection that connects; the other end accepts.
    Connects(TcpStream),
    Accepts(TcpStream),
}

impl SocketKind {
    /// Two sockets that are connected with each other.
    pub(crate) fn pair(self) -> (Socket, Socket) {
        let opened = match self {
            SocketKind::Unix => {
                UnixStream::pair().map(|(left, right)| (Socket::Unix(left), Socket::Unix(right)))
            }
            SocketKind::Tcp => tcp().map(|(left, right)| (Socket::Tcp(left), Socket::Tcp(right))),
            SocketKind::Tls => {
                tcp().map(|(left, right)| (Socket::Connects(left), Socket::Accepts(right)))
            }
        };
        opened.expect("the process may open two sockets")
    }
}

fn tcp() -> io::Result<(TcpStream, TcpStream)> {
    // One listener serves all: closed connections keep the port of their listener for a minute, and
    // thousands of listeners would use up all ports.
    static LISTENER: LazyLock<io::Result<Mutex<TcpListener>>> =
        LazyLock::new(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(Mutex::new));
    let listener = LISTENER.as_ref().map_err(io::Error::kind)?;
    // Locked until the connection is accepted, which another thread could take otherwise.
    let listener = listener.lock().unwrap_or_else(PoisonError::into_inner);
    let left = TcpStream::connect(listener.local_addr()?)?;
    Ok((left, listener.accept()?.0))
}

impl Socket {
    /// Opens the socket as a stream of the executor, encrypted if its kind is.
    pub(crate) async fn open(self, executor: &dyn Executor) -> Stream {
        match self {
            Socket::Connects(_) => tls::connect(self.stream(executor)).await,
            Socket::Accepts(_) => tls::accept(self.stream(executor)).await,
            _ => self.stream(executor),
        }
    }

    /// Opens the socket as a stream of the executor, not encrypted.
    pub(crate) fn stream(self, executor: &dyn Executor) -> Stream {
        let stream = match self {
            Socket::Unix(socket) => executor.unix_stream(socket),
            Socket::Tcp(socket) | Socket::Connects(socket) | Socket::Accepts(socket) => {
                executor.tcp_stream(socket)
            }
        };
        stream.expect("a fresh socket")
    }
}
