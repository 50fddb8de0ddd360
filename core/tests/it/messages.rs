//! Messages: encoding and decoding, layouts, and errors that name the field.

mod allowed;
mod others;
mod serde;
mod variable;

use std::hash::{BuildHasher, RandomState};

use mycelium_core::Fixed;
use mycelium_core::{
    DecodeError, FixedStr, FixedVec, Invalid, InvalidReason, Message, U256, decode, decode_ref,
    from_words, message, to_words, valid_words,
};
use zerocopy::IntoBytes;

#[message]
#[repr(i16)]
#[derive(Debug, PartialEq)]
enum Side {
    Buy = 1,
    Sell = -2,
}

#[message]
#[derive(Debug, PartialEq)]
struct Level {
    price: u64,
    amount: i64,
    note: FixedStr<6>,
}

#[message(topic = "books", id = 9)]
#[derive(Debug, PartialEq)]
struct Book {
    best: Level,
    at: u64,
    levels: FixedVec<Level, 2>,
    sides: FixedVec<Side, 3>,
    side: Side,
    open: [bool; 2],
    _pad: [u8; 2],
}

/// Messages whose arguments come from another macro, which passes each in an invisible group.
macro_rules! messages {
    ($($name:ident, $topic:literal, $id:expr, $reply:ty;)*) => {$(
        #[message(topic = $topic, id = $id, reply = $reply)]
        struct $name {
            book: u64,
        }
    )*};
}

messages! {
    BestBook, "best-books", 40, Book;
}

impl Book {
    fn example() -> Self {
        let level = Level { price: 7, amount: -3, note: "best".try_into().unwrap() };
        Self {
            best: level,
            at: 11,
            levels: [level].as_slice().try_into().unwrap(),
            sides: [Side::Sell].as_slice().try_into().unwrap(),
            side: Side::Sell,
            open: [true, false],
            _pad: [0; 2],
        }
    }

    /// Decodes the example with one byte replaced.
    fn patched(at: usize, byte: u8) -> Result<Self, DecodeError> {
        let mut words = to_words(&Self::example());
        words.as_mut_bytes()[at] = byte;
        let decoded = decode(words.as_bytes());
        assert_eq!(from_words::<Self>(&words), decoded);
        assert_eq!(valid_words::<Self>(words), decoded.ok());
        assert_eq!(decode_ref::<Self>(words.as_bytes()).copied(), decoded);
        decoded
    }
}

#[test]
fn arguments_may_come_from_another_macro() {
    assert_eq!((BestBook::TOPIC, BestBook::ID), ("best-books", 40));
    assert_eq!(BestBook { book: 7 }.book, 7);
}

#[test]
fn words_after_the_message_are_zero() {
    #[message(topic = "small", id = 1)]
    struct Small {
        value: [u8; 9],
    }
    let words = to_words(&Small { value: [0xff; 9] });
    assert_eq!(words.as_bytes()[9..].iter().max(), Some(&0));
    assert_eq!(from_words::<Small>(&words).unwrap().value, [0xff; 9]);
}

#[test]
fn an_invalid_value_is_named() {
    let value = |field, found| {
        let reason = InvalidReason::Value { found };
        Err(DecodeError::Invalid(Invalid { message: "Book", field, reason }))
    };
    assert_eq!(Book::patched(93, 2), value("open", 2));
    assert_eq!(Book::patched(90, 1), value("side", -255));
    assert_eq!(Book::patched(84, 1), value("sides", -255), "an item");
    assert_eq!(Book::patched(89, 7), value("sides", 0x0701), "an unused item");
    let text = Book::patched(93, 2).unwrap_err().to_string();
    assert_eq!(text, "field `open` of message `Book`: invalid value 2");
}

#[test]
fn an_invalid_text_or_list_is_named() {
    let invalid =
        |message, field, reason| Err(DecodeError::Invalid(Invalid { message, field, reason }));
    let count = |capacity, found| InvalidReason::Count { capacity, found };
    assert_eq!(Book::patched(32, 3), invalid("Book", "levels", count(2, 3)));
    assert_eq!(Book::patched(33, 1), invalid("Book", "levels", count(2, 257)));
    assert_eq!(Book::patched(16, 7), invalid("Level", "note", count(6, 7)));
    let utf8 = InvalidReason::Utf8 { valid_up_to: 1 };
    assert_eq!(Book::patched(19, 0xff), invalid("Level", "note", utf8));
    assert_eq!(Book::patched(53, 0xff), invalid("Level", "note", utf8), "in a list");
    let text = Book::patched(32, 3).unwrap_err().to_string();
    assert_eq!(text, "field `levels` of message `Book`: count 3 exceeds the capacity 2");
}

#[test]
fn a_wrong_length_is_refused_and_unaligned_bytes_are_copied() {
    let size = DecodeError::Size { message: "Book", expected: 96, found: 104 };
    assert_eq!(decode::<Book>(&[0; 104]), Err(size));
    let mut words = [0_u64; 13];
    words.as_mut_bytes()[1..97].copy_from_slice(Book::example().encoded());
    let odd = &words.as_bytes()[1..97];
    assert_eq!(decode(odd), Ok(Book::example()));
    let misaligned = DecodeError::Misaligned { message: "Book", expected: 8 };
    assert_eq!(decode_ref::<Book>(odd), Err(misaligned));
}

#[test]
fn lists_that_are_equal_hash_alike_and_popped_items_are_zero() {
    let mut list = FixedVec::<u32, 3>::from_slice(&[1, 2, 3]).unwrap();
    assert_eq!(list.pop(), Some(3));
    assert_eq!(list.as_bytes(), [2, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    let same = FixedVec::<u32, 9>::from_slice(&[1, 2]).unwrap();
    assert_eq!(list, same);
    let state = RandomState::new();
    assert_eq!(state.hash_one(list), state.hash_one(same));
}

#[test]
fn unused_items_are_valid_values() {
    let sides = FixedVec::<Side, 3>::new();
    assert_eq!(sides.encoded(), [0, 0, 1, 0, 1, 0, 1, 0], "no variant is 0: the first is used");
    #[message]
    #[repr(u8)]
    enum Late {
        _One = 1,
        _Zero = 0,
    }
    let late = FixedVec::<Late, 3>::new();
    assert_eq!(late.encoded(), [0; 5], "the variant 0 is used, also if it is not the first");
}

#[test]
fn an_integer_of_256_bits_is_shown_in_decimal() {
    let mut power = [0; 32];
    for (place, text) in [
        (0, "1"),
        (8, "18446744073709551616"),
        (16, "340282366920938463463374607431768211456"),
        (31, "452312848583266388373324160190187140051835877600158453279131187530910662656"),
    ] {
        power[place] = 1;
        let number = U256::from_le_bytes(power);
        assert_eq!((number.to_string(), format!("{number:?}")), (text.to_owned(), text.to_owned()));
        power.fill(0);
    }
    assert_eq!(U256::ZERO.to_string(), "0");
    assert_eq!(U256::from(u128::MAX).to_string(), u128::MAX.to_string());
    let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    assert_eq!(U256::MAX.to_string(), max);
}
