//! [`Message`], [`Request`], and what they are made of.

use super::field::{Field, Fixed};
use crate::descriptor::{Descriptor, Digest};

/// A type that services send to each other, made by [`#[message]`](macro@crate::message).
///
/// # Examples
///
/// ```
/// use mycelium_core::{Fixed, FixedStr, Message, decode, message};
///
/// #[message(topic = "orders", id = 7)]
/// #[derive(Debug, PartialEq)]
/// struct Order {
///     price: u64,
///     symbol: FixedStr<6>,
/// }
///
/// let order = Order { price: 42, symbol: "ETH".try_into()? };
/// assert_eq!(decode::<Order>(order.encoded())?, order);
/// assert_eq!((Order::ID, Order::TOPIC), (7, "orders"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    note = "put `#[message(topic = \"...\")]` on its definition"
)]
pub trait Message: Field + Send + Sync + 'static {
    /// The number of the type in a frame, or [`NO_ID`]. Nothing depends on it: a topic has one
    /// type, and a digest tells whether two sides have the same. 0 is reserved for control frames.
    const ID: u16;
    /// The default topic, used unless a publisher names another one.
    const TOPIC: &'static str;
    /// The message's layout.
    const DESCRIPTOR: &'static Descriptor;
    /// The digest of the message's layout.
    const DIGEST: Digest;
    /// The most bytes that an encoded message may have: the size of a fixed message.
    const MAX: usize;
    /// An array of machine words that can hold the message if it is fixed.
    type Words: Words;
}

/// The id of messages that have none: `#[message(topic = ..)]` without `id`.
pub const NO_ID: u16 = u16::MAX;

/// A message to which another message is the reply. `#[message(.., reply = Price)]` implements it.
///
/// Between two nodes a request travels in a *call* and its reply in an *answer*: two messages that
/// the macro makes, each with a number that joins an answer to its call. `docs/wire-format.md`
/// describes their bytes.
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
    note = "name its reply: `#[message(topic = \"...\", reply = Reply)]`"
)]
pub trait Request: Message {
    /// The message that answers the request.
    type Reply: Message;
    /// The message that carries the request to another node.
    #[doc(hidden)]
    type Call: Message;
    /// The message that carries the reply back.
    #[doc(hidden)]
    type Answer: Message;

    #[doc(hidden)]
    fn to_call(head: CallHead, request: Self) -> Self::Call;

    #[doc(hidden)]
    fn of_call(call: Self::Call) -> (CallHead, Self);

    /// Creates an answer; `reply` is `None` if the handler did not reply.
    #[doc(hidden)]
    fn to_answer(head: AnswerHead, reply: Option<Self::Reply>) -> Self::Answer;

    #[doc(hidden)]
    fn of_answer(answer: Self::Answer) -> (AnswerHead, Option<Self::Reply>);
}

/// The reply in an answer. If a reply is fixed, it is there even if there is none, and its bytes
/// are ignored then.
#[doc(hidden)]
pub trait ReplyPart<R>: Sized {
    fn of(reply: Option<R>) -> Self;
    fn reply(self) -> Option<R>;
}

impl<R: Fixed> ReplyPart<R> for R {
    fn of(reply: Option<R>) -> R {
        reply.unwrap_or(R::EMPTY)
    }

    fn reply(self) -> Option<R> {
        Some(self)
    }
}

impl<R> ReplyPart<R> for Option<R> {
    fn of(reply: Option<R>) -> Option<R> {
        reply
    }

    fn reply(self) -> Option<R> {
        self
    }
}

/// The fields before the request in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallHead {
    /// The number of the call; its answer has the same number.
    pub number: u64,
    /// The time that the requester still waits, in nanoseconds; `u64::MAX` without a deadline.
    pub time_left: u64,
}

/// The fields before the reply in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// The number of the call.
    pub number: u64,
    /// 0 if a reply follows; otherwise the reason why not, and the bytes of the reply are ignored.
    pub outcome: u64,
}

/// Machine words that hold a message, as rings store it: always an array of `usize`.
pub trait Words: Copy + Send + Sync + 'static + AsRef<[usize]> + AsMut<[usize]> {
    /// All words zero.
    const ZERO: Self;
}

impl<const N: usize> Words for [usize; N] {
    const ZERO: Self = [0; N];
}
