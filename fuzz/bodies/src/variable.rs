//! Messages of any shape: invalid bytes are an error, and valid ones are the only encoding of their
//! value.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::{
    Fixed, FixedStr, FixedVec, I128, Message, U128, U256, decode, encode, encoded_len, message,
    view,
};
use zerocopy::IntoBytes;

use crate::heap;
use crate::region::Steps;

/// The longest message of this target, in words.
const ROOM: usize = 1024;
/// Decoding may allocate this number of bytes for each byte that it was given: a map allocates
/// places for several entries.
const MOST: usize = 128;

/// A value that the input chooses.
trait Build {
    fn build(from: &mut Steps<'_>) -> Self;
}

/// Defines messages and parts, and builds each field by itself.
macro_rules! messages {
    ($($(#[$attribute:meta])* struct $name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        $(#[$attribute])*
        #[derive(Debug)]
        struct $name { $($field: $ty),* }

        impl Build for $name {
            fn build(from: &mut Steps<'_>) -> Self {
                Self { $($field: Build::build(from)),* }
            }
        }
    )*};
}

#[message]
#[repr(u8)]
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Buy = 1,
    Sell = 2,
}

#[message]
#[derive(Debug)]
enum Kind {
    Market,
    Limit { cents: i64 },
    Iceberg(u32, i64),
    Named(String),
    Range { flag: bool, at: Option<String>, end: u64, side: Side, steps: Vec<u16> },
}

messages! {
    #[message]
    struct Leg { price: i64, pool: FixedStr<6>, fees: FixedVec<u16, 3>, }

    #[message]
    struct Inner { name: Box<str>, kinds: Vec<Kind>, wait: Option<Duration>, last: u8, }

    #[message(topic = "everything", id = 1)]
    struct Everything {
        id: u64,
        venue: String,
        note: Option<String>,
        legs: Vec<Leg>,
        kind: Kind,
        tags: BTreeMap<String, Vec<u8>>,
        wait: Duration,
        from: Option<IpAddr>,
        pair: (u8, Arc<str>, Option<u32>),
        sides: Vec<Kind>,
        grade: char,
        inner: Inner,
        many: [Option<String>; 2],
    }

    #[message(topic = "numbers", id = 2)]
    struct Numbers {
        small: (u8, i8, bool, Side),
        medium: (u16, i16, u32, i32, f32),
        long: (u64, i64, f64),
        wide: (U128, I128, U256),
        characters: [char; 2],
        texts: Vec<FixedStr<5>>,
        lists: Vec<FixedVec<Side, 2>>,
        flags: Vec<[bool; 3]>,
        bits: Vec<f32>,
        sides: Option<[Side; 3]>,
        odd: Option<FixedStr<3>>,
        end: u8,
    }

    #[message(topic = "lists", id = 3)]
    struct Lists {
        texts: Vec<Vec<Vec<String>>>,
        pairs: Vec<(u8, Box<str>)>,
        options: Vec<Option<u16>>,
        arrays: Vec<[Option<u8>; 2]>,
        inner: Vec<Inner>,
        addresses: Vec<IpAddr>,
        waits: Vec<Duration>,
        nested: Option<Option<Option<bool>>>,
        legs: [Vec<Leg>; 2],
    }

    #[message(topic = "maps", id = 4)]
    struct Maps {
        texts: BTreeMap<String, BTreeMap<u16, String>>,
        sides: BTreeMap<Side, Inner>,
        letters: BTreeMap<char, (bool, Option<Arc<str>>)>,
        names: BTreeMap<FixedStr<3>, u64>,
        legs: Option<BTreeMap<i8, Vec<Leg>>>,
    }

    #[message(topic = "text", id = 5, max = "1 KiB")]
    struct Text { text: String, }
}

/// Reads any bytes as a message, or builds a message, changes some bytes of its encoding, and reads
/// them again.
pub fn variable(data: &[u8]) {
    accepts(data);
}

/// Does the same. Returns whether the first bytes that were read are a message.
fn accepts(data: &[u8]) -> bool {
    let Some((kind, data)) = data.split_first() else { return false };
    let read = match kind % 5 {
        0 => message_of::<Everything>,
        1 => message_of::<Numbers>,
        2 => message_of::<Lists>,
        3 => message_of::<Maps>,
        _ => message_of::<Text>,
    };
    read(kind & 128 != 0, data)
}

fn message_of<M: Message + Build + Debug>(is_built: bool, data: &[u8]) -> bool
where
    for<'a> M::View<'a>: Debug,
{
    let mut words = [0_u64; ROOM];
    if !is_built {
        let Some(bytes) = words.as_mut_bytes().get_mut(..data.len()) else { return false };
        bytes.copy_from_slice(data);
        return check::<M>(bytes);
    }
    let mut steps = Steps(data);
    let value = M::build(&mut steps);
    let Ok(mut len) = encoded_len(&value) else { return false };
    if len > size_of_val(&words) {
        return false;
    }
    let bytes = words.as_mut_bytes();
    assert_eq!(encode(&value, &mut bytes[..len]), Ok(len));
    assert!(check::<M>(&bytes[..len]), "a message is accepted as it was encoded");
    while let Some(step) = steps.next() {
        let place = steps.number() % len.max(1);
        match step % 8 {
            0 => len = place,
            1 => len = (len + place).min(bytes.len()),
            2 => bytes.copy_within(place..len.min(place + 16), place / 8 * 8),
            3 | 4 => {
                let number = steps.number().to_le_bytes();
                let room = bytes[place / 4 * 4..].iter_mut();
                room.zip(&number[..4]).for_each(|(byte, new)| *byte = *new);
            }
            _ => bytes[place] = bytes[place].wrapping_add(steps.next().unwrap_or(1)),
        }
        check::<M>(&bytes[..len]);
    }
    true
}

/// Reads bytes that are aligned. Returns whether they are a message.
fn check<M: Message + Debug>(bytes: &[u8]) -> bool
where
    for<'a> M::View<'a>: Debug,
{
    let before = heap::requested();
    let decoded = decode::<M>(bytes);
    let requested = heap::requested() - before;
    let value = match decoded {
        Ok(value) => value,
        Err(error) => {
            assert_eq!(requested, 0, "refused bytes allocate nothing");
            assert_eq!(view::<M>(bytes).err(), Some(error));
            return false;
        }
    };
    assert!(requested <= MOST * bytes.len(), "{requested} bytes for {}", bytes.len());
    assert_eq!(encoded_len(&value), Ok(bytes.len()));
    let mut again = [u64::MAX; ROOM];
    let again = &mut again.as_mut_bytes()[..bytes.len()];
    assert_eq!(encode(&value, again), Ok(bytes.len()));
    assert!(again == bytes, "a value has one encoding");
    let view = view::<M>(bytes).expect("decoded above");
    assert_eq!(Letters::of(&view), Letters::of(&value), "{view:?} is not {value:?}");
    true
}

/// A hash of what a value prints, without what differs between a value and its view: names of views,
/// and the brackets of maps.
struct Letters(u64);

impl Letters {
    fn of(value: &impl Debug) -> u64 {
        let mut letters = Letters(0xcbf2_9ce4_8422_2325);
        write!(letters, "{value:?}").expect("it is not refused");
        letters.0
    }
}

impl Write for Letters {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.strip_suffix("View").unwrap_or(text).bytes() {
            if !b"()[]{}:, ".contains(&byte) {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        Ok(())
    }
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Build for $ty {
            #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
            fn build(from: &mut Steps<'_>) -> Self {
                from.number() as $ty
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

macro_rules! built {
    ($($({$($generics:tt)*})? $ty:ty: |$from:ident| $value:expr;)*) => {$(
        impl $(<$($generics)*>)? Build for $ty {
            fn build($from: &mut Steps<'_>) -> Self {
                $value
            }
        }
    )*};
}

built! {
    U128: |from| u128::build(from).into();
    I128: |from| i128::build(from).into();
    U256: |from| U256::from(u128::build(from));
    f32: |from| f32::from_bits(u32::build(from));
    f64: |from| f64::from_bits(u64::build(from));
    bool: |from| u8::build(from) & 1 == 1;
    char: |from| char::from_u32(u32::build(from)).unwrap_or('\u{1f344}');
    Side: |from| if bool::build(from) { Side::Buy } else { Side::Sell };
    Kind: |from| match from.next().unwrap_or(0) % 5 {
        0 => Kind::Market,
        1 => Kind::Limit { cents: Build::build(from) },
        2 => Kind::Iceberg(Build::build(from), Build::build(from)),
        3 => Kind::Named(Build::build(from)),
        _ => Kind::Range {
            flag: Build::build(from),
            at: Build::build(from),
            end: Build::build(from),
            side: Build::build(from),
            steps: Build::build(from),
        },
    };
    String: |from| Vec::<char>::build(from).into_iter().collect();
    Box<str>: |from| String::build(from).into();
    Arc<str>: |from| String::build(from).into();
    Duration: |from| Duration::new(Build::build(from), u32::build(from) % 1_000_000_000);
    IpAddr: |from| if bool::build(from) { <[u8; 4]>::build(from).into() } else { <[u8; 16]>::build(from).into() };
    {const N: usize} FixedStr<N>: |from| String::build(from).as_str().try_into().unwrap_or_default();
    {T: Build + Fixed, const N: usize} FixedVec<T, N>: |from| {
        FixedVec::from_slice(&Vec::build(from)).unwrap_or_default()
    };
    {T: Build, const N: usize} [T; N]: |from| std::array::from_fn(|_| T::build(from));
    {T: Build} Option<T>: |from| bool::build(from).then(|| T::build(from));
    {T: Build} Vec<T>: |from| {
        let count = match from.next().unwrap_or(0) {
            255 => 40,
            count => count % 4,
        };
        (0..count).map(|_| T::build(from)).collect()
    };
    {K: Build + Ord, V: Build} BTreeMap<K, V>: |from| Vec::build(from).into_iter().collect();
    {A: Build, B: Build} (A, B): |from| (A::build(from), B::build(from));
    {A: Build, B: Build, C: Build} (A, B, C): |from| {
        (A::build(from), B::build(from), C::build(from))
    };
    {A: Build, B: Build, C: Build, D: Build} (A, B, C, D): |from| {
        (A::build(from), B::build(from), C::build(from), D::build(from))
    };
    {A: Build, B: Build, C: Build, D: Build, E: Build} (A, B, C, D, E): |from| {
        (A::build(from), B::build(from), C::build(from), D::build(from), E::build(from))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If the first check refused most seeds, the corpus would test only that check.
    #[test]
    fn a_tenth_of_the_seeds_is_accepted() {
        crate::seeds::a_tenth_is_accepted("variable", accepts);
    }
}
