//! Messages and gaps that readers get from a publisher in another process.
#![cfg(feature = "metrics")]

use std::num::NonZeroU32;
use std::ops::Range;

use mycelium_core::link::RunShape;
use mycelium_core::{Fixed, encode, encoded_len, message};
use mycelium_transports::conformance::Probe;
use mycelium_transports::counters::{Kind, Region};
use mycelium_transports::local::{
    Delivery, FeedError, GapReason, LatestByKey, Policy, Schema, Start, SubscribeOptions,
    Subscription, TaskBudget, Topic, TryRecv, poll_with,
};
use mycelium_transports::seam::Feed;
use proptest::prelude::*;
use zerocopy::IntoBytes;

use crate::deliveries::{assert_each, assert_gap, probe, receive};
use crate::local::{LocalTopic, cases};
use crate::waiter::Waiter;

const CAPACITY: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Op {
    Push,
    /// Pushes a run of messages, word-aligned or not.
    PushRun(u64, bool),
    /// Reports that the publisher's next messages are missing.
    Skip(u64),
    /// Takes deliveries.
    Take(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => Just(Op::Push),
        2 => (1..6u64, any::<bool>()).prop_map(|(count, aligned)| Op::PushRun(count, aligned)),
        1 => (1..4u64).prop_map(Op::Skip),
        3 => (1..6usize).prop_map(Op::Take),
    ]
}

/// Returns a run of messages with other bytes around them.
fn run(first: u64, count: u64, aligned: bool) -> (RunShape, Vec<u64>) {
    let length = size_of::<Probe>();
    let words = length / 8 + 2;
    let skip = if aligned { 8 } else { 16 };
    let mut slots = vec![u64::MAX; words * count as usize];
    for (slot, number) in slots.chunks_mut(words).zip(first..) {
        let probe = probe(number);
        slot.as_mut_bytes()[skip..skip + length].copy_from_slice(probe.encoded());
    }
    (RunShape { stride: words as u32 * 8, skip: skip as u16, length: length as u16 }, slots)
}

/// Pushes a run of the next messages.
fn push_run(publisher: &mut Feed, count: u64) {
    let (shape, slots) = run(publisher.next(), count, true);
    publisher.push_run(shape, slots.as_slice().as_bytes()).unwrap();
}

fn push(publisher: &mut Feed, numbers: Range<u64>) {
    numbers.for_each(|number| publisher.push(probe(number).encoded(), false).unwrap());
}

/// Returns a topic, a subscription, and a publisher in another process whose first message is
/// `first`.
fn joined(policy: Policy, first: u64) -> (LocalTopic, Subscription<Probe>, Feed) {
    let local = LocalTopic::open(CAPACITY);
    let reader = local.subscribe("reader", policy);
    let publisher = local.topic.feed("publisher", 1, first).unwrap();
    (local, reader, publisher)
}

/// Returns a subscription, and two publishers in another process.
fn joined_by_two(policy: Policy) -> (Subscription<Probe>, [Feed; 2]) {
    let (local, reader, publisher) = joined(policy, 0);
    (reader, [publisher, local.topic.feed("publisher", 2, 0).unwrap()])
}

/// A sample is chosen by sequences, not by positions in the ring.
#[test]
fn a_sample_of_a_remote_publisher_is_that_of_its_sequences() {
    let local = LocalTopic::open(32);
    let mut sample = local.subscribe("sample", Policy::Sample(NonZeroU32::new(4).unwrap()));
    let mut publisher = local.topic.feed("publisher", 1, 0).unwrap();
    for (numbers, missed) in [(0..10, 5), (15..18, 2), (20..30, 0)] {
        push(&mut publisher, numbers);
        publisher.skip(missed, GapReason::Disconnected);
    }
    let (mut numbers, mut missed) = (Vec::new(), 0);
    while let Some(delivery) = sample.try_recv().delivery() {
        match delivery {
            Delivery::Msg(message) => numbers.push((message.sequence(), message.number)),
            Delivery::Gap(gap) => missed += gap.count,
        }
    }
    assert_eq!((numbers, missed), ([0, 4, 8, 16, 20, 24, 28].map(|it| (it, it)).to_vec(), 7));
}

#[test]
fn a_run_of_messages_of_another_size_is_refused() {
    let (_local, _reader, mut publisher) = joined(Policy::Block, 0);
    let (shape, slots) = run(0, 2, true);
    let expected = size_of::<Probe>();
    for length in [shape.length - 8, shape.length - 1, shape.length + 1] {
        let refused = publisher.push_run(RunShape { length, ..shape }, slots.as_slice().as_bytes());
        assert_eq!(refused, Err(FeedError::Size { expected, found: length.into() }));
    }
    assert_eq!(publisher.next(), 0);
}

#[test]
fn the_first_receive_wakes_a_publisher_that_joined_before() {
    let (_local, mut reader, publisher) = joined(Policy::Block, 0);
    // The stream has begun, but the publisher waits until the reader asks for messages.
    let waiter = Waiter::new();
    publisher.park(&waiter.1);
    assert!(!publisher.is_requested());
    assert!(matches!(reader.try_recv(), TryRecv::Empty));
    assert!(publisher.is_requested());
    assert_eq!(waiter.wakes(), 1);
}

/// Returns `sent`, `no_subscribers`, and what the readers have counted.
fn counted(counters: &Region) -> (u64, u64, u64) {
    let readings = counters.read();
    let publisher = readings.iter().find(|line| line.kind == Kind::Publisher).unwrap();
    assert_eq!(publisher.value("remote"), 1);
    let fates = ["taken", "overwritten", "skipped", "dropped", "sampled", "left"];
    let edges = readings.iter().filter(|line| line.kind == Kind::Edge);
    let accounted = edges.flat_map(|line| fates.map(|fate| line.value(fate))).sum();
    (publisher.value("sent"), publisher.value("no_subscribers"), accounted)
}

#[test]
fn messages_of_a_link_without_subscription_are_counted() {
    for policy in [Policy::Block, Policy::DropOldest, Policy::DropNewest, Policy::Latest] {
        let (local, mut reader, mut publisher) = joined(policy, 100);
        push_run(&mut publisher, 3);
        publisher.flush();
        assert!(matches!(reader.try_recv(), TryRecv::Delivery(_)));
        // The reader leaves before the wake, with a gap that it has not received.
        publisher.skip(4, GapReason::Disconnected);
        push_run(&mut publisher, 1);
        drop(reader);
        publisher.flush();
        assert_eq!(counted(&local.counters), (108, 0, 8), "{policy:?}");
        push_run(&mut publisher, 2);
        publisher.skip(5, GapReason::Overwritten);
        publisher.flush();
        assert_eq!(counted(&local.counters), (115, 7, 8), "{policy:?}");
        // Another reader joins after messages that are not counted yet.
        push_run(&mut publisher, 1);
        let mut reader = local.subscribe("reader", Policy::Block);
        push_run(&mut publisher, 1);
        publisher.flush();
        assert_eq!(counted(&local.counters), (117, 8, 8), "{policy:?}");
        assert!(matches!(reader.try_recv(), TryRecv::Delivery(_)));
        drop(reader);
        push_run(&mut publisher, 1);
        publisher.end();
        assert_eq!(counted(&local.counters), (118, 9, 9), "{policy:?}");
    }
}

/// A reader leaves while messages arrive, and each message is counted once.
#[test]
fn each_message_of_a_link_is_counted_once_while_a_reader_leaves() {
    for round in 0..200 {
        let local = LocalTopic::open(4096);
        let mut reader = local.subscribe("reader", Policy::Block);
        let mut publisher = local.topic.feed("publisher", 1, 0).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for batch in 0..100 {
                    if batch % 10 == 3 {
                        publisher.skip(2, GapReason::Disconnected);
                    }
                    push_run(&mut publisher, 5);
                    publisher.flush();
                }
            });
            (0..round).for_each(|_| _ = reader.try_recv());
            drop(reader);
        });
        publisher.flush();
        let (sent, no_subscribers, accounted) = counted(&local.counters);
        assert_eq!((sent, no_subscribers + accounted), (520, 520), "round {round}");
    }
}

#[test]
fn a_subscription_at_its_end_has_confirmed_everything() {
    let (_local, mut reader, mut publisher) = joined(Policy::Block, 0);
    push(&mut publisher, 0..3);
    publisher.end();
    assert_eq!(publisher.done(|| true), Some(0));
    assert_each(&mut reader, 0..3);
    assert!(matches!(reader.try_recv(), TryRecv::Closed));
    assert_eq!(publisher.done(|| true), Some(3));
    assert!(!publisher.is_in_flight());
    drop(reader);
    assert_eq!(publisher.done(|| true), Some(3));
}

/// An observer that has not read to the end delays nothing if the gating subscription has.
#[test]
fn an_observer_beside_a_gating_reader_holds_nothing_up() {
    let (local, mut gating, mut publisher) = joined(Policy::Block, 0);
    let mut observer = local.subscribe("observer", Policy::DropOldest);
    push(&mut publisher, 0..3);
    assert!(matches!(observer.try_recv(), TryRecv::Delivery(Delivery::Msg(_))));
    publisher.end();
    for done in 0..3 {
        assert!(matches!(gating.try_recv(), TryRecv::Delivery(Delivery::Msg(_))));
        assert_eq!(publisher.done(|| false), Some(done), "it is being handled");
    }
    let waiter = Waiter::new();
    publisher.park(&waiter.1);
    assert!(matches!(gating.try_recv(), TryRecv::Closed));
    assert!(waiter.wakes() > 0, "the link confirms the messages");
    assert_eq!(publisher.done(|| true), Some(3));
    assert_eq!(publisher.done(|| false), None, "no subscription needs any");
    drop(gating);
    assert_eq!(publisher.done(|| false), None);
    assert_each(&mut observer, 1..3);
    assert!(matches!(observer.try_recv(), TryRecv::Closed));
}

/// A gating subscription that leaves early has not finished the messages that it leaves behind.
#[test]
fn an_observer_counts_when_the_gating_reader_has_left_before_the_end() {
    let (local, gating, mut publisher) = joined(Policy::Block, 0);
    let _observer = local.subscribe("observer", Policy::DropOldest);
    push(&mut publisher, 0..3);
    publisher.end();
    drop(gating);
    assert_eq!(publisher.done(|| false), Some(0));
}

/// The limit of unread publishers counts what subscriptions still have to read, not what their
/// tasks still refer to.
#[test]
fn publishers_that_were_lost_and_read_make_room_for_others() {
    const MOST: u64 = 64;
    // 64 rings of this size take more than 16 MiB.
    let local = LocalTopic::open(1 << 14);
    let keep_open = local.topic.keep_open();
    let mut reader = local.subscribe("reader", Policy::DropOldest);
    let budget = TaskBudget::new();
    let mut wakes = [reader.attach(&budget)];
    // Returns for each delivery whether it is a message.
    let mut poll = || {
        poll_with(&budget, &mut wakes, || {
            let deliveries = std::iter::from_fn(|| reader.try_recv().delivery());
            deliveries.map(|it| it.message().is_some()).collect::<Vec<_>>()
        })
    };
    let mut publishers = Vec::new();
    for epoch in 0..MOST {
        let mut publisher = local.topic.feed("publisher", epoch, 0).unwrap();
        push(&mut publisher, epoch..epoch + 1);
        publishers.push(publisher);
    }
    assert_eq!(poll(), [true; MOST as usize]);
    publishers.into_iter().for_each(Feed::lose);
    assert!(local.topic.feed("too many", MOST, 0).is_err());
    assert_eq!(poll(), [false; MOST as usize]);
    assert!(local.topic.feed("another", MOST, 0).is_ok());
    drop(keep_open);
}

/// A message that one subscription left in flight is remembered when another subscription leaves.
#[test]
fn a_message_that_any_reader_left_in_flight_is_known() {
    let (local, mut busy, mut publisher) = joined(Policy::Block, 0);
    let idle = local.subscribe("idle", Policy::Block);
    publisher.push(probe(0).encoded(), false).unwrap();
    assert!(matches!(busy.try_recv(), TryRecv::Delivery(Delivery::Msg(_))));
    drop(busy);
    drop(idle);
    assert!(publisher.is_in_flight());
    assert_eq!(publisher.done(|| true), Some(0));
}

#[test]
fn a_drop_newest_reader_shows_a_remote_publisher_what_is_done() {
    let (_local, mut reader, mut publisher) = joined(Policy::DropNewest, 0);
    publisher.skip(5, GapReason::Disconnected);
    for number in [5, 6] {
        publisher.push(probe(number).encoded(), number == 5).unwrap();
    }
    assert_eq!(assert_gap(&mut reader, 5), GapReason::Disconnected);
    for number in [5, 6] {
        let Some(Delivery::Msg(probe)) = reader.try_recv().delivery() else { panic!("none") };
        assert_eq!((probe.number, probe.redelivered()), (number, number == 5));
        assert_eq!(publisher.done(|| false), Some(number), "it is being handled");
    }
    let waiter = Waiter::new();
    publisher.park(&waiter.1);
    reader.done();
    assert_eq!((publisher.done(|| false), waiter.wakes()), (Some(7), 1));
    publisher.skip(2, GapReason::Disconnected);
    assert_eq!(publisher.done(|| false), Some(7), "nobody knows of the gap");
    assert!(matches!(reader.try_recv(), TryRecv::Delivery(Delivery::Gap(_))));
    assert_eq!(publisher.done(|| false), Some(7), "it is being handled");
    publisher.park(&waiter.1);
    reader.done();
    assert_eq!((publisher.done(|| false), waiter.wakes()), (Some(9), 1));

    // Messages in the reader's own ring, and messages that it had no room for, are not done.
    let sent = 9 + 5 * CAPACITY as u64;
    push(&mut publisher, 9..sent);
    assert_eq!((publisher.done(|| false), publisher.room() > 0), (Some(9), true));
    let mut next = 9;
    while let TryRecv::Delivery(delivery) = reader.try_recv() {
        assert_eq!(publisher.done(|| false), Some(next), "it is being handled");
        next += match delivery {
            Delivery::Msg(_) => 1,
            Delivery::Gap(gap) => gap.count,
        };
    }
    assert_eq!((publisher.done(|| false), next), (Some(sent), sent));

    // The messages that it has not taken are done when it leaves.
    publisher.push(probe(sent).encoded(), false).unwrap();
    waiter.wakes();
    publisher.park(&waiter.1);
    drop(reader);
    assert!(waiter.wakes() > 0, "the link confirms the messages");
    assert_eq!(publisher.done(|| false), None);
}

#[test]
fn a_reader_by_key_shows_a_remote_publisher_what_is_done() {
    let by_key = LatestByKey::of::<Probe>("publisher", NonZeroU32::MIN).unwrap();
    let (_local, mut reader, mut publisher) = joined(Policy::LatestByKey(by_key), 0);
    for done in 0..3 {
        publisher.push(probe(done).encoded(), false).unwrap();
        assert_eq!(publisher.done(|| false), Some(done));
        assert!(matches!(reader.try_recv(), TryRecv::Delivery(Delivery::Msg(_))));
        assert_eq!(publisher.done(|| false), Some(done), "it is being handled");
        reader.done();
        assert_eq!(publisher.done(|| false), Some(done + 1));
    }
    // Messages that wait in the reader's table were not delivered.
    for number in 3..5 {
        publisher.push(Probe { publisher: number, number }.encoded(), false).unwrap();
    }
    assert_gap(&mut reader, 1);
    assert_eq!(publisher.done(|| false), Some(3));
    assert!(matches!(reader.try_recv(), TryRecv::Delivery(Delivery::Msg(_))));
    assert_eq!(publisher.done(|| false), Some(4));
}

/// A process that dies before the next receive has handled nothing of the delivery.
#[test]
fn what_a_reader_got_last_is_done_at_its_next_receive() {
    for policy in [Policy::Block, Policy::DropOldest, Policy::Latest] {
        let (mut reader, mut publishers) = joined_by_two(policy);
        for publisher in &mut publishers {
            publisher.skip(2, GapReason::Overwritten);
            publisher.push(probe(2).encoded(), false).unwrap();
        }
        let done = || publishers.each_ref().map(|publisher| publisher.done(|| false).unwrap());
        assert!(matches!(reader.try_recv(), TryRecv::Delivery(Delivery::Gap(_))));
        assert_eq!(done(), [0, 0], "{policy:?}: a gap is being handled");
        assert!(matches!(reader.try_recv(), TryRecv::Delivery(Delivery::Msg(_))));
        assert_eq!(done(), [2, 0], "{policy:?}: a message is being handled");
        reader.done();
        assert_eq!(done(), [3, 0], "{policy:?}");
    }
}

/// This holds for observers as well.
#[test]
fn an_observers_batch_is_done_at_its_next_receive() {
    let (mut reader, mut publishers) = joined_by_two(Policy::DropOldest);
    for publisher in &mut publishers {
        publisher.skip(2, GapReason::Overwritten);
        publisher.push(probe(2).encoded(), false).unwrap();
        publisher.end();
    }
    assert_eq!(receive(&mut reader, 8).len(), 2);
    let done = || publishers.each_ref().map(|publisher| publisher.done(|| false));
    assert_eq!(done(), [Some(0), Some(0)]);
    // The end of a publisher ends a batch, so that the whole batch is handled first.
    assert_eq!(receive(&mut reader, 8).len(), 2);
    assert_eq!(done(), [None, Some(0)]);
    assert_eq!(receive(&mut reader, 8).len(), 0);
    assert_eq!(done(), [None, None]);
}

#[test]
fn messages_of_a_batch_are_in_flight_at_each_of_its_publishers() {
    for fails in [false, true] {
        let (mut reader, mut publishers) = joined_by_two(Policy::Block);
        for publisher in &mut publishers {
            publisher.push(probe(0).encoded(), false).unwrap();
        }
        assert_eq!(receive(&mut reader, 8).len(), 2);
        if fails {
            assert_eq!(reader.fail(), None);
        }
        drop(reader);
        assert_eq!(publishers.map(|publisher| publisher.is_in_flight()), [true, true], "{fails}");
    }
}

proptest! {
    // Failures are kept in a file, to which Miri has no access.
    #![proptest_config(if cfg!(miri) { cases(8) } else { ProptestConfig::default() })]

    /// The number of each message is its sequence, and each missing message is reported in its
    /// place.
    #[test]
    fn each_message_arrives_or_is_in_a_gap(
        ops in prop::collection::vec(op(), 0..200),
        policy in prop_oneof![Just(Policy::Block), Just(Policy::DropOldest), Just(Policy::Latest)],
        first in 0..3u64,
    ) {
        let (_local, mut reader, mut publisher) = joined(policy, first);
        let (mut sent, mut next) = (first, first);
        for op in ops.into_iter().chain([Op::Take(usize::MAX)]) {
            match op {
                Op::Push => {
                    let probe = probe(sent);
                    sent += u64::from(publisher.push(probe.encoded(), false).is_ok());
                }
                Op::PushRun(count, aligned) => {
                    let (shape, slots) = run(sent, count, aligned);
                    let bytes = slots.as_slice().as_bytes();
                    let before = publisher.next();
                    let pushed = publisher.push_run(shape, bytes);
                    sent += publisher.next() - before;
                    prop_assert_eq!(pushed.is_ok(), publisher.next() - before == count);
                }
                Op::Skip(count) => {
                    publisher.skip(count, GapReason::Overwritten);
                    sent += count;
                }
                Op::Take(count) => {
                    for _ in 0..count {
                        match reader.try_recv() {
                            TryRecv::Delivery(Delivery::Msg(probe)) => {
                                prop_assert_eq!((probe.number, probe.sequence()), (next, next));
                                next += 1;
                            }
                            TryRecv::Delivery(Delivery::Gap(gap)) => {
                                prop_assert!(gap.exact() && gap.count > 0);
                                next += gap.count;
                            }
                            TryRecv::Empty => break,
                            TryRecv::Closed => prop_assert!(false, "the publisher has not ended"),
                        }
                    }
                }
            }
            prop_assert!(next <= sent);
        }
        prop_assert_eq!(next, sent);
    }
}

/// The link begins a publisher's stream again after it was lost. The reader gets the messages that
/// had arrived before, then the loss, then the new messages, even after several losses.
#[test]
fn a_stream_that_begins_again_is_read_after_its_lost_part() {
    for policy in [Policy::Block, Policy::DropOldest] {
        // The other publisher is read at the same time.
        let (local, mut reader, mut other) = joined(policy, 0);
        for first in [0, 10, 20] {
            let mut publisher = local.topic.feed("publisher", 2, first).unwrap();
            push(&mut publisher, first..first + 4);
            publisher.flush();
            publisher.lose();
        }
        other.push(Probe { publisher: 1, number: 0 }.encoded(), false).unwrap();
        other.flush();
        let (mut found, mut others) = (Vec::new(), 0);
        while let TryRecv::Delivery(delivery) = reader.try_recv() {
            match delivery {
                Delivery::Msg(message) if message.publisher == 1 => others += 1,
                Delivery::Msg(message) => found.push(Some(message.number)),
                Delivery::Gap(gap) => {
                    assert!(!gap.exact() && gap.reason == GapReason::Disconnected, "{gap}");
                    found.push(None);
                }
            }
        }
        let part = |first: u64| (first..first + 4).map(Some).chain([None]);
        let expected: Vec<_> = [0, 10, 20].into_iter().flat_map(part).collect();
        assert_eq!((found, others), (expected, 1), "{policy:?}");
    }
}

#[message(topic = "texts", max = "128 KiB")]
struct Text {
    text: String,
}

/// A reader that begins at messages in the ring takes back no slot and no byte for which the peer
/// has credit: it gets a gap if the peer uses them first.
#[test]
fn late_readers_leave_the_credit_of_the_peer() {
    for policy in [Policy::Block, Policy::Reject, Policy::DropNewest] {
        let local = LocalTopic::open(CAPACITY);
        let mut feed = local.topic.feed("publisher", 1, 0).unwrap();
        let kept = CAPACITY as u64;
        push(&mut feed, 0..2 * kept);
        let oldest = SubscribeOptions::new(policy, Start::Oldest);
        let mut reader = local.topic.subscribe::<Probe>("reader", oldest).unwrap();
        let mut next = || match reader.try_recv().delivery() {
            Some(Delivery::Msg(message)) => Ok(message.sequence()),
            Some(Delivery::Gap(gap)) => Err(Some((gap.count, gap.reason))),
            None => Err(None),
        };
        assert_eq!(next(), Ok(kept), "{policy:?}");
        push_run(&mut feed, kept);
        feed.flush();
        if policy != Policy::DropNewest {
            assert_eq!(feed.room(), 0, "{policy:?}: it is waited for from here on");
            assert_eq!(next(), Err(Some((kept - 1, GapReason::Overwritten))));
        } else {
            assert_eq!(next(), Ok(kept + 1), "its own ring has them");
            (kept + 2..2 * kept).for_each(|sequence| assert_eq!(next(), Ok(sequence)));
        }
        (2 * kept..3 * kept).for_each(|sequence| assert_eq!(next(), Ok(sequence), "{policy:?}"));
        assert_eq!(next(), Err(None));
        assert_eq!(feed.room(), CAPACITY, "{policy:?}");
    }

    let topic = Topic::new("texts", Schema::of::<Text>(), CAPACITY, Region::new(8)).unwrap();
    let mut feed = topic.feed("peer", 1, 0).unwrap();
    let text = Text { text: "text".repeat(30_000) };
    let mut bytes = vec![0; encoded_len(&text).unwrap()];
    encode(&text, &mut bytes).unwrap();
    (0..20).for_each(|_| feed.push(&bytes, false).unwrap());
    let credit = feed.credit().most;
    for policy in [Policy::Block, Policy::Reject, Policy::DropNewest] {
        let oldest = SubscribeOptions::new(policy, Start::Oldest);
        let _reader = topic.subscribe::<Text>("reader", oldest).unwrap();
        assert_eq!(feed.room(), credit, "{policy}");
    }
}
