//! Field types without a macro: numbers, `bool` and arrays.

use zerocopy::{
    Unalign,
    little_endian::{I128, U128},
};

use super::Field;
use crate::{descriptor::FieldType, error::Invalid};

macro_rules! plain_fields {
    ($($ty:ty => $variant:ident = $empty:expr;)*) => {$(
        impl Field for $ty {
            const TYPE: FieldType = FieldType::$variant;
            const EMPTY: Self = $empty;

            #[inline]
            fn check(&self) -> Result<(), Invalid> {
                Ok(())
            }
        }
    )*};
}

plain_fields! {
    u8 => U8 = 0;
    u16 => U16 = 0;
    u32 => U32 = 0;
    u64 => U64 = 0;
    u128 => U128 = 0;
    i8 => I8 = 0;
    i16 => I16 = 0;
    i32 => I32 = 0;
    i64 => I64 = 0;
    i128 => I128 = 0;
    f32 => F32 = 0.0;
    f64 => F64 = 0.0;
    bool => Bool = false;
    // Those above have the alignment of their size, which is more than a message can have for 128
    // bits. These have none.
    U128 => U128 = U128::ZERO;
    I128 => I128 = I128::ZERO;
}

impl<T: Field, const N: usize> Field for [T; N] {
    const TYPE: FieldType = FieldType::Array { item: &T::TYPE, len: N };
    const EMPTY: Self = [T::EMPTY; N];

    #[inline]
    fn check(&self) -> Result<(), Invalid> {
        self.iter().try_for_each(T::check)
    }
}

/// The same bytes as `T`, without alignment.
impl<T: Field> Field for Unalign<T> {
    const TYPE: FieldType = T::TYPE;
    const EMPTY: Self = Unalign::new(T::EMPTY);

    #[inline]
    fn check(&self) -> Result<(), Invalid> {
        self.get().check()
    }
}
