//! What a requester sends: a request, or a call of an actor's method; and why it has no reply.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::{Message, encoded_len};

/// What is sent for a reply: a [`Request`](crate::Request), or a call of a method, for which
/// [`#[actor]`](macro@crate::actor) makes a type.
pub trait Call: Clone + Send + Sync + 'static {
    /// The values that are moved to the actor: the parameters of a method. A request has none: it
    /// is in its slot.
    type Args: Send + 'static;
    /// The reply.
    type Reply: Send + 'static;
    /// Why there is no reply.
    type Error: Unanswered<Self>;
    /// The topic of a request, or the type and the method of an actor.
    const NAME: &'static str;

    /// Returns whether the reply has more bytes than its type allows.
    #[doc(hidden)]
    #[must_use]
    fn is_too_long(reply: &Self::Reply) -> bool {
        let _ = reply;
        false
    }
}

/// The error of a [`Call`] without a reply.
pub trait Unanswered<C>: Error + Clone + Send + Sync + 'static {
    /// Returns the error for a failure. `within` is how long the requester waited, if it had a
    /// deadline.
    #[doc(hidden)]
    fn new(failure: Failure, call: &C, within: Duration, actor: Option<Arc<str>>) -> Self;
}

/// Returns whether a message has more bytes than its type allows.
#[inline]
pub(crate) fn is_too_long<M: Message>(message: &M) -> bool {
    !M::IS_FIXED && encoded_len(message).is_err()
}

/// Why a request has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// The service that had taken the request dropped it.
    Dropped,
    /// No service takes the request any more.
    Gone,
    /// The mailbox was full, and is configured to reject requests then.
    Refused,
    /// The deadline passed before a service had taken the request.
    Late,
    /// The deadline passed after a service had taken the request.
    LateHeld,
    /// The deadline passed after the request was sent to another node.
    LateSent,
    /// The node shuts down: this one, or the other one.
    ShuttingDown,
    /// The connection with the other node was lost after the request was sent.
    Lost,
    /// The connection with the other node was lost before the request was sent.
    Away,
    /// No actor of the other node has the name, and none had it recently.
    NotFound,
    /// The other node has another layout of the request or the reply, and has not got the request.
    Differs,
    /// The other node has another layout of the request or the reply, and has perhaps taken it.
    DiffersSent,
    /// The request is longer than its type allows.
    TooLong,
    /// The reply is longer than its type allows.
    ReplyTooLong,
}

impl Failure {
    /// All reasons, by their numbers.
    pub(crate) const ALL: [Failure; 14] = [
        Failure::Dropped,
        Failure::Gone,
        Failure::Refused,
        Failure::Late,
        Failure::LateHeld,
        Failure::LateSent,
        Failure::ShuttingDown,
        Failure::Lost,
        Failure::Away,
        Failure::NotFound,
        Failure::Differs,
        Failure::DiffersSent,
        Failure::TooLong,
        Failure::ReplyTooLong,
    ];

    /// Returns the reason with this number.
    pub(super) fn of(number: u8) -> Failure {
        Failure::ALL.get(usize::from(number)).copied().unwrap_or(Failure::Dropped)
    }
}
