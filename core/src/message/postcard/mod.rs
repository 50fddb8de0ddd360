//! Messages that are types of serde, `#[message(.., codec = "postcard")]`. Such a message has one
//! field, a list of bytes, which hold the value in postcard.
//!
//! The name of the field says so, and has the schema (`schema.rs`). So everything that knows only
//! layouts works as for any list of bytes. `decode.rs` decodes bytes that may come from a hostile
//! peer.
//!
//! # Panics
//!
//! The `Serialize` and the `Deserialize` of a user may panic. The generated code catches a panic of
//! `Deserialize`. A panic of `Serialize` goes on to the caller of `emit`.

mod decode;
mod schema;

use core::{fmt, marker::PhantomData};

use ::postcard::{ser_flavors::Size, serialize_with_flavor, to_slice};
use serde::{Serialize, de::DeserializeOwned};

use super::encode::{Encoder, UNKNOWN_END, end_of_body};
use crate::error::{Invalid, InvalidReason};

pub use decode::decode;
pub use schema::{HasSchema, Schema, name};

/// The bytes of a `T` that serde encodes, in the view of a message.
pub struct PostcardView<'a, T> {
    bytes: &'a [u8],
    of: PhantomData<fn() -> T>,
}

impl<'a, T> PostcardView<'a, T> {
    #[doc(hidden)]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, of: PhantomData }
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// Only if its `Deserialize`, which has accepted the bytes before, now refuses them.
    pub fn decode(self) -> Result<T, Invalid>
    where
        T: DeserializeOwned,
    {
        decode(self.bytes)
    }
}

impl<T> Clone for PostcardView<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for PostcardView<'_, T> {}

impl<T> fmt::Debug for PostcardView<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostcardView").field(&self.bytes).finish()
    }
}

/// Returns where the bytes of a value end, if the bodies before it end at `end`.
pub fn end_of_bytes<T: Serialize>(value: &T, end: usize) -> usize {
    match serialize_with_flavor(value, Size::default()) {
        Ok(len) => end_of_body(end, len),
        Err(_) => UNKNOWN_END,
    }
}

/// Writes a value.
pub fn encode<T: Serialize>(value: &T, at: usize, message: &mut Encoder<'_>) {
    message.list_with(at, |room| to_slice(value, room).ok().map(|bytes| bytes.len()));
}

/// Returns the error of a `Deserialize` that panicked.
#[cold]
#[must_use]
pub fn panicked() -> Invalid {
    Invalid::unnamed(InvalidReason::Postcard { problem: "its `Deserialize` panics" })
}
