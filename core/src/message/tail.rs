//! Messages that end with a list of bytes or numbers: [`Tail`]. A publisher can write such a list
//! in place, behind the encoded rest of the message.

#![allow(unsafe_code)]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::types::Message;

/// A message whose last field is a list of bytes or numbers, which a publisher can write in place:
/// `Publisher::reserve`. [`#[message]`](macro@crate::message) implements it if the type of the
/// field is written as `Vec<u8>`, a `Vec` of other numbers, or `Bytes`.
///
/// # Safety
/// The part of the last field is at [`PLACE`](Tail::PLACE) in the encoded message, and the field is
/// encoded as a list of [`Item`](Tail::Item).
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no list at its end that could be written in place",
    label = "its last field is not a list of bytes or numbers",
    note = "the last field must be `Vec<u8>`, a `Vec` of integers or floats, or `Bytes`"
)]
pub unsafe trait Tail: Message {
    /// An item of the list.
    type Item: FromBytes + IntoBytes + Immutable + KnownLayout + 'static;
    /// The place of the field's part.
    #[doc(hidden)]
    const PLACE: usize;

    /// Removes the items from the list.
    #[doc(hidden)]
    fn clear(&mut self);
}

/// A list that can be the last field of a [`Tail`].
#[doc(hidden)]
pub trait List: Default {
    type Item;
}

#[cfg(feature = "alloc")]
macro_rules! lists_of_numbers {
    ($($item:ty),*) => {$(
        impl List for alloc::vec::Vec<$item> {
            type Item = $item;
        }
    )*};
}

#[cfg(feature = "alloc")]
lists_of_numbers!(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);

#[cfg(feature = "bytes")]
impl List for bytes::Bytes {
    type Item = u8;
}
