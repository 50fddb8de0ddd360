//! The local transport: the laws of every transport, and its own properties.
#![cfg(feature = "metrics")]

mod batch;
mod child_tasks;
mod crowd;
mod fast_handlers;
mod joins;
mod latency;
mod policies;
mod pressure;
mod stall;
mod traces;
mod waiting;

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use mycelium_core::Message;
use mycelium_executor::PausedTime;
use mycelium_transports::conformance::{Local, NoTasks, Probe};
use mycelium_transports::counters::{Kind, Region};
use mycelium_transports::local::{
    Delivery, LatestByKey, OnStall, Policy, Publisher, Refusal, RemotePublisher, Schema,
    Subscription, TaskBudget, Topic, TopicError, TryRecv, poll_with,
};
use proptest::prelude::*;

mycelium_transports::conformance!(Local);

/// A topic within this process, and what it counts.
pub(crate) struct LocalTopic(pub(crate) Arc<Topic>, pub(crate) Arc<Region>);

/// Unique for each publisher.
fn epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl LocalTopic {
    pub(crate) fn open(capacity: usize) -> LocalTopic {
        let (schema, counters) = (Schema::of::<Probe>(), Region::new(64));
        let topic = Topic::new("conformance", schema, capacity, counters.clone()).unwrap();
        LocalTopic(topic, counters)
    }

    fn publisher(&self, name: &str) -> Publisher<Probe> {
        self.0.publisher(name, epoch()).unwrap()
    }

    pub(crate) fn subscribe(&self, name: &str, policy: Policy) -> Subscription<Probe> {
        self.0.subscribe(name, policy).unwrap()
    }

    /// Such a topic with a reader and a publisher.
    fn joined(
        capacity: usize,
        policy: Policy,
    ) -> (LocalTopic, Subscription<Probe>, Publisher<Probe>) {
        let local = LocalTopic::open(capacity);
        let (reader, publisher) = (local.subscribe("reader", policy), local.publisher("publisher"));
        (local, reader, publisher)
    }

    /// A publisher in another process, whose next message is `first`.
    pub(crate) fn remote(&self, epoch: u64, first: u64) -> RemotePublisher {
        self.0.remote_publisher("publisher", epoch, first).unwrap()
    }

    /// What the only publisher has counted.
    fn counted<const N: usize>(&self, values: [&str; N]) -> [u64; N] {
        let lines = self.1.read();
        let line = lines.iter().find(|line| line.kind == Kind::Publisher).unwrap();
        values.map(|value| line.value(value))
    }
}

/// The next message, if there is one.
#[track_caller]
fn take(reader: &mut Subscription<Probe>) -> Option<u64> {
    match reader.try_recv() {
        TryRecv::Delivery(Delivery::Msg(probe)) => Some(probe.number),
        TryRecv::Delivery(Delivery::Gap(gap)) => panic!("{gap}"),
        TryRecv::Empty | TryRecv::Closed => None,
    }
}

/// Emits these messages, for which there is room.
fn send(publisher: &mut Publisher<Probe>, numbers: Range<u64>) {
    numbers.for_each(|number| publisher.try_emit(probe(number)).unwrap());
}

/// All policies. A reader that is as fast as its publisher gets each message.
fn each_policy() -> [Policy; 7] {
    let key = LatestByKey::of::<Probe>("number", 8.try_into().unwrap()).unwrap();
    [
        Policy::Block,
        Policy::Reject,
        Policy::DropNewest,
        Policy::DropOldest,
        Policy::Latest,
        Policy::LatestByKey(key),
        Policy::Sample(1.try_into().unwrap()),
    ]
}

/// As many cases natively, and under Miri, which isolates programs from files.
fn cases(native: u32, miri: u32) -> ProptestConfig {
    let cases = if cfg!(miri) { miri } else { native };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A batch of at most `limit` deliveries, if there are any.
fn receive_many<M: Message>(reader: &mut Subscription<M>, limit: usize) -> Vec<Delivery<M>> {
    let mut batch = Vec::new();
    let poll = reader.poll_recv_many(&Context::from_waker(Waker::noop()), &mut batch, limit);
    assert!(poll.is_pending() && batch.is_empty() || poll == Poll::Ready(batch.len()));
    batch
}

#[track_caller]
fn next(reader: &mut Subscription<Probe>) -> u64 {
    take(reader).expect("a message")
}

fn probe(number: u64) -> Probe {
    Probe { publisher: 0, number }
}

#[test]
fn the_blocking_reader_is_named_and_its_room_wakes_the_publisher_once() {
    let local = LocalTopic::open(2);
    let mut slow = local.subscribe("slow", Policy::Block);
    let mut publisher = local.publisher("publisher");
    send(&mut publisher, 0..2);
    let refused = publisher.try_emit(probe(2)).unwrap_err();
    assert_eq!(refused.refusal, Refusal::Full { by: "slow".into() });
    let (wakes, waker) = Wakes::waker();
    let mut emit = pin!(publisher.emit(probe(2)));
    assert!(emit.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(take(&mut slow).is_some());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "a message in flight keeps its slot");
    assert!(take(&mut slow).is_some());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "room wakes the publisher");
    assert!(emit.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn an_interruption_is_no_failure() {
    let (_, mut reader, mut publisher) = LocalTopic::joined(4, Policy::Block);
    publisher.try_emit(probe(7)).unwrap();
    reader.interrupt();
    for interruptions in 0..5 {
        let Some(Delivery::Msg(again)) = reader.try_recv().delivery() else { panic!("none") };
        assert_eq!((again.number, again.redelivered()), (7, interruptions > 0));
        reader.interrupt();
        reader.interrupt();
    }
    assert!(take(&mut reader).is_some());
    assert_eq!(reader.fail(), None, "it is the first failure");
    assert!(take(&mut reader).is_some());
    assert!(reader.fail().is_some());
    // Of a batch nobody knows which messages were handled.
    send(&mut publisher, 0..3);
    assert_eq!(receive_many(&mut reader, 3).len(), 3);
    reader.interrupt();
    for number in 0..3 {
        let Some(Delivery::Msg(again)) = reader.try_recv().delivery() else { panic!("none") };
        assert_eq!((again.number, again.redelivered()), (number, true));
    }
}

#[test]
fn a_message_before_its_second_delivery_is_no_dead_letter() {
    let local = LocalTopic::open(4);
    let mut reader = local.subscribe("reader", Policy::Block);
    local.publisher("publisher").try_emit(probe(7)).unwrap();
    assert!(take(&mut reader).is_some());
    assert_eq!(reader.fail(), None);
    // Two runs fail before they receive anything, and one confirms without a message.
    assert_eq!(reader.fail(), None);
    assert_eq!(reader.fail(), None);
    reader.done();
    let Some(Delivery::Msg(again)) = reader.try_recv().delivery() else { panic!("no message") };
    assert!(again.redelivered() && again.number == 7);
    assert!(reader.fail().is_some(), "the second failure makes a dead letter");
}

#[test]
fn messages_without_subscribers_are_counted() {
    let local = LocalTopic::open(4);
    let mut publisher = local.publisher("publisher");
    let mut reader = Some(local.subscribe("reader", Policy::Block));
    let counted = || local.counted(["sent", "no_subscribers"]);
    publisher.try_emit(probe(0)).unwrap();
    reader.take();
    publisher.try_emit(probe(1)).unwrap();
    assert_eq!((counted(), publisher.sent()), ([2, 1], 2));

    // In a task, wakes are deferred to the end of the poll, but this is counted at once.
    let budget = TaskBudget::new();
    let mut deferred = [publisher.attach(&budget)];
    poll_with(&budget, &mut deferred, || {
        (2..4).for_each(|number| publisher.try_emit(probe(number)).unwrap());
        assert_eq!(counted(), [4, 3]);
        reader = Some(local.subscribe("reader", Policy::Block));
        (4..6).for_each(|number| publisher.try_emit(probe(number)).unwrap());
        assert_eq!((publisher.sent(), counted()), (6, [6, 3]), "`sent` updates the counter");
        reader.take();
        publisher.try_emit(probe(6)).unwrap();
        assert_eq!(counted(), [7, 4]);
    });
}

/// The ring counts sent messages. The counter is not updated for each message.
#[test]
fn the_sent_counter_is_updated_at_the_end_of_the_poll() {
    let (local, _reader, mut publisher) = LocalTopic::joined(512, Policy::Block);
    let shown = || local.counted(["sent"])[0];
    let budget = TaskBudget::new();
    let mut deferred = [publisher.attach(&budget)];
    poll_with(&budget, &mut deferred, || {
        send(&mut publisher, 0..63);
        assert_eq!(shown(), 0, "the poll has not ended");
        publisher.try_emit(probe(63)).unwrap();
        assert_eq!(shown(), 64, "a long poll updates it after 64 messages");
        publisher.try_emit(probe(64)).unwrap();
    });
    assert_eq!(shown(), 65, "the poll has ended");
    publisher.try_emit(probe(65)).unwrap();
    assert_eq!(shown(), 66, "outside its task's poll");
}

/// A reader of a ring of 64 shows its position only after some messages. A parked publisher needs
/// the room of one.
#[test]
fn a_publisher_that_waits_gets_the_room_of_one_message() {
    let (_, mut reader, mut publisher) = LocalTopic::joined(64, Policy::Block);
    send(&mut publisher, 0..64);
    let (wakes, waker) = Wakes::waker();
    let mut emit = pin!(publisher.emit(probe(64)));
    assert!(emit.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let budget = TaskBudget::new();
    let mut deferred = [reader.attach(&budget)];
    poll_with(&budget, &mut deferred, || {
        assert!(take(&mut reader).is_some());
        reader.done();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "the poll has not ended");
    });
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "the poll has ended");
    assert!(emit.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn a_capacity_that_no_memory_holds_is_an_error() {
    for capacity in [0, 1, 3, 1 << 61, 1 << 63] {
        let topic = Topic::new("t", Schema::of::<Probe>(), capacity, Region::new(4));
        assert!(matches!(topic, Err(TopicError::Capacity { .. })), "{capacity}");
    }
}

/// Rounds of a race between two threads.
const ROUNDS: usize = if cfg!(miri) { 20 } else { 5_000 };

#[test]
fn a_topic_that_always_has_a_publisher_never_ends() {
    let local = LocalTopic::open(8);
    let mut reader = local.subscribe("reader", Policy::Block);
    let mut publisher = local.publisher("first");
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for _ in 0..ROUNDS {
                // The next one joins before this one ends.
                publisher = local.publisher("next");
            }
            publisher
        });
        while !changes.is_finished() {
            assert_eq!(reader.try_recv(), TryRecv::Empty);
        }
        assert_eq!(reader.try_recv(), TryRecv::Empty);
        drop(changes.join().unwrap());
    });
    assert_eq!(reader.try_recv(), TryRecv::Closed);
}

#[test]
fn a_finished_subscription_gets_what_was_sent_before() {
    for round in 0..ROUNDS as u64 / 10 {
        let (_, mut reader, mut publisher) = LocalTopic::joined(8, Policy::Block);
        let finisher = reader.finisher();
        thread::scope(|scope| {
            scope.spawn(|| {
                publisher.try_emit(probe(round)).unwrap();
                finisher.finish_when_empty();
            });
            let mut received = Vec::new();
            loop {
                match reader.try_recv() {
                    TryRecv::Delivery(delivery) => received.extend(delivery.message()),
                    TryRecv::Empty => thread::yield_now(),
                    TryRecv::Closed => break,
                }
            }
            assert_eq!(received, [probe(round)]);
        });
    }
}

/// Readers join a ring that is nearly full. The publisher must not stay parked.
#[test]
fn a_reader_that_joins_wakes_a_parked_publisher() {
    let local = LocalTopic::open(2);
    let mut publisher = local.publisher("publisher");
    let readers = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if readers.load(Ordering::Relaxed) == ROUNDS / 10 {
                    break;
                }
                pollster::block_on(publisher.emit(probe(number))).unwrap();
            }
        });
        for _ in 0..ROUNDS / 10 {
            let mut reader = local.subscribe("reader", Policy::Block);
            // A lost wake makes this loop endless.
            while !matches!(reader.try_recv(), TryRecv::Delivery(_)) {
                thread::yield_now();
            }
            readers.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// Counts wakes.
#[derive(Default)]
pub(crate) struct Wakes(pub(crate) AtomicUsize);

impl Wakes {
    pub(crate) fn waker() -> (Arc<Wakes>, Waker) {
        let wakes = Arc::new(Wakes::default());
        (wakes.clone(), wakes.into())
    }

    /// The number of wakes since the last call.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_handle_of_a_task_wakes_the_other_side_at_the_end_of_the_poll() {
    let (_, mut reader, mut publisher) = LocalTopic::joined(512, Policy::Block);
    let budget = TaskBudget::new();
    let mut deferred = [publisher.attach(&budget)];
    let (wakes, waker) = Wakes::waker();
    let sleep = |reader: &mut Subscription<Probe>| {
        while reader.try_recv().delivery().is_some() {}
        assert!(reader.poll_recv(&Context::from_waker(&waker)).is_pending());
        wakes.0.swap(0, Ordering::SeqCst)
    };
    sleep(&mut reader);
    poll_with(&budget, &mut deferred, || {
        publisher.try_emit(probe(0)).unwrap();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "the poll has not ended");
    });
    assert_eq!(sleep(&mut reader), 1, "the poll has ended");
    poll_with(&budget, &mut deferred, || {
        send(&mut publisher, 0..64);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "a long poll wakes after 64 messages");
    });
    sleep(&mut reader);
    publisher.try_emit(probe(0)).unwrap();
    assert_eq!(sleep(&mut reader), 1, "outside its task's poll");
    poll_with(&TaskBudget::new(), &mut [], || publisher.try_emit(probe(0)).unwrap());
    assert_eq!(sleep(&mut reader), 1, "in another task's poll");
}

/// A rejected message counts as lost, so none is rejected while the ring has room that the reader
/// has not shown yet.
#[test]
fn nothing_is_rejected_before_the_ring_is_full() {
    let (_, mut reader, mut publisher) = LocalTopic::joined(128, Policy::Reject);
    send(&mut publisher, 0..128);
    assert!(publisher.try_emit(probe(128)).is_err());
    for number in 128..133 {
        assert!(take(&mut reader).is_some());
        reader.done();
        publisher.try_emit(probe(number)).unwrap();
        let refused = publisher.try_emit(probe(number)).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Rejected { by: "reader".into() });
    }
}

/// A doorbell keeps its waker, and the other side keeps the doorbell.
#[test]
fn dropped_handles_keep_no_task_in_memory() {
    let (local, mut reader, mut publisher) = LocalTopic::joined(2, Policy::Block);
    let (wakes, waker) = Wakes::waker();
    let mut context = Context::from_waker(&waker);
    let before = Arc::strong_count(&wakes);
    assert!(reader.poll_recv(&context).is_pending());
    send(&mut publisher, 0..2);
    assert!(pin!(publisher.emit(probe(2))).poll(&mut context).is_pending());
    assert_eq!(Arc::strong_count(&wakes), before + 2);
    drop(publisher);
    assert_eq!(Arc::strong_count(&wakes), before + 1, "the reader is still parked");
    let _publisher = local.publisher("another");
    drop(reader);
    assert_eq!(Arc::strong_count(&wakes), before);
}

#[test]
fn a_subscription_can_end_although_its_publishers_never_pause() {
    for policy in [Policy::Block, Policy::DropOldest] {
        let local = LocalTopic::open(16);
        let mut reader = local.subscribe("reader", policy);
        let mut publishers = [local.publisher("first"), local.publisher("second")];
        let mut emit = |number| {
            publishers.iter_mut().for_each(|publisher| publisher.try_emit(probe(number)).unwrap());
        };
        (0..4).for_each(&mut emit);
        assert!(take(&mut reader).is_some());
        reader.finisher().finish_after_sent();
        let mut received = 1;
        while let TryRecv::Delivery(delivery) = reader.try_recv() {
            assert!(delivery.message().is_some());
            received += 1;
            emit(received);
            // Later publishers do not delay the end, either.
            let _ = local.publisher("third").try_emit(probe(received));
        }
        assert_eq!(received, 8, "{policy:?}");
        assert_eq!(reader.try_recv(), TryRecv::Closed);
    }
}

#[test]
fn a_subscription_that_skips_ends_after_the_newest_message() {
    let (_, mut reader, mut publisher) = LocalTopic::joined(16, Policy::Latest);
    send(&mut publisher, 0..4);
    reader.finisher().finish_after_sent();
    let mut received = Vec::new();
    while let TryRecv::Delivery(delivery) = reader.try_recv() {
        received.extend(delivery.message());
        publisher.try_emit(probe(4)).unwrap();
    }
    assert_eq!(received.len(), 1);
    assert_eq!(reader.try_recv(), TryRecv::Closed);
}

#[test]
fn the_number_of_gating_readers_is_limited() {
    let local = LocalTopic::open(4);
    let _publisher = local.publisher("publisher");
    let mut readers: Vec<_> = (0..64).map(|_| local.subscribe("reader", Policy::Block)).collect();
    let refused = local.0.subscribe::<Probe>("one more", Policy::Block);
    assert!(matches!(refused, Err(TopicError::Readers { most: 64, .. })));
    assert!(local.0.publisher::<Probe>("another", epoch()).is_ok());
    let _observer = local.subscribe("observer", Policy::DropOldest);
    readers.pop();
    let _gating = local.subscribe("in its place", Policy::Block);
}

#[derive(Clone, Debug)]
enum Operation {
    Emit,
    Receive(usize),
    Fail(usize),
    Done(usize),
    /// Time passes: half of what it takes to evict a reader.
    Wait,
}

proptest! {
    #![proptest_config(cases(500, 4))]

    /// After every operation, for each subscription:
    /// sent = taken + overwritten + skipped + dead-lettered + depth.
    #[test]
    fn every_message_is_accounted_for(
        operations in prop::collection::vec(
            prop_oneof![
                4 => Just(Operation::Emit),
                4 => (0..4usize).prop_map(Operation::Receive),
                1 => (0..4usize).prop_map(Operation::Fail),
                1 => (0..4usize).prop_map(Operation::Done),
                1 => Just(Operation::Wait),
            ],
            1..if cfg!(miri) { 20 } else { 200 },
        ),
        is_evicting: bool,
    ) {
        let counters = Region::new(16);
        let time = PausedTime::new(NoTasks);
        let topic = Topic::new("conformance", Schema::of::<Probe>(), 4, counters.clone()).unwrap();
        topic.set_executor(Arc::new(time.clone()));
        if is_evicting {
            topic.set_on_stall(OnStall::EvictAfter(stall::LIMIT));
        }
        let policies = [Policy::Block, Policy::Reject, Policy::DropOldest, Policy::Latest];
        let mut readers = policies.map(|policy| {
            let name = format!("{policy:?}");
            topic.subscribe::<Probe>(&name, policy).unwrap()
        });
        let mut publisher = topic.publisher::<Probe>("publisher", 1).unwrap();
        for operation in operations {
            match operation {
                Operation::Emit => drop(publisher.try_emit(probe(publisher.sent()))),
                Operation::Receive(index) => drop(readers[index].try_recv()),
                Operation::Fail(index) => drop(readers[index].fail()),
                Operation::Done(index) => readers[index].done(),
                Operation::Wait => time.advance(stall::LIMIT / 2),
            }
            let readings = counters.read();
            let sent = readings.iter().find(|line| line.kind == Kind::Publisher).unwrap();
            prop_assert_eq!(sent.value("sent"), publisher.sent());
            for reader in &readers {
                let name = format!("{:?}", reader.policy());
                let line = readings.iter().find(|line| line.label("reader") == name).unwrap();
                let gone: u64 = ["taken", "overwritten", "skipped", "dropped", "sampled", "dead_lettered"]
                    .map(|value| line.value(value))
                    .iter()
                    .sum();
                prop_assert_eq!(publisher.sent(), gone + reader.depth() as u64, "{}", name);
            }
        }
    }
}
