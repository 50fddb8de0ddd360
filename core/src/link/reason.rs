//! The reasons that a side gives on the wire: why it closes a link, and why it rejects a topic.

use thiserror::Error;

use crate::Code;

/// The reason that a side gives when it closes the link. Its text fits after "the peer closed the
/// link: " and "this side closed the link: ".
#[derive(Clone, Copy, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The node shuts down.
    #[error("node shutdown")]
    Shutdown,
    /// The other side's bytes broke the protocol.
    #[error("protocol error")]
    Protocol,
    /// The two sides have no common version.
    #[error("no common protocol version")]
    Version,
    /// The other side is not allowed to connect.
    #[error("the other side is not allowed")]
    NotAllowed,
    /// There are too many links.
    #[error("too many links")]
    Busy,
    /// The other side did not answer in time.
    #[error("timeout")]
    Timeout,
    /// Another process of the other side's name is connected.
    #[error("another process with this name is connected")]
    NameTaken,
    /// The node shuts down and may restart. Messages that it has not confirmed stay at the
    /// publisher; none of them was delivered.
    #[error("node shutdown, it may restart")]
    Away,
    /// The process ends and may restart. Messages that it has not confirmed stay at the publisher;
    /// some of them may have been delivered.
    #[error("process end with messages in flight, it may restart")]
    Aborted,
    /// A reason of a later version.
    #[error("reason {0}")]
    Other(u16),
}

impl CloseReason {
    /// The code of the error of a link that was closed for this reason.
    #[must_use]
    pub const fn error_code(&self) -> Code {
        match self {
            CloseReason::Shutdown | CloseReason::Away | CloseReason::Aborted => Code::LINK_SHUTDOWN,
            CloseReason::Protocol => Code::LINK_PROTOCOL,
            CloseReason::Version => Code::LINK_VERSION,
            CloseReason::NotAllowed => Code::LINK_NOT_ALLOWED,
            CloseReason::Busy => Code::LINK_BUSY,
            CloseReason::Timeout => Code::LINK_HANDSHAKE,
            CloseReason::NameTaken => Code::LINK_NAME_TAKEN,
            CloseReason::Other(_) => Code::LINK_CLOSED,
        }
    }
}

macro_rules! codes {
    ($reason:ident: $($variant:ident = $code:literal)*) => {
        impl $reason {
            pub(super) fn code(self) -> u16 {
                match self {
                    $($reason::$variant => $code,)*
                    $reason::Other(code) => code,
                }
            }

            pub(super) fn of(code: u16) -> $reason {
                match code {
                    $($code => $reason::$variant,)*
                    code => $reason::Other(code),
                }
            }
        }
    };
}

codes! {
    CloseReason:
    Shutdown = 1
    Protocol = 2
    Version = 3
    NotAllowed = 4
    Busy = 5
    Timeout = 6
    NameTaken = 7
    Away = 8
    Aborted = 9
}

/// Why a side does not send a topic. A rejection does not end the link.
#[derive(Clone, Copy, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectReason {
    /// This side has no such topic.
    #[error("unknown topic")]
    Unknown,
    /// The topic's messages have another layout on this side.
    #[error("its messages have another layout")]
    Digest,
    /// The other side is not allowed to read it.
    #[error("not allowed")]
    Forbidden,
    /// This side accepts no more subscriptions.
    #[error("too many subscriptions")]
    TooMany,
    /// All publishers of the topic have completed. A topic that was sent is rejected with this
    /// reason once its streams have ended and all their messages are confirmed.
    #[error("the topic has ended")]
    Ended,
    /// The other side is already subscribed to the topic.
    #[error("already subscribed")]
    Duplicate,
    /// A reason of a later version.
    #[error("reason {0}")]
    Other(u16),
}

crate::debug_as_display!(CloseReason, RejectReason);

codes! {
    RejectReason:
    Unknown = 1
    Digest = 2
    Forbidden = 3
    TooMany = 4
    Ended = 5
    Duplicate = 6
}
