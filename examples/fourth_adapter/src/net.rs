//! Sockets that `async-io` watches.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::task::{Context, Poll, ready};

use async_io::Async;
use mycelium_executor::{Accept, Address, Credentials, Listener, Peer, Stream, first_of, pool};

pub(super) async fn connect(address: String) -> io::Result<Stream> {
    let connect = Async::<TcpStream>::connect;
    tcp_stream(first_of(pool::addresses(address).await?, connect).await?.into_inner()?)
}

pub(super) async fn listen(address: String) -> io::Result<Listener> {
    let bind = async |address| Async::<TcpListener>::bind(address);
    let listener = first_of(pool::addresses(address).await?, bind).await?;
    let accept = |listener: &TcpListener| {
        let (socket, peer) = listener.accept()?;
        Ok((tcp_stream(socket)?, Peer::Tcp(peer)))
    };
    Ok(Listener::new(Door(listener, accept, |listener| listener.local_addr().map(Address::Tcp))))
}

fn tcp_stream(socket: TcpStream) -> io::Result<Stream> {
    socket.set_nodelay(true)?;
    Ok(Stream::closing(Async::new(socket)?, |socket| socket.get_ref().shutdown(Shutdown::Write)))
}

pub(super) fn unix_stream(socket: UnixStream) -> io::Result<Stream> {
    Ok(Stream::closing(Async::new(socket)?, |socket| socket.get_ref().shutdown(Shutdown::Write)))
}

pub(super) fn unix_listener(socket: UnixListener) -> io::Result<Listener> {
    let accept = |listener: &UnixListener| {
        let (socket, _) = listener.accept()?;
        let peer = Peer::Unix(Credentials::of(&socket)?);
        Ok((unix_stream(socket)?, peer))
    };
    Ok(Listener::new(Door(Async::new(socket)?, accept, |listener| {
        Ok(listener.local_addr()?.into())
    })))
}

/// A listener, how it accepts, and where it is.
struct Door<L>(Async<L>, fn(&L) -> io::Result<(Stream, Peer)>, fn(&L) -> io::Result<Address>);

impl<L: Send> Accept for Door<L> {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        loop {
            match self.1(self.0.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_readable(context))?;
                }
                accepted => return Poll::Ready(accepted),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.2(self.0.get_ref())
    }
}
