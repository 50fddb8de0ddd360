//! Who comes, goes and comes back: where a reader starts, and when there is an end.

use super::pressure::Progress;
use super::{Pair, Publish, Subscribe, Transport, cut, number, probe, rounds};
use crate::local::{Policy, TryRecv};

/// `recv` ends when all publishers have ended, and not before their last message.
pub async fn the_end_follows_the_last_message_of_all_publishers<T: Transport>(pair: Pair) {
    let transport = T::open(&pair, 8, Policy::Block);
    let mut reader = transport.subscribe("reader", Policy::Block);
    assert_eq!(reader.try_recv(), TryRecv::Empty, "no publisher yet is no end");
    let (mut first, mut second) = (transport.publisher("first"), transport.publisher("second"));
    let emits = pair.publish(async move { first.emit(probe(0, 0)).await });
    pair.join("the first emits and ends", emits).await.expect("there is room");
    assert_eq!(number(pair.within("the last of the first", reader.recv()).await), 0);
    assert_eq!(cut(1, reader.recv()).await, None, "the second is left");
    let emits = pair.publish(async move { second.emit(probe(1, 7)).await });
    pair.join("the second emits and ends", emits).await.expect("there is room");
    assert_eq!(number(pair.within("the last of the second", reader.recv()).await), 7);
    assert_eq!(pair.within("the end", reader.recv()).await, None);
    assert_eq!(pair.within("the end again", reader.recv()).await, None);
}

/// A late reader gets what is emitted from then on, wherever the rings stand.
pub async fn a_late_reader_starts_with_the_next_message<T: Transport>(pair: Pair) {
    let transport = T::open(&pair, 4, Policy::Block);
    let mut early = transport.subscribe("early", Policy::Block);
    let mut publisher = transport.publisher("publisher");
    for sent in 0..13 {
        let mut late =
            [Policy::Block, Policy::DropOldest].map(|policy| transport.subscribe("late", policy));
        let emits = pair.publish(async move {
            publisher.emit(probe(0, sent)).await.expect("nobody rejects");
            publisher
        });
        publisher = pair.join("the publisher emits", emits).await;
        for reader in &mut late {
            assert_eq!(number(pair.within("its first", reader.recv()).await), sent);
        }
        assert_eq!(number(pair.within("the next", early.recv()).await), sent);
    }
}

/// Start-up order loses nothing: who subscribed before a publisher came gets all its messages.
pub async fn a_late_publisher_is_read_from_its_first_message<T: Transport>(pair: Pair) {
    let transport = T::open(&pair, 8, Policy::Block);
    let mut reader = transport.subscribe("reader", Policy::Block);
    // As long as it is there, there is no end.
    let stays = transport.publisher("stays");
    for publisher in 1..6 {
        let mut late = transport.publisher("late");
        drop(pair.publish(async move {
            for number in 0..3 {
                late.emit(probe(publisher, number)).await.expect("nobody rejects");
            }
        }));
    }
    let mut received = Vec::new();
    while received.len() < 15 {
        received.push(number(pair.within("all that was sent", reader.recv()).await));
    }
    received.sort_unstable();
    assert_eq!(received, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    assert_eq!(cut(1, reader.recv()).await, None, "one is left");
    drop(stays);
    assert_eq!(pair.within("the end", reader.recv()).await, None);
}

/// A publisher that was restarted is another one of the same name: what it sent before and what it sends now both arrive,
/// each counted from 0.
pub async fn a_restarted_publisher_is_read_from_its_first_message<T: Transport>(pair: Pair) {
    let transport = T::open(&pair, 4, Policy::Block);
    let mut reader = transport.subscribe("reader", Policy::Block);
    let stays = transport.publisher("stays");
    for life in 1..5 {
        let mut publisher = transport.publisher("publisher");
        let emits = pair.publish(async move {
            for number in 0..10 {
                publisher.emit(probe(life, number)).await.expect("nobody rejects");
            }
        });
        for next in 0..10 {
            let what = format!("message {next} of life {life}");
            assert_eq!(number(pair.within(&what, reader.recv()).await), next, "life {life}");
        }
        pair.join("the publisher ends", emits).await;
    }
    drop(stays);
    assert_eq!(pair.within("the end", reader.recv()).await, None);
}

/// A reader that was restarted is a new one: it holds nobody while it is away, and when it is back it gets everything from
/// a point on that lies no later than the next emit, and nothing that it had before.
pub async fn a_restarted_reader_starts_with_new_messages<T: Transport>(pair: Pair) {
    let count = rounds(300);
    let transport = T::open(&pair, 4, Policy::Block);
    let mut reader = transport.subscribe("reader", Policy::Block);
    // There is an end only for who has seen a publisher.
    let stays = transport.publisher("stays");
    let sent = Progress::start(&pair, transport.publisher("publisher"), count);
    let had = number(pair.within("the first", reader.recv()).await);
    drop(reader);
    // Nobody reads, so nobody holds it.
    pair.until("the publisher goes on", || sent.accepted() > had + 10.min(count / 2)).await;
    let mut reader = transport.subscribe("reader", Policy::Block);
    let before = sent.accepted();
    drop(stays);
    let mut next = None;
    while let Some(delivery) = pair.within("the rest, or the end", reader.recv()).await {
        let number = number(Some(delivery));
        match next {
            None => assert!(number > had && number <= before + 1, "{number}, after {before}"),
            Some(next) => assert_eq!(number, next, "nothing is missing from there on"),
        }
        next = Some(number + 1);
    }
    sent.complete(&pair).await;
    assert_eq!(next.unwrap_or(count), count, "up to the last");
}

/// Unsubscribing makes room at once, and wakes who waits for it.
pub async fn a_reader_that_leaves_unblocks_the_publisher<T: Transport>(pair: Pair) {
    let ahead = 2;
    let transport = T::open(&pair, 2, Policy::Block);
    let mut reader = transport.subscribe("reader", Policy::Block);
    let leaves = transport.subscribe("leaves", Policy::Block);
    let sent = Progress::start(&pair, transport.publisher("publisher"), ahead + 10);
    sent.held_at(&pair, ahead).await;
    for next in 0..2 {
        assert_eq!(number(pair.within("what is there", reader.recv()).await), next);
    }
    assert_eq!(cut(1, reader.recv()).await, None, "the other one holds the publisher");
    drop(leaves);
    for next in 2..ahead + 10 {
        assert_eq!(number(pair.within("what comes then", reader.recv()).await), next);
    }
    sent.complete(&pair).await;
    assert_eq!(pair.within("the end", reader.recv()).await, None);
}
