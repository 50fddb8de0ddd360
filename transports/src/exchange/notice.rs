//! What becomes of links, for who wants to log or show it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::link::{CloseReason, RejectReason};
use mycelium_executor::Peer;

use super::layout::LayoutMismatch;
use crate::endpoint::Endpoint;
use crate::local::Undelivered;
use crate::stream::DriveError;

/// Something happened to a link.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// There is a connection, and both sides know each other.
    Connected {
        /// The other node.
        peer: &'a str,
    },
    /// A connection has ended.
    Disconnected {
        /// The other node; empty if it never said who it is.
        peer: &'a str,
        /// Why.
        error: &'a DriveError,
    },
    /// There is no connection, and after a pause the next is tried.
    Unreachable {
        /// The other node.
        peer: &'a str,
        /// Why not.
        error: &'a std::io::Error,
        /// How long the pause is.
        pause: Duration,
    },
    /// The other node has ended for good, and there is no connection to it: nothing more is read from it.
    PeerEnded {
        /// The other node.
        peer: &'a str,
    },
    /// A topic is not had, and is asked for again with the next connection.
    TopicRefused {
        /// The other node.
        peer: &'a str,
        /// The topic.
        topic: &'a str,
        /// Why.
        reason: RejectReason,
    },
    /// A topic that is read here has another layout at the peer: no other try will make it readable.
    TopicLayoutDiffers {
        /// The other node.
        peer: &'a str,
        /// The topic.
        topic: &'a str,
        /// In what the two layouts differ.
        mismatch: &'a LayoutMismatch,
    },
    /// A peer asked for a topic that has another layout here, and was refused.
    ReaderLayoutDiffers {
        /// The other node.
        peer: &'a str,
        /// The topic.
        topic: &'a str,
        /// In what the two layouts differ, as far as the peer said.
        mismatch: &'a LayoutMismatch,
    },
    /// A peer reads from as many publishers at once as it can: others wait until one of them ends.
    StreamLimit {
        /// The other node.
        peer: &'a str,
        /// The topic of one that waits.
        topic: &'a str,
        /// How many there can be.
        limit: usize,
    },
    /// A connection was not let in.
    PeerRejected {
        /// The name that the peer gave; empty if it gave none.
        peer: &'a str,
        /// Whose process it is, if it is the one that connected.
        from: Option<&'a Peer>,
        /// Which kind of reason.
        cause: CloseReason,
        /// Why.
        reason: &'a str,
    },
    /// A message was given up: several processes of its reader in a row have died with it in hand.
    DeadLettered {
        /// The message.
        undelivered: &'a Undelivered,
    },
    /// The socket that this process listened at is not at its path any more, and cannot be made again for now.
    AddressLost {
        /// Its address.
        endpoint: &'a Endpoint,
        /// Why not.
        problem: &'a str,
    },
    /// The socket at this path had vanished, and was made again.
    AddressRestored {
        /// Its address.
        endpoint: &'a Endpoint,
    },
    /// No connection can be accepted for now.
    AcceptFailed {
        /// Why.
        error: &'a std::io::Error,
    },
}

/// Is told what becomes of links. It is called between messages, and had better be quick.
pub type Observer = Arc<dyn Fn(Notice<'_>) + Send + Sync>;

/// What a peer said is shown with its control characters escaped.
impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &str| name.escape_debug().to_string();
        match self {
            Notice::Connected { peer } => write!(f, "linked with `{}`", shown(peer)),
            Notice::Disconnected { peer: "", error } => {
                write!(f, "a connection ended before it was a link: {error}")
            }
            Notice::Disconnected { peer, error } => {
                write!(f, "the link with `{}` ended: {error}", shown(peer))
            }
            Notice::Unreachable { peer, error, pause } => {
                write!(f, "cannot reach `{}`: {error}; next try in {pause:?}", shown(peer))
            }
            Notice::PeerEnded { peer } => {
                write!(f, "`{}` has ended for good: nothing more is read from it", shown(peer))
            }
            Notice::TopicRefused { peer, topic, reason } => {
                write!(f, "`{}` refuses topic `{}`: {reason}", shown(peer), shown(topic))
            }
            Notice::TopicLayoutDiffers { peer, topic, mismatch } => {
                let (peer, topic) = (shown(peer), shown(topic));
                write!(f, "cannot read topic `{topic}` of `{peer}`, another layout: {mismatch}")
            }
            Notice::ReaderLayoutDiffers { peer, topic, mismatch } => {
                let (peer, topic) = (shown(peer), shown(topic));
                write!(f, "`{peer}` cannot read topic `{topic}`, another layout: {mismatch}")
            }
            Notice::StreamLimit { peer, topic, limit } => write!(
                f,
                "`{}` reads from {limit} publishers, the most: one of `{}` waits until another ends",
                shown(peer),
                shown(topic)
            ),
            Notice::DeadLettered {
                undelivered: Undelivered { topic, reader, publisher, sequence, .. },
            } => {
                write!(
                    f,
                    "message {sequence} of `{}` on topic `{}` is given up: `{}` died with it each time",
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
            Notice::PeerRejected { peer, from, reason, .. } => match (peer, from) {
                (&"", Some(from)) => write!(f, "{from} was turned away: {reason}"),
                (peer, Some(from)) => {
                    write!(f, "`{}` ({from}) was turned away: {reason}", shown(peer))
                }
                (peer, None) => write!(f, "`{}` was turned away: {reason}", shown(peer)),
            },
            Notice::AcceptFailed { error } => write!(f, "cannot accept connections: {error}"),
        }
    }
}
