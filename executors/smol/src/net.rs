//! Sockets that [`async_io`] watches, with vectored writes.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use mycelium_executor::{Accept, Address, Listener, Peer, Stream, first_of, pool};

pub(crate) async fn connect(address: String) -> io::Result<Stream> {
    let stream = first_of(pool::addresses(address).await?, Async::<TcpStream>::connect).await?;
    tcp(stream)
}

pub(crate) async fn listen(address: String) -> io::Result<Listener> {
    let bind = |address| async move { Async::<TcpListener>::bind(address) };
    Ok(Listener::new(Tcp(first_of(pool::addresses(address).await?, bind).await?)))
}

fn tcp(stream: Async<TcpStream>) -> io::Result<Stream> {
    stream.get_ref().set_nodelay(true)?;
    Ok(Stream::new(Socket(stream)))
}

/// A connected socket of the standard library's.
trait Halves {
    /// Says that nothing more will be written.
    fn end(&self) -> io::Result<()>;
}

impl Halves for TcpStream {
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A stream that `async_io` watches. Closing it closes the one direction, which `async_io` itself does not do.
struct Socket<S>(Async<S>);

impl<S> AsyncRead for Socket<S>
where
    Async<S>: AsyncRead + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read_vectored(context, buffers)
    }
}

impl<S: Halves> AsyncWrite for Socket<S>
where
    Async<S>: AsyncWrite + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_flush(context))?;
        match self.0.get_ref().end() {
            // The other side was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}

/// What `accept` gives as soon as it would not block.
fn poll_accept<L, T>(
    listener: &Async<L>,
    context: &mut Context<'_>,
    accept: impl Fn(&L) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match accept(listener.get_ref()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(listener.poll_readable(context))?;
            }
            accepted => break Poll::Ready(accepted),
        }
    }
}

struct Tcp(Async<TcpListener>);

impl Accept for Tcp {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let (stream, peer) = ready!(poll_accept(&self.0, context, TcpListener::accept))?;
        Poll::Ready(Ok((tcp(Async::new(stream)?)?, Peer::Tcp(peer))))
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.0.get_ref().local_addr().map(Address::Tcp)
    }
}

#[cfg(unix)]
pub(crate) mod unix {
    use std::io;
    use std::net::Shutdown;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::task::{Context, Poll, ready};

    use async_io::Async;
    use mycelium_executor::{Accept, Address, Credentials, Listener, Peer, Stream};

    use super::{Halves, Socket, poll_accept};

    pub(crate) fn stream(socket: UnixStream) -> io::Result<Stream> {
        Ok(Stream::new(Socket(Async::new(socket)?)))
    }

    pub(crate) fn listener(socket: UnixListener) -> io::Result<Listener> {
        Ok(Listener::new(Unix(Async::new(socket)?)))
    }

    impl Halves for UnixStream {
        fn end(&self) -> io::Result<()> {
            self.shutdown(Shutdown::Write)
        }
    }

    struct Unix(Async<UnixListener>);

    impl Accept for Unix {
        fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
            let (socket, _) = ready!(poll_accept(&self.0, context, UnixListener::accept))?;
            let peer = Peer::Unix(Credentials::of(&socket)?);
            Poll::Ready(Ok((stream(socket)?, peer)))
        }

        fn local_addr(&self) -> io::Result<Address> {
            Ok(self.0.get_ref().local_addr()?.into())
        }
    }
}
