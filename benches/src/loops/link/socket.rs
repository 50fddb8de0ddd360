//! The sockets under links.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use mycelium_executor::{Executor, Stream, prepare_tcp};
use mycelium_tokio::Tokio;
use tokio_util::either::Either;

/// A kind of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    Unix,
    /// Over the loopback interface.
    Tcp,
}

/// A connected socket.
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl SocketKind {
    /// Two sockets that are connected with each other.
    pub(crate) fn pair(self) -> (Socket, Socket) {
        let opened = match self {
            SocketKind::Unix => {
                UnixStream::pair().map(|(left, right)| (Socket::Unix(left), Socket::Unix(right)))
            }
            SocketKind::Tcp => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| {
                let left = TcpStream::connect(listener.local_addr()?)?;
                Ok((Socket::Tcp(left), Socket::Tcp(listener.accept()?.0)))
            }),
        };
        opened.expect("the process may open two sockets")
    }
}

impl Socket {
    /// As a stream of the executor.
    pub(crate) fn stream(self, executor: &Tokio) -> Stream {
        let stream = match self {
            Socket::Unix(socket) => executor.unix_stream(socket),
            Socket::Tcp(socket) => executor.tcp_stream(socket),
        };
        stream.expect("a fresh socket")
    }

    /// As a stream of tokio's own.
    pub(crate) fn tokio(self) -> Either<tokio::net::UnixStream, tokio::net::TcpStream> {
        match self {
            Socket::Unix(socket) => {
                socket.set_nonblocking(true).expect("a fresh socket");
                Either::Left(tokio::net::UnixStream::from_std(socket).expect("inside a runtime"))
            }
            Socket::Tcp(socket) => {
                prepare_tcp(&socket).expect("a fresh socket");
                socket.set_nonblocking(true).expect("a fresh socket");
                Either::Right(tokio::net::TcpStream::from_std(socket).expect("inside a runtime"))
            }
        }
    }
}
