//! A process is woken through its executor, or by the control thread if that is not possible.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use mycelium_core::doorbell::WakePath;
use mycelium_executor::{Executor, SendFuture, SpawnError, Stream};
use mycelium_transports::memory::{Gone, Packet, PacketError, PacketKind, WakeSocket};

use crate::memory::connections::Pair;
use crate::memory::support::Event;

/// The packet with which the peer gets the sending end of a socket.
const WAKE_SOCKET: Packet = Packet { kind: PacketKind::WakeSocket, number: 0, args: [0; 4] };

const FIRST: WakePath = WakePath::Socket(0);

/// An executor that has only sockets, and one task. It wakes no task: the tests poll.
#[derive(Default)]
pub(super) struct Sockets {
    task: Mutex<Option<SendFuture<()>>>,
    rung: Arc<AtomicBool>,
}

impl Sockets {
    /// Opens a wake socket, whose task is this executor's from now on.
    fn open(&self, pair: &Pair, path: WakePath) -> WakeSocket {
        let WakePath::Socket(number) = path else { panic!("no socket") };
        let rung = self.rung.clone();
        let ring = move || rung.store(true, Ordering::Relaxed);
        WakeSocket::open(&pair.connected.0, number, self, ring).unwrap()
    }

    /// Polls the task. Returns whether it has seen that the peer has rung.
    fn has_rung(&self) -> bool {
        let mut task = self.task.lock().unwrap();
        let mut context = Context::from_waker(Waker::noop());
        if task.as_mut().unwrap().as_mut().poll(&mut context).is_ready() {
            *task = None;
        }
        self.rung.swap(false, Ordering::Relaxed)
    }

    fn has_ended(&self) -> bool {
        self.task.lock().unwrap().is_none()
    }
}

impl Executor for Sockets {
    fn name(&self) -> String {
        "sockets".to_owned()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        *self.task.lock().unwrap() = Some(task);
        Ok(())
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep_until(&self, _: Duration) -> SendFuture<()> {
        Box::pin(std::future::pending())
    }

    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        socket.set_nonblocking(true)?;
        Ok(Stream::new(Polled(socket)))
    }
}

struct Polled(UnixStream);

type Count = Poll<io::Result<usize>>;

fn poll(result: io::Result<usize>) -> Count {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl AsyncRead for Polled {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Count {
        poll(self.0.read(buffer))
    }
}

impl AsyncWrite for Polled {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Count {
        poll(self.0.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Waits until both control threads have handled everything that was sent before.
fn settle(pair: &Pair) {
    for (from, to) in [(&pair.connected, &pair.accepted), (&pair.accepted, &pair.connected)] {
        let mark = Packet::new(PacketKind::Refused, 7, [0; 4]);
        from.0.send(mark, None).unwrap();
        assert_eq!(to.1.packet().0, mark);
    }
}

#[test]
fn a_peer_is_woken_on_its_socket_and_then_by_its_control_thread() {
    let pair = Pair::new("wake-socket");
    let here = Sockets::default();
    let socket = here.open(&pair, FIRST);
    settle(&pair);
    assert!(!here.has_rung());
    pair.accepted.0.wake(FIRST);
    assert!(here.has_rung(), "within this process a byte arrives at once");
    assert!(!here.has_rung());
    // The opposite direction has no socket.
    pair.connected.0.wake(FIRST);
    assert!(matches!(pair.accepted.1.next(), Event::Wake));
    settle(&pair);

    drop(socket);
    assert!(here.has_rung() && here.has_ended(), "it looks once more");
    pair.accepted.0.wake(FIRST);
    assert!(matches!(pair.connected.1.next(), Event::Wake));
}

#[test]
fn wakes_that_find_no_room_go_to_the_control_thread() {
    let pair = Pair::new("full-wake-socket");
    let here = Sockets::default();
    let socket = here.open(&pair, FIRST);
    settle(&pair);
    (0..10_000).for_each(|_| pair.accepted.0.wake(FIRST));
    assert!(matches!(pair.connected.1.next(), Event::Wake));
    assert!(here.has_rung());
    socket.empty();
    assert!(!here.has_rung());
    pair.accepted.0.wake(FIRST);
    assert!(here.has_rung(), "there is room again");
}

#[test]
fn a_peer_that_closes_its_socket_is_woken_by_its_control_thread() {
    let pair = Pair::new("closed-wake-socket");
    let (socket, theirs) = UnixStream::pair().unwrap();
    pair.connected.0.send(WAKE_SOCKET, Some(theirs.as_fd())).unwrap();
    settle(&pair);
    // A process that another test is starting may have copies.
    socket.shutdown(Shutdown::Both).unwrap();
    drop((socket, theirs));
    pair.accepted.0.wake(FIRST);
    assert!(matches!(pair.connected.1.next(), Event::Wake));
    // A new socket replaces the previous one.
    let here = Sockets::default();
    let _socket = here.open(&pair, FIRST);
    settle(&pair);
    pair.accepted.0.wake(FIRST);
    assert!(here.has_rung());
}

#[test]
fn each_path_has_a_socket() {
    let pair = Pair::new("wake-sockets");
    let paths = [0, 3, WakePath::SOCKETS - 1].map(WakePath::Socket);
    let here = paths.map(|path| {
        let executor = Sockets::default();
        let socket = executor.open(&pair, path);
        (executor, socket)
    });
    // A socket with a number that no path has is closed.
    let (mut unused, theirs) = UnixStream::pair().unwrap();
    let packet = Packet { number: WakePath::SOCKETS.into(), ..WAKE_SOCKET };
    pair.connected.0.send(packet, Some(theirs.as_fd())).unwrap();
    drop(theirs);
    assert_eq!(unused.read(&mut [0]).unwrap(), 0);
    settle(&pair);
    for (place, path) in paths.into_iter().enumerate() {
        pair.accepted.0.wake(path);
        let rung = here.each_ref().map(|(executor, _)| executor.has_rung());
        assert_eq!(rung, std::array::from_fn(|other| other == place));
    }
    for path in [WakePath::Thread, WakePath::Socket(1), WakePath::Socket(WakePath::SOCKETS)] {
        pair.accepted.0.wake(path);
        assert!(matches!(pair.connected.1.next(), Event::Wake), "{path:?} has no socket");
    }
}

#[test]
fn a_peer_whose_task_was_dropped_is_woken_by_its_control_thread() {
    let pair = Pair::new("dropped-wake-task");
    let here = Sockets::default();
    let _socket = here.open(&pair, FIRST);
    settle(&pair);
    *here.task.lock().unwrap() = None;
    pair.accepted.0.wake(FIRST);
    assert!(matches!(pair.connected.1.next(), Event::Wake));
}

#[test]
fn other_sockets_are_refused() {
    let pair = Pair::new("datagram-wake-socket");
    let (socket, _other) = UnixDatagram::pair().unwrap();
    pair.connected.0.send(WAKE_SOCKET, Some(socket.as_fd())).unwrap();
    let expected = PacketError::NoSocket(PacketKind::WakeSocket);
    assert_eq!(pair.accepted.1.gone(), Gone::Packet(expected));
}
