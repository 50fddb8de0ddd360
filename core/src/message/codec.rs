//! Encoding and decoding messages.

#![allow(unsafe_code)]

use core::mem::{align_of, size_of};

use zerocopy::IntoBytes;

use super::{
    check::{Bodies, Checked},
    encode::{ALIGNMENT, Encoder, UNKNOWN_END},
    field::{Fixed, Form, bytes_of},
    types::{Message, Words},
};
use crate::error::{DecodeError, EncodeError};

/// Copies a fixed message into machine words; bytes after its end are zero.
#[inline]
pub fn to_words<M: Message>(message: &M) -> M::Words {
    let mut words = M::Words::ZERO;
    if let Some(bytes) = words.as_mut().as_mut_bytes().get_mut(..size_of::<M>()) {
        bytes.copy_from_slice(bytes_of(message));
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
    valid(words.as_ref().as_bytes().get(..size_of::<M>())?)
}

/// Decodes as [`decode`] does; `None` if the bytes are invalid.
// Not `decode(..).ok()`: an error has single bytes where the message has words, and in a result of
// both the compiler copies the message in such pieces.
#[inline(always)]
pub fn valid<M: Message>(bytes: &[u8]) -> Option<M> {
    if !M::IS_FIXED {
        return decode(bytes).ok();
    }
    let message = check::<M>(bytes, 1).ok()?;
    // SAFETY: checked.
    Some(unsafe { M::read(message, 0) })
}

/// Returns how many bytes the message is encoded as.
///
/// # Errors
///
/// [`EncodeError::TooLong`] if these are more than the message may have, and
/// [`EncodeError::Serialize`] if serde cannot encode it.
#[inline]
pub fn encoded_len<M: Message>(message: &M) -> Result<usize, EncodeError> {
    if M::IS_FIXED {
        return Ok(size_of::<M>());
    }
    let found = message.end_of_bodies(M::SIZE);
    if found > M::MAX {
        return Err(refused::<M>(found));
    }
    Ok(found)
}

#[cold]
fn refused<M: Message>(found: usize) -> EncodeError {
    let message = M::DESCRIPTOR.name;
    match M::DECODES && found >= UNKNOWN_END {
        true => EncodeError::Serialize { message },
        false => EncodeError::TooLong { message, most: M::MAX, found },
    }
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
    encode_exact(message, &mut bytes[..len])?;
    Ok(len)
}

/// Writes the message to these bytes, which are as many as [`encoded_len`] says.
///
/// # Errors
///
/// [`EncodeError::Serialize`] if serde encodes a part of the message differently each time.
///
/// # Panics
///
/// If there are fewer bytes.
#[inline]
pub fn encode_exact<M: Message>(message: &M, bytes: &mut [u8]) -> Result<(), EncodeError> {
    if M::IS_FIXED {
        bytes.copy_from_slice(bytes_of(message));
        return Ok(());
    }
    let mut encoder = Encoder::new(bytes, M::SIZE);
    message.encode(0, &mut encoder);
    if !encoder.is_complete() {
        return Err(refused::<M>(UNKNOWN_END));
    }
    Ok(())
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
    #[cfg(feature = "alloc")]
    if !M::IS_FIXED && !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        return decode_unaligned(bytes);
    }
    decode_aligned(bytes)
}

/// Checks and decodes bytes that begin at a multiple of 8, or are those of a fixed message.
#[inline(always)]
fn decode_aligned<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let align = if M::IS_FIXED { 1 } else { ALIGNMENT };
    if M::DECODES {
        let mut bodies = begin::<M>(bytes, align)?;
        let message = M::decode(0, &mut bodies)?;
        bodies.finish()?;
        return Ok(message);
    }
    let message = check::<M>(bytes, align)?;
    // SAFETY: checked.
    Ok(unsafe { M::read(message, 0) })
}

/// Checks the bytes of a message, and decodes it if there is no other way to check it.
/// [`Form::lend`] then returns what a reader gets.
///
/// # Errors
///
/// As [`view`].
#[inline]
pub fn keep<M: Message>(bytes: &[u8]) -> Result<<M::Form as Form>::Kept<M>, DecodeError> {
    M::Form::keep(|| decode(bytes), || view::<M>(bytes).map(drop))
}

/// Checks the bytes and returns what reads the message in place: `&M` for a fixed message.
///
/// # Errors
///
/// [`DecodeError::Misaligned`] if the bytes do not begin at a multiple of 8 (for a fixed message,
/// of its alignment); the other errors are those of [`decode`].
#[inline]
pub fn view<M: Message>(bytes: &[u8]) -> Result<M::View<'_>, DecodeError> {
    let message = check::<M>(bytes, if M::IS_FIXED { align_of::<M>() } else { ALIGNMENT })?;
    // SAFETY: checked.
    Ok(unsafe { M::view(message, 0) })
}

/// Returns what reads a checked message in place.
///
/// # Safety
///
/// [`view`] would accept these bytes: it has, or they were encoded in this process from a message
/// with this digest that does not [decode](super::Field::DECODES) to check, and begin at a multiple
/// of 8.
#[inline]
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
    let message = check::<M>(bytes, align_of::<M>())?;
    // SAFETY: checked.
    Ok(unsafe { message.borrow(0) })
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
    if M::IS_FIXED && bytes.as_ptr().addr().is_multiple_of(align_of::<M>()) {
        let message = check::<M>(bytes, 1)?;
        // SAFETY: checked.
        return Ok(with(unsafe { message.borrow(0) }));
    }
    Ok(with(&decode(bytes)?))
}

/// Checks and decodes a copy of the bytes, which is aligned.
#[cfg(feature = "alloc")]
#[cold]
fn decode_unaligned<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let mut words = alloc::vec![0_u64; bytes.len().div_ceil(ALIGNMENT)];
    let copy = &mut words.as_mut_bytes()[..bytes.len()];
    copy.copy_from_slice(bytes);
    decode_aligned(copy)
}

/// Checks the bytes of a message, which begin at a multiple of `align`.
#[inline(always)]
fn check<M: Message>(bytes: &[u8], align: usize) -> Result<Checked<'_>, DecodeError> {
    let mut bodies = begin::<M>(bytes, align)?;
    M::check(0, &mut bodies)?;
    if !M::IS_FIXED {
        bodies.finish()?;
    }
    Ok(Checked::new(bytes))
}

/// Checks the number of bytes of a message and their alignment.
#[inline(always)]
fn begin<M: Message>(bytes: &[u8], align: usize) -> Result<Bodies<'_>, DecodeError> {
    let (message, found) = (M::DESCRIPTOR.name, bytes.len());
    if found < M::SIZE || found > M::MAX {
        let expected = if found < M::SIZE { M::SIZE } else { M::MAX };
        return Err(DecodeError::Size { message, expected, found });
    }
    if !bytes.as_ptr().addr().is_multiple_of(align) {
        return Err(DecodeError::Misaligned { message, expected: align });
    }
    Ok(Bodies::new(bytes, M::SIZE, !M::IS_FIXED))
}
