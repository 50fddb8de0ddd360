//! Sockets that glommio watches by io_uring.
//!
//! A socket is one of the standard library's and may be anywhere. What waits for it is glommio's, stays at home, and has
//! a descriptor of its own. glommio's stream is made of any socket: it does no more than to receive, to send and to wait,
//! which is the same for TCP and for Unix sockets, and for one that listens all but the waiting fails.

use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use mycelium_executor::{Accept, Address, Credentials, Listener, Peer, Stream, first_of, pool};
use socket2::{Domain, Type};

use crate::home::Home;
use crate::room::Kept;

pub(crate) async fn connect(home: Arc<Home>, address: String) -> io::Result<Stream> {
    let attempt = |address| reach(home.clone(), address);
    Ok(Stream::new(first_of(pool::addresses(address).await?, attempt).await?))
}

async fn reach(home: Arc<Home>, address: SocketAddr) -> io::Result<Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            return Err(error);
        }
        _ => {}
    }
    let mut reached = Socket::new(home, OwnedFd::from(std::net::TcpStream::from(socket)).into())?;
    // Writing nothing waits until something could be written, or says why that will not be.
    std::future::poll_fn(|context| Pin::new(&mut reached).poll_write(context, &[])).await?;
    Ok(reached)
}

pub(crate) async fn listen(home: Arc<Home>, address: String) -> io::Result<Listener> {
    let bind = |address: SocketAddr| async move { TcpListener::bind(address) };
    let listener = first_of(pool::addresses(address).await?, bind).await?;
    listener.set_nonblocking(true)?;
    Ok(Listener::new(Tcp(Waiting::new(home, listener))))
}

pub(crate) fn stream(home: Arc<Home>, socket: UnixStream) -> io::Result<Stream> {
    Ok(Stream::new(Socket::new(home, socket)?))
}

pub(crate) fn listener(home: Arc<Home>, socket: UnixListener) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    Ok(Listener::new(Unix(Waiting::new(home, socket))))
}

/// What waits for a socket, at home.
fn watch(home: &Arc<Home>, socket: UnixStream) -> io::Result<Kept<TcpStream>> {
    Kept::new(home, || TcpStream::from(socket2::Socket::from(socket))).ok_or_else(elsewhere)
}

fn elsewhere() -> io::Error {
    let what = "a socket of glommio's is used by tasks of its own executor, as long as that runs";
    io::Error::new(io::ErrorKind::Unsupported, what)
}

/// A connected socket.
struct Socket {
    home: Arc<Home>,
    socket: UnixStream,
    /// From its first use on.
    watched: Option<Kept<TcpStream>>,
}

impl Socket {
    fn new(home: Arc<Home>, socket: UnixStream) -> io::Result<Socket> {
        socket.set_nonblocking(true)?;
        Ok(Socket { home, socket, watched: None })
    }

    fn watched<T>(
        &mut self,
        work: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let watched = match &mut self.watched {
            Some(watched) => watched,
            none => none.insert(watch(&self.home, self.socket.try_clone()?)?),
        };
        watched
            .with(|stream| work(Pin::new(stream)))
            .unwrap_or_else(|| Poll::Ready(Err(elsewhere())))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.watched(|stream| stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watched(|stream| stream.poll_write(context, buffer))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.home.is_here() {
            return Poll::Ready(Err(elsewhere()));
        }
        // glommio's own writes the first buffer only.
        match self.socket.write_vectored(buffers) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let first = buffers.iter().find(|buffer| !buffer.is_empty());
                self.poll_write(context, first.map_or(&[], |first| first))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket.shutdown(Shutdown::Write) {
            // The other side was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}

/// A listening socket.
struct Waiting<L> {
    home: Arc<Home>,
    listener: L,
    watched: Option<Kept<TcpStream>>,
}

impl<L> Waiting<L> {
    fn new(home: Arc<Home>, listener: L) -> Waiting<L> {
        Waiting { home, listener, watched: None }
    }

    /// What `accept` gives as soon as it would not block.
    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        accept: impl Fn(&L) -> io::Result<T>,
        copy: impl Fn(&L) -> io::Result<OwnedFd>,
    ) -> Poll<io::Result<T>> {
        loop {
            match accept(&self.listener) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => return Poll::Ready(accepted),
            }
            let watched = match &mut self.watched {
                Some(watched) => watched,
                none => none.insert(watch(&self.home, copy(&self.listener)?.into())?),
            };
            let wait = |stream: &mut TcpStream| Pin::new(stream).poll_read(context, &mut [0]);
            match watched.with(wait) {
                None => return Poll::Ready(Err(elsewhere())),
                Some(Poll::Pending) => return Poll::Pending,
                // Whatever it says: one cannot read from a listener, but somebody has come.
                Some(Poll::Ready(_)) => self.watched = None,
            }
        }
    }
}

struct Tcp(Waiting<TcpListener>);

impl Accept for Tcp {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let copy = |listener: &TcpListener| Ok(listener.try_clone()?.into());
        let (stream, peer) = ready!(self.0.poll(context, TcpListener::accept, copy))?;
        stream.set_nodelay(true)?;
        let socket = Socket::new(self.0.home.clone(), OwnedFd::from(stream).into())?;
        Poll::Ready(Ok((Stream::new(socket), Peer::Tcp(peer))))
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.0.listener.local_addr().map(Address::Tcp)
    }
}

struct Unix(Waiting<UnixListener>);

impl Accept for Unix {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let copy = |listener: &UnixListener| Ok(listener.try_clone()?.into());
        let (socket, _) = ready!(self.0.poll(context, UnixListener::accept, copy))?;
        let peer = Peer::Unix(Credentials::of(&socket)?);
        Poll::Ready(Ok((stream(self.0.home.clone(), socket)?, peer)))
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(self.0.listener.local_addr()?.into())
    }
}
