//! Allowed combinations: visibilities, derives and attributes of the user, constants, raw names.
#![deny(warnings)]
#![allow(unreachable_pub, reason = "visibilities are a part of the combinations")]

use mycelium_core::{
    Fixed, FixedVec, I128, Message, U128, U256, decode, encode, from_words, message,
    message::NO_ID, to_words,
};
use zerocopy::IntoBytes;

const LEVELS: usize = 4;

/// A side.
#[message]
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Side {
    /// Bought.
    Buy = -1,
    /// Sold.
    Sell = 1,
}

#[message]
#[derive(Debug, Clone, Copy, PartialEq, Default, zerocopy::FromBytes)]
#[repr(C)]
pub(crate) struct Level {
    pub(crate) price: u32,
    amount: f32,
}

#[rustfmt::skip]
#[message(id = 0xfffe, topic = "md/books.v1",)]
#[derive(Debug, PartialEq)]
pub struct Book {
    r#type: u64,
    levels: FixedVec<Level, LEVELS>,
    pair: [Side; 2],
    wide: FixedVec<u128, 1>,
    number: U128,
    signed: I128,
    widest: U256,
}

#[message(topic = "padded", pad)]
#[derive(Debug)]
pub struct Padded {
    open: bool,
    /// A price.
    pub price: u64,
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
}

#[message(pad)]
pub(crate) struct NeverMade {
    r#type: u8,
    price: u16,
}

#[message(topic = "signals")]
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Signal;

#[message(topic = "empty", reply = Signal, pad)]
#[derive(Debug, PartialEq)]
pub(crate) struct Empty {}

#[message(topic = "signaled")]
#[derive(Debug, PartialEq)]
pub struct Signaled {
    signal: Signal,
    signals: [Signal; 3],
    maybe: Option<Signal>,
    price: u64,
}

#[test]
fn allowed_combinations_compile_without_a_warning() {
    let padded = Padded::new(true, 1, 2, 3, 4, 5, 6, 7);
    assert_eq!(decode::<Padded>(padded.encoded()).unwrap().price, padded.price);
    let book = Book {
        r#type: 1,
        levels: FixedVec::new(),
        pair: [Side::Buy, Side::Sell],
        wide: FixedVec::from_slice(&[u128::MAX]).unwrap(),
        number: u128::MAX.into(),
        signed: I128::new(-1),
        widest: U256::MAX,
    };
    assert_eq!(decode::<Book>(book.encoded()), Ok(book));
    assert_eq!(Book::DESCRIPTOR.fields[0].name, "type");
    assert_eq!((Book::ID, Padded::ID), (0xfffe, NO_ID));
}

#[test]
fn a_message_without_fields_has_no_bytes() {
    assert_eq!((Signal.encoded(), Empty {}.encoded()), (&[][..], &[][..]));
    assert_eq!(decode(&[]), Ok(Signal));
    assert_eq!(decode(&[]), Ok(Empty {}));
    assert!(decode::<Signal>(&[0]).is_err());
    assert_eq!(from_words::<Signal>(&to_words(&Signal)), Ok(Signal));
    let signaled = Signaled { signal: Signal, signals: [Signal; 3], maybe: Some(Signal), price: 7 };
    let mut bytes = [0_u64; 2];
    let len = encode(&signaled, bytes.as_mut_bytes()).unwrap();
    assert_eq!(decode::<Signaled>(&bytes.as_bytes()[..len]), Ok(signaled));
}
