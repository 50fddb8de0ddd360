//! Why a topic was refused, and why something was not taken for sending. Neither ends a link.

use core::error::Error;
use core::fmt;

/// Why a topic is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectReason {
    /// Nothing here has such a topic.
    Unknown,
    /// The topic's messages have another layout here.
    Digest,
    /// The other side may not have it.
    Forbidden,
    /// There are as many subscriptions as this side takes.
    Many,
    /// The topic has ended for good: all its publishers have completed. A topic that was sent is rejected with it once its
    /// streams have ended and all of them was confirmed.
    Ended,
    /// The other side asks for a topic that it has asked for already.
    Twice,
    /// A reason that a later version has defined.
    Other(u16),
}

impl RejectReason {
    pub(super) fn code(self) -> u16 {
        match self {
            RejectReason::Unknown => 1,
            RejectReason::Digest => 2,
            RejectReason::Forbidden => 3,
            RejectReason::Many => 4,
            RejectReason::Ended => 5,
            RejectReason::Twice => 6,
            RejectReason::Other(code) => code,
        }
    }

    pub(super) fn of(code: u16) -> RejectReason {
        match code {
            1 => RejectReason::Unknown,
            2 => RejectReason::Digest,
            3 => RejectReason::Forbidden,
            4 => RejectReason::Many,
            5 => RejectReason::Ended,
            6 => RejectReason::Twice,
            code => RejectReason::Other(code),
        }
    }
}

/// Why something was not taken for sending. It can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The other side has made no room for more messages of this stream.
    Credit,
    /// The buffer is full of bytes that are not out yet.
    Room {
        /// How many bytes it takes.
        needed: usize,
        /// How many the buffer has at most.
        capacity: usize,
    },
    /// There are as many topics as one side has room for.
    Topics {
        /// How many there can be.
        limit: usize,
    },
    /// Some of a message was sent: its rest comes first.
    Open,
    /// These are not the bytes of a message that come next, or too few of them.
    Part {
        /// How much of the message was sent.
        expected: u32,
    },
    /// The other side takes no further message in parts now.
    Parts {
        /// How many there can be.
        limit: usize,
    },
    /// The link has had as many topics and streams as can be told apart. Another link can take its place.
    Numbers,
    /// A stream has no more sequences.
    Exhausted,
    /// Type 0 is the link's own.
    Type,
    /// The fixed part would be longer than the payload.
    Fixed {
        /// The length of the fixed part.
        fixed: usize,
        /// The length of the payload.
        payload: usize,
    },
    /// The other side takes no further stream.
    Streams {
        /// How many there can be.
        limit: usize,
    },
    /// There is no such stream or subscription, or no more.
    Gone,
    /// The handshake is not over, or the link has ended.
    Down,
    /// The message or its frame is longer than the other side takes, or than the buffer can ever hold. A message that
    /// [`send`](super::Link::send) finds too long can go [in parts](super::Link::send_part).
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: u32,
    },
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RejectReason::Unknown => f.write_str("the topic is not known"),
            RejectReason::Digest => f.write_str("its messages have another layout"),
            RejectReason::Forbidden => f.write_str("it is not allowed"),
            RejectReason::Many => f.write_str("there are too many subscriptions"),
            RejectReason::Twice => f.write_str("it was asked for twice"),
            RejectReason::Ended => f.write_str("the topic has ended"),
            RejectReason::Other(code) => write!(f, "reason {code}"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SendError::Credit => f.write_str("the other side has no room for it now"),
            SendError::Room { needed, capacity } => {
                write!(f, "no room for {needed} bytes in a buffer of {capacity} now")
            }
            SendError::Topics { limit } => {
                write!(f, "there is room for {limit} topics, and all of it is in use")
            }
            SendError::Open => f.write_str("the rest of a message comes first"),
            SendError::Part { expected } => {
                write!(f, "the bytes of the message from {expected} on come next")
            }
            SendError::Parts { limit } => {
                write!(
                    f,
                    "{limit} messages are being sent in parts, and the peer takes no more at once"
                )
            }
            SendError::Numbers => f.write_str("no number is left for another topic or stream"),
            SendError::Exhausted => f.write_str("the stream has no more sequences"),
            SendError::Type => f.write_str("messages of type 0 are the link's own"),
            SendError::Fixed { fixed, payload } => {
                write!(f, "a fixed part of {fixed} bytes in a payload of {payload}")
            }
            SendError::Streams { limit } => {
                write!(f, "there is room for {limit} streams, and all of it is in use")
            }
            SendError::Gone => f.write_str("the stream or subscription does not exist"),
            SendError::Down => f.write_str("the link is not up"),
            SendError::TooLong { length, limit } => {
                write!(f, "{length} bytes, where {limit} is the most")
            }
        }
    }
}

impl Error for SendError {}
