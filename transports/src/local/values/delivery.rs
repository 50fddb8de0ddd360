//! Deliveries: the messages, gaps and dead letters that a reader gets.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::counters::EdgeValue;

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
// Two words precede the message. So a copy of the whole value, in pieces of two words, loads the
// pieces that the copy of the message has stored, and a single last word alone.
#[derive(Clone, Debug, PartialEq)]
#[repr(C)]
pub struct Received<M> {
    pub(crate) sequence: u64,
    pub(crate) attempt: Attempt,
    pub(crate) message: M,
}

/// Whether a message is delivered for the first time. It takes a whole word: beside a single byte,
/// in this or another variant of [`Delivery`], the compiler copies the other seven bytes of a
/// message in pieces, and the next copy of the message then waits for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Attempt {
    First,
    Redelivered,
    Retained,
    RetainedAgain,
}

impl Attempt {
    pub(crate) fn new(is_retained: bool, is_redelivered: bool) -> Attempt {
        match (is_retained, is_redelivered) {
            (false, false) => Attempt::First,
            (false, true) => Attempt::Redelivered,
            (true, false) => Attempt::Retained,
            (true, true) => Attempt::RetainedAgain,
        }
    }

    /// Whether the message was, or may have been, delivered before.
    pub(crate) fn is_again(self) -> bool {
        matches!(self, Attempt::Redelivered | Attempt::RetainedAgain)
    }
}

impl<M> Received<M> {
    /// Returns the message.
    pub fn into_inner(self) -> M {
        self.message
    }

    /// Returns the message's sequence: its number in this epoch of the publisher, from 0.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether the message was, or may have been, delivered before: to a run of the service that
    /// failed while the message was in flight, or to a process that died before it confirmed the
    /// message.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        self.attempt.is_again()
    }

    /// Whether the publisher has [retained](crate::local::Retain) the message for this
    /// subscription, which joined later. Such messages come first, and not all that were sent.
    #[must_use]
    pub fn retained(&self) -> bool {
        matches!(self.attempt, Attempt::Retained | Attempt::RetainedAgain)
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
    /// Why the messages are missing.
    pub reason: GapReason,
    /// The publisher's name.
    pub publisher: Arc<str>,
    /// The publisher's epoch.
    pub epoch: u64,
    pub(crate) certainty: Certainty,
}

impl Gap {
    /// Returns whether `count` is exact. It is, unless the publisher's process ended while it was
    /// disconnected.
    #[must_use]
    pub fn exact(&self) -> bool {
        self.certainty == Certainty::Exact
    }
}

/// Whether the number of missing messages is known. It takes a whole word for the same reason as
/// [`Attempt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Certainty {
    Exact,
    AtLeast,
}

/// Why messages are missing.
// It takes a whole word for the same reason as `Attempt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[non_exhaustive]
pub enum GapReason {
    /// This `drop-oldest` or `latest` reader was too slow, and the publisher overwrote the
    /// messages.
    Overwritten,
    /// This `latest` reader skipped to the newest message, or to the newest message of a key.
    Skipped,
    /// The ring of this `drop-newest` subscription was full.
    Dropped,
    /// The bytes of the messages were not valid for the topic's message type.
    Undecodable,
    /// The messages were lost with a connection: the publisher did not wait for this reader, or its
    /// process is gone; or an earlier process of the reader died with them in flight, and the topic
    /// delivers at most once.
    Disconnected,
    /// The reader had stalled, so the publisher evicted it. The reader gets the messages after the
    /// gap, and the publisher waits for it again once it has moved. If the gap is not exact, the
    /// publisher's process has dropped the reader: it gets nothing more from this publisher.
    Evicted,
    /// Several consecutive processes of the reader died with the message in flight. It became a
    /// dead letter at its publisher.
    DeadLettered,
}

impl GapReason {
    /// Returns the reason in a word or two, as tools print it and recordings store it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            GapReason::Overwritten => "overwritten",
            GapReason::Skipped => "skipped",
            GapReason::Dropped => "dropped",
            GapReason::Undecodable => "too long",
            GapReason::Disconnected => "disconnected",
            GapReason::Evicted => "evicted",
            GapReason::DeadLettered => "dead letters",
        }
    }

    /// Returns the reason of a [word](GapReason::word).
    #[must_use]
    pub fn of_word(word: &str) -> Option<GapReason> {
        let all = [
            GapReason::Overwritten,
            GapReason::Skipped,
            GapReason::Dropped,
            GapReason::Undecodable,
            GapReason::Disconnected,
            GapReason::Evicted,
            GapReason::DeadLettered,
        ];
        all.into_iter().find(|reason| reason.word() == word)
    }

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
        let count = match (self.exact(), self.count) {
            (true, count) => count.to_string(),
            (false, 0) => "an unknown number of".to_owned(),
            (false, count) => format!("at least {count}"),
        };
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
        write!(f, "{count} messages of `{publisher}` {reason}")
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

/// A function that gets dead letters.
pub(crate) type OnDeadLetter = dyn Fn(&Undelivered) + Send + Sync;

/// A dead letter: a message whose handling failed at each delivery, or whose readers' processes
/// died of it.
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
    /// The message's sequence: its number in this epoch of the publisher.
    pub sequence: u64,
    /// The message's bytes. All copies of the dead letter share them.
    pub payload: Bytes,
}
