//! Requests: messages that have a reply.

use super::Message;

/// A message that is answered by another one: `#[message(.., reply = Price)]` makes it.
///
/// Between two nodes a request travels as the payload of a *call* and its reply as that of an
/// *answer*: messages of their own, which the macro makes, with a number that says which answer
/// belongs to which call. `docs/wire-format.md` has their bytes.
///
/// ```
/// use mycelium_core::{Message, Request, message};
///
/// #[message(topic = "price-requests", id = 10, reply = Price)]
/// struct PriceRequest {
///     pool: u32,
/// }
///
/// #[message(topic = "prices", id = 11)]
/// struct Price {
///     value: u64,
/// }
///
/// fn topic_of_reply<Q: Request>() -> &'static str {
///     Q::Reply::TOPIC
/// }
/// assert_eq!(topic_of_reply::<PriceRequest>(), "prices");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request",
    note = "name its reply: `#[message(topic = \"...\", id = ..., reply = Reply)]`"
)]
pub trait Request: Message {
    /// The message that answers it.
    type Reply: Message;
    /// The request as another node gets it.
    #[doc(hidden)]
    type Call: Message;
    /// The reply as another node gets it.
    #[doc(hidden)]
    type Answer: Message;

    #[doc(hidden)]
    fn to_call(head: CallHead, request: Self) -> Self::Call;

    #[doc(hidden)]
    fn of_call(call: Self::Call) -> (CallHead, Self);

    /// `None` is an answer without a reply.
    #[doc(hidden)]
    fn to_answer(head: AnswerHead, reply: Option<Self::Reply>) -> Self::Answer;

    #[doc(hidden)]
    fn of_answer(answer: Self::Answer) -> (AnswerHead, Self::Reply);
}

/// The fields before the request in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallHead {
    /// The number of the call; that of its answer is the same.
    pub number: u64,
    /// How long its requester still waits, in nanoseconds; `u64::MAX` if it has no deadline.
    pub time_left: u64,
}

/// The fields before the reply in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// The number of the call.
    pub number: u64,
    /// 0 if a reply follows; otherwise why there is none, and the bytes of the reply mean nothing.
    pub outcome: u64,
}
