//! Peers that break the protocol, send too much, or do not read.

use std::ffi::OsStr;
use std::fs;
use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use mycelium_core::doorbell::WakePath;
use mycelium_transports::memory::{
    ControlLimits, ControlThread, Gone, Mapping, Packet, PacketError, PacketKind, RefusedHello,
    SendError, VERSION, WakeSocket,
};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::support::{End, Event, Recorder, TOKEN, connect, expect, limits, listening, open_files};
use super::wake_socket::Sockets;
use crate::support::{TestDir, assert_refused_descriptor, until};

/// A peer that writes its packets itself.
pub(crate) struct Raw(pub(crate) OwnedFd);

pub(crate) const HELLO: u32 = 1;
pub(crate) const WELCOME: u32 = 2;
pub(crate) const REGION: u32 = 3;
const REFUSED: u32 = 5;
const WAKE: u32 = 7;
const WAKE_SOCKET: u32 = 6;
pub(crate) const PING: u32 = 8;
pub(crate) const PONG: u32 = 9;

pub(crate) fn bytes(kind: u32, args: [u64; 4]) -> Vec<u8> {
    let mut bytes = u64::from(kind).to_le_bytes().to_vec();
    bytes.extend([0; 8]);
    bytes.extend(args.iter().flat_map(|value| value.to_ne_bytes()));
    bytes
}

pub(crate) fn hello(token: [u8; 16], version: u64) -> Vec<u8> {
    let (low, high) = token.split_at(8);
    let half = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
    bytes(HELLO, [half(low), half(high), version, 0])
}

/// Returns a socket of packets that is not connected.
fn unconnected() -> OwnedFd {
    let flags = SocketFlags::empty();
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

/// Returns a socket of packets that listens at a path.
pub(crate) fn listen(path: &Path) -> OwnedFd {
    let socket = unconnected();
    rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    rustix::net::listen(&socket, 16).unwrap();
    socket
}

impl Raw {
    pub(crate) fn connect(path: &Path) -> Raw {
        let socket = unconnected();
        rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        Raw(socket)
    }

    /// Returns a peer with an expected token, after its hello.
    pub(crate) fn welcome(path: &Path, token: [u8; 16]) -> Raw {
        let raw = Raw::connect(path);
        raw.send(&hello(token, VERSION));
        assert_eq!(raw.receive(), Some(WELCOME));
        raw
    }

    /// Returns a peer with an established connection, and the other end.
    fn established(dir: &TestDir, listening: &ControlThread, token: [u8; 16]) -> (Raw, End) {
        let events = expect(listening, token);
        let raw = Raw::welcome(&dir.socket(), token);
        (raw, (events.connected(), events))
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        self.pass(bytes, &[]);
    }

    pub(crate) fn pass(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        let flags = SendFlags::NOSIGNAL;
        // The other side may have closed the connection.
        let _ = rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, flags);
    }

    /// Returns the kind of the next packet; `None` at the end of the connection.
    pub(crate) fn receive(&self) -> Option<u32> {
        let mut bytes = [0; 64];
        loop {
            let mut control = RecvAncillaryBuffer::default();
            let into = &mut [IoSliceMut::new(&mut bytes)];
            match rustix::net::recvmsg(&self.0, into, &mut control, RecvFlags::empty()) {
                Ok(received) if received.bytes == 0 => return None,
                Ok(received) => {
                    assert_eq!(received.bytes, 48);
                    return Some(u32::from_ne_bytes(bytes[..4].try_into().unwrap()));
                }
                Err(rustix::io::Errno::CONNRESET) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Sends invalid packets on established connections, each with its own descriptors.
#[test]
fn invalid_packets_end_the_connection() {
    let (dir, listening) = listening("invalid", ControlLimits::default());
    let name = "invalid-packets";
    let (_mapping, file) = Mapping::create(1, name, false).unwrap();
    let region = bytes(REGION, [0; 4]);
    let broken = Gone::Packet;
    let wrong = |kind| broken(PacketError::Descriptors(kind));
    let cases = [
        (vec![7; 47], 0, broken(PacketError::Size(47))),
        (vec![7; 47], 1, broken(PacketError::Size(47))),
        (vec![7], 1, broken(PacketError::Size(1))),
        (vec![7; 49], 1, broken(PacketError::Size(49))),
        (vec![7; 100_000], 1, broken(PacketError::Size(49))),
        (bytes(0, [0; 4]), 1, broken(PacketError::Kind(0))),
        (bytes(10, [0; 4]), 1, broken(PacketError::Kind(10))),
        (bytes(u32::MAX, [0; 4]), 1, broken(PacketError::Kind(u32::MAX))),
        (region.clone(), 0, wrong(PacketKind::Region)),
        (region.clone(), 2, wrong(PacketKind::Region)),
        (region.clone(), 5, wrong(PacketKind::Region)),
        (region.clone(), 253, wrong(PacketKind::Region)),
        (bytes(WAKE, [0; 4]), 1, wrong(PacketKind::Wake)),
        (bytes(WAKE_SOCKET, [0; 4]), 0, wrong(PacketKind::WakeSocket)),
        (bytes(WAKE_SOCKET, [0; 4]), 1, broken(PacketError::NoSocket(PacketKind::WakeSocket))),
        (hello(TOKEN, VERSION), 0, broken(PacketError::Unexpected(PacketKind::Hello))),
        (bytes(WELCOME, [0; 4]), 0, broken(PacketError::Unexpected(PacketKind::Welcome))),
        (bytes(PONG, [0; 4]), 0, broken(PacketError::Unexpected(PacketKind::Pong))),
        // An empty packet looks like the end of the connection.
        (vec![], 1, Gone::PeerClosed),
    ];
    for (number, (packet, descriptors, expected)) in cases.into_iter().enumerate() {
        let (raw, (_connection, events)) = Raw::established(&dir, &listening, [number as u8; 16]);
        raw.pass(&packet, &vec![file.as_fd(); descriptors]);
        assert_eq!(events.gone(), expected, "{number}");
        assert_eq!(raw.receive(), None, "{number}");
        until("all descriptors that arrived are closed", || open_files(name) == 1);
    }
    let (reader, _writer) = std::io::pipe().unwrap();
    let (raw, (_connection, events)) = Raw::established(&dir, &listening, [100; 16]);
    raw.pass(&region, &[reader.as_fd()]);
    assert_eq!(events.gone(), Gone::Packet(PacketError::NoMemory(PacketKind::Region)));
}

#[test]
fn nothing_is_accepted_before_a_hello() {
    let (dir, listening) = listening("before-hello", ControlLimits::default());
    let (_mapping, file) = Mapping::create(1, "before-hello", false).unwrap();
    for kind in [WELCOME, REGION, REFUSED, WAKE, PONG] {
        let raw = Raw::connect(&dir.socket());
        let descriptors = if kind == REGION { vec![file.as_fd()] } else { vec![] };
        raw.pass(&bytes(kind, [0; 4]), &descriptors);
        assert_eq!(raw.receive(), None, "{kind}");
        until("it is closed", || open_files("before-hello") == 1);
    }
    let raw = Raw::connect(&dir.socket());
    raw.send(&bytes(PING, [0; 4]));
    assert_eq!(raw.receive(), Some(PONG));
    raw.send(&hello(TOKEN, VERSION));
    assert_eq!([raw.receive(), raw.receive()], [Some(REFUSED), None]);

    let events = expect(&listening, TOKEN);
    let raw = Raw::connect(&dir.socket());
    raw.send(&hello(TOKEN, VERSION + 1));
    assert_eq!([raw.receive(), raw.receive()], [Some(REFUSED), None]);
    assert!(events.is_empty(), "the token is still good");
    assert!(listening.forget(&TOKEN));
}

/// The listening process answers a `Hello` with these bytes.
#[test]
fn a_hostile_listener_is_left() {
    let dir = TestDir::of_mode("hostile-listener", 0o700);
    let socket = listen(&dir.socket());
    let unexpected = |kind| Gone::Packet(PacketError::Unexpected(kind));
    let no_region = Gone::Packet(PacketError::Descriptors(PacketKind::Region));
    let cases = [
        (Some(bytes(REGION, [0; 4])), false, no_region),
        (Some(bytes(WAKE, [0; 4])), false, unexpected(PacketKind::Wake)),
        (Some(hello(TOKEN, VERSION)), false, unexpected(PacketKind::Hello)),
        (Some(bytes(WELCOME, [0; 4])), true, unexpected(PacketKind::Welcome)),
        (Some(bytes(REFUSED, [1, 0, 0, 0])), false, Gone::Refused(RefusedHello::Token)),
        (Some(bytes(REFUSED, [2, 9, 0, 0])), false, Gone::Refused(RefusedHello::Version(9))),
        (Some(bytes(REFUSED, [77, 0, 0, 0])), false, Gone::Refused(RefusedHello::Other(77))),
        (None, false, Gone::HandshakeTimeout),
    ];
    for (answer, old_system, reason) in cases {
        let mut limits = limits(old_system);
        if answer.is_none() {
            limits.handshake = Duration::from_millis(20);
        }
        let connecting = ControlThread::start("connecting", limits).unwrap();
        let (_connection, events) = connect(&connecting, &dir, TOKEN);
        let raw = Raw(rustix::net::accept(&socket).unwrap());
        if let Some(answer) = &answer {
            raw.send(answer);
        }
        assert_eq!(events.gone(), reason, "{answer:02x?}");
    }
}

#[test]
fn a_connection_without_a_hello_ends() {
    let mut limits = ControlLimits::default();
    limits.handshake = Duration::from_millis(20);
    let (dir, _listening) = listening("no-hello", limits);
    assert_eq!(Raw::connect(&dir.socket()).receive(), None);
}

#[test]
fn new_connections_evict_those_without_a_hello() {
    let mut limits = ControlLimits::default();
    limits.connections = 3;
    let (dir, listening) = listening("evicted", limits);
    let (first, (_first, first_events)) = Raw::established(&dir, &listening, [1; 16]);
    let silent: Vec<Raw> = (0..10).map(|_| Raw::connect(&dir.socket())).collect();
    assert!(silent[..8].iter().all(|raw| raw.receive().is_none()));
    let (second, (_second, second_events)) = Raw::established(&dir, &listening, [2; 16]);
    let (third, (_third, third_events)) = Raw::established(&dir, &listening, [3; 16]);
    assert!(silent[8..].iter().all(|raw| raw.receive().is_none()));
    // All earlier connections have sent `Hello`, so there is no room.
    assert_eq!(Raw::connect(&dir.socket()).receive(), None);
    assert!(first_events.is_empty() && second_events.is_empty() && third_events.is_empty());
    drop(first);
    assert_eq!(first_events.gone(), Gone::PeerClosed);
    let _fourth = Raw::established(&dir, &listening, [4; 16]);
    drop((second, third));
}

#[test]
fn a_peer_that_reads_nothing_blocks_nobody() {
    let (dir, listening) = listening("deaf", ControlLimits::default());
    let (_deaf, (deaf, deaf_events)) = Raw::established(&dir, &listening, [1; 16]);
    let (other, (other_end, _events)) = Raw::established(&dir, &listening, [2; 16]);

    let (_mapping, file) = Mapping::create(1, "for-the-deaf", false).unwrap();
    let region = Packet::new(PacketKind::Region, 0, [0; 4]);
    let mut errors = (0..100_000).filter_map(|_| deaf.send(region, Some(file.as_fd())).err());
    let error = errors.next().unwrap();
    assert!(matches!(error, SendError::Full(_)), "{error}");
    assert_eq!(deaf_events.gone(), Gone::Send(error));
    until("copies that waited are closed", || open_files("for-the-deaf") == 1);

    other_end.wake(WakePath::Thread);
    assert_eq!(other.receive(), Some(WAKE));
}

#[test]
fn a_wake_that_finds_no_room_arrives_later() {
    let (dir, listening) = listening("late-wake", ControlLimits::default());
    let (raw, (connection, events)) = Raw::established(&dir, &listening, TOKEN);
    let mark = |number| Packet::new(PacketKind::Refused, number, [0; 4]);
    (0..1000).for_each(|number| connection.send(mark(number), None).unwrap());
    (0..10_000).for_each(|_| connection.wake(WakePath::Thread));
    (0..1000).for_each(|_| assert_eq!(raw.receive(), Some(REFUSED)));
    assert_eq!(raw.receive(), Some(WAKE));
    connection.send(mark(0), None).unwrap();
    assert_eq!(raw.receive(), Some(REFUSED), "there was one wake");
    assert!(events.is_empty());
}

#[test]
fn a_flood_leaves_others_their_turn() {
    let (dir, listening) = listening("flood", ControlLimits::default());
    let stop = AtomicBool::new(false);
    let floods: Vec<(Raw, End)> =
        (0..3).map(|number| Raw::established(&dir, &listening, [number; 16])).collect();
    std::thread::scope(|scope| {
        for (raw, _) in &floods {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    raw.send(&bytes(WAKE, [0; 4]));
                }
            });
        }
        let (raw, _end) = Raw::established(&dir, &listening, [99; 16]);
        for _ in 0..100 {
            raw.send(&bytes(PING, [0; 4]));
            assert_eq!(raw.receive(), Some(PONG));
        }
        stop.store(true, Ordering::Relaxed);
    });
    for (raw, (_connection, events)) in floods {
        drop(raw);
        let mut events = std::iter::repeat_with(|| events.next());
        let last = events.find(|event| !matches!(event, Event::Wake)).unwrap();
        assert!(matches!(last, Event::Gone(Gone::PeerClosed)), "{last:?}");
    }
}

#[test]
fn a_handler_that_panics_ends_its_connection_only() {
    let (dir, listening) = listening("faulty", ControlLimits::default());
    let ends = [1, 2].map(|number| {
        let own = listening.clone();
        let (faulty, events) = Recorder::that(move |event| match event {
            Event::Packet(..) => std::panic::resume_unwind(Box::new("a faulty handler")),
            Event::Wake => own.stop(),
            Event::Connected(_) | Event::Gone(_) => {}
        });
        listening.expect([number; 16], None, faulty);
        let raw = Raw::welcome(&dir.socket(), [number; 16]);
        events.connected();
        (raw, events)
    });
    ends[0].0.send(&bytes(REFUSED, [0; 4]));
    assert_eq!(ends[0].1.gone(), Gone::Panicked);
    // The handler stops the control thread from within the thread.
    ends[1].0.send(&bytes(WAKE, [0; 4]));
    assert!(matches!(ends[1].1.next(), Event::Wake));
    assert_eq!(ends[1].1.gone(), Gone::Stopped);
    assert!(!dir.socket().exists());
}

/// The executor's thread reads its wake sockets, and would wait for files that are slow to close.
#[test]
fn a_peer_passes_no_descriptors_to_an_executor() {
    let (dir, listening) = listening("no-descriptors", limits(false));
    let (raw, (connection, _events)) = Raw::established(&dir, &listening, TOKEN);
    let executor = Sockets::default();
    let _own = WakeSocket::open(&connection, 0, &executor, || ()).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 64];
    let into = &mut [IoSliceMut::new(&mut bytes)];
    rustix::net::recvmsg(&raw.0, into, &mut control, RecvFlags::empty()).unwrap();
    let Some(RecvAncillaryMessage::ScmRights(mut sockets)) = control.drain().next() else {
        panic!("no socket")
    };
    assert_refused_descriptor(sockets.next().unwrap());
}

/// Returns a socket and its other end: closing the socket waits up to an hour for that.
pub(crate) fn slow_to_close() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    slow.set_nonblocking(true).unwrap();
    while slow.write(&[0; 1 << 16]).is_ok() {}
    set_socket_linger(&slow, Some(Duration::from_secs(3600))).unwrap();
    (slow, other)
}

/// A thread that closes such a socket last waits for it. That must not be the thread that receives
/// the socket with a packet, or closes a connection on which it was sent, or restores the socket at
/// which it listens.
#[test]
fn descriptors_that_are_slow_to_close_block_nobody() {
    let mut limits = ControlLimits::default();
    limits.connections = 2;
    let (dir, listening) = listening("slow-to-close", limits);
    let ((entered, has_entered), (goes_on, go_on)) = (mpsc::channel(), mpsc::channel());
    let go_on = Mutex::new(go_on);
    // The wake blocks the control thread until the test continues.
    let (handler, good_events) = Recorder::that(move |event| {
        if matches!(event, Event::Wake) {
            entered.send(()).unwrap();
            go_on.lock().unwrap().recv().unwrap();
        }
    });
    listening.expect([1; 16], None, handler);
    let good = Raw::welcome(&dir.socket(), [1; 16]);
    let _good = good_events.connected();

    let mut others = Vec::new();
    // Open in this process only while the control thread has copies of it.
    let beside = UnixDatagram::unbound().unwrap();
    let file = |number: &OsStr| fs::read_link(Path::new("/proc/self/fd").join(number)).ok();
    let beside_file = file(OsStr::new(&beside.as_raw_fd().to_string()));
    // Passes descriptors that nobody else keeps when the control thread receives them.
    let mut pass = |raw: &Raw, packets: &[(Vec<u8>, usize)]| {
        good.send(&bytes(WAKE, [0; 4]));
        has_entered.recv().unwrap();
        for (packet, count) in packets {
            let (slow, other) = slow_to_close();
            let mut all = vec![beside.as_fd(); *count];
            if let Some(first) = all.first_mut() {
                *first = slow.as_fd();
            }
            raw.pass(packet, &all);
            others.push(other);
            if *count == 0 {
                // Otherwise, dropping `slow` would wait here.
                drop(others.pop());
            }
        }
        goes_on.send(()).unwrap();
    };
    let answers = |when: &str| {
        good.send(&bytes(PING, [0; 4]));
        assert_eq!(good.receive(), Some(PONG), "{when}");
        until("no copies are kept", || {
            let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
            open.filter(|entry| file(&entry.file_name()) == beside_file).count() == 1
        });
    };

    let region = bytes(REGION, [0; 4]);
    let no_memory = PacketError::NoMemory(PacketKind::Region);
    let too_many = PacketError::Descriptors(PacketKind::Wake);
    for (number, packets, reason) in [
        (2, vec![(region.clone(), 1)], Gone::Packet(no_memory)),
        (3, vec![(bytes(WAKE, [0; 4]), 253)], Gone::Packet(too_many)),
        // The packet that ends the connection comes before the packet with the descriptor.
        (4, vec![(vec![], 0), (region.clone(), 1)], Gone::PeerClosed),
    ] {
        let (raw, (connection, events)) = Raw::established(&dir, &listening, [number; 16]);
        pass(&raw, &packets);
        assert_eq!(events.gone(), reason);
        answers("after a packet");
        drop((raw, connection));
    }
    for count in [1, 253] {
        let raw = Raw::connect(&dir.socket());
        pass(&raw, &[(region.clone(), count)]);
        assert_eq!(raw.receive(), None);
        answers("before a handshake");
    }

    // A listening socket closes the connections that were not accepted.
    good.send(&bytes(WAKE, [0; 4]));
    has_entered.recv().unwrap();
    let (raw, (slow, _other)) = (Raw::connect(&dir.socket()), slow_to_close());
    raw.pass(&region, &[slow.as_fd()]);
    drop(slow);
    fs::remove_file(dir.socket()).unwrap();
    assert!(listening.restore().unwrap());
    goes_on.send(()).unwrap();
    answers("after its socket was restored");

    let (raw, _events) = Raw::established(&dir, &listening, [5; 16]);
    pass(&raw, &[(region, 1)]);
    listening.stop();
    assert_eq!(raw.receive(), None);
}

/// Each wake socket replaces the one before, which is closed: the first ones block all threads that
/// close descriptors.
#[test]
fn a_peer_whose_descriptors_are_slow_to_close_is_left() {
    let (dir, listening) = listening("many-unclosed", ControlLimits::default());
    let (raw, (_connection, events)) = Raw::established(&dir, &listening, [1; 16]);
    let (good, _end) = Raw::established(&dir, &listening, [2; 16]);
    let mut others = Vec::new();
    for number in 0..200 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        if number < 20 {
            let (slow, other) = slow_to_close();
            // It stays unread in the socket, and is closed with it.
            Raw(ours.into()).pass(&[0], &[slow.as_fd()]);
            others.push(other);
        }
        raw.pass(&bytes(WAKE_SOCKET, [0; 4]), &[theirs.as_fd()]);
    }
    let gone = events.gone();
    assert!(matches!(gone, Gone::Unclosed(_)), "{gone}");
    good.send(&bytes(PING, [0; 4]));
    assert_eq!(good.receive(), Some(PONG));
}
