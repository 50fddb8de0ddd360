//! Streams and listeners that hide whose they are.
//!
//! An adapter wraps each runtime's own type, so that a vectored write is a real one: several compatibility layers
//! write only the first buffer of `poll_write_vectored`.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

/// What an adapter's stream must be.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connected byte stream.
pub struct Stream(Box<dyn Duplex>);

impl Stream {
    /// Wraps an adapter's stream.
    pub fn new(stream: impl Duplex + 'static) -> Stream {
        Stream(Box::new(stream))
    }

    /// Wraps an adapter's stream whose own `poll_close` does not tell the other side: that nothing more will be written is
    /// said by `end`, which does not block.
    pub fn closing<S: Duplex + 'static>(stream: S, end: fn(&S) -> io::Result<()>) -> Stream {
        Stream::new(Closing { stream, end })
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_read_vectored(context, buffers)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_close(context)
    }
}

/// A stream, and what says that nothing more will be written.
struct Closing<S> {
    stream: S,
    end: fn(&S) -> io::Result<()>,
}

impl<S: Duplex> AsyncRead for Closing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read_vectored(context, buffers)
    }
}

impl<S: Duplex> AsyncWrite for Closing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        match (self.end)(&self.stream) {
            // The other side was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// Over TCP.
    Tcp(SocketAddr),
    /// At a path.
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

/// Tries one address after the other, and gives the first success or the last error.
///
/// # Errors
/// If none worked, or there is none.
pub async fn first_of<T, F: Future<Output = io::Result<T>>>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    mut attempt: impl FnMut(SocketAddr) -> F,
) -> io::Result<T> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "this host has no address");
    for address in addresses {
        match attempt(address).await {
            Ok(done) => return Ok(done),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// Somebody at an address, who may be anybody.
    Tcp(SocketAddr),
    /// A process of this machine, as the system knows it.
    Unix(Credentials),
}

/// Whose a process was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The process, where the system tells.
    pub process: Option<u32>,
    /// Its user.
    pub user: u32,
    /// Its group.
    pub group: u32,
}

impl Credentials {
    /// Those of the process that made the other end of a socket.
    ///
    /// # Errors
    /// If the system does not tell.
    #[cfg(target_os = "linux")]
    pub fn of(socket: &std::os::unix::net::UnixStream) -> io::Result<Credentials> {
        let found = rustix::net::sockopt::socket_peercred(socket)?;
        Ok(Credentials {
            process: u32::try_from(found.pid.as_raw_nonzero().get()).ok(),
            user: found.uid.as_raw(),
            group: found.gid.as_raw(),
        })
    }

    /// Those of the process that made the other end of a socket.
    ///
    /// # Errors
    /// The system does not tell here.
    #[cfg(all(unix, not(target_os = "linux")))]
    pub fn of(_: &std::os::unix::net::UnixStream) -> io::Result<Credentials> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "who connects is known on Linux only"))
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

/// What an adapter's listener must be.
pub trait Accept: Send {
    /// The next connection and who it is. Cancelling loses none.
    ///
    /// # Errors
    /// An error of one connection, or of the listener (out of descriptors, say); the listener goes on.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>>;

    /// Where it listens.
    ///
    /// # Errors
    /// If the system cannot tell.
    fn local_addr(&self) -> io::Result<Address>;
}

/// A listening socket.
pub struct Listener(Box<dyn Accept>);

impl Listener {
    /// Wraps an adapter's listener.
    pub fn new(listener: impl Accept + 'static) -> Listener {
        Listener(Box::new(listener))
    }

    /// The next connection and who it is. Cancelling loses none.
    ///
    /// # Errors
    /// An error of one connection, or of the listener (out of descriptors, say); the listener goes on.
    pub async fn accept(&mut self) -> io::Result<(Stream, Peer)> {
        poll_fn(|context| self.0.poll_accept(context)).await
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.0.local_addr()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.local_addr().ok()).finish()
    }
}
