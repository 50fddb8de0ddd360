//! Connections that are lost at any moment: no message is delivered twice, missing messages are
//! gaps, and the ends of publishers arrive.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::message;
use mycelium_transports::counters::Kind;
use mycelium_transports::local::{
    Delivery, GapReason, LatestByKey, Policy, Retain, TryRecv, WhenFull,
};
use tokio::time::timeout;

use crate::links::accounts::fates;
use crate::links::harness::{Number, Side, TestDir, Wire, end, next, sides, take, until, within};

#[tokio::test]
async fn unconfirmed_messages_are_not_doubled_when_the_connection_is_lost_after_the_end() {
    let (dir, there, here) = sides("lost-unconfirmed", 64);
    let exports = there.exports_for("here", Policy::Block);
    let mut publisher = there.publisher();
    (0..3).for_each(|value| publisher.try_emit(Number { value }).unwrap());
    drop(publisher);
    let mut reader = here.reader();
    let wire = Wire::default();
    // Lets the reader's hello and subscriptions pass, but not its confirmations.
    wire.limit_up(Some(2));
    there.serve(exports, dir.place());
    here.read_over(&wire, dir.place(), Policy::Block);
    take(&mut reader, 0..3).await;
    wire.until_held("the reader confirms").await;
    wire.cut().await;
    assert_eq!(within("the end", reader.recv()).await, None);
}

/// Tests one publisher, and nearly as many publishers as a link can have.
#[tokio::test]
async fn lost_ends_are_sent_again_without_a_gap() {
    for count in [1, 120] {
        let (dir, there, here) = sides("lost-ends", 64);
        let exports = Arc::new(there.exports_for("here", Policy::Block));
        let mut reader = here.reader();
        let wire = Wire::default();
        there.serve(exports.clone(), dir.place());
        here.read_over(&wire, dir.place(), Policy::Block);
        let publisher = |epoch| there.numbers.publisher::<Number>("publisher", 100 + epoch);
        let mut publishers: Vec<_> = (0..count).map(|epoch| publisher(epoch).unwrap()).collect();
        for publisher in &mut publishers {
            publisher.try_emit(Number { value: 0 }).unwrap();
            take(&mut reader, 0..1).await;
        }
        reader.done();
        until("all is confirmed", || exports.progress() == count).await;
        wire.limit_down(Some(0));
        drop(publishers);
        wire.until_held("the ends are on their way").await;
        wire.cut().await;
        assert_eq!(within("the end", reader.recv()).await, None, "nothing was missing");
    }
}

#[message(topic = "numbers", id = 2)]
#[derive(Debug, PartialEq)]
pub(crate) struct Big {
    pub(crate) values: [u64; 60],
}

/// Gaps are exact and messages are whole, whenever the connection is lost.
async fn big_ones_with_cuts(name: &str, policy: Policy) {
    let (dir, mut there, mut here) = sides(name, 16);
    for side in [&mut there, &mut here] {
        side.carry::<Big>(16);
        side.config.max_frame = 256;
        side.config.buffer = 1 << 13;
        // The reader reconnects at once, so each cut loses something.
        side.config.retry.first = Duration::from_millis(2);
    }
    let mut reader = here.numbers.subscribe::<Big>("reader", Policy::Block).unwrap();
    let wire = Wire::default();
    there.serve(there.exports_for("here", policy), dir.place());
    here.read_over(&wire, dir.place(), policy);
    let mut publisher = there.numbers.publisher::<Big>("publisher", 7).unwrap();
    let cutting = tokio::spawn(async move {
        for round in 0..40 {
            tokio::time::sleep(Duration::from_millis(12 + round % 7)).await;
            wire.limit_down((round % 3 != 0).then_some(round as usize % 4));
            tokio::time::sleep(Duration::from_millis(3)).await;
            wire.cut().await;
        }
    });
    // At least 2,000 messages, in small bursts, until the last cut.
    let writing = tokio::spawn(async move {
        let mut count = 0;
        while count < 2_000 || !cutting.is_finished() {
            publisher.emit(Big { values: [count; 60] }).await.unwrap();
            count += 1;
            if count % 8 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        cutting.await.unwrap();
        count
    });
    let (mut next, mut gaps) = (0, 0);
    while let Some(delivery) = within(&format!("number {next}"), reader.recv()).await {
        match delivery {
            Delivery::Msg(big) => {
                assert_eq!((&big.values, big.sequence()), (&[next; 60], next));
                next += 1;
            }
            Delivery::Gap(gap) => {
                assert!(gap.exact() && gap.count > 0, "{gap:?}");
                next += gap.count;
                gaps += gap.count;
            }
        }
    }
    assert_eq!(next, writing.await.unwrap());
    assert_eq!(gaps > 0, !policy.is_gating());
    assert_eq!(fates(&here), next);
    assert_eq!(here.sum(Kind::Publisher, "sent") - here.sum(Kind::Edge, "joined_at"), next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragmented_messages_survive_lost_connections() {
    big_ones_with_cuts("lost-big-gating", Policy::Block).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_stay_exact_when_connections_are_lost_within_messages() {
    big_ones_with_cuts("lost-big-observing", Policy::DropOldest).await;
}

/// A link that is behind loses what the publisher overwrites, but not what it retains: that comes
/// in its place within the gap.
#[tokio::test]
async fn what_is_retained_is_missing_in_no_gap() {
    let (there, here) = (Side::new("there", 1, 8), Side::new("here", 2, 64));
    let dir = TestDir::new("gap-retained");
    let key = LatestByKey::of::<Number>("value", NonZeroU32::new(4).unwrap()).unwrap();
    for side in [&there, &here] {
        side.numbers.retain(Retain::ByKey { key, when_full: WhenFull::Refuse }).unwrap();
    }
    let serving = there.serve(there.exports(None), dir.place());
    let reading = here.read("there", dir.place(), Policy::DropOldest);
    let mut reader = here.numbers.subscribe::<Number>("reader", Policy::DropOldest).unwrap();
    let mut publisher = there.publisher();
    publisher.try_emit(Number { value: 0 }).unwrap();
    assert_eq!(next(&mut reader).await.value, 0);
    // The link does not run meanwhile.
    for sequence in 1..=100 {
        let value = [sequence, 3][usize::from(sequence > 2)];
        publisher.try_emit(Number { value }).unwrap();
    }
    let mut received = Vec::new();
    while received.last() != Some(&(100, 3)) {
        match within("a message or a gap", reader.recv()).await {
            Some(Delivery::Msg(message)) => received.push((message.sequence(), message.value)),
            Some(Delivery::Gap(gap)) => {
                assert_eq!((gap.count, gap.reason), (90, GapReason::Overwritten));
            }
            None => panic!("the publisher has not ended"),
        }
    }
    let kept = (93..=100).map(|sequence| (sequence, 3));
    assert!(received.iter().copied().eq([(1, 1), (2, 2)].into_iter().chain(kept)), "{received:?}");
    // It has finished a message when it waits for the next.
    assert!(timeout(Duration::ZERO, reader.recv()).await.is_err());
    until("all is confirmed", || there.sum(Kind::Edge, "taken") == 10).await;
    assert_eq!(there.sum(Kind::Edge, "overwritten"), 90);
    drop((publisher, reader));
    end(&[&there, &here], [serving, reading]).await;
}

/// A process that observes dies. Its next one gets what the publisher retains, also of what the
/// first may have had.
#[tokio::test]
async fn the_next_process_gets_what_is_retained_before_its_gap() {
    let (there, dir) = (Side::new("there", 1, 8), TestDir::new("lost-retained"));
    let last = Retain::Last(NonZeroU32::new(2).unwrap());
    let serving = there.serve(there.exports_for("here", Policy::DropOldest), dir.place());
    let [dead, here] = [2, 3].map(|boot| Side::new("here", boot, 8));
    [&there, &dead, &here].iter().for_each(|side| side.numbers.retain(last).unwrap());
    let mut publisher = there.publisher();
    let reading = dead.read("there", dir.place(), Policy::DropOldest);
    let mut reader = dead.numbers.subscribe::<Number>("reader", Policy::DropOldest).unwrap();
    publisher.try_emit(Number { value: 0 }).unwrap();
    take(&mut reader, 0..1).await;
    (1..4).for_each(|value| publisher.try_emit(Number { value }).unwrap());
    // It has the last one in flight.
    take(&mut reader, 1..4).await;
    reading.abort();
    _ = reading.await;

    let reading = here.read("there", dir.place(), Policy::DropOldest);
    let mut reader = here.numbers.subscribe::<Number>("reader", Policy::DropOldest).unwrap();
    for value in [2, 3] {
        let message = next(&mut reader).await;
        assert_eq!((message.value, message.retained()), (value, true));
    }
    publisher.try_emit(Number { value: 4 }).unwrap();
    let Some(Delivery::Gap(gap)) = within("a gap", reader.recv()).await else { panic!("no gap") };
    assert_eq!(gap.reason, GapReason::Disconnected);
    assert_eq!(next(&mut reader).await.value, 4);
    drop((publisher, reader));
    end(&[&there, &here], [serving, reading]).await;
}

/// Two fragments.
#[message(topic = "numbers", id = 1)]
struct Page {
    key: u64,
    number: u64,
    rest: [u64; 4000],
}

/// A message of which a part was sent is overwritten, and the publisher retains it.
#[tokio::test]
async fn a_gap_that_begins_within_a_message_goes_on_with_it_if_it_is_retained() {
    let dir = TestDir::new("gap-within");
    let [mut there, mut here] = ["there", "here"].map(|name| Side::new(name, 1, 32));
    let key = LatestByKey::of::<Page>("key", NonZeroU32::new(256).unwrap()).unwrap();
    for side in [&mut there, &mut here] {
        side.carry::<Page>(32);
        side.numbers.retain(Retain::ByKey { key, when_full: WhenFull::Refuse }).unwrap();
    }
    let serving = there.serve(there.exports(None), dir.place());
    let reading = here.read("there", dir.place(), Policy::DropOldest);
    let mut reader = here.numbers.subscribe::<Page>("reader", Policy::DropOldest).unwrap();
    let mut publisher = there.numbers.publisher::<Page>("publisher", 7).unwrap();
    let mut emit = |key| {
        let number = publisher.sent();
        publisher.try_emit(Page { key, number, rest: [number; 4000] }).unwrap();
    };
    emit(0);
    let (mut next, mut keys) = (0, 0);
    for key in 1..=200 {
        // The link sends for a while.
        for _ in 0..fastrand::u32(0..4) {
            tokio::task::yield_now().await;
        }
        emit(key);
        (0..fastrand::u32(0..48)).for_each(|_| emit(0));
        while let TryRecv::Delivery(delivery) = reader.try_recv() {
            take_page(delivery, &mut next, &mut keys);
        }
    }
    emit(0);
    while next < publisher.sent() {
        let delivery = within("a page or a gap", reader.recv()).await.unwrap();
        take_page(delivery, &mut next, &mut keys);
    }
    assert!(keys > 0);
    drop((publisher, reader));
    end(&[&there, &here], [serving, reading]).await;
}

fn take_page(delivery: Delivery<Page>, next: &mut u64, keys: &mut u64) {
    match delivery {
        // The first ones may be retained.
        Delivery::Msg(page) => {
            assert!(page.number == *next || page.retained(), "{} not {next}", page.number);
            assert!(page.rest.iter().all(|it| *it == page.number), "page {next} is whole");
            *next = page.number + 1;
            *keys += u64::from(page.key > 0);
        }
        Delivery::Gap(gap) => *next += gap.count,
    }
}
