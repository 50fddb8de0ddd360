//! Fields on the heap: texts, lists and maps of any length.

#![allow(unsafe_code)]

#[cfg(target_has_atomic = "ptr")]
use alloc::sync::Arc;
use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use super::{
    check::{Bodies, Checked},
    encode::{ALIGNMENT, Encoder, end_of_body},
    entries::Entries,
    field::{Field, Form, IsFixed, Items, check_list, encode_list},
    plain::pair_place,
};
use crate::{
    descriptor::FieldType,
    error::{Invalid, InvalidReason},
};

/// The size of a part with the place and the length of a body.
const SIZE: usize = 8;
/// The alignment of such a part.
const ALIGN: usize = 4;

/// Refuses, at compile time, items that a list cannot have. A check takes time in proportion to the
/// bytes of a list, so an item has some.
const fn check_item<T: Field>() {
    assert!(T::SIZE > 0, "an item of a list has no bytes: send the number of items instead");
    assert!(
        T::ALIGN <= ALIGNMENT,
        "an item of a list is aligned to more than 8 bytes: use `U128` in place of `u128`"
    );
}

macro_rules! text_fields {
    ($($ty:ty),*) => {$(
        // SAFETY: not fixed. The body was checked as UTF-8.
        unsafe impl Field for $ty {
            const TYPE: FieldType = FieldType::String;
            const SIZE: usize = SIZE;
            const ALIGN: usize = ALIGN;
            type Form = IsFixed<false>;
            type View<'a> = &'a str;

            #[inline]
            fn end_of_bodies(&self, end: usize) -> usize {
                end_of_body(end, self.len())
            }

            #[inline]
            fn encode(&self, at: usize, message: &mut Encoder<'_>) {
                message.bytes(at, self.len(), self.as_bytes());
            }

            #[inline]
            fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
                let (place, len) = message.body(at, 1)?;
                message.check_text(place, len)
            }

            #[inline]
            unsafe fn view<'a>(message: Checked<'a>, at: usize) -> &'a str {
                let (place, len) = message.body(at);
                // SAFETY: this function's contract.
                unsafe { message.text(place, len) }
            }

            #[inline]
            unsafe fn read(message: Checked<'_>, at: usize) -> Self {
                // SAFETY: this function's contract.
                unsafe { Self::view(message, at) }.into()
            }
        }
    )*};
}

text_fields!(String, Box<str>);
#[cfg(target_has_atomic = "ptr")]
text_fields!(Arc<str>);

// SAFETY: not fixed. Each item was checked.
unsafe impl<T: Field> Field for Vec<T> {
    const TYPE: FieldType = {
        check_item::<T>();
        FieldType::Sequence { item: &T::TYPE, stride: T::SIZE }
    };
    const SIZE: usize = SIZE;
    const ALIGN: usize = ALIGN;
    const DECODES: bool = T::DECODES;
    type Form = IsFixed<false>;
    type View<'a> = <T::Form as Form>::List<'a, T>;

    #[inline]
    fn end_of_bodies(&self, end: usize) -> usize {
        let end = end_of_body(end, self.len().saturating_mul(T::SIZE));
        if T::IS_FIXED { end } else { self.iter().fold(end, |end, item| item.end_of_bodies(end)) }
    }

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        encode_list(message, at, self);
    }

    #[inline]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        check_list::<T>(at, message).map(drop)
    }

    #[inline]
    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> Self::View<'a> {
        let (place, count) = message.body(at);
        // SAFETY: this function's contract.
        unsafe { T::Form::list(message, place, count) }
    }

    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        let (place, count) = message.body(at);
        if T::IS_FIXED {
            // SAFETY: as below.
            return unsafe { message.slice::<T>(place, count) }.to_vec();
        }
        // SAFETY: this function's contract; `check` accepted each item.
        (0..count).map(|index| unsafe { T::read(message, place + index * T::SIZE) }).collect()
    }
}

/// Encoded as a `Vec<u8>`.
#[cfg(feature = "bytes")]
// SAFETY: not fixed. Each byte is valid.
unsafe impl Field for bytes::Bytes {
    const TYPE: FieldType = <Vec<u8>>::TYPE;
    const SIZE: usize = SIZE;
    const ALIGN: usize = ALIGN;
    type Form = IsFixed<false>;
    type View<'a> = &'a [u8];

    #[inline]
    fn end_of_bodies(&self, end: usize) -> usize {
        end_of_body(end, self.len())
    }

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        message.bytes(at, self.len(), self);
    }

    #[inline]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        message.list(at).map(drop)
    }

    #[inline]
    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> &'a [u8] {
        message.list(at)
    }

    #[inline]
    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        // SAFETY: this function's contract.
        Self::copy_from_slice(unsafe { Self::view(message, at) })
    }
}

// SAFETY: not fixed. Each entry was checked.
unsafe impl<K: Field + Ord, V: Field> Field for BTreeMap<K, V>
where
    for<'k> K::View<'k>: PartialOrd,
{
    const TYPE: FieldType = {
        check_item::<(K, V)>();
        FieldType::Map { entry: &<(K, V)>::TYPE }
    };
    const SIZE: usize = SIZE;
    const ALIGN: usize = ALIGN;
    const DECODES: bool = <(K, V)>::DECODES;
    type Form = IsFixed<false>;
    type View<'a> = Entries<'a, K, V>;

    fn end_of_bodies(&self, end: usize) -> usize {
        let end = end_of_body(end, self.len().saturating_mul(<(K, V)>::SIZE));
        self.iter().fold(end, |end, (key, value)| value.end_of_bodies(key.end_of_bodies(end)))
    }

    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        let size = <(K, V)>::SIZE;
        let place = message.empty_list(at, self.len(), size);
        for (index, (key, value)) in self.iter().enumerate() {
            key.encode(place + index * size, message);
            value.encode(place + index * size + pair_place::<K, V>(), message);
        }
    }

    /// Also checks that each key is greater than the one before it.
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        let (place, count) = check_list::<(K, V)>(at, message)?;
        // SAFETY: each entry was checked.
        let keys =
            unsafe { Items::<(K, V)>::new(message.seen(), place, count) }.map(|(key, _)| key);
        if keys.is_sorted_by(|one, next| one < next) {
            return Ok(());
        }
        Err(Invalid::unnamed(InvalidReason::Order))
    }

    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> Self::View<'a> {
        let (place, count) = message.body(at);
        // SAFETY: this function's contract.
        Entries(unsafe { Items::new(message, place, count) })
    }

    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        let (place, count) = message.body(at);
        let entry = |index| place + index * <(K, V)>::SIZE;
        // SAFETY: this function's contract; `check` accepted each entry.
        (0..count).map(|index| unsafe { <(K, V)>::read(message, entry(index)) }).collect()
    }
}
