//! What a field of a message is: [`Field`], and what it is made of.

#![allow(unsafe_code)]

use core::{fmt, iter::FusedIterator, marker::PhantomData, mem, slice};

use super::{
    check::{Bodies, Checked},
    encode::Encoder,
};
use crate::{descriptor::FieldType, error::Invalid};

/// A type that can be a field of a message: numbers of up to 64 bits, [`U128`](crate::U128),
/// [`I128`](crate::I128), [`U256`](crate::U256), `bool`, `char`, arrays,
/// [`FixedStr`](crate::FixedStr), [`FixedVec`](crate::FixedVec), `Option`, tuples, `Duration`,
/// `IpAddr`, types with `#[message]`, with the feature `alloc` also `String`, `Box<str>`,
/// `Arc<str>`, `Vec` and `BTreeMap`, and with the feature `bytes` also `bytes::Bytes`.
///
/// A field is encoded as a *part* of [`SIZE`](Field::SIZE) bytes and, unless all its values have
/// one size, *bodies* behind the parts of the message: a part then has the place and the length of
/// its body.
///
/// # Safety
///
/// If [`IS_FIXED`](Field::IS_FIXED), the type has no padding, no interior mutability and no
/// references, its size is [`SIZE`](Field::SIZE), its alignment divides [`ALIGN`](Field::ALIGN),
/// and bytes that [`check`](Field::check) accepts are those of a valid value. Otherwise
/// [`view`](Field::view) and [`read`](Field::read) are sound for each place that `check` accepts.
/// `check` accepts what [`encode`](Field::encode) writes, and two types with the same
/// [`TYPE`](Field::TYPE) accept the same bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a message",
    label = "not a type that a message can have",
    note = "numbers, `bool`, `char`, `String`, `Vec<T>`, `Option<T>`, `BTreeMap<K, V>`, arrays, \
            tuples, `Duration`, `IpAddr`, `FixedStr<N>` and `FixedVec<T, N>` can; a struct or enum \
            of yours can once it has `#[message]` too, and can have any type of serde with \
            `#[message(codec = \"postcard\")]`"
)]
pub unsafe trait Field: Clone + 'static {
    /// What the bytes of the field mean.
    const TYPE: FieldType;
    /// The size of the field's part in bytes.
    const SIZE: usize;
    /// The alignment of the field's part in bytes, the same on all hosts.
    const ALIGN: usize;
    /// Whether the type is its own encoding: [`IsFixed<true>`](IsFixed) or `IsFixed<false>`, or
    /// [`Decoded`].
    type Form: Form;
    /// Whether the type is its own encoding.
    const IS_FIXED: bool = <Self::Form as Form>::IS_FIXED;
    /// Whether a fixed value has bytes that mean nothing, such as those behind a text.
    const HAS_UNUSED: bool = false;
    /// Whether a value is decoded to be checked, because the code that decodes it is the user's and
    /// may fail on any bytes. Readers then call [`decode`](Field::decode), also for bytes that were
    /// encoded in this process.
    const DECODES: bool = false;
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

    /// Checks and decodes the field in one pass.
    ///
    /// # Errors
    ///
    /// As [`check`](Field::check).
    #[inline]
    fn decode(at: usize, message: &mut Bodies<'_>) -> Result<Self, Invalid> {
        Self::check(at, message)?;
        // SAFETY: checked.
        Ok(unsafe { Self::read(message.seen(), at) })
    }

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

/// The form of a field's type, by which the compiler selects code.
///
/// There are three: [`IsFixed<true>`](IsFixed), `IsFixed<false>` and [`Decoded`].
pub trait Form: sealed::Sealed {
    /// Whether the type is its own encoding.
    const IS_FIXED: bool;
    /// `A` if the type is fixed, otherwise `B`.
    type Choose<A, B>;
    /// What reads a part in place: `&T` if it is fixed, otherwise `V`.
    type Part<'a, T: 'static, V: Copy + 'a>: Copy;
    /// What reads the items of a list in place: `&[T]` if they are fixed, otherwise [`Items`].
    type List<'a, T: Field>: Copy;
    /// What a check of a message keeps for its reader: the message if it was decoded.
    type Kept<T>;
    /// What a reader that does not take the message gets: its view, or the message if it was
    /// decoded.
    type Lent<'a, T: Field>;

    /// Decodes a message and keeps it, or only checks it.
    ///
    /// # Errors
    /// That of the called function.
    fn keep<T, E>(
        decode: impl FnOnce() -> Result<T, E>,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<Self::Kept<T>, E>;

    /// Returns what was kept, or else the view.
    fn lend<'a, T: Field>(
        kept: Option<Self::Kept<T>>,
        view: impl FnOnce() -> Option<T::View<'a>>,
    ) -> Option<Self::Lent<'a, T>>;

    /// Returns what reads a part in place; `view` makes it unless the type is fixed.
    ///
    /// # Safety
    /// [`Field::check`] of `T` accepted the part at `at`.
    unsafe fn part<'a, T: Field, V: Copy + 'a>(
        message: Checked<'a>,
        at: usize,
        view: impl FnOnce(Place<'a, T>) -> V,
    ) -> Self::Part<'a, T, V>;

    /// Returns what reads the items of a list in place.
    ///
    /// # Safety
    /// [`Field::check`] of `T` accepted each of the items.
    unsafe fn list<'a, T: Field>(
        message: Checked<'a>,
        at: usize,
        count: usize,
    ) -> Self::List<'a, T>;
}

/// The [`Form`] of types whose values are their own encoding (`true`), and of all other types.
#[derive(Clone, Copy, Debug)]
pub struct IsFixed<const FIXED: bool>;

/// The [`Form`] of types that serde decodes: `#[message(.., codec = "postcard")]`.
#[derive(Clone, Copy, Debug)]
pub struct Decoded;

mod sealed {
    pub trait Sealed {}
    impl<const FIXED: bool> Sealed for super::IsFixed<FIXED> {}
    impl Sealed for super::Decoded {}
}

/// Implements what forms have in common that are read in place.
macro_rules! read_in_place {
    () => {
        type Kept<T> = ();
        type Lent<'a, T: Field> = T::View<'a>;

        #[inline(always)]
        fn keep<T, E>(
            _: impl FnOnce() -> Result<T, E>,
            check: impl FnOnce() -> Result<(), E>,
        ) -> Result<(), E> {
            check()
        }

        #[inline(always)]
        fn lend<'a, T: Field>(
            _: Option<()>,
            view: impl FnOnce() -> Option<T::View<'a>>,
        ) -> Option<T::View<'a>> {
            view()
        }
    };
}

/// Implements what forms have in common that are not fixed.
macro_rules! not_fixed {
    () => {
        const IS_FIXED: bool = false;
        type Choose<A, B> = B;
        type Part<'a, T: 'static, V: Copy + 'a> = V;
        type List<'a, T: Field> = Items<'a, T>;

        #[inline(always)]
        unsafe fn part<'a, T: Field, V: Copy + 'a>(
            message: Checked<'a>,
            at: usize,
            view: impl FnOnce(Place<'a, T>) -> V,
        ) -> V {
            // SAFETY: this function's contract.
            view(unsafe { Place::new(message, at) })
        }

        #[inline]
        unsafe fn list<'a, T: Field>(
            message: Checked<'a>,
            at: usize,
            count: usize,
        ) -> Items<'a, T> {
            // SAFETY: this function's contract.
            unsafe { Items::new(message, at, count) }
        }
    };
}

impl Form for IsFixed<true> {
    const IS_FIXED: bool = true;
    type Choose<A, B> = A;
    type Part<'a, T: 'static, V: Copy + 'a> = &'a T;
    type List<'a, T: Field> = &'a [T];
    read_in_place!();

    #[inline(always)]
    unsafe fn part<'a, T: Field, V: Copy + 'a>(
        message: Checked<'a>,
        at: usize,
        _: impl FnOnce(Place<'a, T>) -> V,
    ) -> &'a T {
        // SAFETY: this function's contract.
        unsafe { message.borrow(at) }
    }

    #[inline]
    unsafe fn list<'a, T: Field>(message: Checked<'a>, at: usize, count: usize) -> &'a [T] {
        // SAFETY: this function's contract.
        unsafe { message.slice(at, count) }
    }
}

impl Form for IsFixed<false> {
    not_fixed!();
    read_in_place!();
}

impl Form for Decoded {
    not_fixed!();
    type Kept<T> = T;
    type Lent<'a, T: Field> = T;

    #[inline]
    fn keep<T, E>(
        decode: impl FnOnce() -> Result<T, E>,
        _: impl FnOnce() -> Result<(), E>,
    ) -> Result<T, E> {
        decode()
    }

    #[inline]
    fn lend<'a, T: Field>(kept: Option<T>, _: impl FnOnce() -> Option<T::View<'a>>) -> Option<T> {
        kept
    }
}

/// A field that is its own encoding and can be copied: one that a [`FixedVec`](crate::FixedVec) can
/// have.
///
/// # Safety
///
/// [`IS_FIXED`](Field::IS_FIXED) is true.
#[diagnostic::on_unimplemented(
    message = "the size of `{Self}` differs between its values",
    label = "not a type of fixed layout",
    note = "numbers, `bool`, arrays, `FixedStr<N>`, `FixedVec<T, N>` and messages of these have a \
            fixed layout"
)]
pub unsafe trait Fixed: Field + Copy {
    /// The value of unused items in a list: all zero, if that is a valid value.
    const EMPTY: Self;

    /// Returns the bytes of the value, which are its encoding.
    #[inline]
    fn encoded(&self) -> &[u8] {
        bytes_of(self)
    }
}

/// A place in a checked message where the part of a `T` is.
#[derive(Debug)]
pub struct Place<'a, T> {
    message: Checked<'a>,
    at: usize,
    part: PhantomData<fn() -> T>,
}

impl<'a, T> Place<'a, T> {
    /// Names a place.
    ///
    /// # Safety
    /// [`Field::check`] of `T` has accepted the part at `at`.
    #[inline(always)]
    pub(super) unsafe fn new(message: Checked<'a>, at: usize) -> Self {
        Self { message, at, part: PhantomData }
    }

    /// Returns what reads a field of the `T` in place.
    ///
    /// # Safety
    /// `T` has a field of type `F` at this offset.
    #[inline(always)]
    pub unsafe fn field<F: Field>(self, offset: usize) -> F::View<'a> {
        // SAFETY: the `T` was checked, and so its field (the contracts of `new` and this function).
        unsafe { F::view(self.message, self.at + offset) }
    }
}

impl<T> Clone for Place<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<'_, T> {}

/// The items of a list in a checked message. Iterates over the views of its items.
pub struct Items<'a, T> {
    message: Checked<'a>,
    /// Where the part of the next item is.
    at: usize,
    /// The number of items left.
    left: usize,
    items: PhantomData<fn() -> T>,
}

impl<'a, T: Field> Items<'a, T> {
    /// Creates the items whose parts begin at `at`.
    ///
    /// # Safety
    /// [`Field::check`] of `T` accepted each of the items.
    pub(super) unsafe fn new(message: Checked<'a>, at: usize, count: usize) -> Self {
        Self { message, at, left: count, items: PhantomData }
    }

    /// Returns the number of items left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.left
    }

    /// Returns whether no items are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Returns the items that are left, as a slice does.
    #[must_use]
    pub fn iter(&self) -> Self {
        *self
    }

    /// Returns the item at `index`, counted from the next one; `None` if there are fewer.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T::View<'a>> {
        // SAFETY: `check` accepted this item (the contract of `new`).
        (index < self.left).then(|| unsafe { T::view(self.message, self.at + index * T::SIZE) })
    }
}

impl<'a, T: Field> Iterator for Items<'a, T> {
    type Item = T::View<'a>;

    #[inline]
    fn next(&mut self) -> Option<T::View<'a>> {
        self.nth(0)
    }

    #[inline]
    fn nth(&mut self, index: usize) -> Option<T::View<'a>> {
        let item = self.get(index);
        let passed = index.saturating_add(1).min(self.left);
        (self.at, self.left) = (self.at + passed * T::SIZE, self.left - passed);
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T: Field> ExactSizeIterator for Items<'a, T> {}
impl<'a, T: Field> FusedIterator for Items<'a, T> {}

impl<T> Clone for Items<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Items<'_, T> {}

impl<'a, T: Field<View<'a>: fmt::Debug> + 'a> fmt::Debug for Items<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

// The bytes of fixed values.

/// Returns the bytes of a value whose type is fixed.
#[inline(always)]
pub(crate) fn bytes_of<T: Field>(value: &T) -> &[u8] {
    bytes_of_all(slice::from_ref(value))
}

/// Returns the bytes of values whose type is fixed.
#[inline(always)]
pub(crate) fn bytes_of_all<T: Field>(values: &[T]) -> &[u8] {
    assert!(T::IS_FIXED, "only fixed values are their own encoding");
    // SAFETY: a fixed type has no padding and no interior mutability (the contract of `Field`), so
    // all its bytes are initialized and do not change while it is borrowed.
    unsafe { slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Checks a fixed value whose bytes came from elsewhere: the counts and the UTF-8 of texts.
pub(crate) fn check_value<T: Fixed>(value: &T) -> Result<(), Invalid> {
    T::check(0, &mut Bodies::new(bytes_of(value), T::SIZE, false))
}

/// Returns the bytes of a fixed value, which has `N` bytes.
#[doc(hidden)]
pub const fn bytes_of_default<T: Fixed, const N: usize>(value: T) -> [u8; N] {
    assert!(size_of::<T>() == N);
    // SAFETY: both have `N` bytes, and a fixed type has no padding: each of its bytes has a value.
    unsafe { mem::transmute_copy(&value) }
}

/// Writes a part that is its own encoding.
#[inline(always)]
pub fn encode_fixed<T: Field>(message: &mut Encoder<'_>, at: usize, value: &T) {
    message.write(at, bytes_of(value));
}

// Lists.

/// Writes consecutive parts.
#[inline]
pub(super) fn encode_items<T: Field>(message: &mut Encoder<'_>, at: usize, items: &[T]) {
    for (index, item) in items.iter().enumerate() {
        item.encode(at + index * T::SIZE, message);
    }
}

/// Writes a field whose body is the parts of these items; the bodies of the items follow it.
#[cfg(feature = "alloc")]
#[inline]
pub(super) fn encode_list<T: Field>(message: &mut Encoder<'_>, at: usize, items: &[T]) {
    if T::IS_FIXED && !T::HAS_UNUSED {
        return message.bytes(at, items.len(), bytes_of_all(items));
    }
    let place = message.empty_list(at, items.len(), T::SIZE);
    encode_items(message, place, items);
}

/// Checks a list. Returns its place and its number of items.
#[cfg(feature = "alloc")]
#[inline]
pub(super) fn check_list<T: Field>(
    at: usize,
    message: &mut Bodies<'_>,
) -> Result<(usize, usize), Invalid> {
    let (place, count) = message.body(at, T::SIZE)?;
    (0..count).try_for_each(|index| T::check(place + index * T::SIZE, message))?;
    Ok((place, count))
}
