//! Laws of order: no message is lost, repeated or reordered.

use futures_util::FutureExt;

use crate::conformance::{
    Pair, Subscribe, TestTransport, emit_all, ends, expect_end, number, rounds,
};
use crate::local::{Delivery, Policy};

/// Three publishers and two gating readers, through rings far smaller than the stream: each reader
/// gets each publisher's messages once and in order.
pub async fn messages_of_a_publisher_arrive_once_and_in_order<T: TestTransport>(pair: Pair) {
    const PUBLISHERS: u64 = 3;
    let count = rounds(300);
    let transport = T::open(&pair, 8, Policy::Block).await;
    let readers = [0, 1].map(|reader| {
        let mut subscription = transport.subscribe(&format!("reader {reader}"), Policy::Block);
        pair.read(async move {
            let (mut next, all) = ([0; PUBLISHERS as usize], [count; PUBLISHERS as usize]);
            while let Some(delivery) = subscription.recv().await {
                let Delivery::Msg(probe) = delivery else { panic!("a gap at a gating reader") };
                let next_of = &mut next[probe.publisher as usize];
                let found = (probe.number, probe.sequence());
                assert_eq!(found, (*next_of, *next_of), "number and sequence");
                *next_of += 1;
                if next == all && !ends::<T>() {
                    break;
                }
            }
            (next, subscription)
        })
    });
    let handles: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| (publisher, transport.publisher(&format!("publisher {publisher}"))))
        .collect();
    for (publisher, handle) in handles {
        drop(pair.publish(emit_all(handle, publisher, 0..count).map(drop)));
    }
    for reader in readers {
        let (received, mut reader) = pair.join("a reader ends", reader).await;
        assert_eq!(received, [count; PUBLISHERS as usize], "messages of each publisher");
        expect_end::<T>(&pair, &mut reader).await;
    }
}

/// A fault that the transport must hide, such as a lost connection, loses and repeats no message.
pub async fn a_disturbance_loses_and_repeats_nothing<T: TestTransport>(pair: Pair) {
    let count = rounds(200);
    let (transport, mut reader, publisher) = T::joined(&pair, 8, Policy::Block).await;
    let publishes = pair.publish(emit_all(publisher, 0, 0..count).map(drop));
    for next in 0..count {
        if next % 90 == 50 {
            transport.disturb();
        }
        let what = format!("message {next}");
        assert_eq!(number(pair.within(&what, reader.recv()).await), next);
    }
    pair.join("the publisher ends", publishes).await;
    expect_end::<T>(&pair, &mut reader).await;
}
