//! Values in postcard of messages whose types are unknown.

use std::collections::{BTreeMap, HashMap};

use mycelium_core::{Message, message, to_bytes};
use mycelium_transports::untyped::{FieldKind, Layout, Value};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

#[message(topic = "quotes", codec = "postcard")]
#[derive(Serialize, Deserialize, Schema)]
struct Quote {
    small: (u8, i8, u16, i16, u32),
    large: (i32, u64, i64, u128, i128),
    floats: [f64; 2],
    flag: bool,
    grade: char,
    venue: Option<String>,
    note: Option<String>,
    kinds: Vec<Kind>,
    by_name: BTreeMap<String, Vec<u8>>,
    by_kind: HashMap<Kind, ()>,
    #[serde(rename = "a, b}")]
    odd: Newtype,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Schema)]
enum Kind {
    Market,
    Limit(i64),
    Range { low: u32, high: u32 },
    Pair(char, String),
}

#[derive(Clone, Serialize, Deserialize, Schema)]
struct Newtype(String);

fn quote() -> Quote {
    Quote {
        small: (255, -128, 65_535, -1, 7),
        large: (i32::MIN, u64::MAX, i64::MIN, u128::MAX, i128::MIN),
        floats: [-0.5, f64::INFINITY],
        flag: true,
        grade: 'ß',
        venue: Some("a \"b\"\n".into()),
        note: None,
        kinds: vec![
            Kind::Market,
            Kind::Limit(-300),
            Kind::Range { low: 1, high: 300 },
            Kind::Pair('x', "y".into()),
        ],
        by_name: [("one".to_owned(), vec![1, 2]), ("two".to_owned(), vec![])].into(),
        by_kind: [(Kind::Limit(5), ())].into(),
        odd: Newtype("odd".into()),
    }
}

/// Returns what is printed of a message: for people, and as JSON.
fn printed(layout: &Layout, bytes: &[u8]) -> (String, String) {
    let view = layout.view(bytes).unwrap();
    let Some((_, Value::Postcard(value))) = view.fields().next() else { panic!("{view}") };
    (view.to_string(), value.json().to_string())
}

#[test]
fn values_are_printed_by_their_schema() {
    let layout = Layout::of(Quote::DESCRIPTOR).unwrap();
    assert_eq!(layout.fields()[0].name(), "Quote");
    let (text, json) = printed(&layout, &to_bytes(&quote()).unwrap());
    assert_eq!(
        text,
        "Quote={small=(255, -128, 65535, -1, 7) large=(-2147483648, 18446744073709551615, \
         -9223372036854775808, 340282366920938463463374607431768211455, \
         -170141183460469231731687303715884105728) floats=(-0.5, inf) flag=true grade='ß' \
         venue=\"a \\\"b\\\"\\n\" note=none kinds=[Market, Limit(-300), Range{low=1 high=300}, \
         Pair('x', \"y\")] by_name={\"one\": [1, 2], \"two\": []} by_kind={Limit(5): ()} \
         a, b}=\"odd\"}"
    );
    assert_eq!(
        json,
        "{\"small\":[255,-128,65535,-1,7],\"large\":[-2147483648,18446744073709551615,\
         -9223372036854775808,340282366920938463463374607431768211455,\
         -170141183460469231731687303715884105728],\"floats\":[-0.5,\"inf\"],\"flag\":true,\
         \"grade\":\"ß\",\"venue\":\"a \\\"b\\\"\\u000a\",\"note\":null,\"kinds\":[\"Market\",\
         {\"Limit\":-300},{\"Range\":{\"low\":1,\"high\":300}},{\"Pair\":[\"x\",\"y\"]}],\
         \"by_name\":{\"one\":[1,2],\"two\":[]},\"by_kind\":{\"Limit(5)\":null},\
         \"a, b}\":\"odd\"}"
    );
}

#[message(topic = "entries", codec = "postcard", schema = 7)]
#[derive(Serialize, Deserialize)]
struct Entry(u8, String);

/// A type of serde in an ordinary message.
#[message(topic = "orders")]
struct Order {
    id: u64,
    entries: Vec<Entry>,
}

#[test]
fn values_without_a_schema_are_bytes() {
    let layout = Layout::of(Entry::DESCRIPTOR).unwrap();
    let (text, json) = printed(&layout, &to_bytes(&Entry(7, "a".into())).unwrap());
    assert_eq!(text, "Entry=<postcard, 3 bytes: 070161>");
    assert_eq!(json, "{\"postcard\":\"070161\"}");

    let layout = Layout::of(Order::DESCRIPTOR).unwrap();
    let order = Order { id: 1, entries: vec![Entry(1, String::new()), Entry(2, "b".into())] };
    assert_eq!(
        layout.view(&to_bytes(&order).unwrap()).unwrap().to_string(),
        "id=1 entries=[{Entry=<postcard, 2 bytes: 0100>}, {Entry=<postcard, 3 bytes: 020162>}]"
    );
}

/// Returns the canonical form of a message with one list of bytes that has this name.
fn form(name: &str) -> Vec<u8> {
    let number = |number: usize| (number as u64).to_le_bytes();
    let mut form = vec![0x50];
    form.extend([8, 4, 1, 0, 8, name.len()].into_iter().flat_map(number));
    form.extend_from_slice(name.as_bytes());
    form.push(0x44);
    form.extend_from_slice(&number(1));
    form.push(0x01);
    form
}

/// Prints these bytes by a schema from a peer.
fn by(schema: &str, bytes: &[u8]) -> String {
    let layout = Layout::parse(&form(&format!("postcard T={schema}"))).unwrap();
    let place = if bytes.is_empty() { 0_u32 } else { 8 };
    let head = [place.to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat();
    printed(&layout, &[&head, bytes].concat()).0
}

#[test]
fn bytes_that_do_not_fit_their_schema_are_shown_as_such() {
    for (schema, bytes) in [
        ("u8", &[][..]),
        ("u8", &[1, 2]),
        ("bool", &[2]),
        ("?u8", &[2, 0]),
        ("<A,B>", &[2]),
        ("str", &[1, 0xff]),
        ("str", &[2, b'a']),
        ("char", &[2, b'a', b'b']),
        ("char", &[0]),
        ("u16", &[0xff, 0xff, 0x04]),
        ("u32", &[0x80, 0x80, 0x80, 0x80, 0x80, 0]),
        ("u128", &[0xff; 19]),
        ("[u8]", &[2, 1]),
        ("bytes", &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        // Items without bytes.
        ("[()]", &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("[[()]]", &[4, 4, 4, 4, 4]),
    ] {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(by(schema, bytes), format!("T=<invalid postcard: {hex}>"), "{schema}");
    }
    assert_eq!(by("u16", &[0xff, 0xff, 0x03]), "T=65535");
    assert_eq!(by("[()]", &[0]), "T=[]");
}

/// A schema of a peer may be any text.
#[test]
fn a_schema_that_is_none_leaves_the_bytes() {
    let deep = |depth: usize| format!("{}u8", "?".repeat(depth));
    for schema in [
        "",
        "u9",
        "u",
        "[u8",
        "[u8:",
        "(u8",
        "(u8,",
        "(,)",
        "{a}",
        "{a:",
        "{:u8}",
        "<A",
        "<A:>",
        "<,>",
        "u8 ",
        "u8]",
        "\\",
        "schema",
        &deep(64),
        &"[".repeat(60_000),
    ] {
        assert_eq!(by(schema, &[1]), "T=<postcard, 1 bytes: 01>", "{schema}");
    }
    assert_eq!(by(&deep(63), &[0]), "T=none");
    for name in ["postcard", "postcard ", "postcard =u8", "postcardT=u8", "postcard #1"] {
        let layout = Layout::parse(&form(name)).unwrap();
        assert_eq!(layout.fields()[0].name(), name);
        assert!(matches!(layout.fields()[0].kind(), FieldKind::Sequence { .. }), "{name}");
    }
}
