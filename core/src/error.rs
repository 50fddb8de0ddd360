//! Errors of decoding: why bytes are not a message.
//!
//! Each error names the message, the expected value and the found value. Its text is lower case and
//! has no full stop, so that it can be part of another text.

use core::fmt;

use thiserror::Error;

use crate::Code;

/// Makes `{:?}` of errors print the same as `{}`, because an error that `main` returns, or that
/// `unwrap` finds, is printed with `{:?}`.
///
/// `debug_as_display!(ThisError, ThatError);` replaces `Debug` in the list of derives.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_as_display {
    // For an error that returns an item: the item need not be `Debug`.
    (<T> $error:ident) => {
        impl<T> ::core::fmt::Debug for $error<T> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(self, f)
            }
        }
    };
    ($($error:ty),+ $(,)?) => {$(
        impl ::core::fmt::Debug for $error {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Display::fmt(self, f)
            }
        }
    )+};
}

/// Why bytes are not a valid message.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame has another type.
    #[error("message `{message}` has id {expected}, but the frame carries id {found}")]
    Type {
        /// The message that was expected.
        message: &'static str,
        /// The expected id.
        expected: u16,
        /// The id in the frame.
        found: u16,
    },
    /// The number of bytes is wrong.
    #[error("message `{message}`: expected {expected} bytes, found {found}")]
    Size {
        /// The message that was expected.
        message: &'static str,
        /// The message's size in bytes.
        expected: usize,
        /// How many bytes were given.
        found: usize,
    },
    /// The bytes are not aligned, so the message cannot be read in place. [`decode`](crate::decode)
    /// copies them.
    #[error("message `{message}`: expected bytes aligned to {expected}, to read it in place")]
    Misaligned {
        /// The message that was expected.
        message: &'static str,
        /// The message's alignment in bytes.
        expected: usize,
    },
    /// A field is invalid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Why a message cannot be encoded.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The encoded message is too long.
    #[error(
        "message `{message}` has {found} bytes, but may have {most}: write `max` in its #[message]"
    )]
    TooLong {
        /// The message.
        message: &'static str,
        /// The most bytes that it may have.
        most: usize,
        /// How many bytes it has.
        found: usize,
    },
    /// The `Serialize` of the message returns an error, has a list of unknown length, or does not
    /// write the same bytes twice.
    #[error(
        "message `{message}` cannot be encoded: its `Serialize` fails, or has a list of unknown \
         length"
    )]
    Serialize {
        /// The message.
        message: &'static str,
    },
}

/// Which field is invalid, and why.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("{}{reason}", subject(message, field))]
pub struct Invalid {
    /// The name of the message type, or of the nested struct, that has the invalid field.
    pub message: &'static str,
    /// The field; empty until its struct has set it.
    pub field: &'static str,
    /// Why the field is invalid.
    pub reason: InvalidReason,
}

/// Why a field is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidReason {
    /// A `bool`, a `char` or an enum has an invalid value.
    #[error("invalid value {found}")]
    Value {
        /// The invalid value.
        found: i128,
    },
    /// The count of items (of a text: bytes) exceeds the capacity.
    #[error("count {found} exceeds the capacity {capacity}")]
    Count {
        /// The capacity.
        capacity: usize,
        /// The count.
        found: usize,
    },
    /// The text is not UTF-8.
    #[error("invalid UTF-8 at byte {valid_up_to}")]
    Utf8 {
        /// How many valid bytes precede the first invalid one.
        valid_up_to: usize,
    },
    /// The body of the field does not begin where the bodies before it end.
    #[error("its body is at byte {found} of the message, not at {expected}")]
    Place {
        /// Where the body must begin; 0 for an empty one.
        expected: usize,
        /// Where it begins.
        found: usize,
    },
    /// The message does not have the bytes that its fields claim.
    #[error("the message has {found} bytes, not {expected}")]
    Length {
        /// The number of bytes; `usize::MAX` if the number is larger than a message can be.
        expected: usize,
        /// How many bytes were given.
        found: usize,
    },
    /// A byte that means nothing is not zero.
    #[error("byte {at} of the message is not in use, but is not zero")]
    Padding {
        /// The place of the byte.
        at: usize,
    },
    /// A key of a map is not greater than the one before it.
    #[error("the keys are not in rising order, or one is there twice")]
    Order,
    /// The bytes are not a value of its type in postcard.
    #[error("invalid postcard: {problem}")]
    Postcard {
        /// What is wrong with them.
        problem: &'static str,
    },
}

debug_as_display!(DecodeError, EncodeError, Invalid, InvalidReason);

impl DecodeError {
    /// Returns the code of the error.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            DecodeError::Type { .. } => Code::MESSAGE_TYPE,
            DecodeError::Size { .. } => Code::MESSAGE_SIZE,
            DecodeError::Misaligned { .. } => Code::MESSAGE_ALIGNMENT,
            DecodeError::Invalid(Invalid { reason: InvalidReason::Value { .. }, .. }) => {
                Code::FIELD_VALUE
            }
            DecodeError::Invalid(_) => Code::FIELD_CONTENT,
        }
    }
}

impl Invalid {
    /// Creates an error without a field, for an invalid value.
    #[cold]
    #[must_use]
    pub const fn value(found: i128) -> Self {
        Self::unnamed(InvalidReason::Value { found })
    }

    /// Creates an error without a field, for any reason.
    #[cold]
    #[must_use]
    pub const fn unnamed(reason: InvalidReason) -> Self {
        Self { message: "", field: "", reason }
    }

    /// Sets the field and its struct, unless a nested struct has set its own.
    #[cold]
    pub const fn within(self, message: &'static str, field: &'static str) -> Self {
        if self.field.is_empty() { Self { message, field, ..self } } else { self }
    }
}

/// Writes the name of the field, if it is known.
fn subject(message: &str, field: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| match field {
        "" => Ok(()),
        _ => write!(f, "field `{field}` of message `{message}`: "),
    })
}
