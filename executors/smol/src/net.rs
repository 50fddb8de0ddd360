//! Sockets of the standard library that [`async_io`] watches. Vectored writes take all buffers.

use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use mycelium_executor::{Listener, Stream, connect_first, prepare_tcp};

pub(crate) async fn connect(address: String) -> io::Result<Stream> {
    tcp_stream(connect_first(address, Async::<TcpStream>::connect).await?)
}

pub(crate) fn tcp_listener(socket: TcpListener) -> io::Result<Listener> {
    let adopt = |socket| tcp_stream(Async::new(socket)?);
    Ok(Listener::watching(
        Async::new(socket)?,
        |socket, context| socket.poll_readable(context),
        adopt,
    ))
}

pub(crate) fn tcp_stream(stream: Async<TcpStream>) -> io::Result<Stream> {
    prepare_tcp(stream.get_ref())?;
    // `async_io` does not shut down the write direction when a stream is closed.
    Ok(Stream::closing(Socket::new(stream), |it| it.socket.get_ref().shutdown(Shutdown::Write)))
}

/// A connected socket. After a read that did not fill its buffer the socket is empty, so the next
/// one waits before it asks the system; `async_io` alone asks twice before it waits.
struct Socket<S> {
    socket: Async<S>,
    is_empty: bool,
    /// The task is registered for the next bytes.
    waits: bool,
}

impl<S> Socket<S> {
    fn new(socket: Async<S>) -> Socket<S> {
        Socket { socket, is_empty: false, waits: false }
    }
}

impl<S> AsyncRead for Socket<S>
where
    for<'a> &'a S: Read,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.is_empty || self.waits {
                self.waits = self.socket.poll_readable(context)?.is_pending();
                if mem::take(&mut self.is_empty) && self.waits {
                    return Poll::Pending;
                }
            }
            // A task that waits may be polled before the reactor has seen its bytes. It asks the
            // system, because a link counts the time without bytes.
            match self.socket.get_ref().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.waits {
                        return Poll::Pending;
                    }
                    self.is_empty = true;
                }
                read => {
                    self.is_empty = matches!(read, Ok(count) if (1..buffer.len()).contains(&count));
                    return Poll::Ready(read);
                }
            }
        }
    }
}

impl<S> AsyncWrite for Socket<S>
where
    S: Unpin,
    for<'a> &'a S: Write,
    Async<S>: AsyncWrite,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, parts)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context)
    }
}

#[cfg(unix)]
pub(crate) mod unix {
    use std::io;
    use std::net::Shutdown;
    use std::os::unix::net::{UnixListener, UnixStream};

    use async_io::Async;
    use mycelium_executor::{Listener, Stream};

    use super::Socket;

    pub(crate) fn stream(socket: UnixStream) -> io::Result<Stream> {
        Ok(Stream::closing(Socket::new(Async::new(socket)?), |it| {
            it.socket.get_ref().shutdown(Shutdown::Write)
        }))
    }

    pub(crate) fn listener(socket: UnixListener) -> io::Result<Listener> {
        let socket = Async::new(socket)?;
        Ok(Listener::watching(socket, |socket, context| socket.poll_readable(context), stream))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_task_that_waits_finds_its_bytes_before_the_reactor_does() {
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let mut stream = unix::stream(socket).unwrap();
        let mut read = || {
            let mut context = Context::from_waker(Waker::noop());
            Pin::new(&mut stream).poll_read(&mut context, &mut [0; 8]).map(Result::unwrap)
        };
        for count in 1..4 {
            peer.write_all(&[7; 8][..count]).unwrap();
            assert_eq!(read(), Poll::Ready(count), "at once, also if it has waited");
            assert_eq!(read(), Poll::Pending);
        }
        drop(peer);
        assert_eq!(read(), Poll::Ready(0));
    }
}
