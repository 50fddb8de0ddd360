//! Topics as packets, for transports over the engines of others (Zenoh, NATS).
//!
//! An engine carries packets of bytes from a node to all nodes that read the topic, and may lose
//! any of them. [`Outgoing`] makes packets from the publishers of this process; [`Incoming`] passes
//! packets to the subscriptions of a topic. Each packet says where in its stream it begins
//! ([`packet`](mycelium_core::link::packet)), so a lost one is a gap with the exact number of
//! messages. Each [`HEARTBEAT`] has a list of all streams, so the loss of the last messages is
//! noticed, too.
//!
//! A transport over an engine opens a connection, sends the packets of [`Outgoing::poll`] under a
//! key with the topic, the digest of its layout and a name of this process, passes received packets
//! to [`Incoming::take`], and calls [`Incoming::lose_absent`] regularly.
//!
//! If the engine has a log, the transport sends the packets of [`Outgoing::confirmed`], and passes
//! stored ones to a [`Replay`], which waits for readers and knows what they have finished. Those of
//! a work queue, of which a process gets some, it passes to a [`Worker`].

mod incoming;
mod outgoing;
mod push;
mod replay;
mod warnings;
mod worker;

use mycelium_core::frame::{HEADER_LEN, Limits};

use crate::local::Topic;

pub use incoming::{Incoming, PacketError};
pub use outgoing::{HEARTBEAT, Outgoing, OutgoingPacket, Progress};
pub use replay::{Place, Replay, Stored, node_of};
pub use warnings::Warnings;
pub use worker::{Finished, Worker};

/// Returns the limits of the frames in packets of a topic.
fn limits(topic: &Topic) -> Limits {
    let longest = HEADER_LEN + usize::from(u16::MAX) + topic.schema().longest;
    Limits { max_frame: u32::try_from(longest).unwrap_or(u32::MAX) }
}

/// Returns a name as a part of a key or subject of an engine: bytes other than ASCII letters,
/// digits, `-` and `_` become `%` and two hexadecimal digits.
///
/// ```
/// assert_eq!(mycelium_transports::engine::key_part("best-bid/EUR*"), "best-bid%2fEUR%2a");
/// ```
#[must_use]
pub fn key_part(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            part.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
            part.push('%');
            part.extend(digits.into_iter().flatten());
        }
    }
    part
}
