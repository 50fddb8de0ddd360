//! Connections between two control threads of this process: handshake, packets, and ends.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::Arc;

use mycelium_core::doorbell::WakePath;
use mycelium_core::ring::region::Memory;
use mycelium_transports::endpoint::BindError;
use mycelium_transports::endpoint::unix::Access;
use mycelium_transports::memory::{
    ControlError, ControlLimits, ControlThread, Gone, Mapping, Packet, PacketKind, RefusedHello,
    SendError,
};

use super::support::{End, Event, Recorder, TOKEN, connect, expect, limits, listening};
use crate::support::TestDir;

/// Two control threads with a connection between them.
pub(crate) struct Pair {
    dir: TestDir,
    listening: Arc<ControlThread>,
    connecting: Arc<ControlThread>,
    pub(crate) accepted: End,
    pub(crate) connected: End,
}

impl Pair {
    pub(crate) fn new(test: &str) -> Pair {
        Pair::with(test, ControlLimits::default())
    }

    fn with(test: &str, limits: ControlLimits) -> Pair {
        let (dir, listening) = listening(test, limits);
        let connecting = ControlThread::start("connecting", limits).unwrap();
        let (handler, events) = Recorder::new();
        listening.expect(TOKEN, Some(std::process::id()), handler);
        let (connection, other_events) = connect(&connecting, &dir, TOKEN);
        let established = other_events.connected();
        assert!(Arc::ptr_eq(&connection, &established));
        let accepted = (events.connected(), events);
        Pair { dir, listening, connecting, accepted, connected: (established, other_events) }
    }
}

fn region(number: u64) -> Packet {
    Packet::new(PacketKind::Region, number, [1, 2, 3, 4])
}

#[test]
fn packets_and_descriptors_arrive_in_order() {
    for old_system in [false, true] {
        let pair = Pair::with(&format!("order-{old_system}"), limits(old_system));
        let own = Some(std::process::id());
        assert_eq!(pair.accepted.0.peer().process, own);
        assert_eq!(pair.connected.0.peer().process, own);

        let (mapping, file) = Mapping::create(1, "passed", false).unwrap();
        for number in 0..100 {
            pair.accepted.0.send(region(number), Some(file.as_fd())).unwrap();
            let mark = Packet::new(PacketKind::Refused, number, [0; 4]);
            pair.accepted.0.send(mark, None).unwrap();
        }
        for number in 0..100 {
            let (packet, descriptor) = pair.connected.1.packet();
            assert_eq!(packet, region(number));
            let peers = Mapping::attach(descriptor.unwrap(), 512, false).unwrap();
            assert_eq!(peers.words().len(), mapping.words().len());
            let (packet, descriptor) = pair.connected.1.packet();
            assert_eq!((packet.kind, packet.number), (PacketKind::Refused, number));
            assert!(descriptor.is_none());
        }
        pair.connected.0.wake(WakePath::Thread);
        assert!(matches!(pair.accepted.1.next(), Event::Wake));
        assert!(pair.connected.1.is_empty());
    }
}

#[test]
fn each_end_is_told_once() {
    let pair = Pair::new("close");
    let last = Packet::new(PacketKind::Refused, 7, [0; 4]);
    pair.connected.0.send(last, None).unwrap();
    pair.connected.0.close();
    pair.connected.0.close();
    assert_eq!(pair.connected.0.send(last, None), Err(SendError::Closed));
    assert_eq!(pair.connected.1.gone(), Gone::Closed);
    assert_eq!(pair.accepted.1.packet().0, last, "it was sent before");
    assert_eq!(pair.accepted.1.gone(), Gone::PeerClosed);
    assert_eq!(pair.accepted.0.send(last, None), Err(SendError::Closed));
    pair.accepted.0.wake(WakePath::Thread);
}

#[test]
fn stopping_ends_everything() {
    let Pair { dir, listening, connecting, accepted, connected } = Pair::new("stop");
    let no_events = expect(&listening, [1; 16]);
    listening.stop();
    listening.stop();
    assert_eq!(accepted.1.gone(), Gone::Stopped);
    assert_eq!(connected.1.gone(), Gone::PeerClosed);
    assert!(!no_events.is_empty(), "its handler was dropped");
    assert!(!dir.socket().exists());
    let again = listening.listen(dir.socket(), Access::default());
    assert!(matches!(again, Err(ControlError::Stopped)));

    let (handler, events) = Recorder::new();
    let error = connecting.connect(&dir.socket(), &Access::default(), TOKEN, handler).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!events.is_empty(), "its handler was dropped");
}

#[test]
fn only_expected_tokens_are_accepted() {
    let limits = ControlLimits::default();
    let (dir, listening) = listening("tokens", limits);
    let connecting = ControlThread::start("connecting", limits).unwrap();
    let (handler, expected) = Recorder::new();
    listening.expect(TOKEN, Some(1), handler);
    let forgotten = expect(&listening, [1; 16]);
    assert!(listening.forget(&[1; 16]) && !listening.forget(&[1; 16]));
    assert!(!forgotten.is_empty(), "its handler was dropped");
    // A token for another process, a forgotten token, and an unknown one.
    for token in [TOKEN, [1; 16], [2; 16]] {
        let (_connection, events) = connect(&connecting, &dir, token);
        assert_eq!(events.gone(), Gone::Refused(RefusedHello::Token));
    }
    assert!(expected.is_empty());

    // A token is valid for one connection.
    let events = expect(&listening, [3; 16]);
    let (_connection, other) = connect(&connecting, &dir, [3; 16]);
    other.connected();
    events.connected();
    let (_connection, second) = connect(&connecting, &dir, [3; 16]);
    assert_eq!(second.gone(), Gone::Refused(RefusedHello::Token));
}

#[test]
fn the_socket_follows_the_rules_of_node_sockets() {
    let limits = ControlLimits::default();
    let (dir, first) = listening("rules", limits);
    let second = ControlThread::start("second", limits).unwrap();
    let error = second.listen(dir.socket(), Access::default()).unwrap_err();
    assert!(matches!(error, ControlError::Bind(BindError::InUse { .. })), "{error}");
    let error = first.listen(dir.0.join("other"), Access::default()).unwrap_err();
    assert!(matches!(error, ControlError::Listens), "{error}");

    assert!(!first.restore().unwrap());
    std::fs::remove_file(dir.socket()).unwrap();
    assert!(first.restore().unwrap());
    let events = expect(&first, TOKEN);
    let (_connection, _other) = connect(&second, &dir, TOKEN);
    events.connected();
    drop(first);
    second.listen(dir.socket(), Access::default()).unwrap();
}
