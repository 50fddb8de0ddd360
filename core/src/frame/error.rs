//! Errors of reading and of writing frames.

use thiserror::Error;

/// Why bytes were refused as a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame may be good, but is not all there. All other errors are final.
    #[error("incomplete frame: expected at least {needed} bytes")]
    Incomplete {
        /// How many bytes there must be, from the start of the frame, to look again.
        needed: usize,
    },
    /// This is no frame.
    #[error("invalid first byte {found:#04x}: expected 0xa in its upper four bits")]
    Magic {
        /// The first byte.
        found: u8,
    },
    /// The frame is of another version.
    #[error("unsupported frame version {found}: expected version {expected}")]
    Version {
        /// The version that this reader knows.
        expected: u8,
        /// The version of the frame.
        found: u8,
    },
    /// A flag is set, and none is defined.
    #[error("invalid frame flags {found:#04x}: expected 0")]
    Flags {
        /// The byte of flags.
        found: u8,
    },
    /// The frame is longer than this reader takes.
    #[error("frame of {found} bytes exceeds the limit of {limit}")]
    TooLong {
        /// The longest it takes.
        limit: u32,
        /// The length the frame claims.
        found: u32,
    },
    /// The length does not cover header, extensions and the fixed part of the payload.
    #[error("frame length {found} is too small: its parts take {needed} bytes")]
    TooShort {
        /// How much these three take.
        needed: u32,
        /// The length the frame claims.
        found: u32,
    },
    /// The length of the extensions is no multiple of 8.
    #[error("invalid length {found} of the extensions: expected a multiple of 8")]
    ExtensionsLength {
        /// The length the frame claims for them.
        found: u16,
    },
    /// The padding after the payload is not zero.
    #[error("invalid padding after the payload: expected zero bytes")]
    Padding,
    /// An extension is not as it must be.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
}

/// Why extensions were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// An extension reaches beyond the end of all extensions.
    #[error("truncated extension: expected {needed} bytes, found {found}")]
    Truncated {
        /// How many bytes it claims, with what belongs to it.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// Kind 0 stands for nothing.
    #[error("invalid extension kind 0: it is reserved")]
    Reserved,
    /// A known kind has a value of the wrong length.
    #[error("extension {kind}: expected {expected} bytes, found {found}")]
    Length {
        /// The kind.
        kind: u16,
        /// The length its values have.
        expected: u16,
        /// The length found.
        found: u16,
    },
    /// A known kind is there twice.
    #[error("duplicate extension {kind}")]
    Duplicate {
        /// The kind.
        kind: u16,
    },
    /// Kinds do not ascend.
    #[error("extension {kind} after extension {after}: expected ascending kinds")]
    Order {
        /// The kind that should have come first.
        kind: u16,
        /// The kind before it.
        after: u16,
    },
    /// The sender says that the extension must not be skipped, and this reader does not know it.
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

/// Why a frame could not be written. The buffer is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The buffer is too small.
    #[error("frame of {needed} bytes exceeds the buffer of {available} bytes")]
    Space {
        /// How many bytes the frame takes.
        needed: usize,
        /// How many the buffer has.
        available: usize,
    },
    /// The frame would be longer than its header can say.
    #[error("payload of {payload} bytes exceeds the longest frame")]
    TooLong {
        /// The length of the payload.
        payload: usize,
    },
    /// The fixed part would be longer than the payload.
    #[error("fixed part of {fixed} bytes exceeds the payload of {payload} bytes")]
    Fixed {
        /// The length of the fixed part.
        fixed: usize,
        /// The length of the payload.
        payload: usize,
    },
}
