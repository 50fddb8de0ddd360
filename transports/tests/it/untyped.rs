//! Layouts and values of messages whose types are unknown.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mycelium_core::Fixed;
use mycelium_core::{FixedStr, FixedVec, Message, encode, encoded_len, message};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{Delivery, Policy, Schema, Topic};
use mycelium_transports::untyped::{
    DEEPEST, FieldKind, Layout, LayoutError, UntypedPublisher, ViewError,
};

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

#[message]
#[derive(Clone)]
enum Kind {
    Market,
    Limit { cents: i64 },
    Iceberg(u32, String),
}

#[message(topic = "notes", id = 2)]
struct Note {
    initial: char,
    text: String,
    note: Option<String>,
    none: Option<u64>,
    age: Duration,
    from: IpAddr,
    kinds: Vec<Kind>,
    shares: BTreeMap<String, (u8, f64)>,
    lines: Vec<Vec<u16>>,
    pair: [String; 2],
    symbol: FixedStr<6>,
}

fn note() -> Note {
    Note {
        initial: 'ü',
        text: "a \"quoted\" text".into(),
        note: Some("n".into()),
        none: None,
        age: Duration::from_millis(1_500),
        from: [127, 0, 0, 1].into(),
        kinds: vec![Kind::Market, Kind::Limit { cents: -5 }, Kind::Iceberg(7, "x".into())],
        shares: [("a".into(), (1, 0.5)), ("b".into(), (2, 1.5))].into(),
        lines: vec![vec![], vec![1, 2], vec![3]],
        pair: ["one".into(), "two".into()],
        symbol: FixedStr::try_from("ETH").unwrap(),
    }
}

fn encoded(note: &Note) -> Vec<u8> {
    let mut bytes = vec![0; encoded_len(note).unwrap()];
    encode(note, &mut bytes).unwrap();
    bytes
}

#[test]
fn messages_of_any_shape_have_their_values() {
    let layout = Layout::of(Note::DESCRIPTOR).unwrap();
    assert!(layout.has_bodies());
    let bytes = encoded(&note());
    assert_eq!(
        layout.view(&bytes).unwrap().to_string(),
        "initial='ü' text=\"a \\\"quoted\\\" text\" note=\"n\" none=none age=1.5s from=127.0.0.1 \
         kinds=[Market, Limit{cents=-5}, Iceberg{0=7 1=\"x\"}] \
         shares={\"a\": {0=1 1=0.5}, \"b\": {0=2 1=1.5}} lines=[[], [1, 2], [3]] \
         pair=[\"one\", \"two\"] symbol=\"ETH\""
    );
    let from = IpAddr::from([1, 0, 0, 0, 0, 0, 0, 2]);
    let bytes = encoded(&Note { from, ..note() });
    let found = layout.view(&bytes).unwrap().at("from").unwrap().to_string();
    assert_eq!(found, "1::2");
}

#[test]
fn bodies_follow_each_other() {
    let layout = Layout::of(Note::DESCRIPTOR).unwrap();
    let bytes = encoded(&note());
    let longer = [&bytes[..], &[0]].concat();
    let (expected, found) = (bytes.len(), longer.len());
    assert_eq!(layout.view(&longer).err(), Some(ViewError::Trailing { expected, found }));
    let shorter = layout.view(&bytes[..expected - 1]);
    assert!(matches!(shorter, Err(ViewError::Body { .. })));
    let (expected, found) = (layout.size(), layout.size() - 1);
    let shorter = layout.view(&bytes[..found]);
    assert_eq!(shorter.err(), Some(ViewError::Size { expected, found }));
    // The place and the number of items of each body are 4 bytes each.
    let has_body = |kind: &FieldKind| {
        matches!(kind, FieldKind::String | FieldKind::Sequence { .. } | FieldKind::Map { .. })
    };
    let fields: Vec<_> = layout.fields().iter().filter(|it| has_body(it.kind())).collect();
    assert_eq!(fields.len(), 4);
    for at in fields.into_iter().map(|field| field.offset()) {
        for word in [at, at + 4] {
            for claim in [1, u32::MAX, u32::MAX - 7] {
                let mut bytes = bytes.clone();
                bytes[word..word + 4].copy_from_slice(&claim.to_le_bytes());
                let error = layout.view(&bytes).expect_err("an invalid place or number");
                assert!(!error.to_string().is_empty());
            }
        }
    }
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
    // A few bytes could be any number of values.
    let texts = [count(0x42, 2), vec![0x43]].concat();
    assert_eq!(
        Layout::parse(&one_field(18, &texts)),
        Err(LayoutError::Parts { what: "a list" }),
        "the items of a list in a slot have no bodies"
    );
    let empty = [count(0x44, 0), count(0x40, 0), vec![0x01]].concat();
    assert_eq!(Layout::parse(&one_field(8, &empty)), Err(LayoutError::NoBytes));
    let wrong = [count(0x44, 7), vec![0x43]].concat();
    assert_eq!(Layout::parse(&one_field(8, &wrong)), Err(LayoutError::Parts { what: "a list" }));
    let deep = |depth| [count(0x44, 8).repeat(depth), vec![0x43]].concat();
    assert!(Layout::parse(&one_field(8, &deep(DEEPEST - 1))).is_ok());
    assert_eq!(Layout::parse(&one_field(8, &deep(DEEPEST))), Err(LayoutError::TooDeep));
    let claim = [0x50; 1].into_iter().chain([0xff; 24]).collect::<Vec<u8>>();
    assert_eq!(Layout::parse(&claim), Err(LayoutError::TooLong { found: u64::MAX }));
    let place = Layout::parse(&one_field(2, &[0x01])).unwrap_err().to_string();
    let expected = "field `a` has 2 bytes at 0: expected 1 bytes at 0, after the field before it";
    assert_eq!(place, expected);
}

#[message(topic = "flags", id = 2)]
struct Flag {
    side: Side,
    open: bool,
}

#[message(topic = "texts", id = 3)]
struct Text {
    text: String,
}

/// A publisher of bytes in the process of the reader: the reader checks what it gets.
#[test]
fn invalid_values_from_an_untyped_publisher_are_gaps() {
    fn deliveries<M: Message>(messages: &[Vec<u8>]) -> String {
        let topic = Topic::new(M::TOPIC, Schema::of::<M>(), 8, Region::new(16)).unwrap();
        let mut copies = topic.subscribe::<M>("copies", Policy::Block).unwrap();
        let mut views = topic.subscribe::<M>("views", Policy::Block).unwrap();
        let mut observes = topic.subscribe::<M>("observes", Policy::DropOldest).unwrap();
        let mut publisher = UntypedPublisher::new(&topic, "writer", 1).unwrap();
        for message in messages {
            pollster::block_on(publisher.emit(message)).unwrap();
        }
        drop(publisher);
        let mut found = [const { String::new() }; 3];
        let kind = |is_gap| if is_gap { '-' } else { '+' };
        pollster::block_on(async {
            while let Some(delivery) = copies.recv().await {
                found[0].push(kind(matches!(delivery, Delivery::Gap(_))));
            }
            while let Some(delivery) = views.recv_view().await {
                found[1].push(kind(matches!(delivery, Delivery::Gap(_))));
            }
            while let Some(delivery) = observes.recv().await {
                found[2].push(kind(matches!(delivery, Delivery::Gap(_))));
            }
        });
        assert!(found.iter().all(|it| *it == found[0]), "{found:?}");
        found[0].clone()
    }

    let flags = [vec![1, 1], vec![1, 2], vec![2, 0], vec![7, 0], vec![1, 0]];
    assert_eq!(deliveries::<Flag>(&flags), "+-+-+");
    let note = |text: &[u8]| {
        let mut bytes = [8, 0, 0, 0].to_vec();
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text);
        bytes
    };
    let long = [b'a'; 5000];
    let notes = [note(b"good"), note(&[0xff]), note(&long), note(&[0xc3; 5000]), vec![0; 8]];
    assert_eq!(deliveries::<Text>(&notes), "+-+-+");

    let topic = Topic::new("texts", Schema::of::<Text>(), 8, Region::new(16)).unwrap();
    let mut publisher = UntypedPublisher::new(&topic, "writer", 1).unwrap();
    let mut emit = |message: &[u8]| pollster::block_on(publisher.emit(message)).unwrap_err();
    for (message, expected) in [
        (vec![0; 7], "topic `texts`: a message of 7 bytes, and its layout has 8"),
        (note(&[0; 1 << 17]), "topic `texts`: message `Text` has"),
        (vec![200; 64], "topic `texts`: a message of 64 bytes with a wrong place or length"),
    ] {
        let error = emit(&message).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
