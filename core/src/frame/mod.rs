//! Frames: messages and control frames as bytes between two processes.
//!
//! A frame is a header of 24 bytes, extensions that a reader may skip by length, and a payload. Its
//! size is a multiple of 8 bytes; frames follow each other without gaps. `docs/wire-format.md`
//! describes every byte. [`FrameView`] reads frames; [`write_frame`], [`write_message`] and
//! [`write_fragment`] write them. This module depends on messages and envelopes, but not on links.
//!
//! # Panics
//!
//! No function here panics or reads outside of the given bytes, for any input. [`FrameView::parse`]
//! checks a frame once: each length is compared with the limit, the other lengths and the available
//! bytes before it is used. After that all accessors are infallible. Nothing is allocated, and no
//! loop is longer than the frame. A frame has one encoding: if it parses and has no unknown
//! extensions, the writers here make the same bytes from its envelope and payload. (A fragment must
//! also have a fixed length of 0, as a link requires.)

mod error;
mod extension;
mod write;

pub use error::{ExtensionError, FrameError, WriteError};
pub(crate) use extension::MOST_EXTENSIONS;
pub use extension::{Extension, Extensions, Fragment, kind};
pub use write::{frame_len, write_fragment, write_frame, write_head, write_message};
pub(crate) use write::{head_len, write_fragment_head};

use core::mem::size_of;

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U16, U32, U64},
};

use crate::{
    envelope::Envelope,
    error::DecodeError,
    message::{self, Message},
    trace::TraceContext,
};

/// A checked frame.
///
/// # Examples
///
/// ```
/// use mycelium_core::{Envelope, FrameView, Limits, message, write_message};
///
/// #[message(topic = "ticks", id = 1)]
/// #[derive(Debug, PartialEq)]
/// struct Tick {
///     price: u64,
/// }
///
/// let mut words = [0; 8]; // words: the payload is aligned and can be read in place
/// let buffer = zerocopy::IntoBytes::as_mut_bytes(&mut words[..]);
/// let len = write_message(buffer, &Envelope::of::<Tick>(3, 0), &Tick { price: 42 })?;
///
/// let (frame, rest) = FrameView::parse(&buffer[..len], &Limits::default())?;
/// assert_eq!(frame.header().stream(), 3);
/// assert_eq!(frame.message::<Tick>()?, &Tick { price: 42 });
/// assert!(rest.is_empty());
/// # let _: &[u64] = &words;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    header: &'a Header,
    extensions: Extensions<'a>,
    payload: &'a [u8],
}

impl<'a> FrameView<'a> {
    /// Checks the frame at the start of `bytes`. Returns the frame and the bytes after it.
    ///
    /// # Errors
    ///
    /// [`FrameError::Incomplete`] if bytes are missing: call again with as many as it says. All
    /// other errors are final, and are found as early as possible; a wrong magic byte, for example,
    /// as soon as the first byte is there.
    // Inlined: otherwise the result goes through memory, written in pieces and read as one, which
    // stalls.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<(Self, &'a [u8]), FrameError> {
        let Ok((header, _)) = Header::ref_from_prefix(bytes) else {
            return Err(incomplete(bytes));
        };
        let Some((head, length)) = header.check(limits) else {
            return Err(header.blame(limits));
        };
        // Fewer instructions than `next_multiple_of`; `length` is at most `MAX_LENGTH`.
        let needed = (length + 7) & !7;
        let Some((frame, rest)) = bytes.split_at_checked(needed) else {
            return Err(FrameError::Incomplete { needed });
        };
        let (Some(extensions), Some(payload), Some(padding)) =
            (frame.get(HEADER_LEN..head), frame.get(head..length), frame.get(length..))
        else {
            return Err(FrameError::Incomplete { needed });
        };
        if !padding.is_empty() && padding.iter().any(|byte| *byte != 0) {
            return Err(FrameError::Padding);
        }
        let extensions = Extensions::parse(extensions)?;
        Ok((Self { header, extensions, payload }, rest))
    }

    /// Checks the start of a frame whose payload is not complete. Returns the frame with whole words
    /// of its payload, the number of bytes up to their end, and the length of the whole payload.
    /// Returns `None` if there are no such words, or the header or the extensions are invalid.
    pub(crate) fn start(bytes: &'a [u8], limits: &Limits) -> Option<(Self, usize, usize)> {
        let (header, _) = Header::ref_from_prefix(bytes).ok()?;
        let (head, length) = header.check(limits)?;
        let used = bytes.len() & !7;
        let payload = bytes.get(head..used).filter(|it| !it.is_empty() && used < length)?;
        let extensions = Extensions::parse(bytes.get(HEADER_LEN..head)?).ok()?;
        Some((Self { header, extensions, payload }, used, length - head))
    }

    /// Returns the header.
    #[inline]
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// Returns the envelope of the payload, from the header and the known extensions.
    #[inline]
    pub fn envelope(&self) -> Envelope {
        let mut envelope = Envelope {
            type_id: self.header.type_id(),
            stream: self.header.stream(),
            sequence: self.header.sequence(),
            ..Envelope::default()
        };
        if !self.extensions.is_empty() {
            self.extensions.fill(&mut envelope);
        }
        envelope
    }

    /// Iterates over all extensions, including unknown ones.
    #[inline]
    pub fn extensions(&self) -> Extensions<'a> {
        self.extensions
    }

    /// Returns which part of a message this frame has, or `None` if it is not a fragment.
    #[inline]
    pub fn fragment(&self) -> Option<Fragment> {
        self.extensions.value(kind::FRAGMENT)?.try_into().ok().map(Fragment::from_bytes)
    }

    /// Returns whether the message may have been delivered to an earlier process of the reader.
    #[inline]
    pub fn is_redelivered(&self) -> bool {
        self.extensions.value(kind::REDELIVERED).is_some()
    }

    /// Returns the trace of the message. Its ids may be [invalid](TraceContext::is_valid).
    #[inline]
    pub fn trace(&self) -> Option<TraceContext> {
        TraceContext::read_from_bytes(self.extensions.value(kind::TRACE)?).ok()
    }

    /// Returns when the message was sent, in nanoseconds since 1970 UTC, by the clock of its
    /// sender. A peer can send any number.
    #[inline]
    pub fn sent_at(&self) -> Option<u64> {
        self.extensions.value(kind::SENT_AT)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// Returns the payload, with its tail if it has one.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Returns the fixed part of the payload: the message itself.
    #[inline]
    pub fn fixed(&self) -> &'a [u8] {
        self.payload.get(..self.header.fixed_len().into()).unwrap_or(self.payload)
    }

    /// Returns the payload after its fixed part; empty for most messages.
    #[inline]
    pub fn tail(&self) -> &'a [u8] {
        self.payload.get(self.header.fixed_len().into()..).unwrap_or(&[])
    }

    /// Returns what reads the message in place: `&M` for a fixed message. It is aligned if the
    /// buffer of the frame is aligned to 8 bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Type`] if the frame has another type; the other errors are those of
    /// [`view`](crate::view).
    #[inline]
    pub fn message<M: Message>(&self) -> Result<M::View<'a>, DecodeError> {
        message::view::<M>(self.expect::<M>()?)
    }

    /// Decodes the message.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Type`] if the frame has another type; the other errors are those of
    /// [`decode`](crate::decode).
    #[inline]
    pub fn read<M: Message>(&self) -> Result<M, DecodeError> {
        message::decode(self.expect::<M>()?)
    }

    /// Returns the bytes of an `M`: for a fixed message, without a tail that a newer writer may
    /// append.
    #[inline]
    fn expect<M: Message>(&self) -> Result<&'a [u8], DecodeError> {
        let found = self.header.type_id();
        if found != M::ID {
            return Err(DecodeError::Type { message: M::DESCRIPTOR.name, expected: M::ID, found });
        }
        if M::IS_FIXED {
            return Ok(self.fixed());
        }
        let (message, expected, found) =
            (M::DESCRIPTOR.name, M::SIZE, self.header.fixed_len().into());
        if found != expected {
            return Err(DecodeError::Size { message, expected, found });
        }
        Ok(self.payload)
    }
}

/// The frames of a buffer, in order.
///
/// The iterator ends at the end of the buffer, before an incomplete frame ([`rest`](Self::rest) has
/// its bytes), or after the first error.
///
/// # Examples
///
/// ```
/// use mycelium_core::{Envelope, Frames, Limits, write_frame};
///
/// let mut buffer = [0; 64];
/// let first = write_frame(&mut buffer, &Envelope::default(), 0, b"hello")?;
/// let second = write_frame(&mut buffer[first..], &Envelope::default(), 0, b"world")?;
///
/// let mut frames = Frames::new(&buffer[..first + second], Limits::default());
/// assert_eq!(frames.next().unwrap()?.payload(), b"hello");
/// assert_eq!(frames.next().unwrap()?.payload(), b"world");
/// assert!(frames.next().is_none() && frames.rest().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    rest: &'a [u8],
    limits: Limits,
    failed: bool,
}

impl<'a> Frames<'a> {
    /// Creates an iterator over the frames in `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self { rest: bytes, limits, failed: false }
    }

    /// Returns the bytes that are not parsed yet. Once the iterator has ended, these begin with the
    /// incomplete frame or the frame with the error.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<FrameView<'a>, FrameError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        match FrameView::parse(self.rest, &self.limits) {
            Ok((frame, rest)) => {
                self.rest = rest;
                Some(Ok(frame))
            }
            Err(FrameError::Incomplete { .. }) => None,
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

impl core::iter::FusedIterator for Frames<'_> {}

// The rest of this file is the header. It has 24 bytes, the same on every host.

/// The upper four bits of a frame's first byte.
pub const MAGIC: u8 = 0xA;

/// The version of the format, in the lower four bits of a frame's first byte.
pub const VERSION: u8 = 1;

/// The length of a header in bytes.
pub const HEADER_LEN: usize = 24;

/// The longest frame whose padded length fits in 32 bits.
pub const MAX_LENGTH: u32 = u32::MAX - 7;

const FIRST_BYTE: u8 = MAGIC << 4 | VERSION;

/// The limits of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest accepted frame in bytes, with its header, without the final padding.
    pub max_frame: u32,
}

impl Default for Limits {
    /// Returns a limit of one MiB.
    fn default() -> Self {
        Self { max_frame: 1 << 20 }
    }
}

/// The start of a frame. Its fields are little-endian and unaligned.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Header {
    first: u8,
    flags: u8,
    type_id: U16,
    length: U32,
    fixed_len: U16,
    extensions_len: U16,
    stream: U32,
    sequence: U64,
}

impl Header {
    /// Creates a header. The caller has checked that the lengths fit.
    #[inline]
    fn new(envelope: &Envelope, length: u32, fixed_len: u16, extensions: u16) -> Self {
        Self {
            first: FIRST_BYTE,
            flags: 0,
            type_id: U16::new(envelope.type_id),
            length: U32::new(length),
            fixed_len: U16::new(fixed_len),
            extensions_len: U16::new(extensions),
            stream: U32::new(envelope.stream),
            sequence: U64::new(envelope.sequence),
        }
    }

    /// Returns the type of the payload; 0 for control frames.
    #[inline]
    pub fn type_id(&self) -> u16 {
        self.type_id.get()
    }

    /// Returns the length in bytes of header, extensions and payload, without the final padding.
    #[inline]
    pub fn length(&self) -> u32 {
        self.length.get()
    }

    /// Returns the length in bytes of the fixed part of the payload.
    #[inline]
    pub fn fixed_len(&self) -> u16 {
        self.fixed_len.get()
    }

    /// Returns the length in bytes of all extensions.
    #[inline]
    pub fn extensions_len(&self) -> u16 {
        self.extensions_len.get()
    }

    /// Returns the sender's stream number: one run of a publisher on one topic.
    #[inline]
    pub fn stream(&self) -> u32 {
        self.stream.get()
    }

    /// Returns the position of the message in its stream.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    /// Checks the header against the limit, and its lengths against each other. Returns the offsets
    /// of the ends of the extensions and of the payload. If a check fails, returns `None`, and
    /// [`blame`](Self::blame) the error: together they would be returned in memory.
    #[inline]
    fn check(&self, limits: &Limits) -> Option<(usize, usize)> {
        let length = self.length();
        let extensions = u32::from(self.extensions_len());
        let head = HEADER_LEN as u32 + extensions;
        let fits = length >= head + u32::from(self.fixed_len())
            && length <= limits.max_frame.min(MAX_LENGTH);
        let start = u16::from_le_bytes([self.first, self.flags]);
        if start != u16::from(FIRST_BYTE) || !extensions.is_multiple_of(8) || !fits {
            return None;
        }
        // `length` is at most `MAX_LENGTH`, and `usize` has at least 32 bits.
        Some((head as usize, length as usize))
    }

    /// Returns the error of the check that failed; called only after a failure.
    #[cold]
    #[inline(never)]
    fn blame(&self, limits: &Limits) -> FrameError {
        if let Err(error) = first_byte(self.first) {
            return error;
        }
        if self.flags != 0 {
            return FrameError::Flags { found: self.flags };
        }
        let length = self.length();
        let limit = limits.max_frame.min(MAX_LENGTH);
        if length > limit {
            return FrameError::TooLong { limit, found: length };
        }
        if !self.extensions_len().is_multiple_of(8) {
            return FrameError::ExtensionsLength { found: self.extensions_len() };
        }
        let head = HEADER_LEN as u32 + u32::from(self.extensions_len());
        FrameError::TooShort { needed: head + u32::from(self.fixed_len()), found: length }
    }
}

/// Returns the error for fewer bytes than a header. The first byte may already be invalid.
#[cold]
fn incomplete(bytes: &[u8]) -> FrameError {
    match bytes.first().map(|first| first_byte(*first)) {
        Some(Err(error)) => error,
        _ => FrameError::Incomplete { needed: HEADER_LEN },
    }
}

fn first_byte(found: u8) -> Result<(), FrameError> {
    if found >> 4 != MAGIC {
        return Err(FrameError::Magic { found });
    }
    if found & 0xf != VERSION {
        return Err(FrameError::Version { expected: VERSION, found: found & 0xf });
    }
    Ok(())
}

const _: () = assert!(usize::BITS >= 32, "frames need a host of 32 bits or more");
const _: () = assert!(size_of::<Header>() == HEADER_LEN);
