//! Messages that are not fixed: texts, lists, options, maps, tuples, enums with data.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mycelium_core::{
    DecodeError, Field, FixedStr, FixedVec, InvalidReason, decode, encode, encoded_len, message,
    view,
};

type Text = String;

#[message(topic = "orders", id = 7)]
#[derive(Debug, PartialEq)]
struct Order {
    id: u64,
    venue: Text,
    note: Option<String>,
    legs: Vec<Leg>,
    kind: Kind,
    tags: BTreeMap<String, Vec<u8>>,
    shares: BTreeMap<FixedStr<6>, Bytes>,
    wait: Duration,
    from: Option<IpAddr>,
    pair: (u8, Arc<str>, Option<u32>),
    sides: Vec<Kind>,
    grade: char,
    padded: Vec<Padded>,
    many: [Option<String>; 2],
}

#[message]
#[derive(Debug, PartialEq)]
struct Leg {
    price: i64,
    pool: FixedStr<6>,
    fees: FixedVec<u16, 3>,
}

#[message]
#[derive(Debug, PartialEq)]
enum Kind {
    Market,
    Limit { cents: i64 },
    Iceberg(u32, i64),
    Named(String),
    Range { message: u8, at: Option<String>, end: u64, f: bool },
}

#[message(pad)]
#[derive(Debug, PartialEq)]
struct Padded {
    flag: bool,
    number: u64,
    small: u16,
}

fn order() -> Order {
    Order {
        id: 42,
        venue: "Uniswap".into(),
        note: Some("a note".into()),
        legs: vec![
            Leg { price: -1, pool: "a".try_into().unwrap(), fees: FixedVec::new() },
            Leg {
                price: 7,
                pool: "weth".try_into().unwrap(),
                fees: FixedVec::from_slice(&[9]).unwrap(),
            },
        ],
        kind: Kind::Limit { cents: 12 },
        tags: [("a".into(), vec![1, 2, 3]), ("b".into(), vec![])].into(),
        shares: ["x", "y", "z"].map(|it| (it.try_into().unwrap(), Bytes::from(it))).into(),
        wait: Duration::new(3, 5),
        from: Some([127, 0, 0, 1].into()),
        pair: (9, "x".into(), None),
        sides: vec![
            Kind::Market,
            Kind::Iceberg(1, -2),
            Kind::Named("n".into()),
            Kind::Range { message: 1, at: Some("at".into()), end: 3, f: true },
        ],
        grade: 'ä',
        padded: vec![Padded::new(true, 7, 8)],
        many: [None, Some("one".into())],
    }
}

/// Returns the encoding, aligned to 8.
fn bytes(order: &Order) -> (Vec<u64>, usize) {
    let len = encoded_len(order).unwrap();
    let mut words = vec![u64::MAX; len.div_ceil(8)];
    assert_eq!(encode(order, as_bytes_mut(&mut words)), Ok(len));
    (words, len)
}

fn as_bytes(words: &[u64]) -> &[u8] {
    zerocopy::IntoBytes::as_bytes(words)
}

fn as_bytes_mut(words: &mut [u64]) -> &mut [u8] {
    zerocopy::IntoBytes::as_mut_bytes(words)
}

#[test]
fn a_message_of_any_shape_is_read_as_it_was_written() {
    const { assert!(!Order::IS_FIXED && Leg::IS_FIXED && !Kind::IS_FIXED) };
    let order = order();
    let (words, len) = bytes(&order);
    let encoded = &as_bytes(&words)[..len];
    assert_eq!(decode::<Order>(encoded), Ok(order.clone()));

    let read = view::<Order>(encoded).unwrap();
    assert_eq!((read.id(), read.venue(), read.note()), (42, "Uniswap", Some("a note")));
    assert_eq!(read.legs(), order.legs);
    assert!(matches!(read.kind(), KindView::Limit { cents: 12 }));
    assert_eq!(read.tags().collect::<Vec<_>>(), [("a", &[1, 2, 3][..]), ("b", &[])]);
    assert_eq!(
        ["a", "b", "c"].map(|tag| read.tags().get(tag).map(<[u8]>::len)),
        [Some(3), Some(0), None]
    );
    for (name, share) in read.shares() {
        assert_eq!((name.as_bytes(), read.shares().get(name)), (share, Some(share)));
    }
    assert_eq!((read.wait(), read.from()), (order.wait, order.from));
    assert_eq!((read.pair(), read.grade()), ((9, "x", None), 'ä'));
    let named = read.sides().nth(2);
    assert!(matches!(named, Some(KindView::Named("n"))), "{named:?}");
    assert!(format!("{read:?}").starts_with("OrderView { id: 42, venue: \"Uniswap\""));
}

#[test]
fn every_byte_of_an_encoding_matters() {
    let order = order();
    let (words, len) = bytes(&order);
    for place in (0..len).step_by(if cfg!(miri) { 19 } else { 1 }) {
        for flip in [1, 2, 0x80, 0xff] {
            let mut words = words.clone();
            as_bytes_mut(&mut words)[place] ^= flip;
            let found = decode::<Order>(&as_bytes(&words)[..len]);
            // One encoding for each value: what is accepted encodes another value, as these bytes.
            if let Ok(found) = found {
                assert_ne!(found, order, "byte {place}");
                assert_eq!(bytes(&found), (words, len), "byte {place}");
            }
        }
    }
    for short in (0..len).step_by(if cfg!(miri) { 19 } else { 1 }) {
        assert!(decode::<Order>(&as_bytes(&words)[..short]).is_err(), "{short} bytes");
    }
    let mut longer = words.clone();
    longer.push(0);
    let found = decode::<Order>(&as_bytes(&longer)[..len + 1]);
    let Err(DecodeError::Invalid(invalid)) = found else { panic!("{found:?}") };
    assert!(matches!(invalid.reason, InvalidReason::Length { .. }), "{invalid}");
}

#[test]
fn a_message_that_is_too_long_is_refused_with_its_length() {
    #[message(topic = "notes", id = 8, max = "1 KiB")]
    struct Note {
        text: String,
    }
    let note = |len| Note { text: "a".repeat(len) };
    assert_eq!(encoded_len(&note(1024 - 8)), Ok(1024));
    let error = encoded_len(&note(1024 - 7)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "message `Note` has 1025 bytes, but may have 1024: write `max` in its #[message]"
    );
    // A peer whose limit is higher.
    let mut words = [0; 129];
    as_bytes_mut(&mut words)[..8].copy_from_slice(&[8, 0, 0, 0, 249, 3, 0, 0]);
    let found = decode::<Note>(&as_bytes(&words)[..1025]);
    assert!(matches!(found, Err(DecodeError::Size { expected: 1024, found: 1025, .. })));
    as_bytes_mut(&mut words)[4] -= 1;
    assert!(decode::<Note>(&as_bytes(&words)[..1024]).is_ok());
}

/// A text keeps what a hostile peer wrote behind it, as long as its message is fixed.
#[test]
fn bytes_that_mean_nothing_are_not_sent_on() {
    #[message(topic = "names", id = 9)]
    struct Name {
        name: FixedStr<6>,
    }
    #[message(topic = "names-and-more", id = 10)]
    #[derive(Debug, PartialEq)]
    struct More {
        name: FixedStr<6>,
        names: Vec<FixedStr<6>>,
        rest: String,
    }
    let Name { name } = decode(&[1, 0, b'a', 0xff, 0xff, 0, 0, 7]).unwrap();
    let more = More { name, names: vec![name], rest: "b".into() };
    let mut words = [u64::MAX; 8];
    let len = encode(&more, as_bytes_mut(&mut words)).unwrap();
    assert_eq!(decode::<More>(&as_bytes(&words)[..len]), Ok(more));
    assert_eq!(as_bytes(&words)[..8], [1, 0, b'a', 0, 0, 0, 0, 0]);
}

/// Fields of several types may have the same view, which is shown.
#[test]
fn fields_with_the_same_view_are_shown() {
    #[message(topic = "texts", id = 11)]
    #[derive(Debug)]
    struct Texts {
        owned: String,
        boxed: Box<str>,
        maybe: Option<Arc<str>>,
        list: Vec<u8>,
        bytes: Bytes,
        either: Either,
    }
    #[message]
    #[derive(Debug)]
    enum Either {
        Both(Vec<u8>, Bytes),
    }
    let either = Either::Both(vec![3], Bytes::from_static(&[4]));
    let (maybe, bytes) = (Some("c".into()), Bytes::from_static(&[2]));
    let texts = Texts { owned: "a".into(), boxed: "b".into(), maybe, list: vec![1], bytes, either };
    let mut words = [0; 32];
    let len = encode(&texts, as_bytes_mut(&mut words)).unwrap();
    let seen = view::<Texts>(&as_bytes(&words)[..len]).unwrap();
    let shown = "TextsView { owned: \"a\", boxed: \"b\", maybe: Some(\"c\"), list: [1], bytes: [2], \
                 either: Both([3], [4]) }";
    assert_eq!(format!("{seen:?}"), shown);
}
