//! Messages: types of a fixed layout, which is also their form on the wire.
//!
//! `#[message]` on a struct implements [`Message`]. Encoding copies the bytes, decoding checks
//! them. The compiler selects the checks: only the length for a message of numbers; also the bytes
//! of `bool`s and enums, and the counts and the UTF-8 of texts and lists.
//!
//! # Panics
//!
//! No function here panics for any bytes. A wrong length, alignment or value is an error, and
//! a decoded message needs no further check.

use core::mem::{align_of, size_of};

use zerocopy::{
    ConvertError, Immutable, IntoBytes, KnownLayout, TryFromBytes, Unalign,
    little_endian::{I128, U128},
};

use crate::{
    descriptor::{Descriptor, Digest, FieldType},
    error::{DecodeError, Invalid},
};

/// A type that services send to each other, made by [`#[message]`](macro@crate::message).
///
/// # Examples
///
/// ```
/// use mycelium_core::{FixedStr, Message, decode, message};
/// use zerocopy::IntoBytes;
///
/// #[message(topic = "orders", id = 7)]
/// #[derive(Debug, PartialEq)]
/// struct Order {
///     price: u64,
///     symbol: FixedStr<6>,
/// }
///
/// let order = Order { price: 42, symbol: "ETH".try_into()? };
/// assert_eq!(decode::<Order>(order.as_bytes())?, order);
/// assert_eq!((Order::ID, Order::TOPIC), (7, "orders"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message",
    note = "put `#[message(topic = \"...\", id = ...)]` on its definition"
)]
pub trait Message:
    Copy + Send + Sync + 'static + TryFromBytes + IntoBytes + KnownLayout + Immutable
{
    /// The number of the type in a frame. 0 is reserved for control frames.
    const ID: u16;
    /// The default topic, used unless a publisher names another one.
    const TOPIC: &'static str;
    /// The message's layout.
    const DESCRIPTOR: &'static Descriptor;
    /// The digest of the message's layout.
    const DIGEST: Digest;
    /// An array of machine words that can hold the message.
    type Words: Words;

    /// Checks the counts and the UTF-8 of all texts and lists of the message, including nested
    /// ones.
    ///
    /// # Errors
    ///
    /// Names the first invalid field. A message built with the constructors of
    /// [`FixedStr`](crate::FixedStr) and [`FixedVec`](crate::FixedVec) is always valid.
    fn check(&self) -> Result<(), Invalid>;
}

/// A type that can be a field of a message: numbers of up to 64 bits, [`U128`], [`I128`],
/// [`U256`](crate::U256), `bool`, arrays, [`FixedStr`](crate::FixedStr),
/// [`FixedVec`](crate::FixedVec), and types with `#[message]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a message",
    label = "not a type of fixed layout",
    note = "numbers, `bool`, arrays, `FixedStr<N>` and `FixedVec<T, N>` can; a struct or enum of \
            yours can once it has `#[message]` too"
)]
pub trait Field: Copy {
    /// What the bytes of the field mean.
    const TYPE: FieldType;
    /// The value of unused items in a list: all zero, if that is a valid value.
    const EMPTY: Self;

    /// Checks the counts and the UTF-8 of all texts and lists of the field.
    ///
    /// # Errors
    ///
    /// The first error found.
    fn check(&self) -> Result<(), Invalid>;
}

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
    note = "name its reply: `#[message(topic = \"...\", id = ..., reply = Reply)]`"
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
    fn of_answer(answer: Self::Answer) -> (AnswerHead, Self::Reply);
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

macro_rules! plain_fields {
    ($($ty:ty => $variant:ident = $empty:expr;)*) => {$(
        impl Field for $ty {
            const TYPE: FieldType = FieldType::$variant;
            const EMPTY: Self = $empty;

            #[inline]
            fn check(&self) -> Result<(), Invalid> {
                Ok(())
            }
        }
    )*};
}

plain_fields! {
    u8 => U8 = 0;
    u16 => U16 = 0;
    u32 => U32 = 0;
    u64 => U64 = 0;
    u128 => U128 = 0;
    i8 => I8 = 0;
    i16 => I16 = 0;
    i32 => I32 = 0;
    i64 => I64 = 0;
    i128 => I128 = 0;
    f32 => F32 = 0.0;
    f64 => F64 = 0.0;
    bool => Bool = false;
    // The numbers above are aligned to their size, which for 128 bits exceeds the limit of a
    // message. These types have no alignment.
    U128 => U128 = U128::ZERO;
    I128 => I128 = I128::ZERO;
}

impl<T: Field, const N: usize> Field for [T; N] {
    const TYPE: FieldType = FieldType::Array { item: &T::TYPE, len: N };
    const EMPTY: Self = [T::EMPTY; N];

    #[inline]
    fn check(&self) -> Result<(), Invalid> {
        self.iter().try_for_each(T::check)
    }
}

/// The bytes of `T`, without its alignment.
impl<T: Field> Field for Unalign<T> {
    const TYPE: FieldType = T::TYPE;
    const EMPTY: Self = Unalign::new(T::EMPTY);

    #[inline]
    fn check(&self) -> Result<(), Invalid> {
        self.get().check()
    }
}

/// Machine words that hold a message, as rings store it: always an array of `usize`.
pub trait Words: Copy + Send + Sync + 'static + AsRef<[usize]> + AsMut<[usize]> {
    /// All words zero.
    const ZERO: Self;
}

impl<const N: usize> Words for [usize; N] {
    const ZERO: Self = [0; N];
}

/// Copies the message into machine words; bytes after its end are zero.
#[inline]
pub fn to_words<M: Message>(message: &M) -> M::Words {
    let mut words = M::Words::ZERO;
    if let Some(bytes) = words.as_mut().as_mut_bytes().get_mut(..size_of::<M>()) {
        bytes.copy_from_slice(message.as_bytes());
    }
    words
}

/// Checks the machine words and returns their message.
///
/// # Errors
///
/// As [`decode`]. Words from [`to_words`] are always valid.
#[inline]
pub fn from_words<M: Message>(words: &M::Words) -> Result<M, DecodeError> {
    let bytes = words.as_ref().as_bytes();
    decode(bytes.get(..size_of::<M>()).unwrap_or(bytes))
}

/// Returns the message of these words, or `None` if they are invalid. The words can stay in
/// registers.
#[inline(always)]
pub fn valid_words<M: Message>(words: M::Words) -> Option<M> {
    let bytes = words.as_ref().as_bytes().get(..size_of::<M>())?;
    M::try_read_from_bytes(bytes).ok().filter(|message| message.check().is_ok())
}

/// Checks the bytes and copies the message out. They may be unaligned.
///
/// # Errors
///
/// [`DecodeError::Size`] unless the bytes have exactly the size of the message,
/// [`DecodeError::Value`] for a `bool` or an enum with an invalid value, and
/// [`DecodeError::Invalid`] for a count above the capacity or a text that is not UTF-8.
#[inline]
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    if bytes.len() != size_of::<M>() {
        return Err(wrong_size(M::DESCRIPTOR, bytes));
    }
    let Ok(message) = M::try_read_from_bytes(bytes) else {
        return Err(wrong_value(M::DESCRIPTOR, bytes));
    };
    message.check()?;
    Ok(message)
}

/// Checks the bytes and borrows the message in place.
///
/// # Errors
///
/// [`DecodeError::Misaligned`] if the bytes do not have the alignment of `M`; the other errors are
/// those of [`decode`].
#[inline]
pub fn decode_ref<M: Message>(bytes: &[u8]) -> Result<&M, DecodeError> {
    match M::try_ref_from_bytes(bytes) {
        Ok(message) => {
            message.check()?;
            Ok(message)
        }
        Err(ConvertError::Size(_)) => Err(wrong_size(M::DESCRIPTOR, bytes)),
        Err(ConvertError::Alignment(_)) => {
            Err(DecodeError::Misaligned { message: M::DESCRIPTOR.name, expected: align_of::<M>() })
        }
        Err(ConvertError::Validity(_)) => Err(wrong_value(M::DESCRIPTOR, bytes)),
    }
}

// From here on: the cold path of decoding, which determines the error and its field.

#[cold]
fn wrong_size(descriptor: &Descriptor, bytes: &[u8]) -> DecodeError {
    let message = descriptor.name;
    DecodeError::Size { message, expected: descriptor.size, found: bytes.len() }
}

/// Returns an error with the first `bool` or enum whose value is invalid. `zerocopy` only reports
/// that there is one, so this walks the bytes again, by the descriptor.
#[cold]
fn wrong_value(descriptor: &Descriptor, bytes: &[u8]) -> DecodeError {
    let message = descriptor.name;
    let (field, found) = in_struct(descriptor, bytes).unwrap_or(("", 0));
    DecodeError::Value { message, field, found }
}

fn in_struct(descriptor: &Descriptor, bytes: &[u8]) -> Option<(&'static str, i128)> {
    descriptor.fields.iter().find_map(|field| {
        let bytes = bytes.get(field.offset..)?.get(..field.size)?;
        in_type(&field.ty, bytes).map(|(inner, found)| (inner.unwrap_or(field.name), found))
    })
}

/// Returns the invalid value, and the name of its field unless it is outside of a struct.
fn in_type(ty: &FieldType, bytes: &[u8]) -> Option<(Option<&'static str>, i128)> {
    match ty {
        FieldType::Bool => {
            let found = *bytes.first()?;
            (found > 1).then_some((None, found.into()))
        }
        FieldType::Enum(descriptor) => {
            let found = integer(&descriptor.repr, bytes)?;
            let known = descriptor.variants.iter().any(|variant| variant.value == found);
            (!known).then_some((None, found))
        }
        FieldType::Struct(descriptor) => {
            in_struct(descriptor, bytes).map(|(name, found)| (Some(name), found))
        }
        FieldType::Array { item, .. } => in_items(item, bytes),
        FieldType::List { item, .. } => in_items(item, bytes.get(2..)?),
        _ => None,
    }
}

fn in_items(item: &FieldType, bytes: &[u8]) -> Option<(Option<&'static str>, i128)> {
    // `max` because `chunks_exact` panics at 0, the size of an item such as `[u8; 0]`.
    bytes.chunks_exact(item.size().max(1)).find_map(|bytes| in_type(item, bytes))
}

fn integer(repr: &FieldType, bytes: &[u8]) -> Option<i128> {
    let mut wide = [0; 16];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let unsigned = i128::from_le_bytes(wide);
    let unused = 128 - 8 * u32::try_from(bytes.len()).ok()?;
    Some(match repr {
        // The two shifts extend the sign.
        FieldType::I8 | FieldType::I16 | FieldType::I32 | FieldType::I64 => {
            unsigned.checked_shl(unused)?.checked_shr(unused)?
        }
        _ => unsigned,
    })
}
