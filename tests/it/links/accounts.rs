//! Counters account for every message at every moment, and topics keep the credit that links have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mycelium_transports::counters::{Kind, Region};
use mycelium_transports::local::{Policy, Schema, Topic, TopicError};
use mycelium_transports::seam::TapItem;

use crate::links::harness::{Number, Side, emit, join, sides, until, within};

/// The possible outcomes of a message, by the names of the counters.
pub(crate) const FATES: [&str; 8] =
    ["taken", "overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left", "unknown"];

/// Returns how many messages have one of these outcomes.
pub(crate) fn fates(side: &Side) -> u64 {
    FATES.iter().map(|fate| side.sum(Kind::Edge, fate)).sum()
}

fn topic(capacity: usize) -> Arc<Topic> {
    Topic::new("numbers", Schema::of::<Number>(), capacity, Region::new(16)).unwrap()
}

#[tokio::test]
async fn unconfirmed_messages_of_a_connected_reader_are_undelivered() {
    let (dir, there, here) = sides("accounts-undelivered", 8);
    let (exports, reader, _tasks) = join(&dir, &there, &here).await;
    let mut publisher = there.publisher();
    emit(&mut publisher, 0..8).await;
    drop(publisher);
    until("all of it has arrived", || reader.depth() == 8).await;
    assert_eq!(exports.progress(), 0, "a message in a ring is not confirmed");
    there.control.drain();
    there.control.stop();
    within("all links have ended", there.control.ended()).await;
    let expected = vec![("here".to_owned(), "numbers".to_owned(), 8)];
    assert_eq!(exports.undelivered(), expected, "nobody will ever take these");
}

#[test]
fn an_observing_egress_counts_every_message() {
    let counters = Region::new(16);
    let topic = Topic::new("numbers", Schema::of::<Number>(), 8, counters.clone()).unwrap();
    let mut tap = topic.tap::<()>("reader", Policy::DropOldest).unwrap();
    let mut publisher = topic.publisher::<Number>("publisher", 7).unwrap();
    (0..4).for_each(|value| publisher.try_emit(Number { value }).unwrap());
    let source = &mut tap.streams()[0];
    // The messages are sent, and overwritten before the other side confirms them.
    for _ in 0..4 {
        assert!(matches!(source.next_item(), TapItem::Message(..)));
        source.advance();
    }
    (4..24).for_each(|value| publisher.try_emit(Number { value }).unwrap());
    assert_eq!(source.next_item(), TapItem::Gap(12));
    source.release(4);
    let depth = tap.depth() as u64;
    let lines = counters.read();
    let feed = lines.iter().find(|line| line.kind == Kind::Edge).unwrap();
    let passed = ["taken", "overwritten", "left", "unknown"].map(|name| feed.value(name));
    assert_eq!(passed.iter().sum::<u64>() + depth, 24, "{feed:?}, depth {depth}");
}

#[test]
fn two_publishers_of_a_topic_have_two_epochs() {
    let topic = topic(8);
    let first = topic.publisher::<Number>("first", 7).unwrap();
    let second = topic.publisher::<Number>("second", 7).unwrap_err();
    assert_eq!(second, TopicError::Epoch { topic: "numbers".to_owned(), epoch: 7 });
    drop(first);
    topic.publisher::<Number>("second", 7).unwrap();
}

/// The free slots of a remote publisher are the credit of its peer: a subscription that joins later
/// must not reduce it.
#[test]
fn a_remote_publisher_keeps_its_credit_while_readers_change() {
    const ROUNDS: u32 = if cfg!(debug_assertions) { 300_000 } else { 100_000_000 };
    let topic = topic(2);
    let mut remote = topic.feed("publisher", 7, 0).unwrap();
    let over = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    drop(topic.subscribe::<Number>("reader", Policy::Block).unwrap());
                }
            });
        }
        let (mut result, mut credit) = (Ok(()), 0);
        for _ in 0..ROUNDS {
            // A link never reduces credit either.
            credit = credit.max(remote.room());
            if credit > 0 {
                credit -= 1;
                let pushed = remote.push(&[0; 8], false);
                result = result.and(pushed.map_err(|error| (remote.sent(), error)));
            }
        }
        over.store(true, Ordering::Relaxed);
        result
    });
    assert_eq!(result, Ok(()));
}
