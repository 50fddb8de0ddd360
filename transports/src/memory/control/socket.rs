//! Packets and descriptors over a `SOCK_SEQPACKET` socket, without waiting.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::fs::fcntl_get_seals;
use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType,
};

use super::closers::Closers;
use crate::memory::packet::{BYTES, Packet, PacketError, PacketKind};

/// The result of [`receive`].
#[derive(Debug)]
pub(super) enum Received {
    /// A packet, with the descriptor that its kind carries, unless this process has none left.
    Packet(Packet, Option<OwnedFd>),
    /// Nothing has arrived.
    Empty,
    /// The other side has closed its end.
    Closed,
    /// The other side broke the protocol. All descriptors that it passed are closed soon.
    Invalid(PacketError),
    /// The system failed.
    Failed(Errno),
}

/// Sends a packet, with a descriptor if there is one. Returns `AGAIN` if the socket has no room
/// now.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    packet: Packet,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let bytes = packet.to_bytes();
    let descriptors = descriptor.as_slice();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let pushed = control.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(pushed, "the space is for one descriptor");
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Receives a packet.
pub(super) fn receive(socket: BorrowedFd<'_>, closers: &Closers) -> Received {
    // One byte more than a packet, to notice a longer one.
    let mut bytes = [0; BYTES + 1];
    let mut descriptors = Vec::new();
    let received = match receive_all(socket, &mut bytes, &mut descriptors) {
        Ok(received) => received,
        Err(Errno::AGAIN) => return Received::Empty,
        Err(error) => return Received::Failed(error),
    };
    let bytes = &bytes[..received.bytes.min(bytes.len())];
    let result = match check(bytes, received.flags, &descriptors) {
        Ok(packet) => return Received::Packet(packet, descriptors.pop()),
        Err(_) if bytes.is_empty() => Received::Closed,
        Err(error) => Received::Invalid(error),
    };
    if !descriptors.is_empty() {
        closers.close(descriptors);
    }
    result
}

/// Receives the bytes of a packet, as far as there is room, and all descriptors.
fn receive_all(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<RecvMsg, Errno> {
    // Has room for as many descriptors as a packet may have, because the system would close the
    // others on this thread.
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = loop {
        let into = &mut [IoSliceMut::new(bytes)];
        match rustix::net::recvmsg(socket, into, &mut control, flags) {
            Ok(received) => break received,
            // The other side closed its end before it had read everything. Its own packets follow,
            // and then the end.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(error) => return Err(error),
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    Ok(received)
}

/// Returns the packet, if the right descriptors came with it.
fn check(bytes: &[u8], flags: ReturnFlags, descriptors: &[OwnedFd]) -> Result<Packet, PacketError> {
    let packet = Packet::read(bytes)?;
    let (kind, found) = (packet.kind, descriptors.len());
    let expected = usize::from(kind.has_descriptor());
    // Descriptors are lost if this process had none left to receive them.
    let is_lost = flags.contains(ReturnFlags::CTRUNC) && found < expected;
    if found != expected && !is_lost {
        return Err(PacketError::Descriptors { kind, expected, found });
    }
    // None of these calls may wait.
    match descriptors {
        [socket] if kind == PacketKind::WakeSocket => {
            is_unix_stream(socket).then_some(packet).ok_or(PacketError::NoSocket(kind))
        }
        // Only memfds have seals.
        [memory] if fcntl_get_seals(memory).is_err() => Err(PacketError::NoMemory(kind)),
        _ => Ok(packet),
    }
}

fn is_unix_stream(descriptor: &OwnedFd) -> bool {
    socket_domain(descriptor) == Ok(AddressFamily::UNIX)
        && socket_type(descriptor) == Ok(SocketType::STREAM)
}
