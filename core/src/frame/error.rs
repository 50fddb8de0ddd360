//! Why bytes are not a frame, and why a frame could not be written.

use core::{error::Error, fmt};

/// Why bytes were refused as a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame may be good, but is not all there. All other errors are final.
    Incomplete {
        /// How many bytes there must be, from the start of the frame, to look again.
        needed: usize,
    },
    /// This is no frame.
    Magic {
        /// The first byte.
        found: u8,
    },
    /// The frame is of another version.
    Version {
        /// The version that this reader knows.
        expected: u8,
        /// The version of the frame.
        found: u8,
    },
    /// A flag is set, and none is defined.
    Flags {
        /// The byte of flags.
        found: u8,
    },
    /// The frame is longer than this reader takes.
    TooLong {
        /// The longest it takes.
        limit: u32,
        /// The length the frame claims.
        found: u32,
    },
    /// The length does not cover header, extensions and the fixed part of the payload.
    TooShort {
        /// How much these three take.
        needed: u32,
        /// The length the frame claims.
        found: u32,
    },
    /// The length of the extensions is no multiple of 8.
    ExtensionsLength {
        /// The length the frame claims for them.
        found: u16,
    },
    /// The padding after the payload is not zero.
    Padding,
    /// An extension is not as it must be.
    Extension(ExtensionError),
}

/// Why extensions were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtensionError {
    /// An extension reaches beyond the end of all extensions.
    Truncated {
        /// How many bytes it claims, with what belongs to it.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// Kind 0 stands for nothing.
    Reserved,
    /// A known kind has a value of the wrong length.
    Length {
        /// The kind.
        kind: u16,
        /// The length its values have.
        expected: u16,
        /// The length found.
        found: u16,
    },
    /// A known kind is there twice.
    Twice {
        /// The kind.
        kind: u16,
    },
    /// Kinds do not ascend.
    Order {
        /// The kind that should have come first.
        kind: u16,
        /// The kind before it.
        after: u16,
    },
    /// The sender says that the extension must not be skipped, and this reader does not know it.
    Critical {
        /// The kind.
        kind: u16,
    },
    /// The padding after a value is not zero.
    Padding {
        /// The kind of the extension.
        kind: u16,
    },
}

/// Why a frame could not be written. The buffer is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The buffer is too small.
    Space {
        /// How many bytes the frame takes.
        needed: usize,
        /// How many the buffer has.
        available: usize,
    },
    /// The frame would be longer than its header can say.
    TooLong {
        /// The length of the payload.
        payload: usize,
    },
    /// The fixed part would be longer than the payload.
    Fixed {
        /// The length of the fixed part.
        fixed: usize,
        /// The length of the payload.
        payload: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Incomplete { needed } => {
                write!(f, "the frame is not all there: it needs {needed} bytes")
            }
            Self::Magic { found } => write!(f, "no frame starts with byte {found:#04x}"),
            Self::Version { expected, found } => {
                write!(f, "the frame has version {found}, but version {expected} was expected")
            }
            Self::Flags { found } => {
                write!(f, "the frame has flags {found:#04x}, but none is defined")
            }
            Self::TooLong { limit, found } => {
                write!(f, "the frame claims {found} bytes, but the limit is {limit}")
            }
            Self::TooShort { needed, found } => {
                write!(f, "the frame claims {found} bytes, but its parts take {needed}")
            }
            Self::ExtensionsLength { found } => {
                write!(f, "the extensions claim {found} bytes, which is no multiple of 8")
            }
            Self::Padding => f.write_str("the padding after the payload is not zero"),
            Self::Extension(ref error) => error.fmt(f),
        }
    }
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { needed, found } => {
                write!(f, "an extension claims {needed} bytes, but there are {found}")
            }
            Self::Reserved => f.write_str("an extension has kind 0, which stands for nothing"),
            Self::Length { kind, expected, found } => {
                write!(f, "extension {kind} takes {expected} bytes, but has {found}")
            }
            Self::Twice { kind } => write!(f, "extension {kind} is there twice"),
            Self::Order { kind, after } => {
                write!(f, "extension {kind} comes after extension {after}, but kinds ascend")
            }
            Self::Critical { kind } => {
                write!(f, "extension {kind:#06x} must not be skipped, but is not known here")
            }
            Self::Padding { kind } => {
                write!(f, "the padding after extension {kind} is not zero")
            }
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Space { needed, available } => {
                write!(f, "the frame takes {needed} bytes, but the buffer has {available}")
            }
            Self::TooLong { payload } => {
                write!(f, "a payload of {payload} bytes is longer than a frame can say")
            }
            Self::Fixed { fixed, payload } => {
                write!(f, "a fixed part of {fixed} bytes is longer than its payload of {payload}")
            }
        }
    }
}

impl Error for FrameError {}

impl Error for ExtensionError {}

impl Error for WriteError {}

impl From<ExtensionError> for FrameError {
    fn from(error: ExtensionError) -> Self {
        Self::Extension(error)
    }
}
