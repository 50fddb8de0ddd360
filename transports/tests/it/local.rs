//! The local transport: the laws of every transport, and properties of its own.
#![cfg(feature = "metrics")]

mod batch;
mod crowd;
mod fast_handlers;
mod joins;
mod latency;
mod policies;
mod pressure;
mod reserve;
mod retained;
mod serde;
mod stall;
mod tasks;
mod traces;
mod variable;

use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use mycelium_core::Message;
use mycelium_executor::PausedTime;
use mycelium_transports::conformance::{Local, NoTasks, Probe, Spans};
use mycelium_transports::counters::{Kind, Region};
use mycelium_transports::local::{
    Delivery, Policy, Publisher, Recorded, Refusal, RingMemory, Schema, SubscribeOptions,
    Subscription, TaskBudget, Topic, TopicError, Tracer, TryRecv, poll_with,
};
use proptest::prelude::ProptestConfig;

use crate::deliveries::{probe, receive, take};
use crate::waiter::Waiter;

mycelium_transports::conformance!(Local);

/// A topic within this process, with its counters and a virtual clock, because Miri has no real
/// one.
pub(crate) struct LocalTopic<M = Probe> {
    pub(crate) topic: Arc<Topic>,
    pub(crate) counters: Arc<Region>,
    time: PausedTime<NoTasks>,
    message: PhantomData<M>,
}

/// Returns an epoch that no other publisher has.
fn epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl LocalTopic {
    /// Returns a topic of probes that has not been given its clock.
    pub(crate) fn open(capacity: usize) -> LocalTopic {
        LocalTopic::recording(capacity, Recorded::default())
    }
}

impl<M: Message> LocalTopic<M> {
    /// Returns a topic that records this and has not been given its clock.
    fn recording(capacity: usize, recorded: impl Into<Recorded>) -> LocalTopic<M> {
        let start = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (counters, time) = (Region::new(16), PausedTime::starting_at(NoTasks, start));
        let (schema, memory, lines) = (Schema::of::<M>(), RingMemory::Heap, counters.clone());
        let topic =
            Topic::with_recorded("conformance", schema, capacity, 64, memory, recorded, lines);
        LocalTopic { topic: topic.unwrap(), counters, time, message: PhantomData }
    }

    /// Returns a topic with rings of eight messages, which begins this share of traces, and
    /// measures this share of latencies. Also returns its spans and its tracer.
    fn traced(share: f64, latency_sample: Option<f64>) -> (LocalTopic<M>, Spans, Arc<Tracer>) {
        let spans = Spans::default();
        let tracer = Tracer::new(share, Arc::new(spans.clone()));
        let recorded = Recorded { tracer: Some(tracer.clone()), latency_sample };
        let local = LocalTopic::recording(8, recorded).clocked();
        tracer.set_executor(Arc::new(local.time.clone()));
        (local, spans, tracer)
    }

    fn clocked(self) -> LocalTopic<M> {
        self.topic.set_executor(Arc::new(self.time.clone()));
        self
    }

    /// Adds a reader and a publisher.
    fn join(self, policy: Policy) -> (Self, Subscription<M>, Publisher<M>) {
        let (reader, publisher) = (self.subscribe("reader", policy), self.publisher("publisher"));
        (self, reader, publisher)
    }

    fn publisher(&self, name: &str) -> Publisher<M> {
        self.topic.publisher(name, epoch()).unwrap()
    }

    pub(crate) fn subscribe(
        &self,
        name: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Subscription<M> {
        self.topic.subscribe(name, options).unwrap()
    }

    /// Returns values of the only publisher's counters.
    fn counted<const N: usize>(&self, values: [&str; N]) -> [u64; N] {
        let lines = self.counters.read();
        let line = lines.iter().find(|line| line.kind == Kind::Publisher).unwrap();
        values.map(|value| line.value(value))
    }
}

fn numbers(deliveries: Vec<Delivery<Probe>>) -> Vec<u64> {
    deliveries.into_iter().filter_map(Delivery::message).map(|probe| probe.number).collect()
}

/// Returns a configuration with this many cases under Miri, which has no access to files; otherwise
/// with the number in `PROPTEST_CASES`, or 256.
pub(crate) fn cases(in_miri: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if cfg!(miri) { ProptestConfig { cases: in_miri, ..config } } else { config }
}

/// Receives all messages, and registers for the next one.
fn waits_for(waiter: &Waiter, reader: &mut Subscription<Probe>) {
    while let Poll::Ready(delivery) = reader.poll_recv(&waiter.context()) {
        assert!(delivery.is_some(), "the topic is open");
    }
    assert_eq!(waiter.wakes(), 0, "the task need not yield");
}

#[test]
fn an_interruption_is_no_failure() {
    let (_local, mut reader, mut publisher) = LocalTopic::open(4).join(Policy::Block);
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
    // Which messages of a batch were handled is not known.
    (0..3).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    assert_eq!(receive(&mut reader, 3).len(), 3);
    reader.interrupt();
    for number in 0..3 {
        let Some(Delivery::Msg(again)) = reader.try_recv().delivery() else { panic!("none") };
        assert_eq!((again.number, again.redelivered()), (number, true));
    }
}

#[test]
fn l10_messages_without_subscribers_are_counted() {
    let local = LocalTopic::open(4);
    let mut publisher = local.publisher("publisher");
    let mut reader = Some(local.subscribe("reader", Policy::Block));
    let counted = || local.counted(["sent", "no_subscribers"]);
    publisher.try_emit(probe(0)).unwrap();
    reader.take();
    publisher.try_emit(probe(1)).unwrap();
    assert_eq!((counted(), publisher.sent()), ([2, 1], 2));

    // In a task, wake-ups are deferred to the end of the poll, but the receive is counted at once.
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

/// With a ring of 64 slots, a reader publishes its position only after several messages. A parked
/// publisher must get the room of a single one.
#[test]
fn a_publisher_that_waits_gets_the_room_of_one_message() {
    let (_local, mut reader, mut publisher) = LocalTopic::open(64).join(Policy::Block);
    (0..64).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    let waiter = Waiter::new();
    let mut emit = pin!(publisher.emit(probe(64)));
    assert!(emit.as_mut().poll(&mut waiter.context()).is_pending());
    let budget = TaskBudget::new();
    let mut deferred = [reader.attach(&budget)];
    poll_with(&budget, &mut deferred, || {
        assert!(take(&mut reader).is_some());
        reader.done();
        assert_eq!(waiter.wakes(), 0, "the poll has not ended");
    });
    assert_eq!(waiter.wakes(), 1, "the poll has ended");
    assert!(emit.as_mut().poll(&mut waiter.context()).is_ready());
}

/// The rounds of a race between two threads.
const ROUNDS: usize = if cfg!(miri) { 20 } else { 5_000 };

#[test]
fn a_topic_that_always_has_a_publisher_never_ends() {
    let (local, mut reader, mut publisher) = LocalTopic::open(8).join(Policy::Block);
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for _ in 0..ROUNDS {
                // The next publisher joins before this one ends.
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
        let (_local, mut reader, mut publisher) = LocalTopic::open(8).join(Policy::Block);
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
            while readers.load(Ordering::Relaxed) < ROUNDS / 10 {
                pollster::block_on(publisher.emit(probe(0))).unwrap();
            }
        });
        for _ in 0..ROUNDS / 10 {
            let mut reader = local.subscribe("reader", Policy::Block);
            // A lost wake-up would make this loop endless.
            while !matches!(reader.try_recv(), TryRecv::Delivery(_)) {
                thread::yield_now();
            }
            readers.fetch_add(1, Ordering::Relaxed);
        }
    });
}

#[test]
fn a_handle_of_a_task_wakes_the_other_side_and_counts_at_the_end_of_the_poll() {
    let (local, mut reader, mut publisher) = LocalTopic::open(512).join(Policy::Block);
    let budget = TaskBudget::new();
    let mut deferred = [publisher.attach(&budget)];
    let waiter = Waiter::new();
    // The ring counts sent messages; the counter is updated less often.
    let told = || (waiter.wakes(), local.counted(["sent"])[0]);
    waits_for(&waiter, &mut reader);
    poll_with(&budget, &mut deferred, || {
        (0..63).for_each(|number| publisher.try_emit(probe(number)).unwrap());
        assert_eq!(told(), (0, 0), "the poll has not ended");
        publisher.try_emit(probe(63)).unwrap();
        assert_eq!(told(), (1, 64), "a long poll tells after 64 messages");
        publisher.try_emit(probe(64)).unwrap();
    });
    assert_eq!(told(), (0, 65), "the poll has ended");
    waits_for(&waiter, &mut reader);
    publisher.try_emit(probe(65)).unwrap();
    assert_eq!(told(), (1, 66), "outside its task's poll");
    waits_for(&waiter, &mut reader);
    poll_with(&TaskBudget::new(), &mut [], || publisher.try_emit(probe(0)).unwrap());
    assert_eq!(waiter.wakes(), 1, "in another task's poll");
}

/// A rejected message counts as lost, so no message is rejected while the ring has room that the
/// reader has not published yet.
#[test]
fn nothing_is_rejected_before_the_ring_is_full() {
    let (_local, mut reader, mut publisher) = LocalTopic::open(128).join(Policy::Reject);
    (0..128).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    assert!(publisher.try_emit(probe(128)).is_err());
    for number in 128..133 {
        assert!(take(&mut reader).is_some());
        reader.done();
        publisher.try_emit(probe(number)).unwrap();
        let refused = publisher.try_emit(probe(number)).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Rejected { by: "reader".into() });
    }
}

/// A doorbell keeps its waker alive, and the other side keeps the doorbell alive.
#[test]
fn dropped_handles_keep_no_task_in_memory() {
    let (local, mut reader, mut publisher) = LocalTopic::open(2).join(Policy::Block);
    let waiter = Waiter::new();
    let mut context = waiter.context();
    let before = Arc::strong_count(&waiter.0);
    assert!(reader.poll_recv(&context).is_pending());
    (0..2).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    assert!(pin!(publisher.emit(probe(2))).poll(&mut context).is_pending());
    assert_eq!(Arc::strong_count(&waiter.0), before + 2);
    drop(publisher);
    assert_eq!(Arc::strong_count(&waiter.0), before + 1, "the reader is still parked");
    let _publisher = local.publisher("another");
    drop(reader);
    assert_eq!(Arc::strong_count(&waiter.0), before);
}

#[test]
fn a_subscription_can_end_although_its_publishers_never_pause() {
    for (policy, expected) in [(Policy::Block, 8), (Policy::DropOldest, 8), (Policy::Latest, 2)] {
        let local = LocalTopic::open(16);
        let mut reader = local.subscribe("reader", policy);
        let mut publishers = [local.publisher("first"), local.publisher("second")];
        let mut emit = |number| {
            publishers.iter_mut().for_each(|publisher| publisher.try_emit(probe(number)).unwrap());
        };
        (0..4).for_each(&mut emit);
        reader.finisher().finish_after_sent();
        let mut received = 0;
        while let TryRecv::Delivery(delivery) = reader.try_recv() {
            received += u64::from(delivery.message().is_some());
            emit(received);
            // Later publishers do not delay the end.
            let _ = local.publisher("third").try_emit(probe(received));
        }
        assert_eq!(received, expected, "{policy:?}");
        assert_eq!(reader.try_recv(), TryRecv::Closed);
    }
}

#[test]
fn the_number_of_gating_readers_is_limited() {
    let local = LocalTopic::open(4);
    let _publisher = local.publisher("publisher");
    let mut readers: Vec<_> = (0..64).map(|_| local.subscribe("reader", Policy::Block)).collect();
    let refused = local.topic.subscribe::<Probe>("one more", Policy::Block);
    assert!(matches!(refused, Err(TopicError::Readers { most: 64, .. })));
    assert!(local.topic.publisher::<Probe>("another", epoch()).is_ok());
    let _observer = local.subscribe("observer", Policy::DropOldest);
    readers.pop();
    let _gating = local.subscribe("in its place", Policy::Block);
}
