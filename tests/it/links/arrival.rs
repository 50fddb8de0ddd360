//! Messages of one side arrive at the other, once and in order; missing messages are reported as
//! gaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use mycelium_core::link::Batching;
use mycelium_transports::local::Delivery;
use mycelium_transports::stream::STREAMS;
use tokio::sync::Semaphore;

use crate::links::harness::{Number, PATIENCE, emit, end, join, sides, take, within};

/// Neither a timer nor a frame of the peer flushes the batch in time: both are set to come too
/// late.
#[tokio::test]
async fn the_last_messages_of_a_burst_do_not_wait_for_the_delay_of_a_batch() {
    let (dir, mut there, mut here) = sides("exchange-bursts", 4096);
    for side in [&mut there, &mut here] {
        side.config.batching = Batching { delay: 10 * PATIENCE, ..Batching::HIGH_THROUGHPUT };
        side.config.keep_alive = 10 * PATIENCE;
        side.config.silence = 30 * PATIENCE;
    }
    let (_, mut reader, tasks) = join(&dir, &there, &here).await;
    let mut publisher = there.publisher();
    for burst in [0..300, 300..900, 900..1000] {
        emit(&mut publisher, burst.clone()).await;
        take(&mut reader, burst).await;
        reader.done();
        within("all are confirmed", publisher.confirmed()).await;
    }
    end(&[&there, &here], tasks).await;
}

/// The messages of each publisher arrive once, in order and under its name, while publishers start
/// and end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_stay_apart_when_publishers_start_and_end() {
    const WRITERS: u64 = 8;
    const PUBLISHERS: u64 = 300;
    const EACH: u64 = 3;
    let (dir, there, here) = sides("exchange-mix", 64);
    let (_, mut reader, _tasks) = join(&dir, &there, &here).await;
    // These publishers hold half of the link's streams, and keep the topic open.
    let stays = |n| there.numbers.publisher::<Number>("stays", 1 << 40 | n).unwrap();
    let _stay: Vec<_> = (0..STREAMS as u64 / 2).map(stays).collect();
    // Enough other publishers that each stream is reused at once, but not more than may wait for
    // their reader.
    let most = Arc::new(Semaphore::new(STREAMS));
    for writer in 0..WRITERS {
        let (topic, most) = (there.numbers.clone(), most.clone());
        tokio::spawn(async move {
            for number in 0..PUBLISHERS {
                most.acquire().await.unwrap().forget();
                let epoch = 1 + writer * PUBLISHERS + number;
                let mut publisher = topic.publisher::<Number>(&format!("p{epoch}"), epoch).unwrap();
                for sequence in 0..EACH {
                    publisher.emit(Number { value: epoch << 8 | sequence }).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    let all = WRITERS * PUBLISHERS * EACH;
    for count in 0..all {
        let delivery = within(&format!("message {count} of {all}"), reader.recv()).await;
        let Some(Delivery::Msg(number)) = delivery else { panic!("{delivery:?} at {count}") };
        let (epoch, sequence) = (number.value >> 8, number.value & 0xff);
        let next = next.entry(epoch).or_default();
        assert_eq!((sequence, number.sequence()), (*next, *next), "of {epoch}");
        *next += 1;
        if *next == EACH {
            most.add_permits(1);
        }
    }
    assert_eq!(here.notices.count("down", ""), 0, "the link holds: {:?}", here.notices);
}
