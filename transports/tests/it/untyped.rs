//! Layouts and values of messages whose types are unknown.

use mycelium_core::Fixed;
use mycelium_core::{FixedStr, FixedVec, Message, message};
use mycelium_transports::untyped::{DEEPEST, Layout, LayoutError};

#[message]
#[repr(u8)]
enum Side {
    Buy = 1,
    Sell = 2,
}

#[message]
struct Leg {
    side: Side,
    open: bool,
    lots: u16,
}

#[message(topic = "orders", id = 1)]
struct Order {
    price: f64,
    legs: [Leg; 2],
    symbol: FixedStr<6>,
    amounts: FixedVec<u128, 1>,
    _pad: [u8; 6],
}

fn order() -> Order {
    let leg = |side, lots| Leg { side, open: true, lots };
    Order {
        price: 1.5,
        legs: [leg(Side::Buy, 3), leg(Side::Sell, 4)],
        symbol: FixedStr::try_from("ETH").unwrap(),
        amounts: FixedVec::from_slice(&[7]).unwrap(),
        _pad: [0; 6],
    }
}

#[test]
fn values_are_those_of_the_message() {
    let (_, total) = Order::DESCRIPTOR.canonical(0, &mut []);
    let mut form = vec![0; total];
    let _ = Order::DESCRIPTOR.canonical(0, &mut form);
    let layout = Layout::parse(&form).unwrap();
    assert_eq!(Layout::of(Order::DESCRIPTOR).as_ref(), Ok(&layout));
    let view = order();
    let view = layout.view(view.encoded()).unwrap();
    assert_eq!(
        view.to_string(),
        "price=1.5 legs=[{side=Buy open=true lots=3}, {side=Sell open=true lots=4}] \
         symbol=\"ETH\" amounts=[7]"
    );
}

#[test]
fn invalid_bytes_are_shown_as_such() {
    let layout = Layout::of(Order::DESCRIPTOR).unwrap();
    let mut bytes = order().encoded().to_vec();
    (bytes[8], bytes[9], bytes[16], bytes[24]) = (9, 7, 7, 2);
    let text = layout.view(&bytes).unwrap().to_string();
    assert!(text.contains("side=<no variant: 09> open=<invalid bool: 07>"), "{text}");
    assert!(text.contains("symbol=<count above the capacity: 0700"), "{text}");
    assert!(text.contains("amounts=<count above the capacity: 0200"), "{text}");
    let mut bytes = order().encoded().to_vec();
    bytes[18] = 0xff;
    let text = layout.view(&bytes).unwrap().to_string();
    assert!(text.contains("symbol=<not UTF-8: 0300ff"), "{text}");
    bytes.extend_from_slice(&[1, 2]);
    assert!(layout.view(&bytes).unwrap().to_string().ends_with(" tail=0102"));
    assert!(layout.view(&bytes[..47]).is_err());
}

/// Returns the form of a struct of `size` bytes with one field of this type.
fn one_field(size: u64, kind: &[u8]) -> Vec<u8> {
    let mut form = vec![0x50];
    form.extend([size, 1, 1, 0, size, 1].into_iter().flat_map(u64::to_le_bytes));
    form.push(b'a');
    form.extend_from_slice(kind);
    form
}

#[test]
fn depth_and_counts_are_bounded() {
    let count = |tag: u8, count: u64| [&[tag][..], &count.to_le_bytes()].concat();
    let deep = |depth| [count(0x40, 1).repeat(depth), vec![0x01]].concat();
    assert!(Layout::parse(&one_field(1, &deep(DEEPEST - 1))).is_ok());
    assert_eq!(Layout::parse(&one_field(1, &deep(DEEPEST))), Err(LayoutError::TooDeep));
    // Items of zero bytes would be any number of values in no space.
    let empty = [count(0x40, 65_535), count(0x40, 0), vec![0x01]].concat();
    assert_eq!(Layout::parse(&one_field(0, &empty)), Err(LayoutError::NoBytes));
    let long = [count(0x40, 65_535), count(0x40, 2), vec![0x01]].concat();
    assert_eq!(Layout::parse(&one_field(4, &long)), Err(LayoutError::TooLong { found: 131_070 }));
    let claim = [0x50; 1].into_iter().chain([0xff; 24]).collect::<Vec<u8>>();
    assert_eq!(Layout::parse(&claim), Err(LayoutError::TooLong { found: u64::MAX }));
    let place = Layout::parse(&one_field(2, &[0x01])).unwrap_err().to_string();
    let expected = "field `a` has 2 bytes at 0: expected 1 bytes at 0, after the field before it";
    assert_eq!(place, expected);
}
