//! Messages: how values become bytes and are read again.
//!
//! `#[message]` on a struct implements [`Message`]. A message of numbers, bounded texts and the like
//! is *fixed*: its layout in memory is also its encoding, so that encoding copies its bytes, and
//! readers use it in place. Every other message is encoded as a part of a constant size, and bodies
//! behind it ([`Field`]).
//!
//! Bytes are checked once, before anything is read through them. The compiler selects the checks:
//! only the length for a message of numbers; also the bytes of `bool`s and enums, counts, UTF-8,
//! and the places of bodies.
//!
//! Read `field.rs` (what a field is), `encode.rs` and `check.rs` (the two directions), `cast.rs`
//! (all casts), then `owned.rs`.
//!
//! # Panics
//!
//! No function here panics for any bytes. A wrong length, alignment or value is an error, and
//! a decoded message needs no further check.

mod cast;
mod check;
mod encode;
mod field;
mod form;
mod items;
#[cfg(feature = "alloc")]
mod owned;

use core::mem::size_of;

use zerocopy::IntoBytes;

use crate::{
    descriptor::{Descriptor, Digest},
    error::{DecodeError, EncodeError},
};

pub(crate) use cast::check_value;
pub use cast::{Checked, Place};
pub use check::Bodies;
pub use encode::Encoder;
pub use field::Field;
pub use form::{Fixed, Form, IsFixed};
pub use items::{Entries, Items};

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
    /// The number of the type in a frame, or [`NO_ID`]. Nothing depends on it: a topic has one type,
    /// and a digest tells whether two sides have the same. 0 is reserved for control frames.
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

    /// Creates an answer; `None` if there is no reply.
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

/// Copies a fixed message into machine words; bytes after its end are zero.
#[inline]
pub fn to_words<M: Message>(message: &M) -> M::Words {
    let mut words = M::Words::ZERO;
    if let Some(bytes) = words.as_mut().as_mut_bytes().get_mut(..size_of::<M>()) {
        bytes.copy_from_slice(cast::bytes_of(message));
    }
    words
}

/// Checks the machine words and returns their fixed message.
///
/// # Errors
///
/// As [`decode`]. Words from [`to_words`] are always valid.
#[inline]
pub fn from_words<M: Message>(words: &M::Words) -> Result<M, DecodeError> {
    let bytes = words.as_ref().as_bytes();
    decode(bytes.get(..size_of::<M>()).unwrap_or(bytes))
}

/// Returns the fixed message of these words, or `None` if they are invalid. The words can stay in
/// registers.
#[inline(always)]
pub fn valid_words<M: Message>(words: M::Words) -> Option<M> {
    let bytes = words.as_ref().as_bytes().get(..size_of::<M>())?;
    cast::decode(bytes).ok()
}

/// Returns how many bytes the message is encoded as.
///
/// # Errors
///
/// [`EncodeError`] if these are more than the message may have.
#[inline]
pub fn encoded_len<M: Message>(message: &M) -> Result<usize, EncodeError> {
    if M::IS_FIXED {
        return Ok(size_of::<M>());
    }
    let found = message.end_of_bodies(M::SIZE);
    if found > M::MAX {
        return Err(EncodeError { message: M::DESCRIPTOR.name, most: M::MAX, found });
    }
    Ok(found)
}

/// Writes the message to the start of `bytes`. Returns how many bytes it has.
///
/// # Errors
///
/// As [`encoded_len`].
///
/// # Panics
///
/// If there are fewer bytes.
#[inline]
pub fn encode<M: Message>(message: &M, bytes: &mut [u8]) -> Result<usize, EncodeError> {
    let len = encoded_len(message)?;
    encode_exact(message, &mut bytes[..len]);
    Ok(len)
}

/// Writes the message to these bytes, which are as many as [`encoded_len`] says.
///
/// # Panics
///
/// If there are fewer bytes.
#[inline]
pub fn encode_exact<M: Message>(message: &M, bytes: &mut [u8]) {
    if M::IS_FIXED {
        bytes.copy_from_slice(cast::bytes_of(message));
    } else {
        message.encode(0, &mut Encoder::new(bytes, M::SIZE));
    }
}

/// Returns the encoded message.
///
/// # Errors
///
/// As [`encoded_len`].
#[cfg(feature = "alloc")]
pub fn to_bytes<M: Message>(message: &M) -> Result<alloc::vec::Vec<u8>, EncodeError> {
    let mut bytes = alloc::vec![0; encoded_len(message)?];
    encode(message, &mut bytes)?;
    Ok(bytes)
}

/// Checks the bytes and decodes the message. Bytes of a message that is not fixed are copied first
/// unless they begin at a multiple of 8; without the feature `alloc` they must.
///
/// # Errors
///
/// [`DecodeError::Size`] unless the bytes have exactly the size of a fixed message,
/// [`DecodeError::Misaligned`] if they must be aligned and are not, and [`DecodeError::Invalid`]
/// with the first field that is invalid.
#[inline]
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    cast::decode(bytes)
}

/// Checks the bytes and returns what reads the message in place: `&M` for a fixed message.
///
/// # Errors
///
/// [`DecodeError::Misaligned`] if the bytes do not begin at a multiple of 8 (for a fixed message, of
/// its alignment); the other errors are those of [`decode`].
#[inline]
pub fn view<M: Message>(bytes: &[u8]) -> Result<M::View<'_>, DecodeError> {
    cast::view::<M>(bytes)
}

/// Returns what reads a checked message in place.
///
/// # Safety
///
/// [`view`] would accept these bytes: it has, or they were encoded in this process from a message
/// with this digest, and begin at a multiple of 8.
#[inline]
#[allow(unsafe_code)]
pub unsafe fn view_checked<M: Message>(bytes: &[u8]) -> M::View<'_> {
    debug_assert!(view::<M>(bytes).is_ok(), "the bytes are those of a message");
    // SAFETY: this function's contract.
    unsafe { M::view(Checked::new(bytes), 0) }
}

/// Decodes a checked message.
///
/// # Safety
///
/// As [`view_checked`].
#[inline]
#[allow(unsafe_code)]
pub unsafe fn decode_checked<M: Message>(bytes: &[u8]) -> M {
    debug_assert!(view::<M>(bytes).is_ok(), "the bytes are those of a message");
    // SAFETY: this function's contract.
    unsafe { M::read(Checked::new(bytes), 0) }
}

/// Checks the bytes and borrows a fixed message in place.
///
/// # Errors
///
/// As [`view`].
#[inline]
pub fn decode_ref<M: Message + Fixed>(bytes: &[u8]) -> Result<&M, DecodeError> {
    cast::borrow(bytes)
}

/// Checks the bytes and calls `with` with the message, which is borrowed from them if it is fixed
/// and they are aligned.
///
/// # Errors
///
/// As [`decode`].
#[inline]
pub fn with_message<M: Message, R>(
    bytes: &[u8],
    with: impl FnOnce(&M) -> R,
) -> Result<R, DecodeError> {
    cast::with_message(bytes, with)
}
