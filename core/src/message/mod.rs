//! Messages: how values become bytes and are read again.
//!
//! `#[message]` on a struct implements [`Message`]. A message of numbers, bounded texts and the
//! like is *fixed*: its layout in memory is also its encoding, so that encoding copies its bytes,
//! and readers use it in place. Every other message is encoded as a part of a constant size, and
//! bodies behind it ([`Field`]).
//!
//! Bytes are checked once, before anything is read through them. The compiler selects the checks:
//! only the length for a message of numbers; also the bytes of `bool`s and enums, counts, UTF-8,
//! and the places of bodies.
//!
//! A message of serde's is one list of bytes, which hold its value in postcard. It is decoded to be
//! checked (`postcard/`).
//!
//! Read `encode.rs` and `check.rs` (the two directions), `field.rs` (what a field is), `plain.rs`
//! and `owned.rs` (the fields), `types.rs` (messages and requests), then `codec.rs`.
//!
//! # Panics
//!
//! No function here panics for any bytes. A wrong length, alignment or value is an error, and
//! a decoded message needs no further check.

mod check;
mod codec;
mod encode;
#[cfg(feature = "alloc")]
mod entries;
mod field;
#[cfg(feature = "alloc")]
mod owned;
mod places;
mod plain;
// For generated code.
#[cfg(feature = "serde")]
#[doc(hidden)]
pub mod postcard;
mod tail;
mod types;

#[cfg(feature = "serde")]
pub use self::postcard::PostcardView;
pub use check::{Bodies, Checked};
#[cfg(feature = "alloc")]
pub use codec::to_bytes;
pub use codec::{
    decode, decode_checked, decode_ref, encode, encode_exact, encoded_len, from_words, keep,
    to_words, valid, valid_words, view, view_checked, with_message,
};
pub use encode::Encoder;
#[cfg(feature = "alloc")]
pub use entries::Entries;
pub use field::{Decoded, Field, Fixed, Form, IsFixed, Items, Place};
pub use tail::{List, Tail};
pub use types::{AnswerHead, CallHead, Message, NO_ID, ReplyPart, Request, Words};

pub(crate) use field::{bytes_of, check_value};

// What `__private` re-exports for generated code.
#[doc(hidden)]
pub use field::{bytes_of_default, encode_fixed};
#[doc(hidden)]
pub use places::{most_aligned, places};
