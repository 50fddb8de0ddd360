//! `#[message(.., pad)]`: padding as fields that a user does not see.

use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};

use mycelium_core::Fixed;
use mycelium_core::{FieldType, FixedStr, FixedVec, Message, decode, message, to_words};
use zerocopy::IntoBytes;

/// Types of another module: `new` is visible where all fields are.
mod types {
    use mycelium_core::message;

    #[message]
    #[repr(u8)]
    #[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
    pub(crate) enum Side {
        #[default]
        Buy,
        Sell,
    }

    #[message(pad)]
    #[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
    pub(crate) struct Level {
        pub(crate) side: Side,
        pub price: u32,
        pub r#type: u16,
    }
}

use types::{Level, Side};

#[message(topic = "swaps", id = 1, pad)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct Swap {
    open: bool,
    price: u64,
    level: Level,
    name: FixedStr<3>,
}

fn swap() -> Swap {
    Swap::new(true, 7, Level::new(Side::Sell, 3, 2), "abc".try_into().unwrap())
}

#[test]
fn the_layout_has_the_padding_that_is_not_empty() {
    assert_eq!(
        Swap::DESCRIPTOR.to_string(),
        "Swap: 40 bytes, aligned to 8
      0     1  open: bool
      1     7  _pad: [u8; 7]
      8     8  price: u64
     16    12  level: Level
        0     1  side: Side as u8 { Buy = 0, Sell = 1 }
        1     3  _pad: [u8; 3]
        4     4  price: u32
        8     2  type: u16
       10     2  _pad: [u8; 2]
     28     5  name: text of at most 3 bytes
     33     7  _pad: [u8; 7]"
    );
    assert_eq!(size_of::<Swap>(), 40);
}

#[test]
fn a_struct_that_needs_no_padding_does_not_change() {
    #[message(topic = "plain", id = 3, pad)]
    #[derive(Debug)]
    struct Padded {
        price: u64,
        empty: [u8; 0],
        levels: FixedVec<u32, 1>,
        rest: u16,
    }
    #[message(topic = "plain", id = 3)]
    struct Plain {
        price: u64,
        empty: [u8; 0],
        levels: FixedVec<u32, 1>,
        rest: u16,
    }
    assert_eq!(Padded::DIGEST, Plain::DIGEST);
    assert_eq!(Padded::DESCRIPTOR.fields.len(), 4, "a field of the user stays");
    let padded = Padded::new(1, [], FixedVec::new(), 2);
    let plain = Plain { price: 1, empty: [], levels: FixedVec::new(), rest: 2 };
    assert_eq!(padded.encoded(), plain.encoded());
    assert_eq!(format!("{padded:?}"), "Padded { price: 1, empty: [], levels: [], rest: 2 }");
}

#[test]
fn a_padded_message_survives_bytes_and_its_padding_is_zero() {
    let bytes = swap();
    let bytes = bytes.encoded();
    assert_eq!(decode::<Swap>(bytes), Ok(swap()));
    let shown = "Swap { open: true, price: 7, level: Level { side: Sell, price: 3, type: 2 }, \
                 name: \"abc\" }";
    assert_eq!(format!("{:?}", swap()), shown);
    for padding in [1..8, 17..20, 26..28, 33..40] {
        assert!(bytes[padding].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn padding_of_a_peer_is_ignored() {
    // As a peer sent it that did not set the padding to zero.
    let mut words = to_words(&swap());
    let bytes = words.as_mut_bytes();
    bytes[1..8].fill(0xff);
    bytes[17..20].fill(0xff);
    bytes[33..].fill(0xff);
    let other: Swap = decode(bytes).unwrap();
    assert_ne!(other.encoded(), swap().encoded());
    assert_eq!(other, swap());
    let state = RandomState::new();
    assert_eq!(state.hash_one(other), state.hash_one(swap()));
    assert_eq!(other.level.cmp(&swap().level), Ordering::Equal);
    assert!(Level::new(Side::Buy, 9, 9) < swap().level, "the fields decide");
}

#[test]
fn items_of_a_list_may_be_padded() {
    #[message(topic = "levels", id = 4, pad)]
    struct Levels {
        at: u64,
        levels: FixedVec<Level, 2>,
    }
    let level = swap().level;
    let levels = Levels::new(1, [level].as_slice().try_into().unwrap());
    let decoded = decode::<Levels>(levels.encoded()).unwrap();
    assert_eq!((decoded.at, decoded.levels.get(0)), (1, Some(level)));
    assert!(matches!(Levels::DESCRIPTOR.fields[1].ty, FieldType::List { capacity: 2, .. }));
}
