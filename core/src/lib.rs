//! The core of Mycelium: messages, frames, lock-free rings and doorbells, without std and without a heap.
//!
//! The layers, from the bottom up, and what each may assume. [`message`](mod@message), [`fixed`] and [`descriptor`]
//! turn values into bytes and back; they assume nothing about the bytes, which may come from a hostile peer.
//! [`envelope`] and [`frame`] put a header and extensions around a message, and take them apart again, in buffers that
//! the caller lends. [`ring`] moves items and byte slots between threads and knows neither messages nor wakers;
//! [`doorbell`] lets a side that found nothing to do sleep until the other side rings. `sync` is the one door to
//! atomics for all of them, and the only place where the model checker takes over.
//!
//! What this crate refuses to know: a clock, a thread, a socket, a heap. Time and randomness are arguments, storage is
//! lent or inline, and the caller drives everything from a loop of its own.
#![no_std]
#![deny(unsafe_code)]

// `#[message]` writes paths that start at `::mycelium_core`; this lets it be used in here as well.
extern crate self as mycelium_core;

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(target_has_atomic = "ptr")]
pub mod channel;
pub mod descriptor;
#[cfg(target_has_atomic = "ptr")]
pub mod doorbell;
pub mod envelope;
pub mod error;
pub mod fixed;
pub mod frame;
pub mod link;
pub mod message;
pub mod ring;
#[cfg(not(any(loom, lines)))]
mod sync;
#[cfg(any(loom, lines))]
pub mod sync;
pub mod wait;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use descriptor::{
    Descriptor, Digest, EnumDescriptor, FieldDescriptor, FieldType, VariantDescriptor,
};
pub use envelope::{Envelope, TraceContext};
pub use error::{DecodeError, Invalid, InvalidReason};
pub use fixed::{FixedStr, FixedVec, NoRoom, TooLong};
pub use frame::{
    FrameError, FrameView, Frames, Header, Limits, WriteError, write_frame, write_message,
};
pub use message::{Field, Message, Words, decode, decode_ref, from_words, to_words, valid_words};
pub use mycelium_macros::core_message as message;
