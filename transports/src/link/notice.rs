//! Events of links, for logs and tests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::Code;
use mycelium_core::link::{CloseReason, RejectReason};
use mycelium_executor::Peer;

use super::channel::LAYOUT;
use super::layout::LayoutMismatch;
use crate::endpoint::{Endpoint, connect_code};
use crate::local::{MemoryFault, Undelivered};
use crate::stream::DriveError;

/// An event of a link.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// The handshake is complete.
    Connected {
        /// The other node.
        peer: &'a str,
        /// The random number of this start of the other node's process.
        boot: u64,
    },
    /// A connection has ended.
    Disconnected {
        /// The other node; empty if it never sent its name.
        peer: &'a str,
        /// The reason.
        error: &'a DriveError,
    },
    /// An attempt to connect failed. The next one follows after a pause.
    Unreachable {
        /// The other node.
        peer: &'a str,
        /// The reason.
        error: &'a std::io::Error,
        /// The pause.
        pause: Duration,
    },
    /// The other node will not run again, and is not connected: this side reads nothing more from
    /// it.
    PeerEnded {
        /// The other node.
        peer: &'a str,
    },
    /// The peer has rejected a subscription. The next connection subscribes again.
    TopicRefused {
        /// The other node.
        peer: &'a str,
        /// The topic.
        topic: &'a str,
        /// The reason.
        reason: RejectReason,
    },
    /// A topic that is read here has another layout at the peer. Another attempt cannot succeed.
    TopicLayoutDiffers {
        /// The other node.
        peer: &'a str,
        /// The topic.
        topic: &'a str,
        /// The difference.
        mismatch: &'a LayoutMismatch,
    },
    /// A peer has subscribed to a topic that has another layout here, and was rejected.
    ReaderLayoutDiffers {
        /// The other node.
        peer: &'a str,
        /// The topic.
        topic: &'a str,
        /// The difference, as far as the peer has reported it.
        mismatch: &'a LayoutMismatch,
    },
    /// A peer reads from as many publishers as a link allows: its other publishers wait until one
    /// of these ends.
    StreamLimit {
        /// The other node.
        peer: &'a str,
        /// The topic of a publisher that waits.
        topic: &'a str,
        /// The limit.
        limit: usize,
    },
    /// Retained messages of a topic were requested, but the other node does not know this request:
    /// publishers start with their next message.
    StartsAtNext {
        /// The other node.
        peer: &'a str,
        /// The topic.
        topic: &'a str,
    },
    /// The messages of a stream go through shared memory from now on.
    MovedToMemory {
        /// The other node.
        peer: &'a str,
        /// The topic.
        topic: &'a str,
        /// The publisher.
        publisher: &'a str,
    },
    /// Streams that were to go through shared memory stay on the socket of their link.
    StaysOnSocket {
        /// The other node.
        peer: &'a str,
        /// The reason.
        reason: &'a str,
        /// Whether the link [requires](super::MemoryUse::Required) shared memory for this stream.
        is_required: bool,
    },
    /// A peer has broken the protocol in the memory that it shares: it wrote a value that no
    /// correct reader writes. Its link ends, and its unconfirmed messages are undelivered.
    InvalidMemory {
        /// The other node.
        peer: &'a str,
        /// The topic.
        topic: &'a str,
        /// The fault.
        fault: MemoryFault,
    },
    /// A connection was rejected.
    PeerRejected {
        /// The name that the peer has sent; empty if it has sent none.
        peer: &'a str,
        /// The process that connected; `None` if this side connected.
        from: Option<&'a Peer>,
        /// The kind of reason.
        cause: CloseReason,
        /// The reason.
        reason: &'a str,
    },
    /// A message became a dead letter, because several consecutive processes of its reader died
    /// while they handled it.
    DeadLettered {
        /// The message.
        undelivered: &'a Undelivered,
    },
    /// The address at which this process listened has vanished, and cannot be restored now.
    AddressLost {
        /// The address.
        endpoint: &'a Endpoint,
        /// The reason.
        problem: &'a str,
    },
    /// The address at which this process listens had vanished, and was restored.
    AddressRestored {
        /// The address.
        endpoint: &'a Endpoint,
    },
    /// A connection could not be accepted.
    AcceptFailed {
        /// The reason.
        error: &'a std::io::Error,
    },
}

/// Gets each notice. Links call it between messages, so it must not block.
pub type Observer = Arc<dyn Fn(Notice<'_>) + Send + Sync>;

impl Notice<'_> {
    /// Returns the code of the notice, if it is an error.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Notice::Disconnected { error, .. } => error.code(),
            Notice::Unreachable { error, .. } => connect_code(error),
            Notice::TopicRefused { .. } => Code::TOPIC_REFUSED,
            Notice::TopicLayoutDiffers { .. } | Notice::ReaderLayoutDiffers { .. } => {
                Code::OTHER_LAYOUT
            }
            Notice::StreamLimit { .. } => Code::LINK_TOO_MANY,
            Notice::StartsAtNext { .. } => Code::RETAINED_UNKNOWN,
            Notice::StaysOnSocket { .. } => Code::LINK_WITHOUT_MEMORY,
            Notice::InvalidMemory { .. } => Code::LINK_PROTOCOL,
            Notice::PeerRejected { cause, .. } => cause.error_code(),
            Notice::DeadLettered { .. } => Code::DEAD_LETTER,
            Notice::AddressLost { .. } => Code::SOCKET_REPLACED,
            Notice::AcceptFailed { .. } => Code::NO_CONNECTIONS,
            Notice::Connected { .. }
            | Notice::PeerEnded { .. }
            | Notice::MovedToMemory { .. }
            | Notice::AddressRestored { .. } => return None,
        })
    }
}

impl<'a> Notice<'a> {
    /// Creates the notice of streams that stay on the socket, with the reason.
    pub(crate) fn stays_on_socket(peer: &'a str, reason: &'a str, needs_memory: bool) -> Self {
        // Messages that have grown use the socket until both programs have one version.
        let is_required = needs_memory && reason != LAYOUT;
        Notice::StaysOnSocket { peer, reason, is_required }
    }
}

/// Shows names that a peer has sent, with control characters escaped.
impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Connected { peer, .. } => write!(f, "connected to node `{}`", shown(peer)),
            Notice::Disconnected { peer: "", error } => {
                write!(f, "a connection ended before its handshake: {error}")
            }
            Notice::Disconnected { peer, error } => {
                write!(f, "disconnected from node `{}`: {error}", shown(peer))
            }
            Notice::Unreachable { peer, error, pause } => {
                write!(
                    f,
                    "cannot connect to node `{}`: {error}; next attempt in {pause:.0?}",
                    shown(peer)
                )
            }
            Notice::PeerEnded { peer } => {
                write!(f, "node `{}` will not run again: nothing more is read from it", shown(peer))
            }
            Notice::TopicRefused { peer, topic, reason } => {
                write!(f, "node `{}` rejects topic `{}`: {reason}", shown(peer), shown(topic))
            }
            Notice::TopicLayoutDiffers { peer, topic, mismatch } => {
                let (peer, topic) = (shown(peer), shown(topic));
                write!(
                    f,
                    "cannot read topic `{topic}` of node `{peer}`, layouts differ: {mismatch}"
                )
            }
            Notice::ReaderLayoutDiffers { peer, topic, mismatch } => {
                let (peer, topic) = (shown(peer), shown(topic));
                write!(f, "node `{peer}` cannot read topic `{topic}`, layouts differ: {mismatch}")
            }
            Notice::StreamLimit { peer, topic, limit } => write!(
                f,
                "node `{}` reads from {limit} publishers, the limit of a link: a publisher of topic `{}` waits until another one ends",
                shown(peer),
                shown(topic)
            ),
            Notice::StartsAtNext { peer, topic } => write!(
                f,
                "topic `{}` starts with the next message: node `{}` does not know `start = \"oldest\"`",
                shown(topic),
                shown(peer)
            ),
            Notice::DeadLettered {
                undelivered: Undelivered { topic, reader, publisher, sequence, .. },
            } => {
                write!(
                    f,
                    "message {sequence} of `{}` on topic `{}` is a dead letter: each process of node `{}` died while it handled the message",
                    shown(publisher),
                    shown(topic),
                    shown(reader)
                )
            }
            Notice::AddressLost { endpoint, problem } => {
                write!(f, "no peer can connect to `{endpoint}`: {problem}")
            }
            Notice::AddressRestored { endpoint } => {
                write!(f, "`{endpoint}` had vanished and was made again")
            }
            Notice::MovedToMemory { peer, topic, publisher } => write!(
                f,
                "messages of `{}` on topic `{}` go through shared memory, between this node and node `{}`",
                shown(publisher),
                shown(topic),
                shown(peer)
            ),
            Notice::StaysOnSocket { peer, reason, .. } => write!(
                f,
                "messages between this node and node `{}` go over the socket, not through shared memory: {}",
                shown(peer),
                shown(reason)
            ),
            Notice::InvalidMemory { peer, topic, fault } => write!(
                f,
                "node `{}` has broken the protocol of topic `{}`: {fault}",
                shown(peer),
                shown(topic)
            ),
            Notice::PeerRejected { peer, from, reason, .. } => match (peer, from) {
                (&"", Some(from)) => write!(f, "rejected {from}: {reason}"),
                (peer, Some(from)) => {
                    write!(f, "rejected node `{}` ({from}): {reason}", shown(peer))
                }
                (peer, None) => write!(f, "rejected node `{}`: {reason}", shown(peer)),
            },
            Notice::AcceptFailed { error } => write!(f, "cannot accept connections: {error}"),
        }
    }
}

/// Returns a peer's text with control characters escaped, but not quotes.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\'' | '"' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    shown
}
