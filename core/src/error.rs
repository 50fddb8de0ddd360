//! Why bytes are not a message.
//!
//! Each error names the message, what was expected and what was found, as a lower-case sentence
//! without a full stop, so that it can stand inside another one.

use core::{error::Error, fmt};

/// Why bytes were refused as a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame carries another type.
    Type {
        /// The message that was asked for.
        message: &'static str,
        /// Its id.
        expected: u16,
        /// The id in the frame.
        found: u16,
    },
    /// There are too few bytes, or too many.
    Size {
        /// The message that was asked for.
        message: &'static str,
        /// Its size in bytes.
        expected: usize,
        /// How many bytes there were.
        found: usize,
    },
    /// The bytes do not lie where the message can be read in place; [`decode`](crate::decode)
    /// copies them instead.
    Misaligned {
        /// The message that was asked for.
        message: &'static str,
        /// Its alignment in bytes.
        expected: usize,
    },
    /// A `bool` or an enum holds a number that stands for none of its values.
    Value {
        /// The message that was asked for.
        message: &'static str,
        /// The field, innermost if it is nested.
        field: &'static str,
        /// The number it holds.
        found: i128,
    },
    /// A text or a list is not sound.
    Invalid(Invalid),
}

/// Which text or list is not sound, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid {
    /// The message, or the struct in it, that has the field.
    pub message: &'static str,
    /// The field; empty as long as nobody has said.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What can be wrong with a text or a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It counts more items (of a text: bytes) than it has room for.
    Count {
        /// How many there is room for.
        capacity: usize,
        /// How many it counts.
        found: usize,
    },
    /// A text is not UTF-8.
    Utf8 {
        /// How many bytes are good before the first bad one.
        valid_up_to: usize,
    },
}

impl Invalid {
    /// A reason whose field is yet to be named, as [`Field::check`](crate::Field::check) of a text
    /// or list gives it.
    #[cold]
    pub const fn unnamed(reason: Reason) -> Self {
        Self { message: "", field: "", reason }
    }

    /// Names the field and its struct, unless a nested one has named its own already.
    #[cold]
    pub const fn within(self, message: &'static str, field: &'static str) -> Self {
        if self.field.is_empty() { Self { message, field, ..self } } else { self }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Type { message, expected, found } => {
                write!(f, "message `{message}` has id {expected}, but the frame carries id {found}")
            }
            Self::Size { message, expected, found } => {
                write!(f, "message `{message}` takes {expected} bytes, but there are {found}")
            }
            Self::Misaligned { message, expected } => write!(
                f,
                "message `{message}` must be aligned to {expected} bytes to be read in place"
            ),
            Self::Value { message, field, found } => write!(
                f,
                "field `{field}` of message `{message}` holds {found}, which is none of its values"
            ),
            Self::Invalid(ref invalid) => invalid.fmt(f),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, field, reason } = *self;
        if !field.is_empty() {
            write!(f, "field `{field}` of message `{message}` ")?;
        }
        match reason {
            Reason::Count { capacity, found } => {
                write!(f, "counts {found} items, but has room for {capacity}")
            }
            Reason::Utf8 { valid_up_to } => {
                write!(f, "is not UTF-8 from byte {valid_up_to} on")
            }
        }
    }
}

impl Error for DecodeError {}

impl Error for Invalid {}

impl From<Invalid> for DecodeError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}
