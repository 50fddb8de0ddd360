//! Sockets of the standard library that `async-io` watches.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use async_io::Async;
use mycelium_executor::{Listener, Stream, connect_first, prepare_tcp};

pub(super) async fn connect(address: String) -> io::Result<Stream> {
    tcp_stream(connect_first(address, Async::<TcpStream>::connect).await?)
}

pub(super) fn tcp_stream(stream: Async<TcpStream>) -> io::Result<Stream> {
    prepare_tcp(stream.get_ref())?;
    // `async-io` does not shut down the write direction when a stream is closed.
    Ok(Stream::closing(stream, |stream| stream.get_ref().shutdown(Shutdown::Write)))
}

pub(super) fn tcp_listener(socket: TcpListener) -> io::Result<Listener> {
    let adopt = |socket| tcp_stream(Async::new(socket)?);
    Ok(Listener::watching(Async::new(socket)?, |socket, cx| socket.poll_readable(cx), adopt))
}

pub(super) fn unix_stream(socket: UnixStream) -> io::Result<Stream> {
    Ok(Stream::closing(Async::new(socket)?, |socket| socket.get_ref().shutdown(Shutdown::Write)))
}

pub(super) fn unix_listener(socket: UnixListener) -> io::Result<Listener> {
    Ok(Listener::watching(Async::new(socket)?, |socket, cx| socket.poll_readable(cx), unix_stream))
}
