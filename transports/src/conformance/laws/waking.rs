//! Laws of waking: parked tasks are woken, from any thread, and timers fire meanwhile.

use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt;

use crate::conformance::pair::{timeout, watched};
use crate::conformance::{Pair, Publish, Subscribe, TestTransport, ends, number, probe, rounds};
use crate::local::Policy;

/// A parked reader is woken by each message, and by the end if the topic has one.
pub async fn a_sleeping_reader_is_woken<T: TestTransport>(pair: Pair) {
    let count = rounds(100);
    let sleeps = count + u64::from(ends::<T>());
    let (_transport, mut reader, mut publisher) = T::joined(&pair, 4, Policy::Block).await;
    let (tell, mut asleep) = mpsc::unbounded();
    let receives = pair.read(async move {
        for next in 0..sleeps {
            let received = watched(reader.recv(), || _ = tell.unbounded_send(next)).await;
            match received {
                None => assert_eq!(next, count, "the end"),
                received => assert_eq!(number(received), next),
            }
        }
    });
    let emits = pair.publish(async move {
        for next in 0..sleeps {
            // The reader may have been woken before without a message.
            while asleep.next().await.is_some_and(|sleeps| sleeps != next) {}
            if next < count {
                publisher.emit(probe(0, next)).await.expect("no reader rejects");
            }
        }
    });
    pair.join("a sleeping reader is woken by each message, and by the end", receives).await;
    pair.join("the publisher ends", emits).await;
}

/// A publisher that is parked because the ring is full is woken as soon as the ring has room.
pub async fn a_sleeping_publisher_is_woken<T: TestTransport>(pair: Pair) {
    let ahead = 2;
    let count = ahead + rounds(50);
    let (_transport, mut reader, mut publisher) = T::joined(&pair, 2, Policy::Block).await;
    let (tell, mut asleep) = mpsc::unbounded();
    let emits = pair.publish(async move {
        for number in 0..count {
            let emit = publisher.emit(probe(0, number));
            watched(emit, || _ = tell.unbounded_send(number)).await.expect("no reader rejects");
        }
    });
    let receives = pair.read(async move {
        let mut sleeps_at = 0;
        for next in 0..count {
            // Subtracts one, because the message in flight keeps its slot.
            let held = (next + ahead).saturating_sub(1).min(count - 1);
            while sleeps_at < held {
                sleeps_at = asleep.next().await.expect("it sleeps before its last message");
            }
            assert_eq!(number(reader.recv().await), next);
        }
    });
    pair.join("a sleeping publisher is woken by room", emits).await;
    pair.join("the reader gets all", receives).await;
}

/// A receive with a timeout ends at its deadline or with a message. No message is lost in either
/// case.
pub async fn a_receive_with_a_timeout_loses_nothing<T: TestTransport>(pair: Pair) {
    let count = rounds(20);
    let (_transport, mut reader, mut publisher) = T::joined(&pair, 4, Policy::Block).await;
    let (tell, mut timed_out) = mpsc::unbounded();
    let clock = pair.readers.clone();
    let receives = pair.read(async move {
        let mut next = 0;
        while next < count {
            let begun = clock.now();
            match timeout(&clock, Duration::from_millis(1), reader.recv()).await {
                Some(received) => {
                    assert_eq!(number(received), next);
                    next += 1;
                }
                None => {
                    let took = clock.now() - begun;
                    assert!(took >= Duration::from_millis(1), "a timer fired after {took:?}");
                    _ = tell.unbounded_send(());
                }
            }
        }
    });
    let clock = pair.publishers.clone();
    let emits = pair.publish(async move {
        for number in 0..count {
            // Sends at varying times after a timeout and before the next one.
            timed_out.next().await;
            let pause = Duration::from_micros(number % 5 * 250);
            clock.sleep_until(clock.now() + pause).await;
            publisher.emit(probe(0, number)).await.expect("no reader rejects");
        }
        publisher
    });
    pair.join("all messages, between timeouts", receives).await;
    pair.join("the publisher ends", emits).await;
}
