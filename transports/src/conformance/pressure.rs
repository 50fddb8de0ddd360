//! Slow readers: who is held, who is refused, and who is told what it missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::pair::{Task, watched};
use super::{Pair, Probe, Publish, Subscribe, Transport, number, probe, rounds};
use crate::local::{Delivery, Policy, Refusal};

/// `emit` waits as soon as the publisher is ahead of what the reader is done with by its ring, wherever the reader is, and
/// completes as soon as there is room. A message in hand keeps its room.
pub async fn a_full_block_subscription_blocks_the_publisher<T: Transport>(pair: Pair) {
    let ahead = 4;
    let count = ahead + rounds(50);
    let transport = T::open(&pair, 4, Policy::Block);
    let mut slow = transport.subscribe("slow", Policy::Block);
    let sent = Progress::start(&pair, transport.publisher("publisher"), count);
    sent.held_at(&pair, ahead).await;
    pair.until("all that was accepted arrives", || slow.depth() == 4).await;
    for next in 0..count {
        let what = format!("message {next}");
        assert_eq!(number(pair.within(&what, slow.recv()).await), next);
        let accepted = sent.accepted();
        assert!(accepted <= ahead + next, "{accepted} accepted when message {next} came");
    }
    sent.complete(&pair).await;
    assert_eq!(pair.within("the end", slow.recv()).await, None);
}

/// How far a publisher is that sends one message after the other.
pub(super) struct Progress {
    shared: Arc<Shared>,
    task: Task<()>,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicU64,
    waits: AtomicBool,
}

impl Progress {
    /// Sends messages 0 to `count`.
    pub(super) fn start(pair: &Pair, mut publisher: impl Publish, count: u64) -> Progress {
        let shared = Arc::new(Shared::default());
        let tell = shared.clone();
        let task = pair.publish(async move {
            for number in 0..count {
                let emit = publisher.emit(probe(0, number));
                let waits = || tell.waits.store(true, Ordering::SeqCst);
                watched(emit, waits).await.expect("nobody rejects");
                tell.waits.store(false, Ordering::SeqCst);
                tell.accepted.store(number + 1, Ordering::SeqCst);
            }
        });
        Progress { shared, task }
    }

    /// How many were accepted, or one less.
    pub(super) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Waits until so many were accepted and the next one waits for room.
    pub(super) async fn held_at(&self, pair: &Pair, count: u64) {
        let holds = || self.accepted() == count && self.shared.waits.load(Ordering::SeqCst);
        pair.until(&format!("the publisher waits after {count} messages"), holds).await;
    }

    /// Waits until all are sent and the publisher is gone.
    pub(super) async fn complete(self, pair: &Pair) {
        pair.join("the publisher comes to the end", self.task).await;
    }
}

/// `try_emit` gives the message back and says who holds it, as long as there is no room. What was accepted arrives, and
/// what was not does not.
pub async fn try_emit_returns_the_message_of_a_full_ring<T: Transport>(pair: Pair) {
    let transport = T::open(&pair, 4, Policy::Block);
    let mut slow = transport.subscribe("slow", Policy::Block);
    let mut publisher = transport.publisher("publisher");
    let publishes = pair.publish(async move {
        let mut accepted = 0;
        loop {
            assert!(accepted <= 4, "accepted more than there is room for");
            match publisher.try_emit(probe(0, accepted)) {
                Ok(()) => accepted += 1,
                Err(refused) => {
                    assert_eq!(refused.message, probe(0, accepted), "the message that was given");
                    let by_whom =
                        matches!(&refused.refusal, Refusal::Full { by } if !by.is_empty());
                    assert!(by_whom, "{:?}", refused.refusal);
                    return (accepted, publisher);
                }
            }
        }
    });
    let (accepted, publisher) = pair.join("a refusal", publishes).await;
    assert!(accepted >= 4, "a ring takes its capacity, not {accepted}");
    drop(publisher);
    for next in 0..accepted {
        let what = format!("message {next}");
        assert_eq!(number(pair.within(&what, slow.recv()).await), next);
    }
    assert_eq!(pair.within("the end", slow.recv()).await, None);
}

/// `emit` does not wait for a `reject` reader: it gives the message back. What was accepted arrives, and what was not does
/// not.
pub async fn a_full_reject_subscription_returns_the_message<T: Transport>(pair: Pair) {
    let transport = T::open(&pair, 2, Policy::Reject);
    let mut slow = transport.subscribe("slow", Policy::Reject);
    let mut publisher = transport.publisher("publisher");
    let publishes = pair.publish(async move {
        let (mut accepted, mut rejected) = (Vec::new(), 0);
        // Nobody reads, so nearly all of them.
        for number in 0..10 {
            match publisher.emit(probe(0, number)).await {
                Ok(()) => accepted.push(number),
                Err(refused) => {
                    assert_eq!(refused.message, probe(0, number), "the message that was given");
                    let is_rejected = matches!(refused.refusal, Refusal::Rejected { .. });
                    assert!(is_rejected, "{:?}", refused.refusal);
                    rejected += 1;
                }
            }
        }
        (accepted, rejected)
    });
    let (accepted, rejected) = pair.join("nothing waits for a `reject` reader", publishes).await;
    assert!(rejected >= 8, "{rejected} rejected, {} accepted", accepted.len());
    for next in accepted {
        let what = format!("message {next}");
        assert_eq!(number(pair.within(&what, slow.recv()).await), next);
    }
    assert_eq!(pair.within("the end", slow.recv()).await, None);
}

/// Bursts far larger than the ring never wait for a `drop-oldest` reader, and what was sent is what was taken and what was
/// missed, together.
pub async fn an_observer_never_blocks_the_publisher_and_gets_exact_gaps<T: Transport>(pair: Pair) {
    let transport = T::open(&pair, 8, Policy::DropOldest);
    let mut observer = transport.subscribe("observer", Policy::DropOldest);
    let mut publisher = transport.publisher("publisher");
    let (mut sent, mut taken, mut missed, mut bursts) = (0, 0, 0, 0);
    // How much of a burst is missed depends on who is faster; that something was, does not, in the long run.
    while bursts < 8 || missed == 0 {
        let burst = [3, 8, 9, 40, 1, 200, 0, 16][bursts % 8];
        bursts += 1;
        let publishes = pair.publish(async move {
            for number in sent..sent + burst {
                publisher.try_emit(probe(0, number)).expect("an observer holds nobody");
            }
            publisher
        });
        publisher = pair.join("a burst", publishes).await;
        sent += burst;
        while taken + missed < sent {
            let what = format!("what became of {sent}, beyond {taken} taken and {missed} missed");
            match pair.within(&what, observer.recv()).await {
                Some(Delivery::Msg(probe)) => {
                    assert_eq!(
                        probe.number,
                        taken + missed,
                        "the number says how many came before"
                    );
                    taken += 1;
                }
                Some(Delivery::Gap(gap)) => {
                    assert!(gap.exact && &*gap.publisher == "publisher", "{gap}");
                    missed += gap.count;
                }
                None => panic!("the end, though the publisher is there"),
            }
        }
        assert_eq!(sent, taken + missed, "sent is taken and missed");
    }
}

/// A `latest` reader is told how many it skipped, then gets the newest message.
pub async fn a_latest_reader_gets_the_newest_message_and_the_skipped_number<T: Transport>(
    pair: Pair,
) {
    let transport = T::open(&pair, 8, Policy::Latest);
    let mut latest = transport.subscribe("latest", Policy::Latest);
    let mut publisher = transport.publisher("publisher");
    let publishes = pair.publish(async move {
        for number in 0..5 {
            publisher.try_emit(probe(0, number)).expect("an observer holds nobody");
        }
        publisher
    });
    let mut publisher = pair.join("the publisher emits", publishes).await;
    pair.until("five messages wait", || latest.depth() == 5).await;
    match pair.within("a gap", latest.recv()).await {
        Some(Delivery::Gap(gap)) => assert_eq!((gap.count, gap.exact), (4, true)),
        other => panic!("a gap comes first, not {other:?}"),
    }
    assert_eq!(number(pair.within("the newest", latest.recv()).await), 4);
    let publishes = pair.publish(async move { publisher.emit(probe(0, 5)).await });
    pair.join("the publisher emits", publishes).await.expect("an observer holds nobody");
    assert_eq!(number(pair.within("the next", latest.recv()).await), 5);
}

/// Two messages come for each delivery that is taken, so the reader never catches up: yet it gets a message for each gap, or
/// for each gap of every ring that lies between.
pub async fn an_observer_that_is_always_slower_still_gets_messages<T: Transport>(pair: Pair) {
    let rounds = rounds(100);
    for policy in [Policy::DropOldest, Policy::Latest] {
        let transport = T::open(&pair, 4, policy);
        let mut slow = transport.subscribe("slow", policy);
        let mut publisher = transport.publisher("publisher");
        let (mut messages, mut gaps, mut missed) = (0, 0, 0);
        let mut count = |delivery: Delivery<Probe>| match delivery {
            Delivery::Msg(probe) => {
                assert_eq!(probe.number, messages + missed, "in order, after the gap");
                messages += 1;
            }
            Delivery::Gap(gap) => (gaps, missed) = (gaps + 1, missed + gap.count),
        };
        for sent in 0..rounds {
            let publishes = pair.publish(async move {
                for number in [2 * sent, 2 * sent + 1] {
                    publisher.try_emit(probe(0, number)).expect("an observer holds nobody");
                }
                publisher
            });
            publisher = pair.join("the publisher emits", publishes).await;
            let delivery = pair.within("there is always something", slow.recv()).await;
            count(delivery.expect("the publisher is there"));
        }
        drop(publisher);
        while let Some(delivery) = pair.within("the rest, or the end", slow.recv()).await {
            count(delivery);
        }
        let enough = T::RINGS * (messages + 1) >= gaps;
        assert!(enough, "{messages} messages and {gaps} gaps with {policy:?}");
        assert_eq!(2 * rounds, messages + missed, "sent is taken and missed, with {policy:?}");
    }
}
