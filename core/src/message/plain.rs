//! The fields of one size: numbers, arrays, options, tuples and the like.

#![allow(unsafe_code)]

use core::{array, mem, net::IpAddr, time::Duration};

use zerocopy::{
    Unalign,
    little_endian::{I128, U128},
};

use super::{
    check::{Bodies, Checked},
    encode::Encoder,
    field::{Field, Fixed, Form, IsFixed, Items, bytes_of, encode_items},
    places::{most_aligned, places},
};
use crate::{
    descriptor::{Descriptor, FieldDescriptor, FieldType},
    error::Invalid,
};

/// Implements the methods of a fixed field that only copy.
macro_rules! fixed {
    () => {
        const SIZE: usize = mem::size_of::<Self>();
        type Form = IsFixed<true>;

        #[inline(always)]
        fn encode(&self, at: usize, message: &mut Encoder<'_>) {
            message.write(at, bytes_of(self));
        }

        #[inline(always)]
        unsafe fn read(message: Checked<'_>, at: usize) -> Self {
            // SAFETY: this function's contract.
            unsafe { message.copy(at) }
        }
    };
}

/// The view of a small fixed field is a copy of its value.
macro_rules! view_is_value {
    () => {
        type View<'a> = Self;

        #[inline(always)]
        unsafe fn view<'a>(message: Checked<'a>, at: usize) -> Self {
            // SAFETY: this function's contract.
            unsafe { Self::read(message, at) }
        }
    };
}

/// All bytes are valid values.
macro_rules! plain_fields {
    ($($ty:ty => $variant:ident, $align:literal = $empty:expr;)*) => {$(
        // SAFETY: a number, for which all bytes are valid, and which is its own encoding.
        unsafe impl Field for $ty {
            const TYPE: FieldType = FieldType::$variant;
            const ALIGN: usize = $align;
            fixed!();
            view_is_value!();

            #[inline(always)]
            fn check(_: usize, _: &mut Bodies<'_>) -> Result<(), Invalid> {
                Ok(())
            }
        }

        // SAFETY: fixed.
        unsafe impl Fixed for $ty {
            const EMPTY: Self = $empty;
        }
    )*};
}

plain_fields! {
    u8 => U8, 1 = 0;
    u16 => U16, 2 = 0;
    u32 => U32, 4 = 0;
    u64 => U64, 8 = 0;
    u128 => U128, 16 = 0;
    i8 => I8, 1 = 0;
    i16 => I16, 2 = 0;
    i32 => I32, 4 = 0;
    i64 => I64, 8 = 0;
    i128 => I128, 16 = 0;
    f32 => F32, 4 = 0.0;
    f64 => F64, 8 = 0.0;
    // The numbers above are aligned to their size, which for 128 bits exceeds the limit of a
    // message. These types have no alignment.
    U128 => U128, 1 = U128::ZERO;
    I128 => I128, 1 = I128::ZERO;
}

// SAFETY: a byte that is 0 or 1.
unsafe impl Field for bool {
    const TYPE: FieldType = FieldType::Bool;
    const ALIGN: usize = 1;
    fixed!();
    view_is_value!();

    #[inline(always)]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        match message.part(at)? {
            [0 | 1] => Ok(()),
            [other] => Err(Invalid::value(other.into())),
        }
    }
}

// SAFETY: fixed.
unsafe impl Fixed for bool {
    const EMPTY: Self = false;
}

// SAFETY: a number that is checked to be a `char`.
unsafe impl Field for char {
    const TYPE: FieldType = FieldType::Char;
    const ALIGN: usize = 4;
    fixed!();
    view_is_value!();

    #[inline]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        let number = u32::from_le_bytes(message.part(at)?);
        char::from_u32(number).map_or_else(|| Err(Invalid::value(number.into())), |_| Ok(()))
    }
}

// SAFETY: fixed.
unsafe impl Fixed for char {
    const EMPTY: Self = '\0';
}

// SAFETY: items without padding between them, each of which is checked.
unsafe impl<T: Field, const N: usize> Field for [T; N] {
    const TYPE: FieldType = FieldType::Array { item: &T::TYPE, len: N };
    const SIZE: usize = N * T::SIZE;
    const ALIGN: usize = T::ALIGN;
    const HAS_UNUSED: bool = T::HAS_UNUSED;
    const DECODES: bool = T::DECODES;
    type Form = T::Form;
    type View<'a> = <T::Form as Form>::Part<'a, Self, Items<'a, T>>;

    #[inline]
    fn end_of_bodies(&self, end: usize) -> usize {
        if T::IS_FIXED { end } else { self.iter().fold(end, |end, item| item.end_of_bodies(end)) }
    }

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        encode_items(message, at, self);
    }

    #[inline(always)]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        (0..N).try_for_each(|index| T::check(at + index * T::SIZE, message))
    }

    #[inline]
    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> Self::View<'a> {
        // SAFETY: this function's contract.
        let items = |_| unsafe { Items::new(message, at, N) };
        // SAFETY: as above.
        unsafe { T::Form::part(message, at, items) }
    }

    #[inline]
    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        // SAFETY: this function's contract; `check` accepted each item.
        array::from_fn(|index| unsafe { T::read(message, at + index * T::SIZE) })
    }
}

// SAFETY: fixed, as its items are.
unsafe impl<T: Fixed, const N: usize> Fixed for [T; N] {
    const EMPTY: Self = [T::EMPTY; N];
}

// SAFETY: the bytes of `T`, without its alignment.
unsafe impl<T: Fixed> Field for Unalign<T> {
    const TYPE: FieldType = T::TYPE;
    const SIZE: usize = T::SIZE;
    const ALIGN: usize = 1;
    const HAS_UNUSED: bool = T::HAS_UNUSED;
    type Form = IsFixed<true>;
    view_is_value!();

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        self.get().encode(at, message);
    }

    #[inline]
    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        // SAFETY: this function's contract.
        unsafe { message.copy(at) }
    }

    #[inline(always)]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        T::check(at, message)
    }
}

// SAFETY: fixed, as its items are.
unsafe impl<T: Fixed> Fixed for Unalign<T> {
    const EMPTY: Self = Unalign::new(T::EMPTY);
}

// SAFETY: not fixed. The part is 0, or 1 and then the part of a value.
unsafe impl<T: Field> Field for Option<T> {
    const TYPE: FieldType =
        FieldType::Option { item: &T::TYPE, size: Self::SIZE, align: Self::ALIGN };
    const SIZE: usize = T::ALIGN + T::SIZE.next_multiple_of(T::ALIGN);
    const ALIGN: usize = T::ALIGN;
    const DECODES: bool = T::DECODES;
    type Form = IsFixed<false>;
    type View<'a> = Option<T::View<'a>>;

    #[inline]
    fn end_of_bodies(&self, end: usize) -> usize {
        self.as_ref().map_or(end, |value| value.end_of_bodies(end))
    }

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        if let Some(value) = self {
            message.write(at, &[1]);
            value.encode(at + T::ALIGN, message);
        }
    }

    #[inline]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        check_option::<T, _>(at, message, T::check).map(drop)
    }

    #[inline]
    fn decode(at: usize, message: &mut Bodies<'_>) -> Result<Self, Invalid> {
        check_option::<T, _>(at, message, T::decode)
    }

    #[inline]
    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> Self::View<'a> {
        // SAFETY: this function's contract; `check` accepted a value behind a 1.
        message.is_some(at).then(|| unsafe { T::view(message, at + T::ALIGN) })
    }

    #[inline]
    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        // SAFETY: as above.
        message.is_some(at).then(|| unsafe { T::read(message, at + T::ALIGN) })
    }
}

/// Checks an option; `check` checks its value.
#[inline(always)]
fn check_option<T: Field, R>(
    at: usize,
    message: &mut Bodies<'_>,
    check: impl FnOnce(usize, &mut Bodies<'_>) -> Result<R, Invalid>,
) -> Result<Option<R>, Invalid> {
    let size = <Option<T>>::SIZE;
    match message.part(at)? {
        [0] => message.check_zeros(at + 1, at + size).map(|()| None),
        [1] => {
            message.check_zeros(at + 1, at + T::ALIGN)?;
            let value = check(at + T::ALIGN, message)?;
            message.check_zeros(at + T::ALIGN + T::SIZE, at + size)?;
            Ok(Some(value))
        }
        [other] => Err(Invalid::value(other.into())),
    }
}

/// A field whose encoding is that of another: how a value becomes the other, and back.
macro_rules! encoded_as {
    ($ty:ty, $variant:ident, $parts:ty, $to:expr, $check:expr, $of:expr) => {
        // SAFETY: not fixed; the parts were checked.
        unsafe impl Field for $ty {
            const TYPE: FieldType = FieldType::$variant;
            const SIZE: usize = <$parts>::SIZE;
            const ALIGN: usize = <$parts>::ALIGN;
            type Form = IsFixed<false>;
            view_is_value!();

            #[inline]
            fn encode(&self, at: usize, message: &mut Encoder<'_>) {
                let to: fn(&$ty) -> $parts = $to;
                to(self).encode(at, message);
            }

            #[inline]
            fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
                <$parts>::check(at, message)?;
                let check: fn($parts) -> Result<(), Invalid> = $check;
                // SAFETY: checked.
                check(unsafe { <$parts>::read(message.seen(), at) })
            }

            #[inline]
            unsafe fn read(message: Checked<'_>, at: usize) -> Self {
                let of: fn($parts) -> $ty = $of;
                // SAFETY: this function's contract.
                of(unsafe { <$parts>::read(message, at) })
            }
        }
    };
}

encoded_as! {
    Duration, Duration, (u64, u32),
    |duration| (duration.as_secs(), duration.subsec_nanos()),
    |(_, nanoseconds)| match nanoseconds {
        0..1_000_000_000 => Ok(()),
        _ => Err(Invalid::value(nanoseconds.into())),
    },
    |(seconds, nanoseconds)| Duration::new(seconds, nanoseconds)
}

encoded_as! {
    IpAddr, IpAddr, (u8, [u8; 16]),
    |address| match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            (4, bytes)
        }
        IpAddr::V6(address) => (6, address.octets()),
    },
    |(version, bytes)| match (version, &bytes[4..]) {
        (6, _) | (4, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => Ok(()),
        _ => Err(Invalid::value(version.into())),
    },
    |(version, bytes)| match (version, bytes) {
        (4, [a, b, c, d, ..]) => [a, b, c, d].into(),
        _ => bytes.into(),
    }
}

/// Where the items of a tuple are in its part.
trait TuplePlaces {
    const PLACES: &[usize];
}

/// Tuples: structs whose fields are called `0`, `1` and so on.
macro_rules! tuple_fields {
    ($($count:literal: $($name:literal $index:tt $ty:ident)+;)*) => {$(
        impl<$($ty: Field),+> TuplePlaces for ($($ty,)+) {
            const PLACES: &[usize] =
                &const { places::<$count>([$(($ty::SIZE, $ty::ALIGN)),+]).0 };
        }

        // SAFETY: not fixed. Each item was checked at its place.
        #[diagnostic::do_not_recommend]
        unsafe impl<$($ty: Field),+> Field for ($($ty,)+) {
            const TYPE: FieldType = FieldType::Struct(&Descriptor {
                name: "tuple",
                size: Self::SIZE,
                align: Self::ALIGN,
                fields: &[$(FieldDescriptor {
                    name: $name,
                    offset: Self::PLACES[$index],
                    size: $ty::SIZE,
                    ty: $ty::TYPE,
                    default: None,
                    is_carried: false,
                }),+],
            });
            const SIZE: usize =
                places([$(($ty::SIZE, $ty::ALIGN)),+]).1.next_multiple_of(Self::ALIGN);
            const ALIGN: usize = most_aligned(&[$(($ty::SIZE, $ty::ALIGN)),+]);
            const DECODES: bool = $($ty::DECODES)||+;
            type Form = IsFixed<false>;
            type View<'a>
                = ($($ty::View<'a>,)+);

            #[inline]
            fn end_of_bodies(&self, end: usize) -> usize {
                $(let end = self.$index.end_of_bodies(end);)+
                end
            }

            #[inline]
            fn encode(&self, at: usize, message: &mut Encoder<'_>) {
                let places = Self::PLACES;
                $(self.$index.encode(at + places[$index], message);)+
            }

            #[inline]
            fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
                let places = Self::PLACES;
                let mut end = at;
                $(
                    message.check_zeros(end, at + places[$index])?;
                    $ty::check(at + places[$index], message)?;
                    end = at + places[$index] + $ty::SIZE;
                )+
                message.check_zeros(end, at + Self::SIZE)
            }

            #[inline]
            unsafe fn view<'a>(message: Checked<'a>, at: usize) -> Self::View<'a> {
                let places = Self::PLACES;
                // SAFETY: this function's contract; `check` accepted each item.
                ($(unsafe { $ty::view(message, at + places[$index]) },)+)
            }

            #[inline]
            unsafe fn read(message: Checked<'_>, at: usize) -> Self {
                let places = Self::PLACES;
                // SAFETY: as above.
                ($(unsafe { $ty::read(message, at + places[$index]) },)+)
            }
        }
    )*};
}

tuple_fields! {
    1: "0" 0 A;
    2: "0" 0 A "1" 1 B;
    3: "0" 0 A "1" 1 B "2" 2 C;
    4: "0" 0 A "1" 1 B "2" 2 C "3" 3 D;
    5: "0" 0 A "1" 1 B "2" 2 C "3" 3 D "4" 4 E;
    6: "0" 0 A "1" 1 B "2" 2 C "3" 3 D "4" 4 E "5" 5 F;
}

/// Returns where the second of two parts begins.
#[cfg(feature = "alloc")]
pub(super) const fn pair_place<A: Field, B: Field>() -> usize {
    <(A, B)>::PLACES[1]
}
