//! Sockets of the standard library that [`async_io`] watches. Vectored writes take all buffers.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};

use async_io::Async;
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
    Ok(Stream::closing(stream, |stream| stream.get_ref().shutdown(Shutdown::Write)))
}

#[cfg(unix)]
pub(crate) mod unix {
    use std::io;
    use std::net::Shutdown;
    use std::os::unix::net::{UnixListener, UnixStream};

    use async_io::Async;
    use mycelium_executor::{Listener, Stream};

    pub(crate) fn stream(socket: UnixStream) -> io::Result<Stream> {
        Ok(Stream::closing(Async::new(socket)?, |socket| {
            socket.get_ref().shutdown(Shutdown::Write)
        }))
    }

    pub(crate) fn listener(socket: UnixListener) -> io::Result<Listener> {
        let socket = Async::new(socket)?;
        Ok(Listener::watching(socket, |socket, context| socket.poll_readable(context), stream))
    }
}
