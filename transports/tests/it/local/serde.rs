//! Topics whose messages are types of serde.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mycelium_core::message;
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    Delivery, Gap, GapReason, LatestByKey, Policy, Publisher, Refusal, Schema, Subscription, Topic,
    TryRecv,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[message(topic = "entries", codec = "postcard", schema = 1)]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    what: What,
    more: HashMap<String, u64>,
}

/// What the impls of serde do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Fine,
    FailsToEncode,
    PanicsToEncode,
    FailsToDecode,
    PanicsToDecode,
}

use What::{FailsToDecode, FailsToEncode, Fine, PanicsToDecode, PanicsToEncode};

impl Serialize for What {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FailsToEncode => Err(serde::ser::Error::custom("no")),
            PanicsToEncode => panic!("no"),
            other => (*other as u8).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for What {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            0 => Ok(Fine),
            4 => panic!("no"),
            _ => Err(D::Error::custom("no")),
        }
    }
}

fn entry(what: What, count: u64) -> Entry {
    Entry { what, more: (0..count).map(|number| (format!("number {number}"), number)).collect() }
}

fn joined(policy: Policy) -> (Subscription<Entry>, Publisher<Entry>) {
    let topic = Topic::new("entries", Schema::of::<Entry>(), 64, Region::new(16)).unwrap();
    let reader = topic.subscribe("reader", policy).unwrap();
    (reader, topic.publisher("publisher", 1).unwrap())
}

/// The messages, and how many were undecodable.
#[derive(Debug, Default, PartialEq)]
struct Found(Vec<Result<Entry, u64>>);

/// A way to receive: returns false if there is nothing.
type Receive = fn(&mut Subscription<Entry>, &mut Found) -> bool;

fn all_by(receive: Receive, policy: Policy) -> Found {
    let (mut reader, mut publisher) = joined(policy);
    for what in [Fine, FailsToDecode, Fine, Fine, PanicsToDecode, PanicsToDecode, Fine] {
        publisher.try_emit(entry(what, 3)).unwrap();
    }
    publisher.try_emit_batch(&[entry(Fine, 0), entry(FailsToDecode, 0), entry(Fine, 500)]).unwrap();
    drop(publisher);
    let mut found = Found::default();
    while receive(&mut reader, &mut found) {}
    found
}

fn undecodable(gap: Gap) -> u64 {
    assert_eq!(gap.reason, GapReason::Undecodable);
    gap.count
}

fn plain(reader: &mut Subscription<Entry>, Found(found): &mut Found) -> bool {
    match reader.try_recv() {
        TryRecv::Delivery(Delivery::Msg(received)) => found.push(Ok(received.into_inner())),
        TryRecv::Delivery(Delivery::Gap(gap)) => found.push(Err(undecodable(gap))),
        TryRecv::Empty | TryRecv::Closed => return false,
    }
    true
}

fn many(reader: &mut Subscription<Entry>, Found(found): &mut Found) -> bool {
    let (mut deliveries, task) = (Vec::new(), Context::from_waker(Waker::noop()));
    let received = reader.poll_recv_many(&task, &mut deliveries, 100);
    found.extend(deliveries.into_iter().map(|delivery| match delivery {
        Delivery::Msg(received) => Ok(received.into_inner()),
        Delivery::Gap(gap) => Err(undecodable(gap)),
    }));
    received != Poll::Ready(0)
}

/// The view is the message.
fn viewed(reader: &mut Subscription<Entry>, Found(found): &mut Found) -> bool {
    let next = pin!(reader.recv_view()).poll(&mut Context::from_waker(Waker::noop()));
    match next {
        Poll::Ready(Some(Delivery::Msg(received))) => found.push(Ok(received.into_inner())),
        Poll::Ready(Some(Delivery::Gap(gap))) => found.push(Err(undecodable(gap))),
        Poll::Ready(None) | Poll::Pending => return false,
    }
    true
}

/// In one process too: only the user's code knows whether it decodes what it has encoded.
#[test]
fn what_cannot_be_decoded_is_a_gap() {
    let fine = |count| Ok(entry(Fine, count));
    let expected =
        [fine(3), Err(1), fine(3), fine(3), Err(1), Err(1), fine(3), fine(0), Err(1), fine(500)];
    for policy in [Policy::Block, Policy::Reject, Policy::DropOldest, Policy::DropNewest] {
        for (name, receive) in [("recv", plain as Receive), ("many", many), ("view", viewed)] {
            assert_eq!(all_by(receive, policy).0, expected, "{name}, {policy:?}");
        }
    }
}

/// The message comes back, and the publisher goes on.
#[test]
fn what_cannot_be_encoded_is_refused() {
    let (mut reader, mut publisher) = joined(Policy::Block);
    let error = publisher.try_emit(entry(FailsToEncode, 2)).unwrap_err();
    assert!(matches!(error.refusal, Refusal::Serialize(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "topic `entries`: message `Entry` cannot be encoded: its `Serialize` fails, or has a list \
         of unknown length [M0357]"
    );
    assert_eq!(error.message, entry(FailsToEncode, 2));
    let error = publisher.try_emit(entry(Fine, 5000)).unwrap_err();
    assert!(matches!(error.refusal, Refusal::TooLong(_)), "{error}");
    assert_eq!(error.message, entry(Fine, 5000));
    let error = publisher.try_emit_batch(&[entry(Fine, 1), entry(FailsToEncode, 1)]).unwrap_err();
    assert_eq!(error.sent, 1);

    // A panic is that of the emitter, before anything is in the ring.
    for _ in 0..200 {
        let panicked =
            catch_unwind(AssertUnwindSafe(|| publisher.try_emit(entry(PanicsToEncode, 9))));
        assert!(panicked.is_err());
    }
    assert_eq!(publisher.depth(), 1);
    publisher.try_emit(entry(Fine, 4)).unwrap();
    let mut found = Found::default();
    while plain(&mut reader, &mut found) {}
    assert_eq!(found.0, [Ok(entry(Fine, 1)), Ok(entry(Fine, 4))]);
}

/// A fast handler gets the message, or refuses what it cannot decode.
#[test]
fn fast_handlers_get_the_message() {
    let topic = Topic::new("entries", Schema::of::<Entry>(), 64, Region::new(16)).unwrap();
    topic
        .add_fast_handler::<Entry>("small", |entry| match entry.more.len() {
            0..5 => Ok(()),
            _ => Err("too many".into()),
        })
        .unwrap();
    let mut publisher = topic.publisher::<Entry>("publisher", 1).unwrap();
    publisher.try_emit(entry(Fine, 4)).unwrap();
    let text = |what, count, publisher: &mut Publisher<Entry>| {
        publisher.try_emit(entry(what, count)).unwrap_err().to_string()
    };
    assert!(text(Fine, 5, &mut publisher).contains("too many"));
    assert!(text(FailsToDecode, 1, &mut publisher).contains("refuses the value"));
}

#[test]
fn it_has_no_field_that_could_be_a_key() {
    let keys = 8.try_into().unwrap();
    let error = LatestByKey::of::<Entry>("what", keys).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown field `what` of `Entry`: serde encodes the message, so it has no field for a key"
    );
}
