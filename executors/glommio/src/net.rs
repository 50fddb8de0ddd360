//! Sockets that glommio watches by io_uring.
//!
//! The socket belongs to the standard library and may be on any thread. It is watched by a
//! `TcpStream` of glommio, which stays on the executor's thread and has its own file descriptor.
//! That type only receives, sends and waits, so it works with any connected socket, TCP or Unix.
//! With a listening socket only waiting works.

use std::future::poll_fn;
use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use mycelium_executor::{Listener, ListeningSocket, Stream, connect_first, prepare_tcp};
use socket2::{Domain, Type};

use crate::inbox::Inbox;
use crate::local::LocalValue;

pub(crate) async fn connect(inbox: Arc<Inbox>, address: String) -> io::Result<Stream> {
    let connect = |address| connect_to(inbox.clone(), address);
    connect_first(address, connect).await.map(Stream::new)
}

async fn connect_to(inbox: Arc<Inbox>, address: SocketAddr) -> io::Result<Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let in_progress = Some(rustix::io::Errno::INPROGRESS.raw_os_error());
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != in_progress => return Err(error),
        _ => {}
    }
    let socket = std::net::TcpStream::from(socket);
    prepare_tcp(&socket)?;
    let mut socket = Socket::new(inbox, OwnedFd::from(socket).into())?;
    // An empty write waits until the connection is made, and fails if it is refused.
    poll_fn(|context| Pin::new(&mut socket).poll_write(context, &[])).await?;
    Ok(socket)
}

pub(crate) fn tcp_stream(inbox: Arc<Inbox>, socket: std::net::TcpStream) -> io::Result<Stream> {
    prepare_tcp(&socket)?;
    stream(inbox, OwnedFd::from(socket).into())
}

pub(crate) fn stream(inbox: Arc<Inbox>, socket: UnixStream) -> io::Result<Stream> {
    Socket::new(inbox, socket).map(Stream::new)
}

/// Creates a listener on a non-blocking socket.
pub(crate) fn listener<L>(inbox: Arc<Inbox>, socket: L) -> Listener
where
    L: ListeningSocket + AsFd + Send,
    OwnedFd: From<L::Stream>,
{
    let watched = WatchedListener { inbox: inbox.clone(), socket, watched: None };
    Listener::watching(watched, WatchedListener::poll_readable, move |socket| {
        stream(inbox.clone(), OwnedFd::from(socket).into())
    })
}

/// Creates the `TcpStream` by which tasks wait until a socket is readable or writable.
fn watch(inbox: &Arc<Inbox>, socket: impl AsFd) -> io::Result<LocalValue<TcpStream>> {
    let socket = socket2::Socket::from(UnixStream::from(socket.as_fd().try_clone_to_owned()?));
    LocalValue::new(inbox, || TcpStream::from(socket)).ok_or_else(wrong_thread)
}

fn wrong_thread() -> io::Error {
    let text = "only tasks of its own executor can use a socket of glommio's, and only while that executor runs";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// A connected socket.
struct Socket {
    inbox: Arc<Inbox>,
    socket: UnixStream,
    /// Created at the first use.
    watched: Option<LocalValue<TcpStream>>,
}

impl Socket {
    fn new(inbox: Arc<Inbox>, socket: UnixStream) -> io::Result<Socket> {
        socket.set_nonblocking(true)?;
        Ok(Socket { inbox, socket, watched: None })
    }

    fn with_watched<T>(
        &mut self,
        work: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let watched = match &mut self.watched {
            Some(watched) => watched,
            none => none.insert(watch(&self.inbox, &self.socket)?),
        };
        watched
            .with(|stream| work(Pin::new(stream)))
            .unwrap_or_else(|| Poll::Ready(Err(wrong_thread())))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.with_watched(|stream| stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with_watched(|stream| stream.poll_write(context, buffer))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.inbox.is_on_this_thread() {
            return Poll::Ready(Err(wrong_thread()));
        }
        // glommio's own vectored write takes only the first buffer.
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
            // The peer has closed the connection first, so nothing is left to do.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}

/// A listening socket, and glommio's stream that waits for it.
struct WatchedListener<L> {
    inbox: Arc<Inbox>,
    socket: L,
    watched: Option<LocalValue<TcpStream>>,
}

impl<L: AsFd> WatchedListener<L> {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watched = match &mut self.watched {
            Some(watched) => watched,
            none => none.insert(watch(&self.inbox, &self.socket)?),
        };
        let wait = |stream: &mut TcpStream| Pin::new(stream).poll_read(context, &mut [0]);
        let Some(read) = watched.with(wait) else {
            return Poll::Ready(Err(wrong_thread()));
        };
        // Reading from a listening socket always fails, but only once a connection has arrived: so
        // the error means that the socket is readable.
        let _ = ready!(read);
        self.watched = None;
        Poll::Ready(Ok(()))
    }
}

impl<L> AsRef<L> for WatchedListener<L> {
    fn as_ref(&self) -> &L {
        &self.socket
    }
}
