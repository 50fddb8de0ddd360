//! Why bytes are not a message.
//!
//! Each error names the message, what was expected and what was found, as a lower-case sentence
//! without a full stop, so that it can stand inside another one.

use core::fmt;

use thiserror::Error;

/// Why bytes were refused as a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame carries another type.
    #[error("message `{message}` has id {expected}, but the frame carries id {found}")]
    Type {
        /// The message that was asked for.
        message: &'static str,
        /// Its id.
        expected: u16,
        /// The id in the frame.
        found: u16,
    },
    /// There are too few bytes, or too many.
    #[error("message `{message}`: expected {expected} bytes, found {found}")]
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
    #[error("message `{message}`: expected bytes aligned to {expected}, to read it in place")]
    Misaligned {
        /// The message that was asked for.
        message: &'static str,
        /// Its alignment in bytes.
        expected: usize,
    },
    /// A `bool` or an enum holds a number that stands for none of its values.
    #[error("field `{field}` of message `{message}`: invalid value {found}")]
    Value {
        /// The message that was asked for.
        message: &'static str,
        /// The field, innermost if it is nested.
        field: &'static str,
        /// The number it holds.
        found: i128,
    },
    /// A text or a list is not sound.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Which text or list is not sound, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{}{reason}", subject(message, field))]
pub struct Invalid {
    /// The message, or the struct in it, that has the field.
    pub message: &'static str,
    /// The field; empty as long as nobody has said.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: InvalidReason,
}

/// What can be wrong with a text or a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidReason {
    /// It counts more items (of a text: bytes) than it has room for.
    #[error("count {found} exceeds the capacity {capacity}")]
    Count {
        /// How many there is room for.
        capacity: usize,
        /// How many it counts.
        found: usize,
    },
    /// A text is not UTF-8.
    #[error("invalid UTF-8 at byte {valid_up_to}")]
    Utf8 {
        /// How many bytes are good before the first bad one.
        valid_up_to: usize,
    },
}

impl Invalid {
    /// A reason whose field is yet to be named, as [`Field::check`](crate::Field::check) of a text
    /// or list gives it.
    #[cold]
    pub const fn unnamed(reason: InvalidReason) -> Self {
        Self { message: "", field: "", reason }
    }

    /// Names the field and its struct, unless a nested one has named its own already.
    #[cold]
    pub const fn within(self, message: &'static str, field: &'static str) -> Self {
        if self.field.is_empty() { Self { message, field, ..self } } else { self }
    }
}

/// Names the field, if it is known.
fn subject(message: &str, field: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| match field {
        "" => Ok(()),
        _ => write!(f, "field `{field}` of message `{message}`: "),
    })
}
