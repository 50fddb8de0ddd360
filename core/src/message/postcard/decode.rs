//! Decodes bytes of a peer: a deserializer of postcard that bounds the depth and the number of items.
//!
//! The crate `postcard` decodes values without parts, and this file those with parts: each nested
//! value is one level deeper. A list or map has at most as many items as bytes are left, and all of them
//! together as many as the message has bytes, so that items without bytes take no longer than
//! others.

use core::fmt;

use ::postcard::{Deserializer as Leaf, Error};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use crate::error::{Invalid, InvalidReason};

/// The most levels of a value.
const DEEPEST: u8 = 64;

/// Decodes a value that has all of these bytes.
///
/// # Errors
/// If the bytes are no such value, have a rest, or are nested too deeply.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Invalid> {
    let mut rest = Rest { bytes, items: bytes.len() };
    let decoded = T::deserialize(Level { rest: &mut rest, left: DEEPEST });
    let decoded = decoded.and_then(|value| match rest.bytes {
        [] => Ok(value),
        _ => Err(Problem("bytes follow the value")),
    });
    decoded.map_err(|Problem(problem)| Invalid::unnamed(InvalidReason::Postcard { problem }))
}

/// Why bytes were refused.
#[derive(Debug)]
struct Problem(&'static str);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self("its `Deserialize` refuses the value")
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(match error {
            Error::DeserializeUnexpectedEnd => "the bytes end within the value",
            Error::DeserializeBadUtf8 => "a text is not UTF-8",
            Error::WontImplement => {
                "the type asks which type follows, such as an untagged enum or a flattened field, \
                 and postcard does not say"
            }
            Error::SerdeDeCustom => "its `Deserialize` refuses the value",
            _ => "a number, bool, char, option or variant has an invalid value",
        })
    }
}

/// The bytes that are not decoded yet.
struct Rest<'de> {
    bytes: &'de [u8],
    /// How many items lists and maps may still have.
    items: usize,
}

impl<'de> Rest<'de> {
    /// Decodes what has no parts.
    fn leaf<R>(
        &mut self,
        decode: impl FnOnce(&mut Leaf<'de, ::postcard::de_flavors::Slice<'de>>) -> Result<R, Error>,
    ) -> Result<R, Problem> {
        let mut leaf = Leaf::from_bytes(self.bytes);
        let value = decode(&mut leaf)?;
        self.bytes = leaf.finalize()?;
        Ok(value)
    }

    /// Decodes a number of items.
    fn count(&mut self) -> Result<usize, Problem> {
        let count: u64 = self.leaf(|leaf| de::Deserialize::deserialize(leaf))?;
        let most = self.items.min(self.bytes.len());
        let count = usize::try_from(count).ok().filter(|count| *count <= most);
        let count = count.ok_or(Problem("a list claims more items than bytes are left"))?;
        self.items -= count;
        Ok(count)
    }
}

/// The deserializer of one value.
struct Level<'r, 'de> {
    rest: &'r mut Rest<'de>,
    /// How many levels its parts may have.
    left: u8,
}

impl<'de> Level<'_, 'de> {
    /// Returns the deserializer of a part.
    fn part(&mut self) -> Result<Level<'_, 'de>, Problem> {
        let left = self.left.checked_sub(1).ok_or(Problem("values are nested too deeply"))?;
        Ok(Level { rest: self.rest, left })
    }
}

/// Leaves these types to `postcard`.
macro_rules! leaves {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.rest.leaf(|leaf| leaf.$method(visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for Level<'_, 'de> {
    type Error = Problem;

    leaves! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Problem> {
        match self.rest.leaf(|leaf| de::Deserialize::deserialize(leaf))? {
            0_u8 => visitor.visit_none(),
            1 => visitor.visit_some(self.part()?),
            _ => Err(Error::DeserializeBadOption.into()),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self.part()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let left = self.rest.count()?;
        visitor.visit_seq(Parts { of: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_seq(Parts { of: self, left })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_seq(Parts { of: self, left })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let left = self.rest.count()?;
        visitor.visit_map(Parts { of: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_seq(Parts { of: self, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_enum(self)
    }
}

/// The parts of a value.
struct Parts<'r, 'de> {
    of: Level<'r, 'de>,
    /// How many parts are left.
    left: usize,
}

impl<'de> Parts<'_, 'de> {
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        match self.left.checked_sub(1) {
            None => Ok(None),
            Some(left) => {
                self.left = left;
                seed.deserialize(self.of.part()?).map(Some)
            }
        }
    }
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Problem> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = Problem;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Problem> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        seed.deserialize(self.of.part()?)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> EnumAccess<'de> for Level<'_, 'de> {
    type Error = Problem;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Problem> {
        let number: u32 = self.rest.leaf(|leaf| de::Deserialize::deserialize(leaf))?;
        let variant: de::value::U32Deserializer<Problem> = number.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for Level<'_, 'de> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        mut self,
        seed: S,
    ) -> Result<S::Value, Problem> {
        seed.deserialize(self.part()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_seq(Parts { of: self, left })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_seq(Parts { of: self, left: fields.len() })
    }
}
