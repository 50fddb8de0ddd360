//! Laws of slow readers: backpressure, rejected messages and gaps.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::conformance::pair::{Task, watched};
use crate::conformance::{
    Account, Pair, Publish, Subscribe, TestTransport, emitted_to_the_end, expect_all, expect_end,
    number, probe, rest, rounds,
};
use crate::local::{Delivery, Policy, Refusal};

/// `emit` waits as soon as the publisher is one ring ahead of the reader's confirmed messages, and
/// completes as soon as the ring has room. A message in flight keeps its slot.
pub async fn a_full_block_subscription_blocks_the_publisher<T: TestTransport>(pair: Pair) {
    let ahead = 4;
    let count = ahead + rounds(50);
    let (_transport, mut slow, publisher) = T::joined(&pair, 4, Policy::Block).await;
    let sent = Progress::start(&pair, publisher, count);
    sent.held_at(&pair, ahead).await;
    pair.until("all accepted messages arrive", || slow.depth() == 4).await;
    for next in 0..count {
        let what = format!("message {next}");
        assert_eq!(number(pair.within(&what, slow.recv()).await), next);
        let accepted = sent.accepted();
        assert!(accepted <= ahead + next, "{accepted} accepted when message {next} came");
    }
    sent.complete(&pair).await;
    expect_end::<T>(&pair, &mut slow).await;
}

/// Sends these messages. Panics if the publisher has to wait for any of them, unless it waits for
/// the transport itself.
pub(crate) async fn send_at_once<T: TestTransport>(
    pair: &Pair,
    mut publisher: T::Publisher,
    numbers: Range<u64>,
) -> T::Publisher {
    let paces = T::PACES;
    let publishes = pair.publish(async move {
        for number in numbers {
            if paces {
                publisher.emit(probe(0, number)).await.expect("no reader rejects");
            } else {
                publisher.try_emit(probe(0, number)).expect("an observer never blocks");
            }
        }
        publisher
    });
    pair.join("the publisher emits", publishes).await
}

/// The progress of a publisher that sends one message after the other.
pub(crate) struct Progress {
    shared: Arc<Shared>,
    task: Task<()>,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicU64,
    waits: AtomicBool,
}

impl Progress {
    /// Starts to send messages 0 to `count`.
    pub(crate) fn start(pair: &Pair, mut publisher: impl Publish, count: u64) -> Progress {
        let shared = Arc::new(Shared::default());
        let tell = shared.clone();
        let task = pair.publish(async move {
            for number in 0..count {
                let emit = publisher.emit(probe(0, number));
                let waits = || tell.waits.store(true, Ordering::SeqCst);
                watched(emit, waits).await.expect("no reader rejects");
                tell.waits.store(false, Ordering::SeqCst);
                tell.accepted.store(number + 1, Ordering::SeqCst);
            }
        });
        Progress { shared, task }
    }

    /// Returns the number of accepted messages, or one less.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Waits until `count` messages were accepted and the next one waits for room.
    pub(crate) async fn held_at(&self, pair: &Pair, count: u64) {
        let holds = || self.accepted() == count && self.shared.waits.load(Ordering::SeqCst);
        pair.until(&format!("the publisher waits after {count} messages"), holds).await;
    }

    /// Waits until all messages are sent and the publisher has ended.
    pub(crate) async fn complete(self, pair: &Pair) {
        pair.join("the publisher ends", self.task).await;
    }
}

/// While the ring is full, `try_emit` returns the message and names the blocking reader. Accepted
/// messages arrive; refused messages do not.
pub async fn try_emit_returns_the_message_of_a_full_ring<T: TestTransport>(pair: Pair) {
    let (_transport, mut slow, mut publisher) = T::joined(&pair, 4, Policy::Block).await;
    let publishes = pair.publish(async move {
        let mut accepted = 0;
        loop {
            assert!(accepted <= 4, "accepted more than the ring holds");
            match publisher.try_emit(probe(0, accepted)) {
                Ok(()) => accepted += 1,
                Err(refused) => {
                    assert_eq!(refused.message, probe(0, accepted), "the same message");
                    let by_whom =
                        matches!(&refused.refusal, Refusal::Full { by } if !by.is_empty());
                    assert!(by_whom, "{:?}", refused.refusal);
                    return (accepted, publisher);
                }
            }
        }
    });
    let (accepted, publisher) = pair.join("try_emit fails", publishes).await;
    assert!(accepted >= 4, "a ring takes its capacity, not {accepted}");
    drop(publisher);
    expect_all(&pair, &mut slow, "the messages", 0..accepted).await;
    expect_end::<T>(&pair, &mut slow).await;
}

/// `emit` does not wait for a `reject` reader: it returns the message. Accepted messages arrive;
/// refused messages do not.
pub async fn a_full_reject_subscription_returns_the_message<T: TestTransport>(pair: Pair) {
    let (_transport, mut slow, mut publisher) = T::joined(&pair, 2, Policy::Reject).await;
    let publishes = pair.publish(async move {
        let (mut accepted, mut rejected) = (Vec::new(), 0);
        // Nobody reads, so nearly all of these messages are rejected.
        for number in 0..10 {
            match publisher.emit(probe(0, number)).await {
                Ok(()) => accepted.push(number),
                Err(refused) => {
                    assert_eq!(refused.message, probe(0, number), "the same message");
                    let is_rejected = matches!(refused.refusal, Refusal::Rejected { .. });
                    assert!(is_rejected, "{:?}", refused.refusal);
                    rejected += 1;
                }
            }
        }
        (accepted, rejected)
    });
    let (accepted, rejected) =
        pair.join("emit does not wait for a `reject` reader", publishes).await;
    assert!(rejected >= 8, "{rejected} rejected, {} accepted", accepted.len());
    expect_all(&pair, &mut slow, "the messages", accepted).await;
    expect_end::<T>(&pair, &mut slow).await;
}

/// Bursts that are much larger than the ring never wait for a `drop-oldest` reader. The number of
/// sent messages is the sum of taken and missed messages.
pub async fn an_observer_never_blocks_the_publisher_and_gets_exact_gaps<T: TestTransport>(
    pair: Pair,
) {
    let (_transport, mut observer, mut publisher) = T::joined(&pair, 8, Policy::DropOldest).await;
    let (mut sent, mut account, mut bursts) = (0, Account::default(), 0);
    // Continues until a message was missed. The number of missed messages depends on timing.
    while bursts < 8 || account.missed == 0 {
        let burst = [3, 8, 9, 40, 1, 200, 0, 16][bursts % 8];
        bursts += 1;
        publisher = send_at_once::<T>(&pair, publisher, sent..sent + burst).await;
        sent += burst;
        while account.sum() < sent {
            if let Some(gap) = account.receive(&pair, &mut observer, sent).await {
                assert!(gap.exact() && &*gap.publisher == "publisher", "{gap}");
            }
        }
        assert_eq!(sent, account.sum(), "sent = taken + missed");
    }
}

/// A `latest` reader gets the number of skipped messages, then the newest message.
pub async fn a_latest_reader_gets_the_newest_message_and_the_skipped_number<T: TestTransport>(
    pair: Pair,
) {
    let (_transport, mut latest, publisher) = T::joined(&pair, 8, Policy::Latest).await;
    let publisher = send_at_once::<T>(&pair, publisher, 0..5).await;
    pair.until("five messages are in the ring", || latest.depth() == 5).await;
    match pair.within("a gap", latest.recv()).await {
        Some(Delivery::Gap(gap)) => assert_eq!((gap.count, gap.exact()), (4, true)),
        other => panic!("expected a gap first, found {other:?}"),
    }
    assert_eq!(number(pair.within("the newest", latest.recv()).await), 4);
    emitted_to_the_end(&pair, publisher, 0, 5..6).await;
    assert_eq!(number(pair.within("the next", latest.recv()).await), 5);
}

/// Two messages are sent for each delivery, so the reader never catches up. It still gets a message
/// after each gap, or after one gap for each ring between publisher and reader.
pub async fn an_observer_that_is_always_slower_still_gets_messages<T: TestTransport>(pair: Pair) {
    let rounds = rounds(50);
    for policy in [Policy::DropOldest, Policy::Latest] {
        let (_transport, mut slow, mut publisher) = T::joined(&pair, 4, policy).await;
        let (mut account, mut gaps) = (Account::default(), 0);
        let mut count = |account: &mut Account, delivery| {
            gaps += u64::from(account.count(delivery).is_some());
        };
        for sent in 0..rounds {
            publisher = send_at_once::<T>(&pair, publisher, 2 * sent..2 * sent + 2).await;
            let delivery = pair.within("a message or a gap", slow.recv()).await;
            count(&mut account, delivery.expect("the publisher exists"));
        }
        drop(publisher);
        while let Some(delivery) = rest::<T>(&pair, &mut slow, || account.sum() == 2 * rounds).await
        {
            count(&mut account, delivery);
        }
        let enough = T::RINGS * (account.taken + 1) >= gaps;
        assert!(enough, "{} messages and {gaps} gaps with {policy:?}", account.taken);
        assert_eq!(2 * rounds, account.sum(), "sent = taken + missed, with {policy:?}");
    }
}
