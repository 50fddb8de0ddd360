//! The header: 24 bytes, the same on every host.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U16, U32, U64},
};

use super::FrameError;
use crate::envelope::Envelope;

/// The upper four bits of a frame's first byte.
pub const MAGIC: u8 = 0xA;

/// The version of the format, in the lower four bits of a frame's first byte.
pub const VERSION: u8 = 1;

/// The length of a header in bytes.
pub const HEADER_LEN: usize = 24;

/// The longest frame whose padded length fits in 32 bits.
pub const MAX_LENGTH: u32 = u32::MAX - 7;

const FIRST_BYTE: u8 = MAGIC << 4 | VERSION;

/// What a reader accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame in bytes, with its header, without the final padding.
    pub max_frame: u32,
}

impl Default for Limits {
    /// One MiB.
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

/// Where the parts of a frame end, by its checked header.
pub(super) struct FrameBounds {
    /// The end of the extensions.
    pub(super) head: usize,
    /// The end of the payload.
    pub(super) length: usize,
}

impl FrameBounds {
    #[inline]
    pub(super) fn padded(&self) -> usize {
        self.length.next_multiple_of(8)
    }
}

impl Header {
    /// The caller has checked that the lengths fit.
    #[inline]
    pub(super) fn new(envelope: &Envelope, length: u32, fixed_len: u16, extensions: u16) -> Self {
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

    /// The type of the payload; 0 for control frames.
    #[inline]
    pub fn type_id(&self) -> u16 {
        self.type_id.get()
    }

    /// The length in bytes of header, extensions and payload, without the final padding.
    #[inline]
    pub fn length(&self) -> u32 {
        self.length.get()
    }

    /// The length in bytes of the fixed part of the payload.
    #[inline]
    pub fn fixed_len(&self) -> u16 {
        self.fixed_len.get()
    }

    /// The length in bytes of all extensions.
    #[inline]
    pub fn extensions_len(&self) -> u16 {
        self.extensions_len.get()
    }

    /// The sender's number for one start of a publisher on one topic.
    #[inline]
    pub fn stream(&self) -> u32 {
        self.stream.get()
    }

    /// The position of the message in its stream.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    /// Checks the header against the limit, and its lengths against each other.
    #[inline]
    pub(super) fn check(&self, limits: &Limits) -> Result<FrameBounds, FrameError> {
        let length = self.length();
        let extensions = u32::from(self.extensions_len());
        let head = HEADER_LEN as u32 + extensions;
        let fits = length >= head + u32::from(self.fixed_len())
            && length <= limits.max_frame.min(MAX_LENGTH);
        let start = u16::from_le_bytes([self.first, self.flags]);
        if start != u16::from(FIRST_BYTE) || !extensions.is_multiple_of(8) || !fits {
            return Err(self.blame(limits));
        }
        // `length` is at most `MAX_LENGTH`, and `usize` has at least 32 bits.
        Ok(FrameBounds { head: head as usize, length: length as usize })
    }

    /// The check that failed.
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

/// The error of bytes that are too few for a header: the first byte may already be invalid.
#[cold]
pub(super) fn incomplete(bytes: &[u8]) -> FrameError {
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
