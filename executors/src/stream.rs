//! Streams and listeners that hide whose they are.
//!
//! An adapter wraps each runtime's own type, so that a vectored write is a real one: several compatibility layers
//! write only the first buffer of `poll_write_vectored`.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

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

/// What an adapter's listener must be.
pub trait Accept: Send {
    /// The next connection and where it comes from. Cancelling loses none.
    ///
    /// # Errors
    /// An error of one connection, or of the listener (out of descriptors, say); the listener goes on.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>>;

    /// Where it listens.
    ///
    /// # Errors
    /// If the system cannot tell.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A listening socket.
pub struct Listener(Box<dyn Accept>);

impl Listener {
    /// Wraps an adapter's listener.
    pub fn new(listener: impl Accept + 'static) -> Listener {
        Listener(Box::new(listener))
    }

    /// The next connection and where it comes from. Cancelling loses none.
    ///
    /// # Errors
    /// An error of one connection, or of the listener (out of descriptors, say); the listener goes on.
    pub async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        poll_fn(|context| self.0.poll_accept(context)).await
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.local_addr().ok()).finish()
    }
}
