//! Messages: types of a fixed layout that are their own wire form.
//!
//! `#[message]` on a struct implements [`Message`]. Encoding copies the bytes, decoding checks
//! them. The compiler knows what to check: only the length for a message of numbers, the bytes of
//! `bool`s and enums, the counts and the UTF-8 of texts and lists.
//!
//! # Panics
//!
//! No function here panics for any bytes. A wrong length, alignment or value is an error, and
//! a decoded message needs no further check.

use core::mem::{align_of, size_of};

use zerocopy::{ConvertError, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::{
    descriptor::{Descriptor, Digest, FieldType},
    error::{DecodeError, Invalid},
};

mod diagnose;
mod field;
mod request;

pub use request::{AnswerHead, CallHead, Request};

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
    /// The topic it is published on, unless a publisher names another.
    const TOPIC: &'static str;
    /// Its layout.
    const DESCRIPTOR: &'static Descriptor;
    /// The digest of its layout.
    const DIGEST: Digest;
    /// An array of machine words that can hold it.
    type Words: Words;

    /// Checks the counts and the UTF-8 of all its texts and lists, nested ones too.
    ///
    /// # Errors
    ///
    /// Names the first invalid field. A message built with the constructors of
    /// [`FixedStr`](crate::FixedStr) and [`FixedVec`](crate::FixedVec) is always valid.
    fn check(&self) -> Result<(), Invalid>;
}

/// A type that can be a field of a message: numbers of up to 64 bits, [`U128`](crate::U128),
/// [`I128`](crate::I128), [`U256`](crate::U256), `bool`, arrays, [`FixedStr`](crate::FixedStr),
/// [`FixedVec`](crate::FixedVec), and types with `#[message]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a message",
    label = "not a type of fixed layout",
    note = "numbers, `bool`, arrays, `FixedStr<N>` and `FixedVec<T, N>` can; a struct or enum of \
            yours can once it has `#[message]` too"
)]
pub trait Field: Copy {
    /// What its bytes mean.
    const TYPE: FieldType;
    /// The value of unused items of a list: all zero, if that is a valid value.
    const EMPTY: Self;

    /// Checks the counts and the UTF-8 of all its texts and lists.
    ///
    /// # Errors
    ///
    /// The first error found.
    fn check(&self) -> Result<(), Invalid>;
}

/// Machine words that hold a message, as rings store it: always an array of `usize`.
pub trait Words: Copy + Send + Sync + 'static + AsRef<[usize]> + AsMut<[usize]> {
    /// All words zero.
    const ZERO: Self;
}

impl<const N: usize> Words for [usize; N] {
    const ZERO: Self = [0; N];
}

/// The message as machine words; bytes after its end are zero.
#[inline]
pub fn to_words<M: Message>(message: &M) -> M::Words {
    let mut words = M::Words::ZERO;
    if let Some(bytes) = words.as_mut().as_mut_bytes().get_mut(..size_of::<M>()) {
        bytes.copy_from_slice(message.as_bytes());
    }
    words
}

/// The message in machine words, checked.
///
/// # Errors
///
/// As [`decode`]. Words from [`to_words`] are always valid.
#[inline]
pub fn from_words<M: Message>(words: &M::Words) -> Result<M, DecodeError> {
    let bytes = words.as_ref().as_bytes();
    decode(bytes.get(..size_of::<M>()).unwrap_or(bytes))
}

/// As [`from_words`], without the reason of an error. The words can stay in registers.
#[inline(always)]
pub fn valid_words<M: Message>(words: M::Words) -> Option<M> {
    let bytes = words.as_ref().as_bytes().get(..size_of::<M>())?;
    M::try_read_from_bytes(bytes).ok().filter(|message| message.check().is_ok())
}

/// The message in `bytes`, checked and copied out. The bytes may be unaligned.
///
/// # Errors
///
/// [`DecodeError::Size`] unless the bytes have exactly the size of the message,
/// [`DecodeError::Value`] for a `bool` or an enum with an invalid value, and
/// [`DecodeError::Invalid`] for a count above the capacity or a text that is not UTF-8.
#[inline]
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    if bytes.len() != size_of::<M>() {
        return Err(diagnose::size(M::DESCRIPTOR, bytes));
    }
    let Ok(message) = M::try_read_from_bytes(bytes) else {
        return Err(diagnose::value(M::DESCRIPTOR, bytes));
    };
    message.check()?;
    Ok(message)
}

/// The message in `bytes`, checked and borrowed in place.
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
        Err(ConvertError::Size(_)) => Err(diagnose::size(M::DESCRIPTOR, bytes)),
        Err(ConvertError::Alignment(_)) => {
            Err(DecodeError::Misaligned { message: M::DESCRIPTOR.name, expected: align_of::<M>() })
        }
        Err(ConvertError::Validity(_)) => Err(diagnose::value(M::DESCRIPTOR, bytes)),
    }
}
