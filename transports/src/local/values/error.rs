//! Why a topic refuses a publisher or a subscription, and why a publisher refuses a message.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mycelium_core::ring::broadcast::LayoutError;
use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

use super::Schema;
use crate::counters::EdgeValue;

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
        /// Why not.
        error: LayoutError,
    },
    /// The memory of a publisher's ring cannot be shared with other processes.
    #[error("topic `{topic}`: {problem}")]
    Memory {
        /// The topic.
        topic: String,
        /// Why not.
        problem: String,
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
    /// The topic has as many subscriptions as its rings have places for: a ring has places for
    /// gating subscriptions, and a ring in memory of another process needs one for every
    /// subscription.
    #[error("topic `{topic}` has no place for another subscription: its rings have {most}")]
    Readers {
        /// The topic.
        topic: String,
        /// The limit.
        most: usize,
    },
}

/// The node shuts down. A service that returns this error has ended well.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the node is shutting down")]
pub struct ShuttingDown;

/// A message that was not emitted, and why. If the node shuts down, its
/// [source](std::error::Error::source) is [`ShuttingDown`].
#[derive(Clone, PartialEq, Eq)]
pub struct EmitError<M> {
    /// The message.
    pub message: M,
    /// Why it was not emitted.
    pub refusal: Refusal,
    topic: Arc<str>,
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
            | Refusal::Deadline { .. } => None,
        }
    }
}

/// The error of a batch that was not emitted in full: how many messages were, and why not the next
/// one. If the node shuts down, its [source](std::error::Error::source) is [`ShuttingDown`].
#[derive(Clone, PartialEq, Eq)]
pub struct BatchError {
    /// The number of messages that were sent, from the first one on.
    pub sent: usize,
    /// Why the next one was not sent.
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
        /// How long the emit has waited.
        within: Duration,
    },
    /// The node shuts down, and the publisher belongs to a service without subscriptions.
    ShuttingDown,
    /// A [fast handler](crate::local::Topic::add_fast_handler) of the topic did not accept the
    /// message.
    FastHandler {
        /// The handler.
        handler: Arc<str>,
        /// Why not.
        failure: HandlerFailure,
    },
}

/// Why a fast handler did not accept a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandlerFailure {
    /// The handler returned this error.
    Error(Arc<dyn std::error::Error + Send + Sync>),
    /// The handler panicked, with this text.
    Panic(Arc<str>),
    /// A handler of the topic emitted the message to the same topic, while it handled another
    /// message.
    Reentered,
}

impl HandlerFailure {
    /// Returns the code of the error that the handler returned, or of its panic, if they have one.
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

/// Errors are equal if their texts are.
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
            TopicError::Memory { .. } => Code::TOPIC_MEMORY,
            TopicError::DropNewestInMemory { .. } => Code::DROP_NEWEST_IN_MEMORY,
            TopicError::Epoch { .. } => Code::EPOCH_TAKEN,
            TopicError::Unread { .. } => Code::UNREAD_PUBLISHERS,
            TopicError::Readers { .. } => Code::NO_PLACE_FOR_READER,
        }
    }
}

// What a reader gets: messages, gaps and dead letters.

/// One result of a receive.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery<M> {
    /// A message.
    Msg(Received<M>),
    /// Missing messages.
    Gap(Gap),
}

impl<M> Delivery<M> {
    /// Returns the message, if the delivery is one.
    pub fn message(self) -> Option<M> {
        match self {
            Delivery::Msg(received) => Some(received.message),
            Delivery::Gap(_) => None,
        }
    }
}

/// A message with its sequence and its number of deliveries.
#[derive(Clone, Debug, PartialEq)]
pub struct Received<M> {
    pub(crate) message: M,
    pub(crate) sequence: u64,
    pub(crate) attempt: Attempt,
}

/// Whether a message is delivered for the first time. It takes a whole word: with a byte, the
/// compiler would move the seven bytes beside it one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Attempt {
    First,
    Redelivered,
}

impl<M> Received<M> {
    /// Returns the message.
    pub fn into_inner(self) -> M {
        self.message
    }

    /// Returns the message's number among those of this epoch of the publisher, from 0.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether the message was, or may have been, delivered before: to a run of the service that
    /// failed while the message was in flight, or to a process that died before it confirmed the
    /// message.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        self.attempt == Attempt::Redelivered
    }
}

impl<M> Deref for Received<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.message
    }
}

/// Messages of one publisher that are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The number of missing messages, or a lower bound if it is not exact.
    pub count: u64,
    /// Whether `count` is exact. It is, unless the publisher's process ended while it was
    /// disconnected.
    pub exact: bool,
    /// Why the messages are missing.
    pub reason: GapReason,
    /// The publisher's name.
    pub publisher: Arc<str>,
    /// The publisher's epoch.
    pub epoch: u64,
}

/// Why messages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// This `drop-oldest` or `latest` reader was too slow, and the publisher overwrote the
    /// messages.
    Overwritten,
    /// This `latest` reader skipped to the newest message, or to the newest one of a key.
    Skipped,
    /// The ring of this `drop-newest` subscription was full.
    Dropped,
    /// The bytes of the messages were not valid for the topic's message type.
    Undecodable,
    /// The messages were lost with a connection: the publisher did not wait for this reader, or its
    /// process is gone; or an earlier process of the reader died with them, and the topic is
    /// delivered at most once.
    Disconnected,
    /// The publisher no longer waited for this reader, which had stalled: the reader was evicted.
    /// It gets the messages after the gap, and the publisher waits for it again once it has moved
    /// on. If the gap is not exact, the publisher's process has dropped the reader: it gets nothing
    /// more from this publisher.
    Evicted,
    /// Several processes of the reader in a row died with the message in flight. It became a dead
    /// letter at its publisher.
    DeadLettered,
}

impl GapReason {
    /// Returns the counter of messages that are missing for this reason.
    pub(crate) fn value(self) -> EdgeValue {
        match self {
            GapReason::Overwritten | GapReason::Disconnected | GapReason::Evicted => {
                EdgeValue::Overwritten
            }
            GapReason::Skipped => EdgeValue::Skipped,
            GapReason::Dropped => EdgeValue::Dropped,
            GapReason::Undecodable | GapReason::DeadLettered => EdgeValue::DeadLettered,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.exact { "" } else { "at least " };
        let reason = match self.reason {
            GapReason::Overwritten => "overwritten",
            GapReason::Skipped => "skipped",
            GapReason::Dropped => "dropped",
            GapReason::Undecodable => "undecodable",
            GapReason::Disconnected => "lost with the connection",
            GapReason::Evicted => "not waited for: this reader was evicted",
            GapReason::DeadLettered => "dead-lettered",
        };
        // The name may come from another process, so it is escaped.
        let publisher = self.publisher.escape_debug();
        write!(f, "{about}{} messages of `{publisher}` {reason}", self.count)
    }
}

/// The result of [`Subscription::try_recv`](crate::local::Subscription::try_recv).
#[derive(Clone, Debug, PartialEq)]
pub enum TryRecv<M> {
    /// A message or a gap.
    Delivery(Delivery<M>),
    /// Nothing yet.
    Empty,
    /// The end: every publisher has ended and everything was received.
    Closed,
}

impl<M> TryRecv<M> {
    /// Returns the delivery, if there is one.
    pub fn delivery(self) -> Option<Delivery<M>> {
        match self {
            TryRecv::Delivery(delivery) => Some(delivery),
            TryRecv::Empty | TryRecv::Closed => None,
        }
    }
}

/// A dead letter: a message whose handling failed at each delivery, or that killed its readers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// The topic.
    pub topic: Arc<str>,
    /// The subscription.
    pub reader: Arc<str>,
    /// The message's id.
    pub type_id: u16,
    /// The publisher's name.
    pub publisher: Arc<str>,
    /// The publisher's epoch.
    pub epoch: u64,
    /// The message's number among those of this epoch of the publisher.
    pub sequence: u64,
    /// The message's bytes. All copies of the dead letter share them.
    pub payload: Bytes,
}
