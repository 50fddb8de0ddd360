//! The core of Mycelium: messages, frames, lock-free rings and doorbells, without std and without a
//! heap.
//!
//! The layers, from the bottom up, and what each may assume. [`message`](mod@message), [`fixed`]
//! and [`descriptor`] turn values into bytes and back; they assume nothing about the bytes, which
//! may come from a hostile peer. [`envelope`] and [`frame`] put a header and extensions around a
//! message, and parse them again, in buffers of the caller. [`ring`] moves items and byte slots
//! between threads and depends on neither messages nor wakers. [`doorbell`] lets a side that found
//! nothing sleep until the other side rings. [`channel`] joins the two, and [`wait`] limits how
//! long a task spins before it sleeps. [`link`] is the protocol between two nodes, [`legacy`] the
//! protocol with clients of the original system. `sync` has the atomics of all these modules; it is
//! the only file that the model checker replaces.
//!
//! This crate uses no clock, thread, socket or heap. Time and randomness are arguments, storage is
//! borrowed or inline, and the caller drives everything from its own loop.
#![no_std]
#![deny(unsafe_code)]

// `#[message]` writes paths that start with `::mycelium_core`; this makes them valid in this crate
// too.
extern crate self as mycelium_core;

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(target_has_atomic = "ptr")]
pub mod channel;
mod code;
pub mod descriptor;
#[cfg(target_has_atomic = "ptr")]
pub mod doorbell;
pub mod envelope;
pub mod error;
pub mod fixed;
pub mod frame;
pub mod legacy;
pub mod link;
pub mod message;
pub mod ring;
#[cfg(not(any(loom, lines)))]
mod sync;
#[cfg(any(loom, lines))]
pub mod sync;
pub mod trace;
pub mod wait;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use code::{Code, UnknownCode};
pub use descriptor::{
    ChoiceDescriptor, Descriptor, Digest, EnumDescriptor, FieldDescriptor, FieldType,
    VariantDescriptor,
};
pub use envelope::Envelope;
pub use error::{DecodeError, EncodeError, Invalid, InvalidReason};
pub use fixed::{FixedStr, FixedVec, NoRoom, TooLong, TooMany, U256};
pub use frame::{
    FrameError, FrameView, Frames, Header, Limits, WriteError, write_frame, write_message,
};
#[cfg(feature = "alloc")]
pub use message::to_bytes;
pub use message::{
    Field, Fixed, Message, Request, Words, decode, decode_ref, encode, encoded_len, from_words,
    to_words, valid_words, view,
};
#[cfg(target_has_atomic = "ptr")]
pub use sync::SharedWords;

/// Integers of 128 bits without alignment, for fields of messages: `U128::from(7)` creates one,
/// `get` returns the number.
pub use zerocopy::little_endian::{I128, U128};

/// # Examples
///
/// ```
/// # #[cfg(feature = "alloc")] {
/// use mycelium_core::{decode, encode, message, view};
/// use zerocopy::IntoBytes;
///
/// #[message(topic = "orders", max = "256 KiB")]
/// #[derive(Debug, PartialEq)]
/// struct Order {
///     id: u64,
///     venue: String,
///     note: Option<String>,
///     legs: Vec<Leg>,
///     kind: Kind,
/// }
///
/// #[message]
/// #[derive(Debug, PartialEq)]
/// struct Leg {
///     price: i64,
///     amount: u64,
/// }
///
/// #[message]
/// #[derive(Debug, PartialEq)]
/// enum Kind {
///     Market,
///     Limit { cents: i64 },
///     Iceberg(u32, i64),
/// }
///
/// let legs = vec![Leg { price: 7, amount: 2 }];
/// let kind = Kind::Limit { cents: 12 };
/// let order = Order { id: 1, venue: "Uniswap".into(), note: None, legs, kind };
///
/// // The encoding begins at a multiple of 8.
/// let mut words = [0_u64; 32];
/// let len = encode(&order, words.as_mut_bytes()).unwrap();
/// let bytes = &words.as_bytes()[..len];
///
/// let read = view::<Order>(bytes).unwrap();
/// assert_eq!((read.venue(), read.note()), ("Uniswap", None));
/// assert_eq!(read.legs(), [Leg { price: 7, amount: 2 }]);
/// assert!(matches!(read.kind(), KindView::Limit { cents: 12 }));
/// assert_eq!(decode::<Order>(bytes).unwrap(), order);
/// # }
/// ```
///
/// A fixed message:
///
/// ```
/// use mycelium_core::{Fixed, FixedStr, Message, decode, message};
///
/// #[message]
/// #[repr(u8)]
/// #[derive(Debug, PartialEq)]
/// enum Side {
///     Buy,
///     Sell,
/// }
///
/// #[message(topic = "swaps", id = 1, pad)]
/// #[derive(Debug, PartialEq)]
/// struct Swap {
///     side: Side,
///     price: u64,
///     pool: FixedStr<10>,
/// }
///
/// let swap = Swap::new(Side::Sell, 7, "ETH/USD".try_into()?);
/// assert_eq!(format!("{swap:?}"), r#"Swap { side: Sell, price: 7, pool: "ETH/USD" }"#);
/// assert_eq!(size_of::<Swap>(), 1 + 7 + 8 + 12 + 4);
/// assert_eq!(decode::<Swap>(swap.encoded())?, swap);
///
/// let cheaper = Swap { price: 6, ..swap };
/// let Swap { side, price, .. } = cheaper;
/// assert_eq!((side, price), (Side::Sell, 6));
///
/// let pads = Swap::DESCRIPTOR.fields.iter().filter(|field| field.name == "_pad");
/// assert_eq!(pads.map(|field| (field.offset, field.size)).collect::<Vec<_>>(), [(1, 7), (28, 4)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub use mycelium_macros::core_message as message;
pub use trace::{TraceContext, TraceParseError};
