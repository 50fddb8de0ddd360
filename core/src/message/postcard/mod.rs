//! Messages that are types of serde, `#[message(.., codec = "postcard")]`: a message of one field, a
//! list of bytes, which hold the value in postcard.
//!
//! The name of the field says so, and has the schema (`schema.rs`). So everything that knows only
//! layouts works as for any list of bytes. `decode.rs` decodes bytes that may come from a hostile
//! peer.
//!
//! # Panics
//!
//! The `Serialize` and the `Deserialize` of a user may panic. The generated code catches a panic of
//! `Deserialize`; one of `Serialize` is that of the emitter.

mod decode;
mod schema;

use ::postcard::{ser_flavors::Size, serialize_with_flavor, to_slice};
use serde::Serialize;

use super::encode::{Encoder, UNKNOWN_END, end_of_body};
use crate::error::{Invalid, InvalidReason};

pub use decode::decode;
pub use schema::{HasSchema, Schema, name};

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
