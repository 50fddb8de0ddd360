//! Law of readers that stall: the topic evicts them.

use std::time::Duration;

use crate::conformance::{
    Account, Pair, Probe, Publish, Subscribe, TestTransport, expect_end, probe,
};
use crate::local::{GapReason, OnStall, Policy, TryRecv};

/// The stall limit. It is short because the law waits for it; the law also holds for a reader that
/// is evicted too early.
const LIMIT: Duration = Duration::from_millis(5);

/// The method by which a publisher sends messages.
#[derive(Clone, Copy, Debug)]
enum Way {
    Emit,
    TryEmit,
    Batch,
}

/// A `block` reader that reads nothing blocks each kind of emit for a limited time. It then gets
/// the exact number of missed messages, with the reason, and the publisher waits for it again.
pub async fn a_reader_that_stalls_is_evicted_until_it_reads<T: TestTransport>(pair: Pair) {
    for way in [Way::Emit, Way::TryEmit, Way::Batch] {
        let transport = T::open(&pair, 4, Policy::Block).await;
        transport.set_on_stall(&pair, OnStall::EvictAfter(LIMIT));
        let (mut reader, mut account) =
            (transport.subscribe("stalled", Policy::Block), Account::default());
        let mut publisher = transport.publisher("publisher");
        let (first, executor) = (20, pair.publishers.clone());
        let publishes = pair.publish(async move {
            let messages: Vec<Probe> = (0..first).map(|number| probe(0, number)).collect();
            match way {
                Way::Emit => {
                    for message in messages {
                        publisher.emit(message).await.expect("no reader rejects");
                    }
                }
                Way::TryEmit => {
                    for message in messages {
                        while publisher.try_emit(message).is_err() {
                            executor.sleep_until(executor.now() + LIMIT / 4).await;
                        }
                    }
                }
                Way::Batch => {
                    let sent = publisher.emit_batch(&messages, &mut 0).await;
                    sent.expect("no reader rejects");
                }
            }
            publisher
        });
        let mut publisher = pair.join("the publisher continues", publishes).await;
        read(&pair, &mut reader, &mut account, first).await;
        assert!(account.missed > 0, "a reader that does not read misses messages ({way:?})");

        let again = async {
            let mut sent = first;
            loop {
                let publishes = pair.publish(async move {
                    let waited = burst(&mut publisher, sent);
                    (publisher, waited)
                });
                let (back, (sent_now, waits)) = pair.join("a burst", publishes).await;
                (publisher, sent) = (back, sent_now);
                read(&pair, &mut reader, &mut account, sent).await;
                if waits {
                    return (publisher, sent);
                }
            }
        };
        let (publisher, sent) = pair.within("the publisher waits again", again).await;
        drop(publisher);
        expect_end::<T>(&pair, &mut reader).await;
        assert_eq!(sent, account.sum(), "sent = taken + missed");
    }
}

/// Sends messages from `first` on until one is refused, and stops once it has sent more than all
/// buffers together hold. Returns the number of the next message, and whether one was refused.
fn burst(publisher: &mut impl Publish, first: u64) -> (u64, bool) {
    let end = first + 32;
    let refused = (first..end).find(|number| publisher.try_emit(probe(0, *number)).is_err());
    (refused.unwrap_or(end), refused.is_some())
}

/// Reads until each of `sent` messages was taken or missed.
async fn read(pair: &Pair, reader: &mut impl Subscribe, account: &mut Account, sent: u64) {
    while account.sum() < sent {
        if let Some(gap) = account.receive(pair, reader, sent).await {
            let evicted = (true, GapReason::Evicted);
            assert_eq!((gap.exact(), gap.reason), evicted, "the reason of {gap}");
        }
    }
    // The last message was taken, too.
    assert_eq!(reader.try_recv(), TryRecv::Empty, "all were sent");
}
