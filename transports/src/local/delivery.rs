//! What a reader gets: messages, gaps, and the end.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// What a reader gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery<M> {
    /// A message.
    Msg(Received<M>),
    /// Messages that this reader does not get.
    Gap(Gap),
}

impl<M> Delivery<M> {
    /// The message, if it is one.
    pub fn message(self) -> Option<M> {
        match self {
            Delivery::Msg(received) => Some(received.message),
            Delivery::Gap(_) => None,
        }
    }
}

/// A message with what is known about its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Received<M> {
    pub(super) message: M,
    pub(super) sequence: u64,
    pub(super) attempt: Attempt,
}

/// The how manieth time a message is delivered. A whole word: of a byte, the seven beside it would be moved with it, one
/// by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Attempt {
    First,
    Redelivered,
}

impl<M> Received<M> {
    /// The message.
    pub fn into_inner(self) -> M {
        self.message
    }

    /// Its number among all that its publisher emitted in this epoch, from 0.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether it was, or may have been, delivered before: to a run of the service that failed with it in hand, or to a
    /// process that died before it said that it was done with it.
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

/// Messages of one publisher that this reader does not get.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// How many; at least so many if it is not exact.
    pub count: u64,
    /// Whether `count` is exact. It always is, unless the process of the publisher ended while it could not be reached.
    pub exact: bool,
    /// Why.
    pub reason: GapReason,
    /// Whose messages.
    pub publisher: Arc<str>,
    /// Which start of that publisher.
    pub epoch: u64,
}

/// Why messages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// The publisher was faster than this `drop-oldest` or `latest` reader.
    Overwritten,
    /// This `latest` reader went on to the newest message.
    Skipped,
    /// The bytes were no message of the topic's type.
    Undecodable,
    /// There was no connection to the publisher's process, and it did not wait for this reader, or is gone; or an earlier
    /// process of the reader had them when it died, and the topic is delivered at most once.
    Disconnected,
    /// Several processes of the reader in a row died with the message in hand: it became a dead letter at its publisher.
    DeadLettered,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.exact { "" } else { "at least " };
        let reason = match self.reason {
            GapReason::Overwritten => "overwritten",
            GapReason::Skipped => "skipped",
            GapReason::Undecodable => "undecodable",
            GapReason::Disconnected => "lost with the connection",
            GapReason::DeadLettered => "given up",
        };
        // A publisher in another process is called what that says.
        let publisher = self.publisher.escape_debug();
        write!(f, "{about}{} messages of `{publisher}` {reason}", self.count)
    }
}

/// What [`Subscription::try_recv`](super::Subscription::try_recv) found.
#[derive(Clone, Debug, PartialEq)]
pub enum TryRecv<M> {
    /// A message or a gap.
    Delivery(Delivery<M>),
    /// Nothing yet.
    Empty,
    /// Nothing more will come.
    Closed,
}

impl<M> TryRecv<M> {
    /// The delivery, if there is one.
    pub fn delivery(self) -> Option<Delivery<M>> {
        match self {
            TryRecv::Delivery(delivery) => Some(delivery),
            TryRecv::Empty | TryRecv::Closed => None,
        }
    }
}

/// A message that was given up: its handling failed each time it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// The topic.
    pub topic: Arc<str>,
    /// The subscription.
    pub reader: Arc<str>,
    /// The message's id.
    pub type_id: u16,
    /// Who emitted it.
    pub publisher: Arc<str>,
    /// Which start of the publisher.
    pub epoch: u64,
    /// Its number among all that its publisher emitted in this epoch.
    pub sequence: u64,
    /// The message's bytes.
    pub payload: Vec<u8>,
}
