//! Whether a type is its own encoding, as a type: it selects between reading in place and decoding
//! without a branch.

#![allow(unsafe_code)]

use super::{Checked, Field, Items, Place, cast::bytes_of};

/// The form of a field's type, by which the compiler selects code.
///
/// There are two: [`IsFixed<true>`](IsFixed) and `IsFixed<false>`.
pub trait Form: sealed::Sealed {
    /// Whether the type is its own encoding.
    const IS_FIXED: bool;
    /// `A` if the type is fixed, otherwise `B`.
    type Choose<A, B>;
    /// What reads a part in place: `&T` if it is fixed, otherwise `V`.
    type Part<'a, T: 'static, V: Copy + 'a>: Copy;
    /// What reads the items of a list in place: `&[T]` if they are fixed, otherwise [`Items`].
    type List<'a, T: Field>: Copy;

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

mod sealed {
    pub trait Sealed {}
    impl<const FIXED: bool> Sealed for super::IsFixed<FIXED> {}
}

impl Form for IsFixed<true> {
    const IS_FIXED: bool = true;
    type Choose<A, B> = A;
    type Part<'a, T: 'static, V: Copy + 'a> = &'a T;
    type List<'a, T: Field> = &'a [T];

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
    unsafe fn list<'a, T: Field>(message: Checked<'a>, at: usize, count: usize) -> Items<'a, T> {
        // SAFETY: this function's contract.
        unsafe { Items::new(message, at, count) }
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
