//! Messages pass unchanged through bytes, words, frames and rings, and each kind of broken bytes
//! has its error. Messages need a little-endian host.

use mycelium_core::{
    DecodeError, Envelope, FixedStr, FixedVec, FrameView, Invalid, InvalidReason, Limits, Message,
    decode, decode_ref, from_words, message, ring::stamped, to_words, write_message,
};
use zerocopy::IntoBytes;

#[message]
#[derive(Debug, PartialEq)]
#[repr(u8)]
enum Side {
    Buy = 1,
    Sell = 2,
}

#[message(topic = "swaps", id = 1)]
#[derive(Debug, PartialEq)]
struct Swap {
    price: u64,
    amount: i64,
    pool: u32,
    side: Side,
    open: bool,
    symbol: FixedStr<8>,
    fills: FixedVec<u16, 3>,
}

fn example() -> Swap {
    Swap {
        price: 1_234_567_890_123,
        amount: -5,
        pool: 77,
        side: Side::Sell,
        open: true,
        symbol: FixedStr::try_from("ETH").unwrap(),
        fills: FixedVec::from_slice(&[7, 300]).unwrap(),
    }
}

/// Aligned to 8 bytes, like the buffer of a link.
#[repr(align(8))]
struct Buffer([u8; 128]);

pub(crate) fn a_message_comes_back_through_a_frame() {
    let mut buffer = Buffer([0xa5; 128]);
    let envelope = Envelope { deadline: Some(9), ..Envelope::of::<Swap>(3, 4) };
    let len = write_message(&mut buffer.0, &envelope, &example()).unwrap();
    let (frame, rest) = FrameView::parse(&buffer.0[..len], &Limits::default()).unwrap();
    assert!(rest.is_empty());
    assert_eq!(frame.envelope(), envelope);
    assert_eq!(frame.message::<Swap>(), Ok(&example()));
    assert_eq!(frame.read::<Swap>(), Ok(example()));
}

pub(crate) fn broken_values_are_refused_by_name() {
    let patched = |at: usize, byte: u8| {
        let mut words = to_words(&example());
        words.as_mut_bytes()[at] = byte;
        let decoded = decode::<Swap>(words.as_bytes());
        assert_eq!(from_words::<Swap>(&words), decoded);
        assert_eq!(decode_ref::<Swap>(words.as_bytes()).copied(), decoded);
        decoded.unwrap_err()
    };
    let value = |field, found| DecodeError::Value { message: "Swap", field, found };
    let invalid = |field, reason| DecodeError::Invalid(Invalid { message: "Swap", field, reason });
    assert_eq!(patched(20, 0), value("side", 0));
    assert_eq!(patched(21, 2), value("open", 2));
    assert_eq!(patched(22, 9), invalid("symbol", InvalidReason::Count { capacity: 8, found: 9 }));
    assert_eq!(patched(24, 0xff), invalid("symbol", InvalidReason::Utf8 { valid_up_to: 0 }));
    assert_eq!(patched(32, 4), invalid("fills", InvalidReason::Count { capacity: 3, found: 4 }));
}

pub(crate) fn a_message_goes_through_a_ring() {
    let mut ring = stamped::Inline::<<Swap as Message>::Words, 2>::new();
    let (mut writer, mut reader) = ring.split().unwrap();
    assert!(writer.try_push(to_words(&example())).is_ok());
    assert_eq!(from_words::<Swap>(&reader.try_pop().unwrap()), Ok(example()));
}
