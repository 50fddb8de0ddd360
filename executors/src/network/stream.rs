//! Byte streams that hide the runtime's own type.
//!
//! An adapter wraps its runtime's type itself, so that a vectored write takes all buffers: several
//! compatibility layers write only the first buffer of `poll_write_vectored`.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

/// The trait that an adapter's stream must implement.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connected byte stream.
pub struct Stream(Box<dyn Wrapped>);

impl Stream {
    /// Wraps an adapter's stream.
    pub fn new(stream: impl Duplex + 'static) -> Stream {
        Stream(Box::new(Wrapper { stream, shutdown: None }))
    }

    /// Wraps an adapter's stream whose own `poll_close` does not shut down the write direction.
    /// Closing calls `shutdown` for that, which must not block.
    pub fn closing<S: Duplex + 'static>(stream: S, shutdown: fn(&S) -> io::Result<()>) -> Stream {
        Stream(Box::new(Wrapper { stream, shutdown: Some(shutdown) }))
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
        self.0.duplex().poll_read(context, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.duplex().poll_read_vectored(context, buffers)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.duplex().poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.duplex().poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.duplex().poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(context)
    }
}

/// A socket to which a peer writes only to wake this side: the bytes have no meaning.
#[expect(clippy::type_complexity, reason = "the type is used once")]
pub struct WakeStream(Box<dyn FnMut(&mut Context<'_>) -> Poll<bool> + Send>);

impl WakeStream {
    /// Wraps a function that is ready with true after the peer has written, perhaps several times,
    /// and with false at the end of the stream and after an error. It reports each byte that arrives
    /// after it was ready, and may report more often.
    pub fn new(poll: impl FnMut(&mut Context<'_>) -> Poll<bool> + Send + 'static) -> WakeStream {
        WakeStream(Box::new(poll))
    }

    /// Reads the bytes from a stream.
    #[must_use]
    pub fn reading(mut stream: Stream) -> WakeStream {
        let mut has_read = false;
        WakeStream::new(move |context| {
            if std::mem::take(&mut has_read) {
                // Waits for the next byte only after the woken tasks have run, because to wait may
                // take a system call.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let count = ready!(Pin::new(&mut stream).poll_read(context, &mut [0; 64]));
            has_read = matches!(count, Ok(1..));
            Poll::Ready(has_read)
        })
    }

    /// Waits until the peer has written. Returns false at the end of the stream and after an error.
    pub async fn woken(&mut self) -> bool {
        poll_fn(|context| (self.0)(context)).await
    }
}

impl fmt::Debug for WakeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeStream").finish_non_exhaustive()
    }
}

/// An adapter's stream, and the way to close it.
trait Wrapped: Send {
    fn duplex(&mut self) -> Pin<&mut dyn Duplex>;

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

struct Wrapper<S> {
    stream: S,
    /// Shuts down the write direction; `None` if the stream's own `poll_close` does.
    shutdown: Option<fn(&S) -> io::Result<()>>,
}

impl<S: Duplex> Wrapped for Wrapper<S> {
    fn duplex(&mut self) -> Pin<&mut dyn Duplex> {
        Pin::new(&mut self.stream)
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(shutdown) = self.shutdown else {
            return Pin::new(&mut self.stream).poll_close(context);
        };
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        match shutdown(&self.stream) {
            // The peer has closed the connection first, so nothing is left to do.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}
