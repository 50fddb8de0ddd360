//! Errors of reading and writing frames.

use thiserror::Error;

use crate::error::EncodeError;

/// Why bytes are not a valid frame.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Bytes are missing: try again with more. All other errors are final.
    #[error("incomplete frame: expected at least {needed} bytes")]
    Incomplete {
        /// How many bytes the next attempt needs, from the start of the frame.
        needed: usize,
    },
    /// The first byte is not the magic byte of a frame.
    #[error("invalid first byte {found:#04x}: expected 0xa in its upper four bits")]
    Magic {
        /// The first byte.
        found: u8,
    },
    /// The frame has another version.
    #[error("unsupported frame version {found}: expected version {expected}")]
    Version {
        /// The version that this reader knows.
        expected: u8,
        /// The version of the frame.
        found: u8,
    },
    /// A flag is set; none is defined.
    #[error("invalid frame flags {found:#04x}: expected 0")]
    Flags {
        /// The byte of flags.
        found: u8,
    },
    /// The frame is longer than this reader accepts.
    #[error("frame of {found} bytes exceeds the limit of {limit}")]
    TooLong {
        /// The longest frame that it accepts.
        limit: u32,
        /// The length in the header.
        found: u32,
    },
    /// The header's length is less than header, extensions and fixed part together.
    #[error("frame length {found} is too small: its parts take {needed} bytes")]
    TooShort {
        /// The length of header, extensions and fixed part together, in bytes.
        needed: u32,
        /// The length in the header.
        found: u32,
    },
    /// The length of the extensions is not a multiple of 8.
    #[error("invalid length {found} of the extensions: expected a multiple of 8")]
    ExtensionsLength {
        /// The length of the extensions in the header.
        found: u16,
    },
    /// The padding after the payload is not zero.
    #[error("invalid padding after the payload: expected zero bytes")]
    Padding,
    /// An extension is invalid.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
}

/// Why extensions are invalid.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// An extension ends after the extension area.
    #[error("truncated extension: expected {needed} bytes, found {found}")]
    Truncated {
        /// The size of the extension, with its kind, length and padding.
        needed: usize,
        /// How many bytes are left in the area.
        found: usize,
    },
    /// Kind 0 is reserved.
    #[error("invalid extension kind 0: it is reserved")]
    Reserved,
    /// A known kind has a value of the wrong length.
    #[error("extension {kind}: expected {expected} bytes, found {found}")]
    Length {
        /// The kind.
        kind: u16,
        /// The length of values of this kind.
        expected: u16,
        /// The length found.
        found: u16,
    },
    /// A known kind occurs twice.
    #[error("duplicate extension {kind}")]
    Duplicate {
        /// The kind.
        kind: u16,
    },
    /// Kinds do not ascend.
    #[error("extension {kind} after extension {after}: expected ascending kinds")]
    Order {
        /// The kind that should be earlier.
        kind: u16,
        /// The kind before it.
        after: u16,
    },
    /// An unknown extension is marked as critical, so it must not be skipped.
    #[error("unknown extension {kind:#06x} that must not be skipped")]
    Critical {
        /// The kind.
        kind: u16,
    },
    /// The padding after a value is not zero.
    #[error("invalid padding of extension {kind}: expected zero bytes")]
    Padding {
        /// The kind of the extension.
        kind: u16,
    },
}

/// Why a frame could not be written. The buffer is unchanged, except after
/// [`WriteError::Message`].
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The buffer is too small.
    #[error("frame of {needed} bytes exceeds the buffer of {available} bytes")]
    Space {
        /// The size of the frame.
        needed: usize,
        /// The size of the buffer.
        available: usize,
    },
    /// The length of the frame does not fit into the header.
    #[error("payload of {payload} bytes exceeds the longest frame")]
    TooLong {
        /// The length of the payload.
        payload: usize,
    },
    /// The fixed part is longer than the payload.
    #[error("fixed part of {fixed} bytes exceeds the payload of {payload} bytes")]
    Fixed {
        /// The length of the fixed part.
        fixed: usize,
        /// The length of the payload.
        payload: usize,
    },
    /// The message cannot be encoded.
    #[error(transparent)]
    Message(#[from] EncodeError),
}

crate::debug_as_display!(FrameError, ExtensionError, WriteError);
