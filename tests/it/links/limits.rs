//! Limits hold, and a peer that exceeds them does not harm others.

use std::time::Duration;

use mycelium_transports::counters::Kind;
use mycelium_transports::link::TopicInterest;
use mycelium_transports::local::{Delivery, Policy, Schema, Start, Topic};
use mycelium_transports::stream::{STREAMS, TOPICS};
use tokio::time::Instant;

use crate::links::harness::{
    Carrier, Number, Side, TestDir, emit, join, served, sides, until, within,
};

#[tokio::test]
async fn a_reader_with_too_many_interests_or_topics_is_refused() {
    let dir = TestDir::new("limits-interests");
    let here = Side::new("here", 1, 8);
    let run = |interests| here.imports("there", dir.place(), interests).run();
    let interests = |count| vec![here.interest(Policy::Block); count];
    assert!(run(interests(TOPICS)).is_ok());
    assert!(run(interests(TOPICS + 1)).is_err());
    let distinct = (0..1 + TOPICS).map(|number| {
        let (name, schema) = (format!("numbers-{number}"), Schema::of::<Number>());
        let topic = Topic::new(&name, schema, 8, here.counters.clone()).unwrap();
        TopicInterest { topic, policy: Policy::Block, start: Start::Next }
    });
    assert!(run(distinct.collect()).is_err());
}

#[tokio::test]
async fn a_reader_that_is_rejected_again_pauses_longer() {
    let (dir, there, here) = sides("limits-namesake", 8);
    let namesake = Side::new("here", 3, 8);
    there.serve(there.exports(None), dir.place());
    here.read("there", dir.place(), Policy::Block);
    here.notices.until("up", "").await;
    let began = Instant::now();
    namesake.read("there", dir.place(), Policy::Block);
    until("it was rejected", || namesake.notices.count("down", "") >= 8).await;
    // The pauses double from 10 ms and are shortened by up to a half: at least 5, 10, 20 … 320 ms.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(635), "8 tries in {took:?}");
}

/// The topologies of the two nodes differ: the publisher's node does not know that the reader is
/// gating.
#[tokio::test]
async fn a_reader_that_is_announced_as_an_observer_cannot_gate() {
    let (dir, there, here) = sides("limits-announced", 8);
    there.serve(there.exports_for("here", Policy::DropOldest), dir.place());
    here.read("there", dir.place(), Policy::Block);
    here.notices.until("refused", "not allowed").await;
}

#[tokio::test]
async fn remote_readers_leave_room_for_local_publishers() {
    let (dir, there, _serving) = served(Carrier::Unix, "limits-readers", 8);
    let mut others = Vec::new();
    for name in ["one", "two", "three"] {
        let side = Side::new(name, 2, 8);
        let interests = vec![side.interest(Policy::Block); TOPICS];
        tokio::spawn(side.imports("there", dir.place(), interests).run().unwrap());
        others.push(side);
    }
    for side in &others {
        side.notices.until("up", "").await;
        within("they have met", side.control.ready()).await;
    }
    let publisher = there.numbers.publisher::<Number>("publisher", 7);
    assert!(publisher.is_ok(), "{publisher:?}");
}

/// The peer's publishers start and end, and the reader does not read.
#[tokio::test]
async fn ended_streams_that_are_not_read_are_bounded() {
    let dir = TestDir::new("limits-ended");
    let (mut there, mut here) = (Side::new("there", 1, 8), Side::counting("here", 2, 1 << 14, 512));
    for side in [&mut there, &mut here] {
        side.config.confirm = Duration::from_millis(1);
        side.config.retry.first = Duration::from_millis(1);
    }
    let (exports, mut reader, _tasks) = join(&dir, &there, &here).await;
    let _stays = there.numbers.publisher::<Number>("stays", 1 << 40).unwrap();
    let all = async {
        for epoch in 0..1000 {
            let mut publisher = there.numbers.publisher::<Number>("publisher", epoch).unwrap();
            emit(&mut publisher, epoch..epoch + 1).await;
        }
    };
    within("a reader that does not look holds no publisher of one message", all).await;
    // The rest of the streams wait at the peer.
    until("it is full", || there.notices.count("stream limit", "") > 0).await;
    until("some arrive", || reader.depth() > 1).await;
    let rings = here.counters.read().iter().filter(|line| line.kind == Kind::Publisher).count();
    assert!((2..=STREAMS).contains(&rings), "{rings} rings");
    assert_eq!(here.counters.unseen(), 0, "{rings} rings wait for a reader who does not look");
    for count in 0..1000 {
        let what = format!("message {count}");
        let Some(Delivery::Msg(_)) = within(&what, reader.recv()).await else { panic!("{what}") };
    }
    reader.done();
    until("all is confirmed", || exports.progress() == 1000).await;
}

/// A peer's name becomes part of counter labels. The names of this program's own nodes are checked
/// for the same reason.
#[tokio::test]
async fn a_peer_name_cannot_forge_counter_labels() {
    let (dir, there, _serving) = served(Carrier::Unix, "limits-label", 8);
    let here = Side::new("x role=reader\nlink=y", 2, 8);
    here.read("there", dir.place(), Policy::Block);
    let met = || there.notices.count("up", "") + there.notices.count("rejected", "") > 0;
    until("they have met", met).await;
    for line in there.counters.read().iter().filter(|line| line.kind == Kind::Link) {
        assert!(["publisher", "server"].contains(&line.label("role")), "{line:?}");
    }
}
