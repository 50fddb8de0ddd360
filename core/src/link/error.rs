//! Why a link ended.

use core::error::Error;
use core::fmt;
use core::time::Duration;

use crate::frame::FrameError;

/// Why a link ended. Every one is final for the connection; other links do not notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// Bytes that are no frame.
    Frame(FrameError),
    /// A frame of the link of a kind that must be understood and is not.
    ControlKind {
        /// The kind.
        kind: u16,
    },
    /// A frame of the link is longer or shorter than its kind is.
    ControlSize {
        /// The kind, 0 if there was none.
        kind: u16,
        /// How long it is.
        expected: usize,
        /// How long the payload was.
        found: usize,
    },
    /// A name that is no text.
    Text,
    /// Something came before the peer said who it is.
    NoHello,
    /// The peer said twice who it is.
    SecondHello,
    /// No version is known to both sides.
    Version {
        /// The lowest that the peer knows.
        min: u8,
        /// The highest that the peer knows.
        max: u8,
    },
    /// The peer takes no frames of the length that links need.
    Limit {
        /// The longest that it takes.
        limit: u32,
    },
    /// The peer did not say in time who it is.
    Handshake {
        /// How long it had.
        deadline: Duration,
    },
    /// The peer sent nothing for too long.
    Silent {
        /// How long it may be silent.
        limit: Duration,
    },
    /// A subscription that this side never had.
    Subscription {
        /// The number that was named.
        number: u32,
    },
    /// A stream that was never begun or has ended.
    Stream {
        /// The number that was named.
        number: u32,
    },
    /// A stream that is there already.
    SecondStream {
        /// The number that was named.
        number: u32,
    },
    /// More streams, subscriptions or messages in parts at once than this side said it takes.
    Many {
        /// The limit.
        limit: usize,
    },
    /// A message of another type than its topic has.
    Type {
        /// The type of the topic.
        expected: u16,
        /// The type of the message.
        found: u16,
    },
    /// A message, a gap or a new beginning is not where its stream has got to.
    Sequence {
        /// The stream.
        stream: u32,
        /// Where it has got to.
        expected: u64,
        /// What was said.
        found: u64,
    },
    /// A message for which this side has made no room.
    Credit {
        /// The stream.
        stream: u32,
    },
    /// A part of a message that is not the one that comes next.
    Fragment {
        /// The stream.
        stream: u32,
        /// What is wrong with it.
        error: FragmentError,
    },
    /// The header of a run that cannot be taken.
    Run {
        /// The stream.
        stream: u32,
        /// What is wrong with it.
        error: RunError,
    },
    /// The peer confirmed what was not sent, or took back what it had granted.
    Window {
        /// The stream.
        stream: u32,
    },
    /// A piece of a layout that is longer than a frame can hold, or goes beyond the layout's end.
    Piece {
        /// Where it begins.
        offset: u32,
        /// How long the layout is.
        total: u32,
        /// How long the piece is.
        length: u16,
    },
    /// The link has had as many topics and streams as can be told apart. Another link can take its place.
    Numbers,
    /// The peer ended the link.
    Closed(CloseReason),
    /// This side ended the link.
    Ended(CloseReason),
}

/// What is wrong with a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FragmentError {
    /// It does not begin where the part before has ended.
    Offset {
        /// Where that was.
        expected: u32,
        /// Where it begins.
        found: u32,
    },
    /// The message is longer than this side takes.
    TooLong {
        /// The longest that it takes.
        limit: u32,
        /// How long the message claims to be.
        found: u32,
    },
    /// It says of the message's length, or of that of its fixed part, something else than the part before.
    Changed,
    /// It is empty or all of the message, reaches behind the message's end, is not the last and no multiple of 8, or has a
    /// fixed part of its own; or the message's fixed part is longer than the message.
    Length,
    /// It is no part of the message that has begun, but something else.
    Open,
}

/// What is wrong with the header of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// No messages can lie like this: the stride or the bytes in front of a message are not a multiple of 8, or a message
    /// is empty, longer than a fixed part, or reaches beyond its stride.
    Shape {
        /// The bytes from one message to the next.
        stride: u32,
        /// The bytes of a message.
        length: u32,
    },
    /// The run has no message, too many bytes, or messages that are longer than the frames that this side takes.
    Length {
        /// The bytes of the run.
        found: u64,
        /// The most that a run may have.
        limit: u32,
    },
    /// It begins in the middle of a message that comes in parts.
    Open,
}

impl LinkError {
    /// Whether a side ended the link because its node shuts down or has nothing more to do with the other.
    #[must_use]
    pub fn is_goodbye(&self) -> bool {
        matches!(
            self,
            LinkError::Closed(CloseReason::Shutdown | CloseReason::Away)
                | LinkError::Ended(CloseReason::Shutdown | CloseReason::Away)
        )
    }
}

/// What a side says when it ends the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The node shuts down.
    Shutdown,
    /// The other side's bytes broke the protocol.
    Protocol,
    /// No common version.
    Version,
    /// The other side is not welcome here.
    Unwelcome,
    /// There are too many links.
    Busy,
    /// The other side was too slow to answer.
    Timeout,
    /// Another process of the other side's name is connected.
    NameTaken,
    /// It shuts down, and may come back: what is kept for it stays, and nobody has had it.
    Away,
    /// It ends, and may come back: some of what is kept for it may have been delivered.
    Aborted,
    /// A reason that a later version has defined.
    Other(u16),
}

impl CloseReason {
    pub(super) fn code(self) -> u16 {
        match self {
            CloseReason::Shutdown => 1,
            CloseReason::Protocol => 2,
            CloseReason::Version => 3,
            CloseReason::Unwelcome => 4,
            CloseReason::Busy => 5,
            CloseReason::Timeout => 6,
            CloseReason::NameTaken => 7,
            CloseReason::Away => 8,
            CloseReason::Aborted => 9,
            CloseReason::Other(code) => code,
        }
    }

    pub(super) fn of(code: u16) -> CloseReason {
        match code {
            1 => CloseReason::Shutdown,
            2 => CloseReason::Protocol,
            3 => CloseReason::Version,
            4 => CloseReason::Unwelcome,
            5 => CloseReason::Busy,
            6 => CloseReason::Timeout,
            7 => CloseReason::NameTaken,
            8 => CloseReason::Away,
            9 => CloseReason::Aborted,
            code => CloseReason::Other(code),
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            LinkError::Frame(ref error) => error.fmt(f),
            LinkError::ControlKind { kind } => {
                write!(
                    f,
                    "the link's frame of kind {kind:#06x} must be understood, but is not known here"
                )
            }
            LinkError::ControlSize { kind, expected, found } => {
                write!(f, "the link's frame of kind {kind} takes {expected} bytes, but has {found}")
            }
            LinkError::Text => f.write_str("a name is longer than it can be, or is not UTF-8"),
            LinkError::NoHello => f.write_str("the first frame does not say who the peer is"),
            LinkError::SecondHello => f.write_str("the peer says a second time who it is"),
            LinkError::Version { min, max } => {
                write!(
                    f,
                    "the peer knows versions {min} to {max}, but {} is needed",
                    crate::frame::VERSION
                )
            }
            LinkError::Limit { limit } => {
                write!(
                    f,
                    "the peer takes frames of at most {limit} bytes, which is too little for a link"
                )
            }
            LinkError::Handshake { deadline } => {
                write!(f, "the peer has not said within {deadline:?} who it is")
            }
            LinkError::Silent { limit } => write!(f, "the peer has sent nothing for {limit:?}"),
            LinkError::Subscription { number } => {
                write!(f, "subscription {number} is not known here")
            }
            LinkError::Stream { number } => {
                write!(f, "stream {number} was not begun, or has ended")
            }
            LinkError::SecondStream { number } => {
                write!(f, "stream {number} is begun a second time")
            }
            LinkError::Many { limit } => {
                write!(f, "more than {limit} at once, which is the limit here")
            }
            LinkError::Type { expected, found } => {
                write!(f, "a message of type {found} in a stream of type {expected}")
            }
            LinkError::Sequence { stream, expected, found } => {
                write!(f, "stream {stream} has got to {expected}, but goes on at {found}")
            }
            LinkError::Credit { stream } => {
                write!(f, "a message of stream {stream} came for which there is no room")
            }
            LinkError::Fragment { stream, ref error } => {
                write!(f, "a part of a message of stream {stream}: {error}")
            }
            LinkError::Run { stream, ref error } => write!(f, "a run of stream {stream}: {error}"),
            LinkError::Piece { offset, total, length } => {
                write!(f, "{length} bytes from {offset} on of a layout of {total} bytes")
            }
            LinkError::Window { stream } => {
                write!(f, "the peer says of stream {stream} what cannot be")
            }
            LinkError::Numbers => f.write_str("no number is left for another stream"),
            LinkError::Closed(reason) => write!(f, "the peer ended the link: {reason}"),
            LinkError::Ended(reason) => write!(f, "the link was ended here: {reason}"),
        }
    }
}

impl fmt::Display for FragmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            FragmentError::Offset { expected, found } => {
                write!(f, "it begins at {found}, but {expected} bytes came before")
            }
            FragmentError::TooLong { limit, found } => {
                write!(f, "the message claims {found} bytes, but the limit is {limit}")
            }
            FragmentError::Changed => f.write_str("it is one of a message of another length"),
            FragmentError::Length => f.write_str("its length cannot be"),
            FragmentError::Open => f.write_str("something else came instead"),
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RunError::Shape { stride, length } => {
                write!(f, "messages of {length} bytes cannot lie {stride} bytes apart")
            }
            RunError::Length { found, limit } => {
                write!(f, "it has {found} bytes, where 1 to {limit} of whole messages can be taken")
            }
            RunError::Open => f.write_str("a message that comes in parts is not complete"),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Shutdown => f.write_str("it shuts down"),
            CloseReason::Protocol => f.write_str("the protocol was broken"),
            CloseReason::Version => f.write_str("there is no common version"),
            CloseReason::Unwelcome => f.write_str("this node is not welcome"),
            CloseReason::Busy => f.write_str("there are too many links"),
            CloseReason::Timeout => f.write_str("it took too long"),
            CloseReason::NameTaken => f.write_str("another process of this name is connected"),
            CloseReason::Away => f.write_str("it shuts down, and may come back"),
            CloseReason::Aborted => f.write_str("it ends with messages in hand, and may come back"),
            CloseReason::Other(code) => write!(f, "reason {code}"),
        }
    }
}

impl Error for LinkError {}

impl Error for FragmentError {}

impl Error for RunError {}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> LinkError {
        LinkError::Frame(error)
    }
}
