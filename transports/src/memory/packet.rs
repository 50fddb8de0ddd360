//! The packets of a control connection: 48 bytes each, in the byte order of the machine.
//!
//! **Panic contract.** Packets come from a peer that may be hostile: [`Packet::read`] checks size
//! and kind, and no bytes make it panic.

use mycelium_core::debug_as_display;
use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The version of the packets.
pub const VERSION: u64 = 1;

/// The secret by which a connection is assigned to its handler.
pub type Token = [u8; 16];

/// A packet of a control connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The kind.
    pub kind: PacketKind,
    /// The number of the region to which the packet belongs, or of the wake socket.
    pub number: u64,
    /// More values, whose meaning depends on the kind.
    pub args: [u64; 4],
}

/// The kind of a packet, which gives its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum PacketKind {
    /// The first packet of the process that connected: its token and its version.
    Hello = 1,
    /// The answer to a `Hello` whose token is accepted.
    Welcome,
    /// A data region, with its descriptor.
    Region,
    /// A cursor region, with its descriptor.
    Cursors,
    /// Refuses a region, or a `Hello`.
    Refused,
    /// Passes one end of a Unix socket, with a number. From now on a byte on it wakes the sender's
    /// tasks whose sleep words have that number, as long as the sender reads it. It replaces their
    /// `Wake` packets, and the previous socket with the number.
    WakeSocket,
    /// Wakes the peer's sleeping tasks. It has no content.
    Wake,
    /// Requests a `Pong`.
    Ping,
    /// Answers a `Ping`.
    Pong,
}

impl PacketKind {
    const ALL: [PacketKind; 9] = [
        PacketKind::Hello,
        PacketKind::Welcome,
        PacketKind::Region,
        PacketKind::Cursors,
        PacketKind::Refused,
        PacketKind::WakeSocket,
        PacketKind::Wake,
        PacketKind::Ping,
        PacketKind::Pong,
    ];

    /// Returns whether a packet of this kind carries a descriptor.
    #[must_use]
    pub fn has_descriptor(self) -> bool {
        matches!(self, PacketKind::Region | PacketKind::Cursors | PacketKind::WakeSocket)
    }
}

/// A packet as bytes.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct Raw {
    kind: u32,
    reserved: u32,
    number: u64,
    args: [u64; 4],
}

/// The size of a packet in bytes.
pub(super) const BYTES: usize = size_of::<Raw>();

impl Packet {
    /// Creates a packet for a region.
    #[must_use]
    pub fn new(kind: PacketKind, number: u64, args: [u64; 4]) -> Packet {
        Packet { kind, number, args }
    }

    pub(super) fn hello(token: &Token) -> Packet {
        let (low, high) = token.split_at(8);
        let half = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        Packet::new(PacketKind::Hello, 0, [half(low), half(high), VERSION, 0])
    }

    /// Creates a packet without content.
    pub(super) fn empty(kind: PacketKind) -> Packet {
        Packet::new(kind, 0, [0; 4])
    }

    /// Returns the token of a `Hello`.
    pub(super) fn token(&self) -> Result<Token, RefusedHello> {
        let [low, high, version, _] = self.args;
        if version != VERSION {
            return Err(RefusedHello::Version(version));
        }
        let mut token = [0; 16];
        token[..8].copy_from_slice(&low.to_ne_bytes());
        token[8..].copy_from_slice(&high.to_ne_bytes());
        Ok(token)
    }

    /// Creates the answer to a `Hello` that is not accepted.
    pub(super) fn refused_hello(reason: RefusedHello) -> Packet {
        let args = match reason {
            RefusedHello::Token => [1, 0, 0, 0],
            RefusedHello::Version(_) => [2, VERSION, 0, 0],
            RefusedHello::Other(reason) => [reason, 0, 0, 0],
        };
        Packet::new(PacketKind::Refused, 0, args)
    }

    /// Returns the reason in the answer to a refused `Hello`.
    pub(super) fn hello_refusal(&self) -> RefusedHello {
        match self.args {
            [1, ..] => RefusedHello::Token,
            [2, version, ..] => RefusedHello::Version(version),
            [other, ..] => RefusedHello::Other(other),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; BYTES] {
        let Packet { kind, number, args } = self;
        zerocopy::transmute!(Raw { kind: kind as u32, reserved: 0, number, args })
    }

    /// Decodes a packet.
    pub(super) fn read(bytes: &[u8]) -> Result<Packet, PacketError> {
        let raw = Raw::read_from_bytes(bytes).map_err(|_| PacketError::Size(bytes.len()))?;
        let mut kinds = PacketKind::ALL.into_iter();
        match kinds.find(|kind| *kind as u32 == raw.kind) {
            Some(kind) => Ok(Packet { kind, number: raw.number, args: raw.args }),
            None => Err(PacketError::Kind(raw.kind)),
        }
    }
}

/// How a peer broke the protocol. The connection is closed, and so are all descriptors that came
/// with the packet.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The packet has another size. (If it is longer, only one extra byte was received.)
    #[error("invalid packet of a peer: expected {BYTES} bytes, found {0}")]
    Size(usize),
    /// The packet's kind is unknown.
    #[error("invalid packet of a peer: expected a kind from 1 to 9, found {0}")]
    Kind(u32),
    /// The packet is not expected at this time.
    #[error("invalid packet of a peer: `{0:?}` is not expected now")]
    Unexpected(PacketKind),
    /// The packet came with a wrong number of descriptors.
    #[error(
        "invalid `{kind:?}` packet of a peer: expected {expected} descriptors",
        kind = .0,
        expected = u8::from(.0.has_descriptor())
    )]
    Descriptors(PacketKind),
    /// The descriptor is not a memfd.
    #[error("invalid `{0:?}` packet of a peer: its descriptor is not shared memory")]
    NoMemory(PacketKind),
    /// The descriptor is not a Unix stream socket.
    #[error("invalid `{0:?}` packet of a peer: its descriptor is not a Unix stream socket")]
    NoSocket(PacketKind),
}

/// Why a control thread does not accept a `Hello`.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RefusedHello {
    /// No handler waits for this token, or the token is for another process.
    #[error("unknown token")]
    Token,
    /// The peer has another version.
    #[error("its version of the control protocol is {0}, not {own}", own = VERSION)]
    Version(u64),
    /// A reason that this version does not know.
    #[error("reason {0}")]
    Other(u64),
}

debug_as_display!(PacketError, RefusedHello);
