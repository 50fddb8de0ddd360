//! Laws of readers that do not get all messages: samples, the newest of each key, and late readers
//! that start with retained messages.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::pressure::send_at_once;
use crate::conformance::pair::POLL_EVERY;
use crate::conformance::{
    Account, Pair, Publish, Subscribe, TestTransport, emitted, emitted_to_the_end, expect_all,
    expect_end, probe, rest, rounds,
};
use crate::local::{Delivery, GapReason, Policy, Start, SubscribeOptions};

/// A sampling reader gets the messages whose sequence is a multiple of its number, and no gaps.
pub async fn a_sampling_reader_gets_every_nth_message<T: TestTransport>(pair: Pair) {
    let policy = Policy::Sample(NonZeroU32::new(3).expect("not zero"));
    let (_transport, mut sample, mut publisher) = T::joined(&pair, 32, policy).await;
    for from in [0, 10, 20] {
        publisher = emitted(&pair, publisher, 0, from..from + 10).await;
        let sampled = (from..from + 10).filter(|number| number % 3 == 0);
        expect_all(&pair, &mut sample, "the messages", sampled).await;
    }
    drop(publisher);
    expect_end::<T>(&pair, &mut sample).await;
}

/// A reader by key gets the newest message of each key, in the order in which the keys began to
/// wait. A gap before a message has the number of older messages of the key that it replaced.
pub async fn a_reader_by_key_gets_the_newest_message_of_each_key<T: TestTransport>(pair: Pair) {
    let keys = NonZeroU32::new(4).expect("not zero");
    let by_key = T::by_publisher(keys);
    let policy = Policy::LatestByKey(by_key);
    let (_transport, mut newest, mut publisher) = T::joined(&pair, 16, policy).await;
    let publishes = pair.publish(async move {
        for (number, key) in [7, 8, 7, 9, 7].into_iter().enumerate() {
            let message = probe(key, number as u64);
            publisher.emit(message).await.expect("an observer never blocks");
        }
        publisher
    });
    let publisher = pair.join("the publisher emits", publishes).await;
    pair.until("five messages are in the ring", || newest.depth() == 5).await;
    match pair.within("a gap", newest.recv()).await {
        Some(Delivery::Gap(gap)) => {
            assert_eq!((gap.count, gap.exact(), gap.reason), (2, true, GapReason::Skipped));
        }
        other => panic!("expected a gap first, found {other:?}"),
    }
    expect_all(&pair, &mut newest, "the newest of a key", [4, 1, 3]).await;
    drop(publisher);
    expect_end::<T>(&pair, &mut newest).await;
}

/// A `drop-newest` reader that does not read never blocks the publisher. When it reads, it gets at
/// least a full ring of the oldest messages, and the exact number of dropped ones.
pub async fn a_drop_newest_reader_keeps_the_oldest_messages<T: TestTransport>(pair: Pair) {
    let (_transport, mut kept, publisher) = T::joined(&pair, 8, Policy::DropNewest).await;
    let publisher = send_at_once::<T>(&pair, publisher, 0..8).await;
    pair.until("the first messages wait", || kept.depth() >= 8).await;
    let (sent, mut account) = (8 + rounds(1000), Account::default());
    emitted_to_the_end(&pair, publisher, 0, 8..sent).await;
    while let Some(delivery) = rest::<T>(&pair, &mut kept, || account.sum() == sent).await {
        if let Some(gap) = account.count(delivery) {
            let Account { taken, .. } = account;
            assert!(gap.exact() && taken >= 8, "the oldest messages stay: {gap} after {taken}");
        }
    }
    assert_eq!(sent, account.sum(), "sent = taken + missed");
    assert!(account.missed > 0, "a reader that does not read misses messages");
}

/// A late reader may start with the messages that are still in the ring.
pub async fn a_late_reader_may_start_at_the_oldest_message<T: TestTransport>(pair: Pair) {
    let (transport, mut first, publisher) = T::joined(&pair, 8, Policy::DropOldest).await;
    let publisher = emitted(&pair, publisher, 0, 0..5).await;
    expect_all(&pair, &mut first, "the first reader", 0..5).await;
    let oldest = SubscribeOptions::new(Policy::DropOldest, Start::Oldest);
    let mut late = transport.subscribe("late", oldest);
    expect_all(&pair, &mut late, "a retained message", 0..5).await;
    // Drops this reader, because at its end the publisher would wait until the reader has handled
    // its last message.
    drop(first);
    drop(publisher);
    expect_end::<T>(&pair, &mut late).await;
}

/// The first reader of a node may start with the messages that the publisher's ring still has, even
/// if the publisher does not know this node. It gets each of them once and in order, and then the
/// newer messages.
pub async fn the_first_reader_of_a_late_node_may_start_at_the_oldest_message<T: TestTransport>(
    pair: Pair,
) {
    for policy in [Policy::DropOldest, Policy::Block, Policy::Reject] {
        let transport = T::open_alone(&pair, 8);
        let publisher = send_at_once::<T>(&pair, transport.publisher("publisher"), 0..12).await;
        let oldest = SubscribeOptions::new(policy, Start::Oldest);
        transport.meet(&pair, oldest);
        let mut late = transport.subscribe("late", oldest);
        expect_all(&pair, &mut late, "a retained message", 4..12).await;
        let executor = pair.publishers.clone();
        let publishes = pair.publish(async move {
            let mut publisher = publisher;
            for number in 12..16 {
                // A `reject` reader makes room only when it has confirmed.
                while publisher.emit(probe(0, number)).await.is_err() {
                    executor.sleep_until(executor.now() + POLL_EVERY).await;
                }
            }
        });
        expect_all(&pair, &mut late, "a newer message", 12..16).await;
        pair.join("the publisher emits", publishes).await;
        expect_end::<T>(&pair, &mut late).await;
    }
}

/// A node that starts at the oldest retained message gets no message twice, even after lost
/// connections, and while the publisher overwrites retained messages. Messages that it misses are
/// reported as a gap.
pub async fn a_late_node_gets_no_message_twice<T: TestTransport>(pair: Pair) {
    let transport = T::open_alone(&pair, 8);
    let publisher = send_at_once::<T>(&pair, transport.publisher("publisher"), 0..12).await;
    let (alive, executor) = (Arc::new(()), pair.publishers.clone());
    let is_read = Arc::downgrade(&alive);
    let publishes = pair.publish(async move {
        let (mut publisher, mut number) = (publisher, 12);
        while is_read.strong_count() > 0 {
            publisher.emit(probe(0, number)).await.expect("an observer never blocks");
            number += 1;
            // Pauses only after half a ring, because the timers of some executors round up to a
            // millisecond.
            if number % 4 == 0 {
                executor.sleep_until(executor.now() + Duration::from_micros(50)).await;
            }
        }
    });
    let oldest = SubscribeOptions::new(Policy::DropOldest, Start::Oldest);
    transport.meet(&pair, oldest);
    let mut late = transport.subscribe("late", oldest);
    let (mut next, mut exact) = (None, true);
    for round in 0..4 {
        let mut taken = 0;
        // At first, some messages may be overwritten before the node joins.
        while taken < rounds(40) {
            match pair.within("a message or a gap", late.recv()).await {
                Some(Delivery::Msg(probe)) => {
                    let expected = next.unwrap_or(probe.number);
                    let is_next =
                        if exact { probe.number == expected } else { probe.number >= expected };
                    assert!(is_next, "round {round}: {} after {expected}", probe.number);
                    (next, exact) = (Some(probe.number + 1), true);
                    taken += 1;
                }
                Some(Delivery::Gap(gap)) => {
                    exact &= gap.exact();
                    next = next.map(|next| if exact { next + gap.count } else { next });
                }
                None => panic!("round {round}: the publisher has not ended"),
            }
        }
        transport.disturb();
    }
    drop(alive);
    pair.join("the publisher emits", publishes).await;
}
