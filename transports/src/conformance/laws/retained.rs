//! Retained messages: what late readers get before all others.

use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::conformance::pair::POLL_EVERY;
use crate::conformance::{
    Pair, Publish, Subscribe, TestTransport, expect_all, expect_end, probe, rounds,
};
use crate::local::{Delivery, Policy, Retain, TryRecv, WhenFull};

const MOST: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// The first reader of a late node gets what the publisher retains, and so does each later reader
/// of the node. Then they get every message since.
pub async fn late_readers_get_what_is_retained<T: TestTransport>(pair: Pair) {
    let key = T::by_publisher(MOST);
    let by_key = Retain::ByKey { key, when_full: WhenFull::Refuse };
    for (retain, policy) in [
        (Retain::Last(MOST), Policy::Block),
        (Retain::Last(MOST), Policy::DropOldest),
        (by_key, Policy::Reject),
    ] {
        let transport = T::open_alone(&pair, 8);
        transport.retain(retain);
        let mut publisher = transport.publisher("publisher");
        for number in 0..12 {
            // The key of the messages from 2 on is the number modulo 3.
            let key = if number < 2 { 0 } else { number % 3 };
            publisher.try_emit(probe(key, number)).expect("nobody reads");
        }
        transport.meet(&pair, policy.into());
        let mut readers = vec![transport.subscribe("first", policy)];
        for (reader, name) in ["first", "second", "third"].into_iter().enumerate() {
            expect_retained(&pair, &mut readers[reader], 9..12).await;
            readers.push(transport.subscribe(name, policy));
        }
        expect_retained(&pair, &mut readers[3], 9..12).await;
        let mut by_key = transport.subscribe("by key", Policy::LatestByKey(key));
        expect_retained(&pair, &mut by_key, 9..12).await;
        drop(by_key);
        let executor = pair.publishers.clone();
        let publishes = pair.publish(async move {
            for number in 12..16 {
                // A `reject` reader makes room only when it has confirmed.
                while publisher.emit(probe(number % 3, number)).await.is_err() {
                    executor.sleep_until(executor.now() + POLL_EVERY).await;
                }
            }
            publisher
        });
        for reader in &mut readers {
            expect_all(&pair, reader, "a live message", 12..16).await;
        }
        let publisher = pair.join("the publisher emits", publishes).await;
        let mut last = transport.subscribe("last", policy);
        expect_retained(&pair, &mut last, 13..16).await;
        // Before its end, the publisher would wait until these have handled their last message.
        drop(readers);
        drop(publisher);
        expect_end::<T>(&pair, &mut last).await;
    }
}

/// Readers join and leave while the publisher emits, and connections are lost: between the retained
/// messages and the live ones none is missing, and none comes twice.
pub async fn readers_join_while_retained_messages_are_replaced<T: TestTransport>(pair: Pair) {
    for policy in [Policy::DropOldest, Policy::Block] {
        let transport = T::open(&pair, 64, policy).await;
        transport.retain(Retain::Last(MOST));
        let mut first = transport.subscribe("first", policy);
        let mut publisher = transport.publisher("publisher");
        let (alive, executor) = (Arc::new(()), pair.publishers.clone());
        let is_read = Arc::downgrade(&alive);
        let publishes = pair.publish(async move {
            let mut number = 0;
            while is_read.strong_count() > 0 {
                publisher.emit(probe(0, number)).await.expect("no reader rejects");
                number += 1;
                if number % 16 == 0 {
                    executor.sleep_until(executor.now() + Duration::from_micros(50)).await;
                }
            }
        });
        for round in 0..rounds(60) {
            let mut late = transport.subscribe("late", policy);
            let (mut next, mut live) = (None::<u64>, 0);
            while live < 3 {
                match pair.within("a message or a gap", late.recv()).await {
                    Some(Delivery::Msg(probe)) => {
                        assert!(!probe.retained() || live == 0, "round {round}: retained is late");
                        let expected = next.unwrap_or(probe.number);
                        assert_eq!(probe.number, expected, "round {round}");
                        next = Some(probe.number + 1);
                        live += u64::from(!probe.retained());
                    }
                    Some(Delivery::Gap(gap)) => {
                        next = next.filter(|_| gap.exact()).map(|next| next + gap.count);
                    }
                    None => panic!("round {round}: the publisher has not ended"),
                }
                while let TryRecv::Delivery(_) = first.try_recv() {}
            }
            if round % 20 == 10 {
                transport.disturb();
            }
        }
        drop((first, alive));
        pair.join("the publisher emits", publishes).await;
    }
}

async fn expect_retained(pair: &Pair, reader: &mut impl Subscribe, numbers: Range<u64>) {
    for next in numbers {
        match pair.within(&format!("retained message {next}"), reader.recv()).await {
            Some(Delivery::Msg(probe)) => {
                assert_eq!((probe.number, probe.retained()), (next, true));
            }
            other => panic!("{other:?} instead of retained message {next}"),
        }
    }
}
