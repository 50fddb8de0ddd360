//! Counters account for every message at every moment, and topics keep the credit that links have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mycelium_transports::counters::{Kind, Region};
use mycelium_transports::local::{Policy, Schema, Topic, TopicError};

use crate::exchange::harness::{Number, Side};

/// The possible outcomes of a message, by the names of the counters.
pub(crate) const FATES: [&str; 8] =
    ["taken", "overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left", "unknown"];

/// How many messages have an outcome.
pub(crate) fn fates(side: &Side) -> u64 {
    FATES.iter().map(|fate| side.sum(Kind::Edge, fate)).sum()
}

fn topic(capacity: usize) -> Arc<Topic> {
    Topic::new("numbers", Schema::of::<Number>(), capacity, Region::new(16)).unwrap()
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

/// The free slots of a remote publisher are credit of the peer: a subscription that joins later
/// must not reduce it.
#[test]
fn a_remote_publisher_keeps_its_credit_while_readers_change() {
    const ROUNDS: u32 = if cfg!(debug_assertions) { 300_000 } else { 100_000_000 };
    let topic = topic(2);
    let mut remote = topic.remote_publisher("publisher", 7, 0).unwrap();
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
            // As a link does: credit is never reduced.
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
