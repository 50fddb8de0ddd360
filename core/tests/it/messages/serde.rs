//! Messages that are types of serde: `codec = "postcard"`.
#![allow(clippy::disallowed_types)] // not shared memory of the core

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::catch_unwind;

use mycelium_core::message::{encode_exact, to_bytes};
use mycelium_core::{
    Code, DecodeError, EncodeError, Invalid, InvalidReason, Message, Request, decode, encode,
    encoded_len, message, view,
};
use postcard_schema::Schema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What another crate would have.
mod foreign {
    use std::collections::HashMap;
    use std::fmt::Debug;

    use postcard_schema::Schema;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Schema)]
    pub(super) struct Quote<T> {
        pub(super) price: T,
        pub(super) venue: Option<String>,
        pub(super) kind: Kind,
        pub(super) extra: HashMap<String, Vec<(u8, i64)>>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Schema)]
    pub(super) enum Kind {
        Market,
        Limit(i64),
        Range { low: f32, high: f64 },
        Pair(char, Box<(String,)>),
    }
}

use foreign::Kind;

#[message(topic = "quotes", codec = "postcard", max = "1 KiB", reply = Reply)]
#[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
struct Quote(foreign::Quote<u32>);

#[message(topic = "replies", codec = "postcard", schema = 3)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Reply {
    Done,
    Later { left: Vec<Reply>, seen: HashSet<u64> },
}

/// A type of serde as a part of a message that is read in place.
#[message(topic = "orders", id = 7)]
#[derive(Debug, PartialEq)]
struct Order {
    id: u64,
    meta: Meta,
    more: Vec<Option<Meta>>,
    name: String,
}

#[message(codec = "postcard", schema = 1)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Meta(BTreeMap<String, u16>);

fn quote() -> Quote {
    let extra = [("a".to_owned(), vec![(1, -2)]), ("b".to_owned(), Vec::new())].into();
    let kind = Kind::Pair('ß', Box::new(("x".to_owned(),)));
    Quote(foreign::Quote { price: 300, venue: Some("Uniswap".into()), kind, extra })
}

/// Returns the bytes of a message with this postcard.
fn with(postcard: &[u8]) -> Vec<u8> {
    let place = if postcard.is_empty() { 0_u32 } else { 8 };
    [&place.to_le_bytes(), &(postcard.len() as u32).to_le_bytes(), postcard].concat()
}

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(message: &M) {
    let bytes = to_bytes(message).unwrap();
    assert_eq!(bytes.len(), encoded_len(message).unwrap());
    assert_eq!(decode::<M>(&bytes).as_ref(), Ok(message));
    for short in 0..bytes.len() {
        assert!(decode::<M>(&bytes[..short]).is_err(), "{short} bytes");
    }
    assert!(decode::<M>(&[&bytes[..], &[0]].concat()).is_err(), "bytes behind the message");
}

#[test]
fn types_of_serde_are_decoded_as_they_were() {
    round_trip(&quote());
    for kind in [Kind::Market, Kind::Limit(-1), Kind::Range { low: 0.5, high: -1e300 }] {
        let Quote(quote) = quote();
        round_trip(&Quote(foreign::Quote { kind, venue: None, ..quote }));
    }
    round_trip(&Reply::Done);
    let left = vec![Reply::Done, Reply::Later { left: Vec::new(), seen: HashSet::new() }];
    round_trip(&Reply::Later { left, seen: (0..200).collect() });
}

/// All bytes are those of `postcard`, in one list.
#[test]
fn the_bytes_are_a_list_of_postcard() {
    let quote = quote();
    let bytes = to_bytes(&quote).unwrap();
    let postcard = postcard::to_stdvec(&quote).unwrap();
    assert_eq!(bytes, with(&postcard));
    let mut aligned = vec![0_u64; bytes.len().div_ceil(8)];
    let aligned = &mut zerocopy::IntoBytes::as_mut_bytes(&mut aligned[..])[..bytes.len()];
    aligned.copy_from_slice(&bytes);
    let read = view::<Quote>(aligned).unwrap();
    assert_eq!((read.bytes(), read.decode().as_ref()), (&postcard[..], Ok(&quote)));

    #[message(topic = "nothing", codec = "postcard", schema = 1)]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing;
    round_trip(&Nothing);
    assert_eq!(to_bytes(&Nothing).unwrap(), [0; 8]);
}

#[test]
fn a_part_of_serde_is_in_a_message_that_is_read_in_place() {
    let meta = || Meta([("x".to_owned(), 7)].into());
    let name = "name".to_owned();
    round_trip(&Order { id: 1, meta: meta(), more: vec![None, Some(meta())], name });
    let empty = Order { id: 1, meta: Meta(BTreeMap::new()), more: vec![], name: String::new() };
    round_trip(&empty);
    let bytes = to_bytes(&empty).unwrap();
    let words: Vec<u64> = bytes
        .chunks(8)
        .map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        })
        .collect();
    let aligned = &zerocopy::IntoBytes::as_bytes(&words[..])[..bytes.len()];
    assert_eq!(view::<Order>(aligned).unwrap().meta().decode(), Ok(Meta(BTreeMap::new())));
}

#[test]
fn a_call_and_an_answer_carry_types_of_serde() {
    let head = mycelium_core::message::CallHead { number: 1, time_left: 2 };
    let bytes = to_bytes(&Quote::to_call(head, quote())).unwrap();
    assert_eq!(Quote::of_call(decode(&bytes).unwrap()), (head, quote()));
    let head = mycelium_core::message::AnswerHead { number: 1, outcome: 0 };
    for reply in [Some(Reply::Done), None] {
        let bytes = to_bytes(&Quote::to_answer(head, reply.clone())).unwrap();
        assert_eq!(Quote::of_answer(decode(&bytes).unwrap()), (head, reply));
    }
    type Call = <Quote as Request>::Call;
    let mut bytes = to_bytes(&Quote::to_call(
        mycelium_core::message::CallHead { number: 1, time_left: 2 },
        quote(),
    ))
    .unwrap();
    *bytes.last_mut().unwrap() ^= 0x80;
    assert!(decode::<Call>(&bytes).is_err());
}

/// The layout says what the bytes are.
#[test]
fn the_digest_covers_the_schema() {
    let field = |descriptor: &mycelium_core::Descriptor| descriptor.fields[0].name;
    assert_eq!(
        field(Quote::DESCRIPTOR),
        "postcard Quote={price:u32,venue:?str,kind:<Market,Limit:i64,Range:{low:f32,high:f64},\
         Pair:(char,(str))>,extra:[str:[(u8,i64)]]}"
    );
    assert_eq!(field(Reply::DESCRIPTOR), "postcard Reply#3");
    assert_eq!(Quote::DIGEST, mycelium_core::Digest::of(Quote::DESCRIPTOR));

    /// Returns a digest and the name of its field.
    macro_rules! layout {
        ($schema:literal $body:item) => {{
            #[message(topic = "a", codec = "postcard", schema = $schema)]
            #[derive(Serialize, Deserialize)]
            $body
            Type::DIGEST
        }};
        ($body:item) => {{
            #[message(topic = "a", codec = "postcard")]
            #[derive(Serialize, Deserialize, Schema)]
            $body
            (Type::DIGEST, field(Type::DESCRIPTOR))
        }};
    }
    let numbers = [
        layout!(1 struct Type(u8);),
        layout!(2 struct Type(u8);),
        layout!(12 struct Type(u8);),
        {
            #[message(topic = "a", codec = "postcard", schema = 1)]
            #[derive(Serialize, Deserialize)]
            struct Other(u8);
            Other::DIGEST
        },
        layout!(
            struct Type(u8);
        )
        .0,
        layout!(
            struct Type(i8);
        )
        .0,
        layout!(
            struct Type(Vec<u8>);
        )
        .0,
        layout!(
            struct Type {
                a: u8,
            }
        )
        .0,
        layout!(
            struct Type {
                b: u8,
            }
        )
        .0,
        {
            #[message(topic = "a", id = 3)]
            struct Type {
                postcard: Vec<u8>,
            }
            Type::DIGEST
        },
    ];
    let different: HashSet<_> = numbers.into_iter().collect();
    assert_eq!(different.len(), numbers.len());
    assert_eq!(
        layout!(
            #[serde(rename = "ignored")]
            struct Type {
                #[serde(rename = "a,b:c}\\")]
                a: u8,
            }
        )
        .1,
        "postcard Type={a\\,b\\:c\\}\\\\:u8}"
    );
}

#[track_caller]
fn refused<M: Message>(postcard: &[u8], problem: &str) {
    let Err(error) = decode::<M>(&with(postcard)) else { panic!("{postcard:?} is accepted") };
    let DecodeError::Invalid(Invalid { message, field, reason }) = error else { panic!("{error}") };
    assert_eq!((message, field), (M::DESCRIPTOR.name, "postcard"));
    let InvalidReason::Postcard { problem: found } = reason else { panic!("{reason}") };
    assert!(found.contains(problem), "{found}");
    assert_eq!(error.code(), Code::FIELD_CONTENT);
}

macro_rules! of_serde {
    ($($name:ident($ty:ty)),*) => {$(
        #[message(topic = "a", codec = "postcard", schema = 1, max = "64 MiB")]
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct $name($ty);
    )*};
}

#[test]
fn bytes_that_are_no_value_are_refused() {
    of_serde!(Text(String), Flag(bool), Maybe(Option<u8>), Words(Vec<u32>), Wide(u16));
    refused::<Text>(&[2, b'a'], "end within");
    refused::<Text>(&[1, 0xff], "UTF-8");
    refused::<Text>(&[1, b'a', 0], "follow the value");
    refused::<Flag>(&[2], "invalid value");
    refused::<Maybe>(&[2], "invalid value");
    refused::<Maybe>(&[], "end within");
    refused::<Wide>(&[0xff, 0xff, 0x7f], "invalid value");
    refused::<Words>(&[3, 1, 2], "claims more items");
    refused::<Reply>(&[2], "refuses the value");
    refused::<Reply>(&[0, 0], "follow the value");

    // As for any list of bytes.
    assert!(decode::<Text>(&[0; 7]).is_err());
    assert!(decode::<Text>(&[8, 0, 0, 0, 2, 0, 0, 0, 0]).is_err());
    assert!(decode::<Text>(&[9, 0, 0, 0, 1, 0, 0, 0, 0]).is_err());
}

/// Neither counts nor depth cost more than the bytes that are there.
#[test]
fn counts_and_depth_are_bounded() {
    of_serde!(
        Units(Vec<()>),
        Nested(Vec<Vec<()>>),
        Numbers(Vec<[u64; 32]>),
        Entries(HashMap<String, String>),
        Signals(BTreeMap<(), ()>)
    );
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let claims = "claims more items";
    refused::<Units>(&huge, claims);
    refused::<Numbers>(&huge, claims);
    refused::<Entries>(&huge, claims);
    refused::<Signals>(&huge, claims);
    // Each inner list claims as many items as bytes are left, all of them without bytes.
    let lists = 1_u32 << if cfg!(miri) { 8 } else { 20 };
    let count = postcard::to_stdvec(&lists).unwrap();
    refused::<Nested>(&[&count[..], &count.repeat(lists as usize)].concat(), claims);
    round_trip(&Nested(vec![vec![], vec![]]));

    #[message(topic = "a", codec = "postcard", schema = 1)]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Tree {
        Leaf,
        One(Box<Tree>),
        Many(Vec<Tree>),
        Entry(HashMap<u8, Tree>),
        Maybe(Option<Box<Tree>>),
        Fields { inner: (Box<Tree>,) },
    }
    let nested =
        |depth: usize, wrap: fn(Tree) -> Tree| (0..depth).fold(Tree::Leaf, |it, _| wrap(it));
    let one = |tree| Tree::One(Box::new(tree));
    round_trip(&nested(64, one));
    let deep = "nested too deeply";
    for (wrap, levels) in [
        (one as fn(Tree) -> Tree, 1),
        (|tree| Tree::Many(vec![tree]), 2),
        (|tree| Tree::Entry([(1, tree)].into()), 2),
        (|tree| Tree::Maybe(Some(Box::new(tree))), 2),
        (|tree| Tree::Fields { inner: (Box::new(tree),) }, 2),
    ] {
        round_trip(&nested(64 / levels, wrap));
        refused::<Tree>(&postcard::to_stdvec(&nested(64 / levels + 1, wrap)).unwrap(), deep);
    }
    refused::<Tree>(&[1; 60_000], deep);
    refused::<Tree>(&[2, 1].repeat(30_000), deep);

    // Has no end, whatever the bytes are.
    #[message(topic = "a", codec = "postcard", schema = 1)]
    #[derive(Serialize, Deserialize)]
    struct Endless(Box<Endless>);
    refused::<Endless>(&[], deep);
}

/// A type whose impls do what a number says.
#[derive(Clone, Debug, PartialEq)]
struct Odd(u8);

impl Serialize for Odd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        thread_local!(static CALLS: Cell<usize> = const { Cell::new(0) });
        match self.0 {
            1 => Err(serde::ser::Error::custom("no")),
            2 => panic!("serialize"),
            3 => serializer.collect_seq(std::iter::repeat_n(1_u8, 3).filter(|_| true)),
            4 => "a".repeat(CALLS.replace(CALLS.get() + 1) % 3).serialize(serializer),
            5 => "a".repeat(CALLS.replace(CALLS.get() + 1) % 3 * 20).serialize(serializer),
            _ => self.0.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            8 => Err(D::Error::custom("no")),
            9 => panic!("deserialize"),
            other => Ok(Self(other)),
        }
    }
}

#[message(topic = "odd", codec = "postcard", schema = 1)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Odds(Odd);

#[test]
fn a_deserialize_that_fails_or_panics_is_an_error() {
    refused::<Odds>(&[8], "refuses the value");
    refused::<Odds>(&[9], "panics");
    assert_eq!(decode(&with(&[7])), Ok(Odds(Odd(7))));

    // Not described by its bytes.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u8),
    }
    #[message(topic = "a", codec = "postcard", schema = 1)]
    #[derive(Debug, Serialize, Deserialize)]
    struct Holder(Untagged);
    let bytes = to_bytes(&Holder(Untagged::Number(1))).unwrap();
    refused::<Holder>(&bytes[8..], "postcard does not say");
}

#[test]
fn a_serialize_that_fails_is_refused() {
    let error = encoded_len(&Odds(Odd(1))).unwrap_err();
    assert_eq!(error, EncodeError::Serialize { message: "Odds" });
    assert_eq!(
        error.to_string(),
        "message `Odds` cannot be encoded: its `Serialize` fails, or has a list of unknown length"
    );
    assert_eq!(encoded_len(&Odds(Odd(3))), Err(error), "the length is not known");
    assert!(catch_unwind(|| encoded_len(&Odds(Odd(2)))).is_err());
    // The measured length is 0 to 2 bytes, and the written one is another.
    for _ in 0..3 {
        let mut bytes = [0; 16];
        assert_eq!(encode(&Odds(Odd(4)), &mut bytes), Err(error));
        encoded_len(&Odds(Odd(4))).unwrap();
    }
    let mut bytes = [0; 9];
    assert_eq!(encode_exact(&Odds(Odd(1)), &mut bytes), Err(error));

    #[message(topic = "a")]
    struct Part {
        odds: Odds,
        name: String,
        names: Vec<u8>,
    }
    let part =
        |odd, name: &str| Part { odds: Odds(Odd(odd)), name: name.into(), names: vec![1; 3] };
    assert!(encoded_len(&part(7, "name")).is_ok());
    for name in ["", "abc", "more than eight bytes"] {
        let error = EncodeError::Serialize { message: "Part" };
        assert_eq!(encoded_len(&part(1, name)), Err(error));
    }

    // What is written may be longer than what was measured, and takes the room of other fields.
    let refused = (0..6).filter(|_| {
        let part = part(5, "name");
        let mut bytes = vec![0; encoded_len(&part).unwrap()];
        encode_exact(&part, &mut bytes) == Err(EncodeError::Serialize { message: "Part" })
    });
    assert_eq!(refused.count(), 6);

    let long = Quote(foreign::Quote { venue: Some("a".repeat(1024)), ..quote().0 });
    let Err(EncodeError::TooLong { message: "Quote", most: 1024, found }) = encoded_len(&long)
    else {
        panic!("it is too long");
    };
    assert!(found > 1024);
}

/// What this decodes is what `postcard` decodes.
#[test]
fn what_postcard_decodes_is_decoded() {
    fn both<T: DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
        let own = mycelium_core::message::postcard::decode::<T>(bytes).ok();
        let whole = postcard::take_from_bytes::<T>(bytes).ok();
        let whole = whole.filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value);
        if own != whole {
            // Only lists of items without bytes differ.
            assert_eq!((own, bytes.len() < 64), (None, true), "{bytes:?}");
        }
    }
    type Whole = (
        (bool, i8, i16, i32, i64, i128),
        (u8, u16, u32, u64, u128, f32, f64, char),
        (String, Option<Kind>, Vec<Kind>, BTreeMap<u8, (i16, String)>, Reply),
    );
    let mut random = 1_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..if cfg!(miri) { 20 } else { 20_000 } {
        let len = next() % 40;
        let mut bytes: Vec<u8> = (0..len).map(|_| (next() >> (next() % 8)) as u8 & 0x83).collect();
        both::<foreign::Quote<u32>>(&bytes);
        both::<Reply>(&bytes);
        both::<Whole>(&bytes);
        let whole = postcard::to_stdvec(&quote()).unwrap();
        let at = next() as usize % whole.len();
        bytes = whole;
        bytes[at] = next() as u8;
        both::<foreign::Quote<u32>>(&bytes);
    }
}
