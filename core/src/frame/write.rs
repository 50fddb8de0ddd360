//! Writing frames into buffers that the caller provides.
//!
//! A writer first checks that the whole frame fits, so an error leaves the buffer unchanged.

use zerocopy::IntoBytes;

use super::{
    Fragment, HEADER_LEN, Header, MAX_LENGTH, WriteError,
    extension::{FRAGMENT_LEN, extensions_len, write_extensions},
};
use crate::{
    envelope::Envelope,
    error::EncodeError,
    message::{Message, bytes_of, encode_exact, encoded_len},
};

/// Returns the size of a frame in a buffer, with the final padding.
///
/// # Errors
///
/// [`WriteError::TooLong`] if its length does not fit in the header.
///
/// # Examples
///
/// ```
/// use mycelium_core::{Envelope, frame::frame_len};
///
/// assert_eq!(frame_len(&Envelope::default(), 5), Ok(32));
/// ```
#[inline]
pub fn frame_len(envelope: &Envelope, payload: usize) -> Result<usize, WriteError> {
    padded_len(head_len(envelope, None), payload)
}

fn padded_len(head: usize, payload: usize) -> Result<usize, WriteError> {
    let length = head.saturating_add(payload);
    if length as u64 > u64::from(MAX_LENGTH) {
        return Err(WriteError::TooLong { payload });
    }
    Ok(length.next_multiple_of(8))
}

/// Writes a frame at the start of `buf`. Returns its size, a multiple of 8.
///
/// `fixed_len` is the length of the fixed part of the payload; the rest is its tail.
///
/// # Errors
///
/// [`WriteError::Space`] if the buffer is too small; [`WriteError::Fixed`] and
/// [`WriteError::TooLong`] if no such frame exists. The buffer is unchanged then.
///
/// # Examples
///
/// ```
/// use mycelium_core::{Envelope, WriteError, write_frame};
///
/// let mut buffer = [0xa5; 32];
/// assert_eq!(write_frame(&mut buffer, &Envelope::default(), 0, b"hello"), Ok(32));
/// assert_eq!(buffer[24..], *b"hello\0\0\0");
///
/// let error = write_frame(&mut buffer[..30], &Envelope::default(), 0, b"hello");
/// assert_eq!(error, Err(WriteError::Space { needed: 32, available: 30 }));
/// ```
#[inline]
pub fn write_frame(
    buf: &mut [u8],
    envelope: &Envelope,
    fixed_len: u16,
    payload: &[u8],
) -> Result<usize, WriteError> {
    write_whole(buf, envelope, None, fixed_len, payload)
}

/// Writes a part of a message as a frame; `bytes` is that part. The frame's own fixed length is 0.
///
/// # Errors
///
/// As [`write_frame`].
pub fn write_fragment(
    buf: &mut [u8],
    envelope: &Envelope,
    fragment: Fragment,
    bytes: &[u8],
) -> Result<usize, WriteError> {
    write_whole(buf, envelope, Some(fragment), 0, bytes)
}

#[inline]
fn write_whole(
    buf: &mut [u8],
    envelope: &Envelope,
    fragment: Option<Fragment>,
    fixed_len: u16,
    payload: &[u8],
) -> Result<usize, WriteError> {
    let write = |room: &mut [u8]| {
        room.copy_from_slice(payload);
        Ok(())
    };
    write_with(buf, envelope, fragment, fixed_len, payload.len(), write)
}

/// Writes a frame; `write` writes its payload.
#[inline]
fn write_with(
    buf: &mut [u8],
    envelope: &Envelope,
    fragment: Option<Fragment>,
    fixed_len: u16,
    payload: usize,
    write: impl FnOnce(&mut [u8]) -> Result<(), EncodeError>,
) -> Result<usize, WriteError> {
    let needed = padded_len(head_len(envelope, fragment), payload)?;
    let available = buf.len();
    let too_small = WriteError::Space { needed, available };
    let frame = buf.get_mut(..needed).ok_or(too_small)?;
    let head = write_start(frame, envelope, fragment, fixed_len, payload)?;
    let room = frame.get_mut(head..).ok_or(too_small)?;
    if let Some((payload_room, padding)) = room.split_at_mut_checked(payload) {
        write(payload_room)?;
        padding.fill(0);
    }
    Ok(needed)
}

/// Writes a message as a frame, with the type id of `M`; the envelope's type id is ignored.
///
/// # Errors
///
/// [`WriteError::Space`] if the buffer is too small, [`WriteError::Message`] if the message cannot
/// be encoded.
#[inline]
pub fn write_message<M: Message>(
    buf: &mut [u8],
    envelope: &Envelope,
    message: &M,
) -> Result<usize, WriteError> {
    let envelope = Envelope { type_id: M::ID, ..*envelope };
    // It fits in 16 bits: the macro refuses messages with a larger part.
    let fixed_len = u16::try_from(M::SIZE).map_err(|_| WriteError::TooLong { payload: M::SIZE })?;
    if M::IS_FIXED {
        return write_frame(buf, &envelope, fixed_len, bytes_of(message));
    }
    let payload = encoded_len(message)?;
    write_with(buf, &envelope, None, fixed_len, payload, |room| encode_exact(message, room))
}

/// Writes only the header and the extensions, for a payload that is sent without a copy. Returns
/// their length. The caller must send the payload next, and zeros up to a multiple of 8 bytes.
///
/// # Errors
///
/// As [`write_frame`]; the buffer needs only room for header and extensions.
#[inline]
pub fn write_head(
    buf: &mut [u8],
    envelope: &Envelope,
    fixed_len: u16,
    payload: usize,
) -> Result<usize, WriteError> {
    write_start(buf, envelope, None, fixed_len, payload)
}

/// Writes only the header and the extensions of a fragment, as [`write_head`] does.
pub(crate) fn write_fragment_head(
    buf: &mut [u8],
    envelope: &Envelope,
    fragment: Fragment,
    bytes: usize,
) -> Result<usize, WriteError> {
    write_start(buf, envelope, Some(fragment), 0, bytes)
}

#[inline]
fn write_start(
    buf: &mut [u8],
    envelope: &Envelope,
    fragment: Option<Fragment>,
    fixed_len: u16,
    payload: usize,
) -> Result<usize, WriteError> {
    let fixed = usize::from(fixed_len);
    if fixed > payload {
        return Err(WriteError::Fixed { fixed, payload });
    }
    let needed = head_len(envelope, fragment);
    padded_len(needed, payload)?;
    let available = buf.len();
    let Some((header, extensions)) =
        buf.get_mut(..needed).and_then(|head| head.split_first_chunk_mut::<HEADER_LEN>())
    else {
        return Err(WriteError::Space { needed, available });
    };
    // `padded_len` has checked that the length fits.
    let length = (needed + payload) as u32;
    let parts = Header::new(envelope, length, fixed_len, (needed - HEADER_LEN) as u16);
    header.copy_from_slice(parts.as_bytes());
    if !extensions.is_empty() {
        write_extensions(extensions, envelope, fragment);
    }
    Ok(needed)
}

#[inline]
pub(crate) fn head_len(envelope: &Envelope, fragment: Option<Fragment>) -> usize {
    let part = if fragment.is_some() { FRAGMENT_LEN } else { 0 };
    HEADER_LEN + usize::from(extensions_len(envelope) + part)
}
