//! Why a topic refuses a publisher or a subscription, and why a publisher refuses a message.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::ring::broadcast::LayoutError;
use mycelium_core::{Code, EncodeError, debug_as_display};
use thiserror::Error;

use super::{KEY_BYTES, Schema};

/// Why a topic refused a publisher or a subscription, or could not be created.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The topic carries another message type.
    #[error("topic `{topic}` carries {carries}, not {asked}")]
    Schema {
        /// The topic.
        topic: String,
        /// The message type of the topic.
        carries: Schema,
        /// The requested message type.
        asked: Box<Schema>,
    },
    /// The subscription's key is a field of another message type.
    #[error(
        "topic `{topic}` carries {carries}: the key of the policy is a field of another message"
    )]
    Key {
        /// The topic.
        topic: String,
        /// The message type of the topic.
        carries: Schema,
    },
    /// No ring can have the topic's capacity.
    #[error("topic `{topic}`: {error}")]
    Capacity {
        /// The topic.
        topic: String,
        /// The reason.
        error: LayoutError,
    },
    /// The memory of a publisher's ring cannot be shared with other processes.
    #[error("topic `{topic}`: {problem}")]
    Memory {
        /// The topic.
        topic: String,
        /// The reason.
        problem: String,
    },
    /// There is no memory for the messages that a publisher retains.
    #[error(
        "topic `{topic}`: no memory for the {most} messages that each publisher retains, {bytes} \
         bytes: lower `retain`"
    )]
    Retained {
        /// The topic.
        topic: String,
        /// The number of messages.
        most: usize,
        /// The bytes that they take.
        bytes: usize,
    },
    /// A publisher in memory of another process cannot have `drop-newest` subscriptions.
    #[error(
        "topic `{topic}`: a `drop-newest` subscription cannot read a publisher of another node in \
         shared memory: use `transport = \"unix\"` for the link"
    )]
    DropNewestInMemory {
        /// The topic.
        topic: String,
    },
    /// The topic already has a publisher with this epoch.
    #[error("topic `{topic}` already has a publisher with epoch {epoch:x}")]
    Epoch {
        /// The topic.
        topic: String,
        /// The epoch.
        epoch: u64,
    },
    /// Too many ended publishers of other processes still have unread messages.
    #[error(
        "topic `{topic}` already has {most} ended publishers of other processes with unread \
         messages, the limit"
    )]
    Unread {
        /// The topic.
        topic: String,
        /// The limit.
        most: usize,
    },
    /// The topic has no place for another subscription: each ring has places for gating
    /// subscriptions, and a ring in memory of another process needs a place for every subscription.
    #[error("topic `{topic}` has no place for another subscription: its rings have {most}")]
    Readers {
        /// The topic.
        topic: String,
        /// The limit.
        most: usize,
    },
}

/// The node shuts down. A service that returns this error counts as ended without an error.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the node is shutting down")]
pub struct ShuttingDown;

/// A message that was not emitted, with the reason. If the node shuts down, its
/// [source](std::error::Error::source) is [`ShuttingDown`].
#[derive(Clone, PartialEq, Eq)]
pub struct EmitError<M> {
    /// The message.
    pub message: M,
    /// The reason.
    pub refusal: Refusal,
    pub(crate) topic: Arc<str>,
}

impl<M> EmitError<M> {
    /// Creates the error that `message` was not emitted to `topic`.
    #[must_use]
    pub fn new(topic: Arc<str>, message: M, refusal: Refusal) -> EmitError<M> {
        EmitError { message, refusal, topic }
    }

    /// Returns the code of the error, with which its text ends.
    #[must_use]
    pub fn code(&self) -> Code {
        self.refusal.code()
    }
}

impl<M> fmt::Display for EmitError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.write(&self.topic, f)
    }
}

/// The same text as `Display`, because `main` and `unwrap` print this.
impl<M> fmt::Debug for EmitError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<M> std::error::Error for EmitError<M> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.refusal.source()
    }
}

impl Refusal {
    /// Returns the code of the error with this reason.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Refusal::Full { .. } => Code::TOPIC_FULL,
            Refusal::Rejected { .. } => Code::TOPIC_REJECTS,
            Refusal::Deadline { .. } => Code::EMIT_DEADLINE,
            Refusal::ShuttingDown => Code::SHUTTING_DOWN,
            Refusal::TooLong(_) => Code::MESSAGE_TOO_LONG,
            Refusal::Serialize(_) => Code::MESSAGE_SERIALIZE,
            Refusal::KeyTooLong { .. } => Code::KEY_TOO_LONG,
            Refusal::Keys { .. } => Code::TOO_MANY_KEYS,
            Refusal::FastHandler { failure, .. } => failure.code(),
        }
    }

    /// Writes the reason, and its code.
    fn write(&self, topic: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Full { by } | Refusal::Rejected { by } => {
                write!(f, "topic `{topic}` is full: subscription `{by}` has not taken its messages")
            }
            Refusal::Deadline { by, within } => write!(
                f,
                "topic `{topic}` is full: subscription `{by}` has not taken its messages within {within:?}"
            ),
            Refusal::ShuttingDown => {
                write!(f, "a message for topic `{topic}` was not sent: {ShuttingDown}")
            }
            Refusal::TooLong(error) | Refusal::Serialize(error) => {
                write!(f, "topic `{topic}`: {error}")
            }
            Refusal::Keys { most } => write!(
                f,
                "topic `{topic}` retains a message for each of {most} keys, and the message has a \
                 new one: raise the number of keys, let it forget the oldest, or forget a key"
            ),
            Refusal::KeyTooLong { field, found } => write!(
                f,
                "topic `{topic}`: the key `{field}` of a message has {found} bytes, but may have \
                 {KEY_BYTES}"
            ),
            Refusal::FastHandler { handler, failure } => match failure {
                HandlerFailure::Error(error) => {
                    let whole = error.to_string();
                    let reason = Code::split(&whole).0;
                    write!(
                        f,
                        "fast handler `{handler}` of topic `{topic}` refused the message: {reason}"
                    )
                }
                HandlerFailure::Panic(text) => {
                    let text = Code::split(text).0;
                    write!(f, "fast handler `{handler}` of topic `{topic}` panicked: {text}")
                }
                HandlerFailure::Reentered => write!(
                    f,
                    "fast handler `{handler}` of topic `{topic}` emits to its own topic: \
                     let a service do that"
                ),
            },
        }?;
        write!(f, " [{}]", self.code())
    }

    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Refusal::ShuttingDown => Some(&ShuttingDown),
            Refusal::FastHandler { failure: HandlerFailure::Error(error), .. } => Some(&**error),
            Refusal::FastHandler {
                failure: HandlerFailure::Panic(_) | HandlerFailure::Reentered,
                ..
            }
            | Refusal::Full { .. }
            | Refusal::Rejected { .. }
            | Refusal::Deadline { .. }
            | Refusal::TooLong(_)
            | Refusal::Serialize(_)
            | Refusal::KeyTooLong { .. }
            | Refusal::Keys { .. } => None,
        }
    }
}

/// The error of a batch that was not emitted in full: how many messages were emitted, and why the
/// next one was not. If the node shuts down, its [source](std::error::Error::source) is
/// [`ShuttingDown`].
#[derive(Clone, PartialEq, Eq)]
pub struct BatchError {
    /// The number of messages that were sent, from the first one on.
    pub sent: usize,
    /// The reason why the next one was not sent.
    pub refusal: Refusal,
    topic: Arc<str>,
}

impl BatchError {
    /// Creates the error that `sent` messages of a batch were emitted to `topic`, and the next one
    /// was not.
    #[must_use]
    pub fn new(topic: Arc<str>, sent: usize, refusal: Refusal) -> BatchError {
        BatchError { sent, refusal, topic }
    }

    /// Returns the code of the error, with which its text ends.
    #[must_use]
    pub fn code(&self) -> Code {
        self.refusal.code()
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} messages of a batch: ", self.sent)?;
        self.refusal.write(&self.topic, f)
    }
}

impl std::error::Error for BatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.refusal.source()
    }
}

/// Why a message was not emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The ring is full because a `block` subscription still needs its messages. Try again later.
    Full {
        /// The subscription.
        by: Arc<str>,
    },
    /// The ring is full because a `reject` subscription still needs its messages.
    Rejected {
        /// The subscription.
        by: Arc<str>,
    },
    /// There was no room before the deadline of the emit.
    Deadline {
        /// The subscription.
        by: Arc<str>,
        /// The time limit of the emit.
        within: Duration,
    },
    /// The node shuts down, and the publisher belongs to a service without subscriptions.
    ShuttingDown,
    /// The encoded message is longer than its `max`.
    TooLong(EncodeError),
    /// The message is a type of serde, and its `Serialize` fails.
    Serialize(EncodeError),
    /// The key of a subscription of this process, or of what the topic retains, is a `String`, and
    /// that of the message is longer than a key may be.
    KeyTooLong {
        /// The field that is the key.
        field: String,
        /// Its length in bytes.
        found: usize,
    },
    /// The message has a new key, and its publisher already [retains](crate::local::Retain) the
    /// messages of as many keys as it may.
    Keys {
        /// The most keys.
        most: u32,
    },
    /// A [fast handler](crate::local::Topic::add_fast_handler) of the topic refused the message.
    FastHandler {
        /// The handler.
        handler: Arc<str>,
        /// The reason.
        failure: HandlerFailure,
    },
}

impl From<EncodeError> for Refusal {
    fn from(error: EncodeError) -> Refusal {
        match error {
            EncodeError::TooLong { .. } => Refusal::TooLong(error),
            EncodeError::Serialize { .. } => Refusal::Serialize(error),
        }
    }
}

/// Why a fast handler refused a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandlerFailure {
    /// The handler returned this error.
    Error(Arc<dyn std::error::Error + Send + Sync>),
    /// The handler panicked, with this text.
    Panic(Arc<str>),
    /// A handler of the topic emitted the message to the same topic while it handled another
    /// message.
    Reentered,
}

impl HandlerFailure {
    /// Returns the code at the end of the text of the handler's error or panic, or else a general
    /// code.
    fn code(&self) -> Code {
        match self {
            HandlerFailure::Error(error) => {
                Code::at_end(&error.to_string()).unwrap_or(Code::HANDLER_REFUSED)
            }
            HandlerFailure::Panic(text) => Code::at_end(text).unwrap_or(Code::HANDLER_PANICKED),
            HandlerFailure::Reentered => Code::HANDLER_REENTERED,
        }
    }
}

/// Two errors are equal if their texts are equal.
impl PartialEq for HandlerFailure {
    fn eq(&self, other: &HandlerFailure) -> bool {
        match (self, other) {
            (HandlerFailure::Error(one), HandlerFailure::Error(other)) => {
                one.to_string() == other.to_string()
            }
            (HandlerFailure::Panic(one), HandlerFailure::Panic(other)) => one == other,
            (HandlerFailure::Reentered, HandlerFailure::Reentered) => true,
            (
                HandlerFailure::Error(_) | HandlerFailure::Panic(_) | HandlerFailure::Reentered,
                _,
            ) => false,
        }
    }
}

impl Eq for HandlerFailure {}

/// Why a feed refused a message.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The message does not have the size of the topic's messages.
    #[error("message of {found} bytes: the topic's messages have {expected} bytes")]
    Size {
        /// The size of the topic's messages in bytes.
        expected: usize,
        /// The size of this message in bytes.
        found: usize,
    },
    /// The ring is full because a gating subscription still needs its messages.
    #[error("the ring is full: a gating subscription has not taken its messages")]
    Full,
    /// The publisher has [ended](crate::seam::Feed::end).
    #[error("the publisher has ended")]
    Ended,
}

debug_as_display!(TopicError, ShuttingDown, BatchError, FeedError);

impl ShuttingDown {
    /// Returns the code of the error.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::SHUTTING_DOWN
    }
}

impl TopicError {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            TopicError::Schema { .. } => Code::TOPIC_LAYOUT,
            TopicError::Key { .. } => Code::TOPIC_KEY,
            TopicError::Capacity { .. } => Code::TOPIC_CAPACITY,
            TopicError::Memory { .. } | TopicError::Retained { .. } => Code::TOPIC_MEMORY,
            TopicError::DropNewestInMemory { .. } => Code::DROP_NEWEST_IN_MEMORY,
            TopicError::Epoch { .. } => Code::EPOCH_TAKEN,
            TopicError::Unread { .. } => Code::UNREAD_PUBLISHERS,
            TopicError::Readers { .. } => Code::NO_PLACE_FOR_READER,
        }
    }
}
