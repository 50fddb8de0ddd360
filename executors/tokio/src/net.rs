//! tokio's sockets with `futures_io` traits. Vectored writes take all buffers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use mycelium_executor::{Accept, Address, Listener, Peer, Stream, connect_first, prepare_tcp};
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream};

pub(crate) async fn connect(address: String) -> io::Result<Stream> {
    // Resolves the address here, because tokio would use a thread for which the end of the runtime
    // waits.
    Ok(Stream::new(Socket(prepare(connect_first(address, TcpStream::connect).await?)?)))
}

/// Adopts a socket. Call it inside the runtime.
pub(crate) fn tcp_stream(socket: std::net::TcpStream) -> io::Result<Stream> {
    socket.set_nonblocking(true)?;
    Ok(Stream::new(Socket(prepare(TcpStream::from_std(socket)?)?)))
}

/// Adopts a socket. Call it inside the runtime.
pub(crate) fn tcp_listener(socket: std::net::TcpListener) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    Ok(Listener::new(Tcp(TcpListener::from_std(socket)?)))
}

fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    prepare_tcp(&stream)?;
    Ok(stream)
}

/// A stream of tokio's with `futures_io` traits.
struct Socket<S>(S);

impl<S: tokio::io::AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> AsyncWrite for Socket<S> {
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
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

struct Tcp(TcpListener);

impl Accept for Tcp {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        let (stream, peer) = ready!(self.0.poll_accept(context))?;
        Poll::Ready(Ok((Stream::new(Socket(prepare(stream)?)), Peer::Tcp(peer))))
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.0.local_addr().map(Address::Tcp)
    }
}

#[cfg(unix)]
pub(crate) mod unix {
    use std::io;
    #[cfg(target_os = "linux")]
    use std::mem;
    use std::os::unix::net;
    use std::task::{Context, Poll, ready};

    #[cfg(target_os = "linux")]
    use mycelium_executor::WakeStream;
    use mycelium_executor::{Accept, Address, Credentials, Listener, Peer, Stream};
    #[cfg(target_os = "linux")]
    use tokio::io::Interest;
    use tokio::net::{UnixListener, UnixStream};

    use super::Socket;

    /// Adopts a socket. Call it inside the runtime.
    pub(crate) fn stream(socket: net::UnixStream) -> io::Result<Stream> {
        socket.set_nonblocking(true)?;
        Ok(Stream::new(Socket(UnixStream::from_std(socket)?)))
    }

    /// The most reports of a wake stream's bytes until they are read.
    #[cfg(target_os = "linux")]
    const UNREAD: usize = 64;

    /// Adopts a socket. Call it inside the runtime.
    ///
    /// tokio's epoll is edge-triggered: while bytes are unread, it reports each one that arrives. So
    /// a wake needs no read, except that the socket must not become full.
    #[cfg(target_os = "linux")]
    pub(crate) fn wake_stream(socket: net::UnixStream) -> io::Result<WakeStream> {
        socket.set_nonblocking(true)?;
        let (socket, mut unread, mut has_waited) = (UnixStream::from_std(socket)?, 0, true);
        Ok(WakeStream::new(move |context| {
            match socket.poll_read_ready(context) {
                Poll::Ready(Ok(())) => unread += 1,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => {
                    has_waited = true;
                    return Poll::Pending;
                }
            }
            // A report without a wait may be the end, which tokio reports again and again.
            if !mem::take(&mut has_waited) || unread == UNREAD {
                unread = 0;
                if let Ok(0) = socket.try_read(&mut [0; 4096]) {
                    return Poll::Ready(false);
                }
            }
            // Makes the next poll wait for a later byte.
            _ = socket
                .try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            Poll::Ready(true)
        }))
    }

    /// Adopts a socket. Call it inside the runtime.
    pub(crate) fn listener(socket: net::UnixListener) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        Ok(Listener::new(Unix(UnixListener::from_std(socket)?)))
    }

    struct Unix(UnixListener);

    impl Accept for Unix {
        fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
            let (stream, _) = ready!(self.0.poll_accept(context))?;
            let found = stream.peer_cred()?;
            let credentials = Credentials {
                process: found.pid().and_then(|pid| u32::try_from(pid).ok()),
                user: found.uid(),
                group: found.gid(),
            };
            Poll::Ready(Ok((Stream::new(Socket(stream)), Peer::Unix(credentials))))
        }

        fn local_addr(&self) -> io::Result<Address> {
            Ok(std::os::unix::net::SocketAddr::from(self.0.local_addr()?).into())
        }
    }
}
