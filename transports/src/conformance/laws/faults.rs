//! Laws of faults: cancelled futures, panics, failed handlers, and shutdowns.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::{FutureExt, StreamExt};

use super::pressure::Progress;
use crate::conformance::pair::watched;
use crate::conformance::{
    Pair, Publish, Subscribe, TestTransport, cut, emit_all, expect_all, expect_end, number,
    number_and_mark, probe, rest, rounds,
};
use crate::local::{Delivery, Policy};

/// The number of polls after which a future is dropped: 0, 1, and some after a wake-up.
const POLLS: std::ops::Range<usize> = 0..4;

/// An emit that is dropped after some polls has sent nothing: the message can be sent again, and
/// arrives once.
pub async fn a_cancelled_emit_sends_nothing<T: TestTransport>(pair: Pair) {
    let count = rounds(40);
    for polls in POLLS {
        let (_transport, mut reader, mut publisher) = T::joined(&pair, 2, Policy::Block).await;
        let (full, filled) = oneshot::channel::<()>();
        let emits = pair.publish(async move {
            let mut full = Some(full);
            for number in 0..count {
                let tell = || drop(full.take());
                let once = watched(publisher.emit(probe(0, number)), tell);
                if let Some(accepted) = cut(polls, once).await {
                    accepted.expect("no reader rejects");
                    continue;
                }
                let again = watched(publisher.emit(probe(0, number)), || drop(full.take()));
                again.await.expect("no reader rejects");
            }
        });
        // Waits until the publisher has waited for room.
        _ = pair.within("the publisher waits", filled).await;
        let what = format!("emits dropped at poll {polls}");
        expect_all(&pair, &mut reader, &what, 0..count).await;
        pair.join("the publisher ends", emits).await;
        expect_end::<T>(&pair, &mut reader).await;
    }
}

/// A receive that is dropped after some polls takes no message, and no wake-up that another receive
/// needs.
pub async fn a_cancelled_receive_takes_nothing<T: TestTransport>(pair: Pair) {
    let count = rounds(50);
    for polls in POLLS {
        let (_transport, mut reader, mut publisher) = T::joined(&pair, 4, Policy::Block).await;
        let (tell, mut asleep) = mpsc::unbounded();
        let receives = pair.read(async move {
            for next in 0..count {
                let received = cut(polls, watched(reader.recv(), || _ = tell.unbounded_send(())));
                let received = match received.await {
                    Some(received) => received,
                    None => watched(reader.recv(), || _ = tell.unbounded_send(())).await,
                };
                assert_eq!(number(received), next, "receives dropped at poll {polls}");
            }
        });
        drop(pair.publish(async move {
            for number in 0..count {
                // Emits sometimes while the reader is parked, and sometimes while it is not.
                if number % 3 != 2 && asleep.next().await.is_none() {
                    return;
                }
                publisher.emit(probe(0, number)).await.expect("no reader rejects");
            }
        }));
        pair.join(&format!("all messages, receives dropped at poll {polls}"), receives).await;
    }
}

/// A reader and a publisher whose tasks panic leave as if they had been dropped: all other tasks
/// continue on the same executors, and miss no message.
pub async fn a_task_that_panics_affects_no_other_task<T: TestTransport>(pair: Pair) {
    let count = rounds(200);
    let (transport, mut reader, publisher) = T::joined(&pair, 4, Policy::Block).await;
    let mut doomed_reader = transport.subscribe("doomed", Policy::Block);
    let doomed_publisher = transport.publisher("doomed");
    let doomed = Box::pin(async move {
        for _ in 0..7 {
            doomed_reader.recv().await;
        }
        panics();
    });
    pair.readers.spawn(doomed).expect("the executor runs");
    let doomed = Box::pin(async move {
        emit_all(doomed_publisher, 1, 0..7).await;
        panics();
    });
    pair.publishers.spawn(doomed).expect("the executor runs");
    let emits = pair.publish(emit_all(publisher, 0, 0..count).map(drop));
    let mut next = [0, 0];
    while let Some(delivery) = rest::<T>(&pair, &mut reader, || next == [count, 7]).await {
        let Delivery::Msg(probe) = delivery else { panic!("a gap at a gating reader") };
        let next = &mut next[probe.publisher as usize];
        assert_eq!(probe.number, *next);
        *next += 1;
    }
    assert_eq!(next, [count, 7], "all of both");
    pair.join("the publisher ends", emits).await;
}

/// Panics without a printed message.
fn panics() {
    resume_unwind(Box::new("on purpose"));
}

/// A message whose handling fails is redelivered once, and marked. If its handling fails again, it
/// becomes a dead letter, and the next message follows. Nothing else is lost or repeated.
pub async fn a_message_whose_handler_failed_is_redelivered_once<T: TestTransport>(pair: Pair) {
    let (_transport, mut reader, publisher) = T::joined(&pair, 4, Policy::Block).await;
    let sent = Progress::start(&pair, publisher, 20);
    let mut expected = Vec::new();
    let mut received = Vec::new();
    for next in 0..20 {
        expected.push((next, false));
        let (first, second) = (next % 4 == 1, next % 8 == 5);
        received.push(number_and_mark(pair.within("a message", reader.recv()).await));
        if first {
            expected.push((next, true));
            assert!(reader.fail().is_none(), "it is redelivered");
            received.push(number_and_mark(pair.within("it is redelivered", reader.recv()).await));
        }
        if second {
            let dead_letter = reader.fail().expect("it failed twice");
            assert_eq!((dead_letter.sequence, &*dead_letter.publisher), (next, "publisher"));
            assert_eq!(dead_letter.payload[8..16], next.to_le_bytes());
        }
    }
    assert_eq!(received, expected);
    expect_end::<T>(&pair, &mut reader).await;
    sent.complete(&pair).await;
}

const PAUSE: Duration = Duration::from_micros(100);

/// Publishers may stop at any moment. Each message that they have sent is either delivered or
/// counted as dropped.
pub async fn every_message_is_counted_after_a_shutdown<T: TestTransport>(pair: Pair) {
    for policy in [Policy::Block, Policy::Reject, Policy::DropOldest, Policy::Latest] {
        let transport = T::open(&pair, 4, policy).await;
        let mut reader = transport.subscribe("reader", policy);
        let stop = Arc::new(AtomicBool::new(false));
        let (running, all_sent) = (Arc::new(()), Arc::new(AtomicU64::new(0)));
        let emits = [0, 1].map(|index| {
            let (mut publisher, stopped) = (transport.publisher("publisher"), stop.clone());
            let (running, all_sent) = (running.clone(), all_sent.clone());
            let clock = pair.publishers.clone();
            pair.publish(async move {
                let (mut sent, mut tries) = (0, 0_u64);
                while !stopped.load(Ordering::SeqCst) {
                    sent += u64::from(publisher.emit(probe(index, sent)).await.is_ok());
                    tries += 1;
                    if tries.is_multiple_of(16) {
                        // A publisher that never waits for room must yield.
                        clock.sleep_until(clock.now() + PAUSE).await;
                    }
                }
                all_sent.fetch_add(sent, Ordering::SeqCst);
                drop((publisher, running));
            })
        });
        let (mut delivered, mut dropped) = (0, 0);
        let is_all = |counted| {
            Arc::strong_count(&running) == 1 && all_sent.load(Ordering::SeqCst) == counted
        };
        let mut counted = 0;
        while let Some(delivery) = rest::<T>(&pair, &mut reader, || is_all(counted)).await {
            match delivery {
                Delivery::Msg(_) => delivered += 1,
                Delivery::Gap(gap) => dropped += gap.count,
            }
            counted = delivered + dropped;
            if delivered == rounds(60) {
                stop.store(true, Ordering::SeqCst);
            }
        }
        for emits in emits {
            pair.join("a publisher stops", emits).await;
        }
        assert_eq!(all_sent.load(Ordering::SeqCst), counted, "with {policy:?}");
    }
}
