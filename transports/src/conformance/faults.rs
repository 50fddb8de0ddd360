//! What is given up, what panics, and what a shutdown leaves.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;

use super::pair::watched;
use super::pressure::Progress;
use super::{Pair, Probe, Publish, Subscribe, Transport, cut, number, probe, rounds};
use crate::local::{Delivery, Policy};

/// The k-th poll at which futures are dropped: before the first, at the first, and when they were woken.
const POLLS: std::ops::Range<usize> = 0..4;

/// An emit that is dropped at its k-th poll leaves nothing behind: the message can be sent again, and comes once.
pub async fn a_cancelled_emit_sends_nothing<T: Transport>(pair: Pair) {
    let count = rounds(100);
    for polls in POLLS {
        let transport = T::open(&pair, 2, Policy::Block);
        let mut reader = transport.subscribe("reader", Policy::Block);
        let mut publisher = transport.publisher("publisher");
        let (full, filled) = oneshot::channel::<()>();
        let emits = pair.publish(async move {
            let mut full = Some(full);
            for number in 0..count {
                let tell = || drop(full.take());
                let once = watched(publisher.emit(probe(0, number)), tell);
                if let Some(accepted) = cut(polls, once).await {
                    accepted.expect("nobody rejects");
                    continue;
                }
                let again = watched(publisher.emit(probe(0, number)), || drop(full.take()));
                again.await.expect("nobody rejects");
            }
        });
        // Once it has waited for room.
        _ = pair.within("the publisher waits", filled).await;
        for next in 0..count {
            let what = format!("message {next}, emits dropped at poll {polls}");
            assert_eq!(number(pair.within(&what, reader.recv()).await), next, "poll {polls}");
        }
        pair.join("the publisher ends", emits).await;
        assert_eq!(pair.within("the end", reader.recv()).await, None);
    }
}

/// A receive that is dropped at its k-th poll took no message, and no wake that another one needs.
pub async fn a_cancelled_receive_takes_nothing<T: Transport>(pair: Pair) {
    let count = rounds(50);
    for polls in POLLS {
        let transport = T::open(&pair, 4, Policy::Block);
        let mut reader = transport.subscribe("reader", Policy::Block);
        let mut publisher = transport.publisher("publisher");
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
                // Now and then while the reader sleeps, now and then when it does not.
                if number % 3 != 2 && asleep.next().await.is_none() {
                    return;
                }
                publisher.emit(probe(0, number)).await.expect("nobody rejects");
            }
        }));
        pair.join(&format!("all messages, receives dropped at poll {polls}"), receives).await;
    }
}

/// A reader and a publisher that panic in their tasks are gone as if they had been dropped: all others go on, on the same
/// executors, and miss nothing.
pub async fn a_task_that_panics_affects_no_other_task<T: Transport>(pair: Pair) {
    let count = rounds(200);
    let transport = T::open(&pair, 4, Policy::Block);
    let mut reader = transport.subscribe("reader", Policy::Block);
    let mut doomed_reader = transport.subscribe("doomed", Policy::Block);
    let mut publisher = transport.publisher("publisher");
    let mut doomed_publisher = transport.publisher("doomed");
    let doomed = Box::pin(async move {
        for _ in 0..7 {
            doomed_reader.recv().await;
        }
        panics();
    });
    pair.readers.spawn(doomed).expect("the executor runs");
    let doomed = Box::pin(async move {
        for number in 0..7 {
            doomed_publisher.emit(probe(1, number)).await.expect("nobody rejects");
        }
        panics();
    });
    pair.publishers.spawn(doomed).expect("the executor runs");
    let emits = pair.publish(async move {
        for number in 0..count {
            publisher.emit(probe(0, number)).await.expect("nobody rejects");
        }
    });
    let mut next = [0, 0];
    while let Some(delivery) = pair.within("the rest, or the end", reader.recv()).await {
        let Delivery::Msg(probe) = delivery else { panic!("a gap at a gating reader") };
        let next = &mut next[probe.publisher as usize];
        assert_eq!(probe.number, *next);
        *next += 1;
    }
    assert_eq!(next, [count, 7], "all of both");
    pair.join("the publisher ends", emits).await;
}

/// As a panic, without words in the test's output.
fn panics() {
    resume_unwind(Box::new("on purpose"));
}

/// A message whose handling fails comes once more, and says so; if that fails, too, it is given up, and the next one comes.
/// Neither is anything else lost or doubled.
pub async fn a_message_whose_handler_failed_is_redelivered_once<T: Transport>(pair: Pair) {
    let transport = T::open(&pair, 4, Policy::Block);
    let mut reader = transport.subscribe("reader", Policy::Block);
    let sent = Progress::start(&pair, transport.publisher("publisher"), 20);
    let mut expected = Vec::new();
    let mut received = Vec::new();
    for next in 0..20 {
        expected.push((next, false));
        let (first, second) = (next % 4 == 1, next % 8 == 5);
        received.push(seen(pair.within("a message", reader.recv()).await));
        if first {
            expected.push((next, true));
            assert!(reader.fail().is_none(), "it comes once more");
            received.push(seen(pair.within("it comes once more", reader.recv()).await));
        }
        if second {
            let given_up = reader.fail().expect("it failed twice");
            assert_eq!((given_up.sequence, &*given_up.publisher), (next, "publisher"));
            assert_eq!(given_up.payload[8..16], next.to_le_bytes());
        }
    }
    assert_eq!(received, expected);
    assert_eq!(pair.within("the end", reader.recv()).await, None);
    sent.complete(&pair).await;
}

fn seen(delivery: Option<Delivery<Probe>>) -> (u64, bool) {
    match delivery {
        Some(Delivery::Msg(received)) => (received.number, received.redelivered()),
        other => panic!("{other:?} is no message"),
    }
}

const PAUSE: Duration = Duration::from_micros(100);

/// Publishers that are told to stop at any moment are gone in the midst of what they do. What they had sent is what was
/// delivered and what was dropped, at any moment no more than that, and at the end exactly that.
pub async fn every_message_is_counted_after_a_shutdown<T: Transport>(pair: Pair) {
    for policy in [Policy::Block, Policy::Reject, Policy::DropOldest, Policy::Latest] {
        let transport = T::open(&pair, 4, policy);
        let mut reader = transport.subscribe("reader", policy);
        let stop = Arc::new(AtomicBool::new(false));
        let emits = [0, 1].map(|index| {
            let (mut publisher, stopped) = (transport.publisher("publisher"), stop.clone());
            let clock = pair.publishers.clone();
            pair.publish(async move {
                let (mut sent, mut tries) = (0, 0_u64);
                while !stopped.load(Ordering::SeqCst) {
                    sent += u64::from(publisher.emit(probe(index, sent)).await.is_ok());
                    tries += 1;
                    if tries.is_multiple_of(16) {
                        // Whoever never waits for room has to let others run.
                        clock.sleep_until(clock.now() + PAUSE).await;
                    }
                }
                sent
            })
        });
        let mut delivered = [0, 0];
        let mut dropped = 0;
        while let Some(delivery) = pair.within("the rest, or the end", reader.recv()).await {
            match delivery {
                Delivery::Msg(probe) => delivered[probe.publisher as usize] += 1,
                Delivery::Gap(gap) => dropped += gap.count,
            }
            if delivered[0] + delivered[1] == rounds(60) {
                stop.store(true, Ordering::SeqCst);
            }
        }
        let mut sent = 0;
        for emits in emits {
            sent += pair.join("a publisher stops", emits).await;
        }
        assert_eq!(sent, delivered[0] + delivered[1] + dropped, "with {policy:?}");
    }
}
