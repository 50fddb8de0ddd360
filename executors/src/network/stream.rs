//! Byte streams that hide the runtime's own type.
//!
//! An adapter wraps its runtime's type itself, so that a vectored write takes all buffers: several
//! compatibility layers write only the first buffer of `poll_write_vectored`.

use std::fmt;
#[cfg(unix)]
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
#[cfg(target_os = "linux")]
use std::mem::MaybeUninit;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
#[cfg(target_os = "linux")]
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
#[cfg(target_os = "linux")]
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
#[cfg(target_os = "linux")]
use rustix::{event::Timespec, io::Errno};

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

/// A descriptor whose events an executor reports, and which it does not read.
#[cfg(unix)]
#[expect(clippy::type_complexity, reason = "the type is used once")]
pub struct Watched(Box<dyn FnMut(&mut Context<'_>) -> Poll<bool> + Send>);

#[cfg(unix)]
impl Watched {
    /// Wraps a function that is ready with true after the descriptor has become readable, or, if it
    /// was readable already, after one more event. Several events may count as one. It is ready with
    /// false once the executor no longer watches the descriptor.
    pub fn new(poll: impl FnMut(&mut Context<'_>) -> Poll<bool> + Send + 'static) -> Watched {
        Watched(Box::new(poll))
    }

    /// Watches a descriptor for an executor that only waits until a descriptor is readable: it waits
    /// for an epoll instance, which is readable once for each event. `watch` adopts the instance,
    /// and `poll_readable` waits for it.
    ///
    /// # Errors
    /// That of `watch`, or of the system, which has no descriptor left.
    #[cfg(target_os = "linux")]
    pub fn by_epoll<W: AsFd + Send + 'static>(
        descriptor: Arc<OwnedFd>,
        watch: impl FnOnce(OwnedFd) -> io::Result<W>,
        poll_readable: fn(&mut W, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> io::Result<Watched> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let events = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&events, &descriptor, EventData::new_u64(0), EventFlags::IN | EventFlags::ET)?;
        let (mut events, mut has_reported) = (watch(events)?, false);
        Ok(Watched::new(move |context| {
            // The instance has no events of a closed descriptor.
            let _open = &descriptor;
            if std::mem::take(&mut has_reported) {
                // Waits again, which takes system calls, only after the woken tasks have run.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            loop {
                if ready!(poll_readable(&mut events, context)).is_err() {
                    return Poll::Ready(false);
                }
                let mut event = [MaybeUninit::uninit()];
                match epoll::wait(&events, &mut event, Some(&AT_ONCE)) {
                    Ok(([], _)) | Err(Errno::INTR) => {}
                    taken => {
                        has_reported = taken.is_ok();
                        return Poll::Ready(has_reported);
                    }
                }
            }
        }))
    }

    /// Waits for the next event. Returns false once the executor no longer watches the descriptor.
    pub async fn event(&mut self) -> bool {
        poll_fn(|context| (self.0)(context)).await
    }
}

#[cfg(unix)]
impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
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
