//! Listening sockets, which accept connections on any runtime.
//!
//! A socket of the standard library is bound synchronously ([`bind_tcp`](crate::bind_tcp)), so that
//! a used address is an error at the start of a node. An adapter then adopts the socket:
//! `Executor::tcp_listener` and `Executor::unix_listener`.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::task::{Context, Poll, ready};

#[cfg(unix)]
use crate::network::Credentials;
use crate::network::{Address, Peer, Stream, prepare_tcp};

/// The trait that an adapter's listener must implement.
pub trait Accept: Send {
    /// Accepts the next connection, and returns its peer. Dropping a pending accept loses no
    /// connection.
    ///
    /// # Errors
    /// An error of one connection, or of the listener (for example, no file descriptors left). The
    /// listener stays usable.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>>;

    /// Returns the address of the listener.
    ///
    /// # Errors
    /// If the system does not report it.
    fn local_addr(&self) -> io::Result<Address>;
}

/// A listening socket.
pub struct Listener(Box<dyn Accept>);

impl Listener {
    /// Wraps an adapter's listener.
    pub fn new(listener: impl Accept + 'static) -> Listener {
        Listener(Box::new(listener))
    }

    /// Wraps a non-blocking socket of the standard library, for a runtime that only waits for it.
    ///
    /// When no connection waits, this polls `poll_readable`, which must be ready when there may be
    /// one. `adopt` turns an accepted socket into a stream.
    pub fn watching<L: ListeningSocket, W: AsRef<L> + Send + 'static>(
        socket: W,
        poll_readable: fn(&mut W, &mut Context<'_>) -> Poll<io::Result<()>>,
        adopt: impl FnMut(L::Stream) -> io::Result<Stream> + Send + 'static,
    ) -> Listener {
        Listener::new(Watching { socket, poll_readable, adopt, kind: PhantomData })
    }

    /// Returns a listener that accepts the connections of both, in turn. It has the address of the
    /// first.
    #[must_use]
    pub fn and(self, other: Listener) -> Listener {
        Listener::new(Both { listeners: [self, other], turn: 0 })
    }

    /// Accepts the next connection, and returns its peer. Dropping a pending accept loses no
    /// connection.
    ///
    /// # Errors
    /// An error of one connection, or of the listener (for example, no file descriptors left). The
    /// listener stays usable.
    pub async fn accept(&mut self) -> io::Result<(Stream, Peer)> {
        poll_fn(|context| self.0.poll_accept(context)).await
    }

    /// Returns the address of the listener.
    ///
    /// # Errors
    /// If the system does not report it.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.0.local_addr()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.local_addr().ok()).finish()
    }
}

struct Both {
    listeners: [Listener; 2],
    /// The listener that was polled last.
    turn: usize,
}

impl Accept for Both {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        for _ in 0..2 {
            self.turn = 1 - self.turn;
            let accepted = self.listeners[self.turn].0.poll_accept(context);
            if accepted.is_ready() {
                return accepted;
            }
        }
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.listeners[0].local_addr()
    }
}

/// A listening socket of the standard library.
pub trait ListeningSocket: 'static {
    /// The sockets of accepted connections.
    type Stream;

    /// Accepts the next connection, prepared for messages, and returns its peer.
    ///
    /// # Errors
    /// The system's error; `WouldBlock` if no connection waits.
    fn accept_peer(&self) -> io::Result<(Self::Stream, Peer)>;

    /// Returns the address of the socket.
    ///
    /// # Errors
    /// If the system does not report it.
    fn address(&self) -> io::Result<Address>;
}

impl ListeningSocket for TcpListener {
    type Stream = TcpStream;

    fn accept_peer(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = self.accept()?;
        prepare_tcp(&stream)?;
        Ok((stream, Peer::Tcp(peer)))
    }

    fn address(&self) -> io::Result<Address> {
        self.local_addr().map(Address::Tcp)
    }
}

#[cfg(unix)]
impl ListeningSocket for UnixListener {
    type Stream = UnixStream;

    fn accept_peer(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.accept()?;
        let peer = Peer::Unix(Credentials::of(&stream)?);
        Ok((stream, peer))
    }

    fn address(&self) -> io::Result<Address> {
        Ok(self.local_addr()?.into())
    }
}

struct Watching<L, W, A> {
    socket: W,
    poll_readable: fn(&mut W, &mut Context<'_>) -> Poll<io::Result<()>>,
    adopt: A,
    kind: PhantomData<fn() -> L>,
}

impl<L, W, A> Accept for Watching<L, W, A>
where
    L: ListeningSocket,
    W: AsRef<L> + Send,
    A: FnMut(L::Stream) -> io::Result<Stream> + Send,
{
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        loop {
            match self.socket.as_ref().accept_peer() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!((self.poll_readable)(&mut self.socket, context))?;
                }
                accepted => {
                    let (socket, peer) = accepted?;
                    return Poll::Ready(Ok(((self.adopt)(socket)?, peer)));
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.socket.as_ref().address()
    }
}
