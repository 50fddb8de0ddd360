//! Wakes the tasks of a process through its executor.
//!
//! A `Wake` packet takes two threads, one after the other: it wakes the control thread, which wakes
//! the executor's thread, which runs the task. A byte on a socket that the executor itself watches
//! needs the second thread only.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncRead;
use mycelium_executor::{Executor, Stream};

use super::connection::Connection;
use crate::memory::packet::{Packet, PacketKind};

/// The limit on reads in a row: the peer may write all the time.
const READS: usize = 4;

/// One end of a socket by which the peer wakes a task of an executor. Until the peer has the other
/// end, and once this is dropped, the peer's wakes go to the control thread.
#[derive(Debug)]
pub struct WakeSocket {
    stream: Stream,
    /// The same end of the socket. An executor may close its stream later than it is dropped; a
    /// shutdown of this one takes effect at once.
    socket: UnixStream,
    /// The peer has closed its end.
    has_ended: bool,
}

impl WakeSocket {
    /// Creates a socket, and passes its other end to the peer. The stream belongs to the task that
    /// calls this.
    ///
    /// # Errors
    /// If the executor has no sockets, or the system has no descriptor left.
    pub fn open(connection: &Connection, executor: &dyn Executor) -> io::Result<WakeSocket> {
        let (socket, theirs) = UnixStream::pair()?;
        let stream = executor.unix_stream(socket.try_clone()?)?;
        let packet = Packet::new(PacketKind::WakeSocket, 0, [0; 4]);
        connection.send(packet, Some(theirs.as_fd())).map_err(io::Error::other)?;
        Ok(WakeSocket { stream, socket, has_ended: false })
    }

    /// Whether the peer has rung since the last call. The task is woken when it rings again.
    pub fn take_rung(&mut self, context: &mut Context<'_>) -> bool {
        let mut has_rung = false;
        for _ in 0..READS {
            if self.has_ended {
                return has_rung;
            }
            match Pin::new(&mut self.stream).poll_read(context, &mut [0; 64]) {
                Poll::Ready(Ok(count)) if count > 0 => has_rung = true,
                Poll::Ready(_) => self.has_ended = true,
                Poll::Pending => return has_rung,
            }
        }
        context.waker().wake_by_ref();
        has_rung
    }
}

/// Makes the peer's writes fail, so that it wakes the control thread from now on. After the drop,
/// the caller has to check everything that the peer may have rung for before.
impl Drop for WakeSocket {
    fn drop(&mut self) {
        // Fails if the peer has closed its end.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
