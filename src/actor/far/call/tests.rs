//! Tests of what a peer may send: invalid bytes, and calls with a request of another type.

use mycelium_core::Fixed;
use mycelium_core::{Message, message};
use proptest::prelude::*;

use super::*;

#[message(topic = "sums", id = 1, reply = Sum)]
#[derive(Debug, PartialEq)]
struct Add {
    one: u64,
    other: u64,
}

#[message(topic = "summed", id = 2)]
#[derive(Debug, PartialEq)]
struct Sum {
    sum: u64,
    is_odd: bool,
    _pad: [u8; 7],
}

/// A request of the same topic as `Add`, with another layout.
#[message(topic = "sums", id = 1, reply = Sum)]
struct Longer {
    one: u64,
    other: u64,
    third: u64,
}

/// A request of the same layout as `Add`, with another reply.
#[message(topic = "sums", id = 1, reply = Add)]
#[derive(Debug)]
struct Replied2 {
    one: u64,
    other: u64,
}

fn call() -> ActorCall {
    ActorCall::new("bank", &Add { one: 1, other: 2 })
}

/// Returns the outcome of a call that is not a request `R`.
fn refused<R: Request>(call: &ActorCall) -> u64 {
    let Some(Err(reply)) = call.request::<R>() else { panic!("it is a request, or another topic") };
    reply.outcome
}

const LAYOUT: u64 = 2;

#[test]
fn a_request_of_another_layout_is_no_request_of_this_one() {
    let with_layout = ActorCall::with_layout("bank", &Add { one: 1, other: 2 }).unwrap();
    assert_eq!(refused::<Longer>(&call()), ASKS_LAYOUT);
    assert_eq!(refused::<Longer>(&with_layout), LAYOUT);
    assert_eq!(refused::<Replied2>(&call()), ASKS_LAYOUT);
}

/// A request that has grown, and its reply, also with bytes that lie about their layout.
#[test]
fn a_request_that_has_grown_is_converted() {
    #[message(topic = "sums", id = 1, reply = Newer)]
    #[derive(Debug, PartialEq)]
    struct More {
        one: u64,
        other: u64,
        #[message(default = 7)]
        third: u64,
    }
    #[message(topic = "summed", id = 2)]
    #[derive(Clone, Debug, PartialEq)]
    struct Newer {
        sum: u64,
        is_odd: bool,
        _pad: [u8; 7],
        #[message(default = 5)]
        count: u64,
    }
    let add = Add { one: 1, other: 2 };
    let refused = call().request::<More>().unwrap().unwrap_err();
    assert!(matches!(refused.reply::<Sum>(), Replied::AsksLayout));
    let asked = ActorCall::with_layout("bank", &add).unwrap();
    assert_eq!(asked.request::<More>().unwrap().unwrap(), More { one: 1, other: 2, third: 7 });
    let sum = Newer { sum: 3, is_odd: true, _pad: [0; 7], count: 9 };
    let reply = asked.replied::<Newer>().with(&sum);
    let old = Sum { sum: 3, is_odd: true, _pad: [0; 7] };
    assert!(matches!(reply.reply::<Sum>(), Replied::Reply(found) if found == old));
    // The other way round.
    let newer = ActorCall::with_layout("bank", &More { one: 1, other: 2, third: 3 }).unwrap();
    assert_eq!(newer.request::<Add>().unwrap().unwrap(), add);
    let reply = newer.replied::<Sum>().with(&old);
    let grown = Newer { count: 5, ..sum };
    assert!(matches!(reply.reply::<Newer>(), Replied::Reply(found) if found == grown));
    // A caller that could not read the reply is refused before its actor is asked.
    let refused = call().request::<Replied2>().unwrap().unwrap_err();
    assert!(matches!(refused.reply::<Sum>(), Replied::Mismatch(Mismatch::Layout)));
    for layout in [vec![0x50; 9], form_of::<Sum>(), form_of::<More>()] {
        let lie = ActorCall { layout, ..call() };
        assert!(lie.request::<More>().unwrap().is_err());
    }
}

/// The layouts match, but the number of bytes does not fit the request.
#[test]
fn a_call_that_lies_about_its_request_is_refused() {
    for length in [0, 15, 17, 510] {
        let bytes = vec![1; length];
        let lie = ActorCall { bytes, ..call() };
        assert_eq!(refused::<Add>(&lie), LAYOUT, "{length}");
    }
}

#[test]
fn a_reply_that_is_none_is_invalid() {
    let sum = Sum { sum: 3, is_odd: true, _pad: [0; 7] };
    let reply = call().replied::<Sum>().with(&sum);
    assert!(matches!(reply.reply::<Sum>(), Replied::Reply(found) if found == sum));
    // The size is that of another type. Below, a byte is not a valid `bool`.
    assert!(matches!(reply.reply::<Longer>(), Replied::Invalid));
    let mut bytes = sum.encoded().to_vec();
    bytes[8] = 2;
    let lie = ActorReply { bytes, ..reply.clone() };
    assert!(matches!(lie.reply::<Sum>(), Replied::Invalid));
    let unknown = ActorReply { outcome: 5, ..reply.clone() };
    assert!(matches!(unknown.reply::<Sum>(), Replied::Invalid));
    for mismatch in [Mismatch::Request, Mismatch::Layout, Mismatch::OneSender] {
        let refused = ActorReply::refused(mismatch).reply::<Sum>();
        assert!(matches!(refused, Replied::Mismatch(found) if found == mismatch), "{refused:?}");
    }
}

proptest! {
    /// For any bytes of a peer: if they decode as a call or a reply, the result is a request, a
    /// reply or an error.
    #[test]
    fn no_bytes_of_a_peer_panic(
        topic_is_right: bool,
        layouts_are_right: bool,
        layouts: [u8; 16],
        bytes in proptest::collection::vec(any::<u8>(), 0..32),
        layout in proptest::collection::vec(any::<u8>(), 0..3),
        outcome in 0..6_u64,
    ) {
        let mut call = ActorCall { bytes: bytes.clone(), layout: layout.clone(), ..call() };
        if !topic_is_right {
            call.topic ^= 1;
        }
        if !layouts_are_right {
            call.request = layouts;
        }
        let is_request = matches!(call.request::<Add>(), Some(Ok(_)));
        prop_assert_eq!(is_request, topic_is_right && layouts_are_right && bytes.len() == 16);
        let reply = ActorReply { outcome, bytes, layout };
        let _ = reply.reply::<Sum>();
    }
}

/// Compares with the bytes in `docs/wire-format.md`.
#[test]
fn the_layout_is_that_of_the_document() {
    let bytes = to_bytes(&call()).unwrap();
    assert_eq!(bytes.len(), 136);
    // FNV-1a of `sums`.
    assert_eq!(bytes[..8], hash("sums").to_le_bytes());
    assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(bytes[8..24], Add::DIGEST.0);
    assert_eq!(bytes[24..40], Sum::DIGEST.0);
    assert_eq!(bytes[40..46], [4, 0, b'b', b'a', b'n', b'k']);
    // The place and the length of the request.
    assert_eq!(bytes[104..112], [120, 0, 0, 0, 16, 0, 0, 0]);
    assert_eq!((&bytes[112..120], bytes[120]), (&[0; 8][..], 1));
    let reply = to_bytes(&ActorReply::refused(Mismatch::Layout)).unwrap();
    assert_eq!(reply, [&[2][..], &[0; 23]].concat());
}
