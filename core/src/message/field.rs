//! What a field of a message is, and the fields of one size.

#![allow(unsafe_code)]

use core::{array, mem, net::IpAddr, time::Duration};

use zerocopy::{
    Unalign,
    little_endian::{I128, U128},
};

use super::{
    Bodies, Checked, Encoder, Items,
    cast::bytes_of,
    form::{Fixed, Form, IsFixed},
};
use crate::{
    __private::{most_aligned, places},
    FixedStr, FixedVec, U256,
    descriptor::{Descriptor, FieldDescriptor, FieldType},
    error::{Invalid, InvalidReason},
};

/// A type that can be a field of a message: numbers of up to 64 bits, [`U128`], [`I128`],
/// [`U256`](crate::U256), `bool`, `char`, arrays, [`FixedStr`](crate::FixedStr),
/// [`FixedVec`](crate::FixedVec), `Option`, tuples, `Duration`, `IpAddr`, types with `#[message]`,
/// with the feature `alloc` also `String`, `Box<str>`, `Arc<str>`, `Vec` and `BTreeMap`, and with the
/// feature `bytes` also `bytes::Bytes`.
///
/// A field is encoded as a *part* of [`SIZE`](Field::SIZE) bytes and, unless all its values have
/// one size, *bodies* behind the parts of the message: a part then has the place and the length of
/// its body.
///
/// # Safety
///
/// If [`IS_FIXED`](Field::IS_FIXED), the type has no padding, no interior mutability and no
/// references, its size is [`SIZE`](Field::SIZE), its alignment divides [`ALIGN`](Field::ALIGN), and
/// bytes that [`check`](Field::check) accepts are those of a valid value. Otherwise
/// [`view`](Field::view) and [`read`](Field::read) are sound for each place that `check` accepts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a message",
    label = "not a type that a message can have",
    note = "numbers, `bool`, `char`, `String`, `Vec<T>`, `Option<T>`, `BTreeMap<K, V>`, arrays, \
            tuples, `Duration`, `IpAddr`, `FixedStr<N>` and `FixedVec<T, N>` can; a struct or enum \
            of yours can once it has `#[message]` too"
)]
pub unsafe trait Field: Clone + 'static {
    /// What the bytes of the field mean.
    const TYPE: FieldType;
    /// The size of the field's part in bytes.
    const SIZE: usize;
    /// The alignment of the field's part in bytes, the same on all hosts.
    const ALIGN: usize;
    /// Whether the type is its own encoding: [`IsFixed<true>`](IsFixed) or `IsFixed<false>`.
    type Form: Form;
    /// Whether the type is its own encoding.
    const IS_FIXED: bool = <Self::Form as Form>::IS_FIXED;
    /// Whether a fixed value has bytes that mean nothing, such as those behind a text.
    const HAS_UNUSED: bool = false;
    /// What reads the field in place.
    type View<'a>: Copy;

    /// Returns where the bodies of the message end, with those of this field, if they end at `end`
    /// without it.
    #[inline(always)]
    fn end_of_bodies(&self, end: usize) -> usize {
        end
    }

    /// Writes the field, whose part is at `at` and has only zeros so far.
    fn encode(&self, at: usize, message: &mut Encoder<'_>);

    /// Checks the field whose part is at `at`: that it can be read, and that no other bytes encode
    /// the same value.
    ///
    /// # Errors
    ///
    /// The first error found.
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid>;

    /// Returns what reads the field in place.
    ///
    /// # Safety
    /// [`check`](Field::check) accepted the field at this place.
    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> Self::View<'a>;

    /// Decodes the field.
    ///
    /// # Safety
    /// [`check`](Field::check) accepted the field at this place.
    unsafe fn read(message: Checked<'_>, at: usize) -> Self;
}

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
    U256 => U256, 1 = U256::ZERO;
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
    type Form = T::Form;
    type View<'a> = <T::Form as Form>::Part<'a, Self, Items<'a, T>>;

    #[inline]
    fn end_of_bodies(&self, end: usize) -> usize {
        if T::IS_FIXED { end } else { self.iter().fold(end, |end, item| item.end_of_bodies(end)) }
    }

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        message.items(at, self);
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

// SAFETY: the bytes of the text that are in use are checked; all others may have any value, and
// there is no padding, because the type has no alignment.
unsafe impl<const N: usize> Field for FixedStr<N> {
    const TYPE: FieldType = {
        let () = Self::FITS;
        FieldType::Text { capacity: N }
    };
    const SIZE: usize = COUNT + N;
    const ALIGN: usize = 1;
    const HAS_UNUSED: bool = true;
    type Form = IsFixed<true>;

    type View<'a> = &'a Self;

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        let text = self.as_raw_bytes();
        message.write(at, &(text.len() as u16).to_le_bytes());
        message.write(at + COUNT, text);
    }

    #[inline]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        let len = count_of(at, N, message)?;
        message.check_text(at + COUNT, len)?;
        message.check_unused(at + COUNT + len, at + Self::SIZE)
    }

    #[inline]
    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> &'a Self {
        // SAFETY: this function's contract.
        unsafe { message.borrow(at) }
    }

    #[inline]
    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        // SAFETY: this function's contract.
        unsafe { message.copy(at) }
    }
}

// SAFETY: fixed.
unsafe impl<const N: usize> Fixed for FixedStr<N> {
    const EMPTY: Self = Self::new();
}

// SAFETY: every item is checked, also those that are not in use; there is no padding, because the
// type has no alignment.
unsafe impl<T: Fixed, const N: usize> Field for FixedVec<T, N> {
    const TYPE: FieldType = {
        let () = Self::FITS;
        FieldType::List { item: &T::TYPE, capacity: N }
    };
    const SIZE: usize = COUNT + N * T::SIZE;
    const ALIGN: usize = 1;
    const HAS_UNUSED: bool = true;
    type Form = IsFixed<true>;
    type View<'a> = &'a Self;

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        message.write(at, &(self.len() as u16).to_le_bytes());
        for index in 0..N {
            let item = self.get(index).unwrap_or(T::EMPTY);
            item.encode(at + COUNT + index * T::SIZE, message);
        }
    }

    #[inline]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        let count = count_of(at, N, message)?;
        (0..N).try_for_each(|index| T::check(at + COUNT + index * T::SIZE, message))?;
        message.check_unused_items::<T>(at + COUNT + count * T::SIZE, N - count)
    }

    #[inline]
    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> &'a Self {
        // SAFETY: this function's contract.
        unsafe { message.borrow(at) }
    }

    #[inline]
    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        // SAFETY: this function's contract.
        unsafe { message.copy(at) }
    }
}

// SAFETY: fixed, as its items are.
unsafe impl<T: Fixed, const N: usize> Fixed for FixedVec<T, N> {
    const EMPTY: Self = Self::new();
}

/// The size of the count before a text or a list of bounded length.
const COUNT: usize = size_of::<u16>();

/// Returns the count of a text or a list of bounded length.
#[inline]
fn count_of(at: usize, capacity: usize, message: &Bodies<'_>) -> Result<usize, Invalid> {
    let found = usize::from(u16::from_le_bytes(message.part(at)?));
    if found > capacity {
        return Err(Invalid::unnamed(InvalidReason::Count { capacity, found }));
    }
    Ok(found)
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
        match message.part(at)? {
            [0] => message.check_zeros(at + 1, at + Self::SIZE),
            [1] => {
                message.check_zeros(at + 1, at + T::ALIGN)?;
                T::check(at + T::ALIGN, message)?;
                message.check_zeros(at + T::ALIGN + T::SIZE, at + Self::SIZE)
            }
            [other] => Err(Invalid::value(other.into())),
        }
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
                }),+],
            });
            const SIZE: usize =
                places([$(($ty::SIZE, $ty::ALIGN)),+]).1.next_multiple_of(Self::ALIGN);
            const ALIGN: usize = most_aligned(&[$(($ty::SIZE, $ty::ALIGN)),+]);
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
