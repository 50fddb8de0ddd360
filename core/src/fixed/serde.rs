//! The traits of serde: a text is a string, a list a sequence. A [`U256`] is a decimal string for
//! people, otherwise 32 bytes, the least significant one first.

use core::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

use super::{DIGITS, FixedStr, FixedVec, U256};
use crate::message::Fixed;

impl<const N: usize> Serialize for FixedStr<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for FixedStr<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const N: usize>;

        impl<const N: usize> Visitor<'_> for Text<N> {
            type Value = FixedStr<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {N} bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<FixedStr<N>, E> {
                FixedStr::try_from(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl<T: Fixed + Serialize, const N: usize> Serialize for FixedVec<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de, T: Fixed + Deserialize<'de>, const N: usize> Deserialize<'de> for FixedVec<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Fixed + Deserialize<'de>, const N: usize> Visitor<'de> for List<T, N> {
            type Value = FixedVec<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {N} items")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut list = FixedVec::new();
                while let Some(item) = items.next_element()? {
                    list.try_push(item).map_err(|_| A::Error::invalid_length(N + 1, &self))?;
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}

impl Serialize for U256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => self.to_le_bytes().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for U256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 32]>::deserialize(deserializer).map(Self::from_le_bytes);
        }
        let digits = FixedStr::<DIGITS>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        for digit in digits.bytes() {
            // Each round is one multiplication by 10.
            let mut carry = match digit {
                b'0'..=b'9' => u16::from(digit - b'0'),
                _ => return Err(D::Error::custom("expected digits")),
            };
            for byte in &mut bytes {
                let number = u16::from(*byte) * 10 + carry;
                (*byte, carry) = (number as u8, number >> 8);
            }
            if carry > 0 {
                return Err(D::Error::custom("a number of more than 256 bits"));
            }
        }
        Ok(Self::from_le_bytes(bytes))
    }
}
