//! Laws of batches: many messages in one emit, and the backpressure threshold.

use futures_channel::oneshot;

use crate::conformance::pair::{cut, watched};
use crate::conformance::{
    Account, Pair, Probe, Publish, Subscribe, TestTransport, expect_all, expect_end, number,
    number_and_mark, probe, rounds,
};
use crate::local::{Policy, Threshold, TryRecv};

/// Batches of any size arrive like single messages, whether the reader takes one message at a time
/// or many.
pub async fn batches_arrive_once_and_in_order<T: TestTransport>(pair: Pair) {
    let (_transport, mut reader, mut publisher) = T::joined(&pair, 8, Policy::Block).await;
    let sizes = [3, 8, 0, 1, 30, 200];
    let count: u64 = sizes.iter().sum();
    let publishes = pair.publish(async move {
        let mut next = 0;
        for size in sizes {
            let messages: Vec<Probe> = (next..next + size).map(|it| probe(0, it)).collect();
            let mut sent = 0;
            publisher.emit_batch(&messages, &mut sent).await.expect("no reader rejects");
            assert_eq!(sent as u64, size, "a batch is complete");
            next += size;
        }
    });
    let (mut deliveries, mut taken, mut limits) = (Vec::new(), 0, [1, 3, 64].into_iter().cycle());
    while taken < count {
        let limit = limits.next().expect("they repeat");
        let what = format!("message {taken}");
        let received = pair.within(&what, reader.recv_many(&mut deliveries, limit)).await;
        assert!((1..=limit).contains(&received), "{received} of at most {limit}");
        assert_eq!(deliveries.len(), received);
        for delivery in deliveries.drain(..) {
            assert_eq!(number(Some(delivery)), taken, "in order");
            taken += 1;
        }
    }
    pair.join("the publisher ends", publishes).await;
    expect_end::<T>(&pair, &mut reader).await;
}

/// A batch does not wait for an observer. The observer gets gaps with the exact number of messages
/// that were overwritten.
pub async fn an_observer_gets_the_exact_gaps_of_batches<T: TestTransport>(pair: Pair) {
    let (_transport, mut observer, mut publisher) = T::joined(&pair, 8, Policy::DropOldest).await;
    let (mut sent, mut account, mut deliveries) = (0, Account::default(), Vec::new());
    for size in [5, 8, 40, 1, 200] {
        let publishes = pair.publish(async move {
            let messages: Vec<Probe> = (sent..sent + size).map(|it| probe(0, it)).collect();
            let all = publisher.emit_batch(&messages, &mut 0).await;
            all.expect("an observer never blocks");
            publisher
        });
        publisher = pair.join("a batch for an observer", publishes).await;
        sent += size;
        while account.sum() < sent {
            let what = format!("what became of {sent} messages");
            pair.within(&what, observer.recv_many(&mut deliveries, 16)).await;
            deliveries.drain(..).for_each(|delivery| _ = account.count(delivery));
        }
    }
    assert_eq!(sent, account.sum(), "sent = taken + missed");
}

/// A batch that is dropped after some polls has sent a prefix of its messages, and reports the
/// length of this prefix.
pub async fn a_cancelled_batch_has_sent_a_prefix<T: TestTransport>(pair: Pair) {
    let count = rounds(40);
    for polls in 0..4 {
        let (_transport, mut reader, mut publisher) = T::joined(&pair, 4, Policy::Block).await;
        let emits = pair.publish(async move {
            let messages: Vec<Probe> = (0..count).map(|number| probe(0, number)).collect();
            let mut next = 0;
            while next < messages.len() {
                let batch = &messages[next..messages.len().min(next + 7)];
                let mut sent = 0;
                match cut(polls, publisher.emit_batch(batch, &mut sent)).await {
                    Some(all) => {
                        all.expect("no reader rejects");
                        assert_eq!(sent, batch.len(), "a batch that is ready is sent");
                    }
                    None => {
                        let mut rest = 0;
                        let all = publisher.emit_batch(&batch[sent..], &mut rest).await;
                        all.expect("no reader rejects");
                        assert_eq!(sent + rest, batch.len(), "a batch that is ready is sent");
                    }
                }
                next += batch.len();
            }
        });
        let what = format!("batches dropped at poll {polls}");
        expect_all(&pair, &mut reader, &what, 0..count).await;
        pair.join("the publisher ends", emits).await;
        expect_end::<T>(&pair, &mut reader).await;
    }
}

/// If the handling of a batch fails, each of its messages is redelivered once, marked, and alone.
/// Only a message that fails again becomes a dead letter.
pub async fn a_failed_batch_is_redelivered_one_by_one<T: TestTransport>(pair: Pair) {
    let (_transport, mut reader, mut publisher) = T::joined(&pair, 8, Policy::Block).await;
    let publishes = pair.publish(async move {
        let messages = [0, 1, 2, 3, 4].map(|number| probe(0, number));
        publisher.emit_batch(&messages, &mut 0).await.expect("no reader rejects");
        publisher
    });
    let publisher = pair.join("the publisher emits", publishes).await;
    pair.until("all messages arrive", || reader.depth() == 5).await;
    let mut batch = Vec::new();
    pair.within("a batch", reader.recv_many(&mut batch, 3)).await;
    let numbers: Vec<u64> = batch.into_iter().map(|delivery| number(Some(delivery))).collect();
    // A batch may be shorter than requested at the point where a stream moves to another ring.
    let size = numbers.len() as u64;
    assert!((1..=3).contains(&size) && numbers.into_iter().eq(0..size), "the first messages");
    assert!(reader.fail().is_none(), "the batch is delivered once more");
    for expected in 0..5 {
        let found = number_and_mark(pair.within("a message", reader.recv()).await);
        assert_eq!(found, (expected, expected < size), "a redelivered message is marked");
        if expected + 1 == size {
            let letter = reader.fail().map(|letter| letter.sequence);
            assert_eq!(letter, Some(expected), "the message that fails again");
        }
    }
    drop(publisher);
    expect_end::<T>(&pair, &mut reader).await;
}

/// The threshold is exceeded once the ring is 80 % full, and until a reader has brought the depth
/// down to three quarters of that level. A publisher that waits in `until_below` is woken then. An
/// observer does not count.
pub async fn a_publisher_waits_until_its_reader_is_below_the_threshold<T: TestTransport>(
    pair: Pair,
) {
    let (upper, lower) = Threshold::default().marks(16);
    let (transport, mut reader, mut publisher) = T::joined(&pair, 16, Policy::Block).await;
    let _observer = transport.subscribe("observer", Policy::DropOldest);
    let mut next = 0;
    for _ in 0..rounds(20) {
        let (tell, waits) = oneshot::channel();
        let mut tell = Some(tell);
        let publishes = pair.publish(async move {
            let mut sent = 0;
            while !publisher.backpressure_threshold_exceeded() {
                publisher.try_emit(probe(0, next + sent)).expect("the ring has room");
                sent += 1;
            }
            assert_eq!(publisher.depth(), upper, "the threshold is exceeded at its mark");
            let waiting = || _ = tell.take().map(|tell| tell.send(()));
            watched(publisher.until_below(), waiting).await;
            assert!(publisher.depth() <= lower, "{} is above the lower mark", publisher.depth());
            (publisher, sent)
        });
        pair.within("the publisher waits", waits).await.expect("the publisher waits");
        // The last of the taken messages is in flight.
        let taken = upper - lower + 1;
        expect_all(&pair, &mut reader, "the messages", next..next + taken as u64).await;
        let (back, sent) =
            pair.join("the publisher continues below the threshold", publishes).await;
        let end = next + sent;
        expect_all(&pair, &mut reader, "the messages", next + taken as u64..end).await;
        assert_eq!(reader.try_recv(), TryRecv::Empty, "the last message is taken");
        let publishes = pair.publish(async move {
            let mut back = back;
            back.confirmed().await;
            back
        });
        publisher = pair.join("all is confirmed", publishes).await;
        next = end;
    }
}
