//! Sockets that [`async_io`] watches, with vectored writes.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::task::{Context, Poll, ready};

use async_io::Async;
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
    // `async_io` itself does not close the one direction.
    Ok(Stream::closing(stream, |stream| stream.get_ref().shutdown(Shutdown::Write)))
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

    use super::poll_accept;

    pub(crate) fn stream(socket: UnixStream) -> io::Result<Stream> {
        let stream = Async::new(socket)?;
        Ok(Stream::closing(stream, |stream| stream.get_ref().shutdown(Shutdown::Write)))
    }

    pub(crate) fn listener(socket: UnixListener) -> io::Result<Listener> {
        Ok(Listener::new(Unix(Async::new(socket)?)))
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
