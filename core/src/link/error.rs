//! Errors that end a link; errors of calls that send ([`SendError`]), after which the link stays
//! up; and the reasons on the wire for closing a link or rejecting a topic.

use core::time::Duration;

use thiserror::Error;

use crate::Code;
use crate::frame::{FrameError, VERSION};

/// Why a link ended. Each error is final for the connection; other links are not affected.
#[derive(Clone, Copy, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// The bytes are not a valid frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A control frame has an unknown kind that must not be skipped.
    #[error("unknown control frame of kind {kind:#06x} that must not be skipped")]
    ControlKind {
        /// The kind.
        kind: u16,
    },
    /// A control frame has the wrong size for its kind.
    #[error("control frame of kind {kind}: expected {expected} bytes, found {found}")]
    ControlSize {
        /// The kind, 0 if the payload is too short to have one.
        kind: u16,
        /// The size of frames of this kind.
        expected: usize,
        /// The size of the payload.
        found: usize,
    },
    /// A name is too long or not UTF-8.
    #[error("invalid name in a control frame: expected at most 62 bytes of UTF-8")]
    Text,
    /// The peer's first frame is not its hello.
    #[error("expected a hello as the peer's first frame, found another frame")]
    NoHello,
    /// The peer sent a second hello.
    #[error("unexpected second hello from the peer")]
    SecondHello,
    /// The two sides have no common version.
    #[error("no common protocol version: expected {VERSION}, the peer supports {min} to {max}")]
    Version {
        /// The lowest version that the peer supports.
        min: u8,
        /// The highest version that the peer supports.
        max: u8,
    },
    /// The peer's frame limit is too small for control frames.
    #[error("the peer's frame limit of {limit} bytes is too small for control frames")]
    Limit {
        /// The longest frame that the peer accepts.
        limit: u32,
    },
    /// The peer's hello did not arrive in time.
    #[error("handshake timeout: no hello from the peer within {deadline:?}")]
    Handshake {
        /// The time that the peer had.
        deadline: Duration,
    },
    /// The peer sent nothing for too long.
    #[error("the peer has sent nothing for {limit:?}")]
    Silent {
        /// The longest silence that is allowed.
        limit: Duration,
    },
    /// The peer named a subscription that this side does not have.
    #[error("unknown subscription {number}")]
    Subscription {
        /// The number of the subscription.
        number: u32,
    },
    /// The peer named a stream that was never opened or has ended.
    #[error("unknown stream {number}: it was never opened, or it has ended")]
    Stream {
        /// The number of the stream.
        number: u32,
    },
    /// The peer opened a stream that is already open.
    #[error("stream {number} is already open")]
    SecondStream {
        /// The number of the stream.
        number: u32,
    },
    /// The peer uses more streams, subscriptions or fragmented messages at once than this side
    /// accepts.
    #[error("too many subscriptions, streams or fragmented messages at once: the limit is {limit}")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A message has another type than its topic.
    #[error("message of type {found} in a stream of type {expected}")]
    Type {
        /// The type of the topic.
        expected: u16,
        /// The type of the message.
        found: u16,
    },
    /// A message, a gap or a resumed stream does not continue at the expected sequence.
    #[error("stream {stream}: expected sequence {expected}, found {found}")]
    Sequence {
        /// The stream.
        stream: u32,
        /// The next sequence of the stream.
        expected: u64,
        /// The sequence in the frame.
        found: u64,
    },
    /// The peer sent a message without credit.
    #[error("stream {stream}: the peer sent a message without credit")]
    Credit {
        /// The stream.
        stream: u32,
    },
    /// A fragment of a message is invalid.
    #[error("stream {stream}: invalid fragment: {error}")]
    Fragment {
        /// The stream.
        stream: u32,
        /// What is wrong with the fragment.
        error: FragmentError,
    },
    /// The header of a run is invalid.
    #[error("stream {stream}: invalid run: {error}")]
    Run {
        /// The stream.
        stream: u32,
        /// What is wrong with the header.
        error: RunError,
    },
    /// The peer confirmed unsent messages, or reduced a confirmation or credit.
    #[error(
        "stream {stream}: the peer confirms unsent messages, or takes a confirmation or credit back"
    )]
    Window {
        /// The stream.
        stream: u32,
    },
    /// A piece of a layout is longer than its frame, or passes the end of the layout.
    #[error("invalid piece of a layout: {length} bytes at offset {offset} of {total} bytes")]
    Piece {
        /// Where the piece starts.
        offset: u32,
        /// The length of the layout.
        total: u32,
        /// The length of the piece.
        length: u16,
    },
    /// A part of a retained message is empty, or passes the end of the message.
    #[error(
        "invalid part of a retained message: {length} bytes at offset {offset} of {total} bytes"
    )]
    Retained {
        /// Where the part starts.
        offset: u32,
        /// The length of the message.
        total: u32,
        /// The length of the part.
        length: usize,
    },
    /// The peer sent a frame about shared memory, although one side does not support it.
    #[error("unexpected frame about shared memory: one of the two sides does not support it")]
    NoMemory,
    /// The peer offered shared memory twice on one connection.
    #[error("unexpected second offer of shared memory from the peer")]
    SecondMemory,
    /// The peer sent a message, a run, a gap or a second region for a stream that has moved to
    /// shared memory; or another frame than the region for a stream that moved on an earlier
    /// connection.
    #[error("stream {stream}: unexpected frame, since its messages are in shared memory")]
    Moved {
        /// The stream.
        stream: u32,
    },
    /// This link has used all numbers for streams and subscriptions. Open another link.
    #[error("no number is left for another stream or subscription of this link")]
    Numbers,
    /// The peer closed the link.
    #[error("the peer closed the link: {0}")]
    PeerClosed(CloseReason),
    /// This side closed the link.
    #[error("this side closed the link: {0}")]
    LocallyClosed(CloseReason),
}

/// What is wrong with a fragment of a message.
#[derive(Clone, Copy, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FragmentError {
    /// The fragment does not start where the previous one ended.
    #[error("expected offset {expected}, found {found}")]
    Offset {
        /// The end of the previous fragment.
        expected: u32,
        /// The start of this fragment.
        found: u32,
    },
    /// The message is longer than this side accepts.
    #[error("message of {found} bytes exceeds the limit of {limit}")]
    TooLong {
        /// The longest message that this side accepts.
        limit: u32,
        /// The length of the message.
        found: u32,
    },
    /// The message's total or fixed length differs from that in the previous fragment.
    #[error("total length or fixed length differs from the fragment before")]
    Changed,
    /// The fragment is empty, holds the whole message, passes the message's end, or has a fixed
    /// part of its own; or it is not the last fragment and its length is not a multiple of 8; or
    /// the message's fixed part is longer than the message.
    #[error("invalid length: expected a multiple of 8 bytes, or the rest of the message")]
    Length,
    /// Another frame of the stream arrived before the message was complete.
    #[error("expected the next fragment of the message, found another frame")]
    Open,
}

/// What is wrong with the header of a run.
#[derive(Clone, Copy, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// Messages cannot have this layout: the stride or the bytes before a message are not a
    /// multiple of 8; or a message is empty, longer than a fixed part, or longer than its stride.
    #[error("invalid shape: messages of {length} bytes with a stride of {stride} bytes")]
    Shape {
        /// The bytes from one message to the next.
        stride: u32,
        /// The bytes of a message.
        length: u32,
    },
    /// The run is empty or too long, or its messages exceed this side's frame limit.
    #[error("invalid length {found}: expected whole messages, 1 to {limit} bytes in all")]
    Length {
        /// The bytes of the run.
        found: u64,
        /// The most bytes that a run may have.
        limit: u32,
    },
    /// The run starts before a fragmented message is complete.
    #[error("expected the next fragment of a message, found a run")]
    Open,
}

impl LinkError {
    /// Returns the code of the error. All violations of the protocol by a peer have one code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            LinkError::Frame(_)
            | LinkError::ControlKind { .. }
            | LinkError::ControlSize { .. }
            | LinkError::Text
            | LinkError::NoHello
            | LinkError::SecondHello
            | LinkError::Subscription { .. }
            | LinkError::Stream { .. }
            | LinkError::SecondStream { .. }
            | LinkError::Type { .. }
            | LinkError::Sequence { .. }
            | LinkError::Credit { .. }
            | LinkError::Fragment { .. }
            | LinkError::Run { .. }
            | LinkError::Window { .. }
            | LinkError::Piece { .. }
            | LinkError::Retained { .. }
            | LinkError::NoMemory
            | LinkError::SecondMemory
            | LinkError::Moved { .. } => Code::LINK_PROTOCOL,
            LinkError::Version { .. } => Code::LINK_VERSION,
            LinkError::Limit { .. } => Code::LINK_FRAME_LIMIT,
            LinkError::Handshake { .. } => Code::LINK_HANDSHAKE,
            LinkError::Silent { .. } => Code::LINK_SILENT,
            LinkError::TooMany { .. } => Code::LINK_TOO_MANY,
            LinkError::Numbers => Code::LINK_NUMBERS,
            LinkError::PeerClosed(reason) | LinkError::LocallyClosed(reason) => reason.error_code(),
        }
    }

    /// Returns whether the next connection would fail in the same way, because one side breaks the
    /// protocol or refuses the other.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self.code(),
            Code::LINK_PROTOCOL
                | Code::LINK_VERSION
                | Code::LINK_FRAME_LIMIT
                | Code::LINK_TOO_MANY
                | Code::LINK_NUMBERS
                | Code::LINK_NOT_ALLOWED
        )
    }

    /// Returns whether a side closed the link because its node shuts down or no longer needs the
    /// link.
    #[must_use]
    pub fn is_goodbye(&self) -> bool {
        matches!(
            self,
            LinkError::PeerClosed(CloseReason::Shutdown | CloseReason::Away)
                | LinkError::LocallyClosed(CloseReason::Shutdown | CloseReason::Away)
        )
    }
}

/// Why a call could not send. The call had no effect, and the link stays up.
#[derive(Clone, Copy, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The stream has no credit: the peer has no room for more of its messages.
    #[error("no credit: the peer has no room for more messages of this stream")]
    Credit,
    /// The send buffer is full of bytes that were not transmitted yet.
    #[error("no room for {needed} bytes in the send buffer of {capacity} bytes now")]
    Room {
        /// The bytes that the call needs.
        needed: usize,
        /// The bytes that the buffer can hold.
        capacity: usize,
    },
    /// One side has no room for another topic.
    #[error("too many topics: the limit is {limit}")]
    Topics {
        /// The limit.
        limit: usize,
    },
    /// The rest of a fragmented message must be sent first.
    #[error("the rest of a fragmented message must be sent first")]
    Open,
    /// The previous run must be transmitted first: its bytes are still in the ring.
    #[error("the run that was sent must be transmitted first")]
    Run,
    /// The bytes do not continue the message, or are too few.
    #[error("expected the bytes of the message from offset {expected} on")]
    Fragment {
        /// How many bytes of the message were sent.
        expected: u32,
    },
    /// The peer accepts no more fragmented messages at once.
    #[error("too many fragmented messages at once: the peer's limit is {limit}")]
    Fragments {
        /// The limit.
        limit: usize,
    },
    /// This link has used all numbers for streams and subscriptions. Open another link.
    #[error("no number is left for another stream or subscription of this link")]
    Numbers,
    /// The stream has used all its sequences.
    #[error("no sequence is left in this stream")]
    Exhausted,
    /// Type id 0 is reserved for control frames.
    #[error("invalid type id 0: it is reserved for control frames")]
    Type,
    /// The fixed part is longer than the payload.
    #[error("fixed part of {fixed} bytes exceeds the payload of {payload} bytes")]
    Fixed {
        /// The length of the fixed part.
        fixed: usize,
        /// The length of the payload.
        payload: usize,
    },
    /// One side has no room for another stream.
    #[error("too many streams: the limit is {limit}")]
    Streams {
        /// The limit.
        limit: usize,
    },
    /// The stream or subscription does not exist, or has ended.
    #[error("the stream or subscription does not exist")]
    Gone,
    /// The handshake is not complete, or the link has ended.
    #[error("the link is not up")]
    Down,
    /// One of the two sides does not support shared memory.
    #[error("one of the two sides does not support shared memory")]
    NoMemory,
    /// Shared memory was already offered on this connection.
    #[error("shared memory was offered on this connection already")]
    SecondMemory,
    /// The stream has moved to shared memory, so its messages are not sent over the link.
    #[error("the stream's messages are in shared memory: none is sent over the link")]
    Moved,
    /// The stream has not moved to shared memory.
    #[error("the stream's messages are not in shared memory: end it with `end_stream`")]
    NotMoved,
    /// The given end is before messages that were sent over the link.
    #[error("expected the end of the stream at sequence {first} or after it, found {found}")]
    End {
        /// The sequence at which the stream moved.
        first: u64,
        /// The given end.
        found: u64,
    },
    /// The message or its frame exceeds the peer's limit, or the buffer's capacity. A message that
    /// is too long for [`send`](super::Link::send) can go [in
    /// fragments](super::Link::send_fragment).
    #[error("{length} bytes exceed the limit of {limit}")]
    TooLong {
        /// The length of the message or frame.
        length: usize,
        /// The limit.
        limit: u32,
    },
}

crate::debug_as_display!(LinkError, FragmentError, RunError, SendError);

/// Why a side closes the link. The text fits after "the peer closed the link: " and "this side
/// closed the link: ".
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
    /// Another process with the other side's name is connected.
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
    /// Returns the code of the error for a link that was closed for this reason.
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
    /// All publishers of the topic have completed. An accepted topic is rejected with this reason
    /// once its streams have ended and all their messages are confirmed.
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
