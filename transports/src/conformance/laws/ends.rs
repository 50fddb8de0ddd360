//! Laws of joining and leaving: where a reader starts, and when a subscription ends.

use futures_util::FutureExt;

use super::pressure::Progress;
use crate::conformance::{
    Pair, Subscribe, TestTransport, cut, emit_all, emitted, emitted_to_the_end, expect_all,
    expect_end, number, rest, rounds,
};
use crate::local::{Policy, TryRecv};

/// `recv` ends when all publishers have ended, after their last message.
pub async fn the_end_follows_the_last_message_of_all_publishers<T: TestTransport>(pair: Pair) {
    let transport = T::open(&pair, 8, Policy::Block).await;
    let mut reader = transport.subscribe("reader", Policy::Block);
    assert_eq!(reader.try_recv(), TryRecv::Empty, "a topic without publishers has not ended");
    let (first, second) = (transport.publisher("first"), transport.publisher("second"));
    emitted_to_the_end(&pair, first, 0, 0..1).await;
    assert_eq!(number(pair.within("the last of the first", reader.recv()).await), 0);
    assert_eq!(cut(1, reader.recv()).await, None, "the second publisher exists");
    emitted_to_the_end(&pair, second, 1, 7..8).await;
    assert_eq!(number(pair.within("the last of the second", reader.recv()).await), 7);
    assert_eq!(pair.within("the end", reader.recv()).await, None);
    assert_eq!(pair.within("the end again", reader.recv()).await, None);
}

/// A late reader gets all messages that are sent after it joined, on every transport.
pub async fn a_late_reader_starts_with_the_next_message<T: TestTransport>(pair: Pair) {
    let (transport, mut early, mut publisher) = T::joined(&pair, 4, Policy::Block).await;
    for next in 0..13 {
        let mut late =
            [Policy::Block, Policy::DropOldest].map(|policy| transport.subscribe("late", policy));
        publisher = emitted(&pair, publisher, 0, next..next + 1).await;
        for reader in &mut late {
            assert_eq!(number(pair.within("its first", reader.recv()).await), next);
        }
        assert_eq!(number(pair.within("the next", early.recv()).await), next);
    }
}

/// A reader that subscribed first gets all messages of a later publisher.
pub async fn a_late_publisher_is_read_from_its_first_message<T: TestTransport>(pair: Pair) {
    // While the first publisher exists, the topic does not end.
    let (transport, mut reader, stays) = T::joined(&pair, 8, Policy::Block).await;
    for publisher in 1..6 {
        let late = transport.publisher("late");
        drop(pair.publish(emit_all(late, publisher, 0..3).map(drop)));
    }
    let mut received = Vec::new();
    while received.len() < 15 {
        received.push(number(pair.within("all sent messages", reader.recv()).await));
    }
    received.sort_unstable();
    assert_eq!(received, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    assert_eq!(cut(1, reader.recv()).await, None, "one publisher exists");
    drop(stays);
    expect_end::<T>(&pair, &mut reader).await;
}

/// A restarted publisher is a new publisher with the same name. The messages of both arrive, and
/// both count from 0.
pub async fn a_restarted_publisher_is_read_from_its_first_message<T: TestTransport>(pair: Pair) {
    let transport = T::open(&pair, 4, Policy::Block).await;
    let mut reader = transport.subscribe("reader", Policy::Block);
    let stays = transport.publisher("stays");
    for life in 1..5 {
        let publisher = transport.publisher("publisher");
        let emits = pair.publish(emit_all(publisher, life, 0..10).map(drop));
        let what = format!("life {life}");
        expect_all(&pair, &mut reader, &what, 0..10).await;
        pair.join("the publisher ends", emits).await;
    }
    drop(stays);
    expect_end::<T>(&pair, &mut reader).await;
}

/// A restarted reader is a new reader, and blocks no publisher while it is away. It then gets all
/// messages from some point on, at the latest from the next emit, and no message that it got
/// before.
pub async fn a_restarted_reader_starts_with_new_messages<T: TestTransport>(pair: Pair) {
    let half = rounds(150);
    let (transport, mut reader, publisher) = T::joined(&pair, 4, Policy::Block).await;
    let emits = pair.publish(emit_all(publisher, 0, 0..half));
    let had = number(pair.within("the first", reader.recv()).await);
    drop(reader);
    // Nobody reads, so nothing may block the publisher.
    let publisher = pair.join("the publisher continues", emits).await;
    let mut reader = transport.subscribe("reader", Policy::Block);
    let emits = pair.publish(emit_all(publisher, 0, half..2 * half).map(drop));
    let mut next = None;
    while let Some(delivery) = rest::<T>(&pair, &mut reader, || next == Some(2 * half)).await {
        let number = number(Some(delivery));
        match next {
            None => assert!(number > had && number <= half, "{number}, after {had} and {half}"),
            Some(next) => assert_eq!(number, next, "no message is missing from there on"),
        }
        next = Some(number + 1);
    }
    pair.join("the publisher ends", emits).await;
    assert_eq!(next, Some(2 * half), "up to the last");
}

/// Unsubscribing makes room at once, and wakes a waiting publisher.
pub async fn a_reader_that_leaves_unblocks_the_publisher<T: TestTransport>(pair: Pair) {
    let ahead = 2;
    let (transport, mut reader, publisher) = T::joined(&pair, 2, Policy::Block).await;
    let leaves = transport.subscribe("leaves", Policy::Block);
    let sent = Progress::start(&pair, publisher, ahead + 10);
    sent.held_at(&pair, ahead).await;
    expect_all(&pair, &mut reader, "the first messages", 0..2).await;
    assert_eq!(cut(1, reader.recv()).await, None, "the other reader blocks the publisher");
    drop(leaves);
    expect_all(&pair, &mut reader, "the next messages", 2..ahead + 10).await;
    sent.complete(&pair).await;
    expect_end::<T>(&pair, &mut reader).await;
}
