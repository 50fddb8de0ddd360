//! How long messages take from emit to receive, in virtual time.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, UNIX_EPOCH};

use mycelium_core::Fixed;
use mycelium_core::{Message, message};
use mycelium_executor::{Executor, PausedTime};
use mycelium_transports::conformance::{NoTasks, Probe};
use mycelium_transports::counters::{EdgeValue, Kind, LONGEST_LATENCY, Latency, Line, Region};
use mycelium_transports::local::{
    Delivery, LatestByKey, Metadata, Policy, Recorded, TaskBudget, TaskTrace, poll_with,
};
use mycelium_transports::seam::TapItem;

use super::{LocalTopic, epoch, numbers, probe, receive, take};
use crate::deliveries::{assert_each, assert_gap, assert_next, handle_each};

const MS: u64 = 1_000_000;

/// Returns a topic with rings of eight messages, of which this share is measured.
fn measured(share: f64) -> LocalTopic {
    let recorded = Recorded { tracer: None, latency_sample: Some(share) };
    LocalTopic::recording(8, recorded).clocked()
}

impl<M: Message> LocalTopic<M> {
    fn pass(&self, milliseconds: u64) {
        self.time.advance(Duration::from_millis(milliseconds));
    }

    /// Returns the nanoseconds since 1970.
    fn now(&self) -> u64 {
        let since = self.time.wall_clock().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_nanos()).unwrap()
    }

    /// Returns the measurements of the only reader.
    #[track_caller]
    fn latency(&self) -> Latency {
        let mut all = Latency::of(&self.counters.read());
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Returns the number of measured messages, and their sum in milliseconds.
    #[track_caller]
    fn measured(&self) -> (u64, u64) {
        let Latency { nanoseconds, .. } = self.latency();
        assert_eq!(nanoseconds.sum() % MS, 0);
        (nanoseconds.count(), nanoseconds.sum() / MS)
    }
}

#[test]
fn each_policy_measures_its_messages_and_delivers_their_traces() {
    let key = LatestByKey::of::<Probe>("number", 8.try_into().unwrap()).unwrap();
    let selecting = [Policy::LatestByKey(key), Policy::Sample(1.try_into().unwrap())];
    let others = Policy::all().filter(|policy| !matches!(policy, Policy::Sample(_)));
    // With each, a reader that is as fast as its publisher gets every message.
    for policy in others.chain(selecting) {
        let (world, spans, _) = LocalTopic::traced(1.0, Some(1.0));
        let (world, mut reader, mut feed) = world.join(policy);
        // More messages than one lap.
        for number in 0..20 {
            feed.try_emit(probe(number)).unwrap();
            let sent = spans.take()[0].context;
            world.pass(number);
            assert_eq!(take(&mut reader), Some(number), "{policy:?}");
            assert_eq!(reader.trace(), Some(sent), "{policy:?}");
        }
        assert_eq!(world.measured(), (20, 190), "{policy:?}");
    }
}

#[test]
fn a_message_that_the_reader_does_not_get_is_not_measured() {
    // The reader measures the oldest eight messages, which were in its own ring.
    let (world, mut reader, mut feed) = measured(1.0).join(Policy::DropNewest);
    for number in 0..40 {
        feed.try_emit(probe(number)).unwrap();
        world.pass(1);
    }
    let taken = (0..40).filter_map(|_| reader.try_recv().delivery()?.message()).count() as u64;
    assert!((8..40).contains(&taken));
    assert_eq!(world.latency().nanoseconds.count(), taken);
    assert_eq!(world.latency().nanoseconds.most(), Some(40 * MS));

    // The reader measures the newest message of each key, not the replaced ones.
    let key = LatestByKey::of::<Probe>("publisher", 8.try_into().unwrap()).unwrap();
    let (world, mut reader, mut feed) = measured(1.0).join(Policy::LatestByKey(key));
    for (key, number) in [(1, 0), (2, 1), (1, 2)] {
        feed.try_emit(Probe { publisher: key, number }).unwrap();
        world.pass(10);
    }
    let mut received = numbers(std::iter::from_fn(|| reader.try_recv().delivery()).collect());
    received.sort_unstable();
    assert_eq!((received, world.measured()), (vec![1, 2], (2, 30)));

    // An observer that was too slow measures only what it receives.
    let (world, mut reader, mut feed) = measured(1.0).join(Policy::DropOldest);
    for number in 0..20 {
        feed.try_emit(probe(number)).unwrap();
        world.pass(1);
    }
    assert_gap(&mut reader, 12);
    assert_each(&mut reader, 12..20);
    assert_eq!(world.measured(), (8, (1..=8).sum()));
}

#[test]
fn each_message_of_a_batch_is_measured() {
    for policy in [Policy::Block, Policy::DropOldest] {
        let (world, mut reader, mut feed) = measured(1.0).join(policy);
        for round in 1..=5 {
            feed.try_emit_batch(&[0, 1, 2].map(probe)).unwrap();
            world.pass(1);
            feed.try_emit_batch(&[3, 4, 5].map(probe)).unwrap();
            world.pass(1);
            assert_eq!(numbers(receive(&mut reader, 64)), [0, 1, 2, 3, 4, 5]);
            reader.done();
            assert_eq!(world.measured(), (6 * round, (3 * 2 + 3) * round), "{policy:?}");
        }
    }
    // With a share, each message is chosen independently.
    let (world, mut reader, mut feed) = measured(0.5).join(Policy::Block);
    let mut shares = Vec::new();
    for _ in 0..200 {
        let before = world.latency().nanoseconds.count();
        feed.try_emit_batch(&[0, 1, 2, 3, 4, 5, 6, 7].map(probe)).unwrap();
        receive(&mut reader, 64);
        shares.push(world.latency().nanoseconds.count() - before);
        reader.done();
    }
    assert!((650..950).contains(&shares.iter().sum::<u64>()));
    assert!(shares.iter().filter(|count| (1..=7).contains(*count)).count() > 180, "{shares:?}");
}

#[test]
fn a_message_is_measured_at_its_first_delivery_alone() {
    let (world, mut reader, mut feed) = measured(1.0).join(Policy::Block);
    feed.try_emit(probe(1)).unwrap();
    world.pass(3);
    for attempt in 0..2 {
        assert_next(&mut reader, 1);
        world.pass(50);
        assert_eq!(reader.fail().is_some(), attempt == 1);
    }
    assert_eq!(world.measured(), (1, 3));
    // A batch that failed is delivered again, one message at a time, and not measured again.
    feed.try_emit_batch(&[2, 3, 4].map(probe)).unwrap();
    receive(&mut reader, 64);
    assert!(reader.fail().is_none());
    world.pass(50);
    assert_each(&mut reader, 2..5);
    assert_eq!(world.measured(), (4, 3));
}

#[test]
fn the_wait_of_an_emit_for_room_is_not_measured() {
    let (world, mut reader, mut feed) = measured(1.0).join(Policy::Block);
    (0..8).for_each(|number| feed.try_emit(probe(number)).unwrap());
    let task = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(feed.poll_emit(&task, &probe(8)).is_pending());
        world.pass(10);
    }
    handle_each(&mut reader, 0..1);
    assert!(feed.poll_emit(&task, &probe(8)).is_ready());
    world.pass(1);
    assert_each(&mut reader, 1..9);
    assert_eq!(world.measured(), (9, 30 + 7 * 31 + 1));
}

#[test]
fn times_that_lie_are_harmless() {
    let world = measured(0.0);
    let mut reader = world.subscribe("reader", Policy::Block);
    let mut remote = world.topic.feed("Feed", epoch(), 0).unwrap();
    let now = world.now();
    let hour = LONGEST_LATENCY;
    let (year, modulus) = (365 * 24 * hour, 1_u64 << 56);
    let mut push = |sent_at: Option<u64>| {
        let metadata = Metadata { trace: None, sent_at };
        remote.push_with(probe(0).encoded(), false, metadata).unwrap();
        remote.flush();
        handle_each(&mut reader, 0..1);
        let Latency { nanoseconds, ahead, .. } = world.latency();
        (nanoseconds.count(), nanoseconds.sum(), ahead)
    };
    // After each message: the number of latencies, their sum, and how many were ahead of the clock.
    assert_eq!(push(None), (0, 0, 0));
    assert_eq!(push(Some(0)), (0, 0, 0), "no time");
    assert_eq!(push(Some(now - 7)), (1, 7, 0));
    assert_eq!(push(Some(now)), (2, 7, 0));
    assert_eq!(push(Some(now + 1)), (3, 7, 1), "in the future");
    assert_eq!(push(Some(now + year)), (4, 7, 2));
    assert_eq!(push(Some(now - hour - 1)), (5, 7 + hour, 2), "at most an hour");
    assert_eq!(push(Some(now - year)), (6, 7 + 2 * hour, 2));
    // A time that is more than a year away is taken as another one.
    assert_eq!(push(Some(now - modulus)), (7, 7 + 2 * hour, 2));
    for number in [1, u64::MAX, u64::MAX - modulus, modulus, modulus - 1, 1 << 55] {
        let (_, sum, ahead) = push(Some(number));
        assert!(sum <= 7 + 8 * hour && ahead <= 8);
    }
    assert_eq!(world.latency().nanoseconds.count(), 13);
    let all = world.latency().nanoseconds.buckets().map(|bucket| bucket.count).sum::<u64>();
    assert_eq!(all, 13, "each has a bucket");
}

#[test]
fn a_link_passes_on_when_a_message_was_sent() {
    let (there, here) = (measured(1.0), measured(0.0));
    let mut egress = there.topic.tap::<()>("link", Policy::Block).unwrap();
    let mut feed = there.publisher("Feed");
    let mut reader = here.subscribe("reader", Policy::Block);
    let mut remote = here.topic.feed("Feed", epoch(), 0).unwrap();
    let sent = there.now();
    feed.try_emit(probe(1)).unwrap();
    there.pass(2);
    here.pass(7);
    let stream = &mut egress.streams()[0];
    assert_eq!(stream.ready(64), 0, "it cannot be sent in a run");
    let TapItem::Message(bytes, metadata) = stream.next_item() else { panic!("no message") };
    assert_eq!(metadata, Metadata { trace: None, sent_at: Some(sent) });
    remote.push_with(bytes, false, metadata).unwrap();
    remote.flush();
    assert_next(&mut reader, 1);
    assert_eq!(here.measured(), (1, 7));
    // A previous process may have received this message, so it is not measured.
    remote.push_with(probe(2).encoded(), true, metadata).unwrap();
    remote.flush();
    assert_next(&mut reader, 2);
    assert_eq!(here.measured(), (1, 7), "it may have been measured there");
    assert_eq!(Latency::of(&there.counters.read()), [], "the link reads nothing itself");
    // If nothing of a topic is measured, messages travel in runs.
    let there = measured(0.0);
    let mut egress = there.topic.tap::<()>("link", Policy::Block).unwrap();
    let mut feed = there.publisher("Feed");
    (0..8).for_each(|number| feed.try_emit(probe(number)).unwrap());
    assert_eq!(egress.streams()[0].ready(64), 8);
}

#[test]
fn a_measured_topic_without_traces_has_no_part_in_those_of_its_task() {
    let (traced, _, tracer) = LocalTopic::traced(1.0, None);
    let task = TaskBudget::with_trace(256, TaskTrace::new(tracer, "Strategy".into()));
    let (_traced, mut swaps, mut feed) = traced.join(Policy::Block);
    let (_measured, mut quotes, mut other) = measured(1.0).join(Policy::Block);
    let _wakes = (swaps.attach(&task), quotes.attach(&task));
    feed.try_emit(probe(1)).unwrap();
    other.try_emit(probe(2)).unwrap();
    poll_with(&task, &mut [], || {
        assert_next(&mut swaps, 1);
        let trace = task.trace().unwrap().context();
        assert!(trace.is_some());
        assert_next(&mut quotes, 2);
        assert_eq!((quotes.trace(), task.trace().unwrap().context()), (None, trace));
        quotes.done();
        assert_eq!(task.trace().unwrap().context(), trace);
    });
}

/// A message that is shorter than a word.
#[message(topic = "short", id = 1)]
struct Short {
    number: u32,
}

#[test]
fn messages_of_any_size_are_measured_and_have_traces() {
    let (world, ..) = LocalTopic::<Short>::traced(1.0, Some(1.0));
    let (world, mut reader, mut feed) = world.join(Policy::Block);
    let mut deliveries = Vec::new();
    for number in 0..20 {
        feed.try_emit_batch(&[Short { number }, Short { number }, Short { number }]).unwrap();
        world.pass(1);
        deliveries.extend(receive(&mut reader, 64));
        assert!(reader.trace().is_some());
    }
    assert!(deliveries.iter().all(|it| matches!(it, Delivery::Msg(_))));
    assert_eq!(world.measured(), (60, 60));
}

#[test]
fn nothing_is_measured_before_there_is_a_clock() {
    let recorded = Recorded { tracer: None, latency_sample: Some(1.0) };
    let (world, mut reader, mut feed) = LocalTopic::recording(8, recorded).join(Policy::Block);
    feed.try_emit(probe(1)).unwrap();
    let time = PausedTime::starting_at(NoTasks, UNIX_EPOCH);
    world.topic.set_executor(Arc::new(time.clone()));
    feed.try_emit(probe(2)).unwrap();
    time.advance(Duration::from_millis(1));
    assert_each(&mut reader, 1..3);
    let Latency { nanoseconds, ahead, .. } = world.latency();
    // A message from the first moment of 1970 counts as a nanosecond older, because 0 means no
    // time.
    assert_eq!((nanoseconds.count(), nanoseconds.sum(), ahead), (1, MS + 1, 0));
}

#[test]
fn readers_with_one_name_and_long_names_are_added_up() {
    let (counters, name) = (Region::new(256), "r".repeat(200));
    let lines = ["swaps", &"t".repeat(62)].map(|topic| counters.latencies(topic, &name));
    let again = counters.latencies("swaps", &name);
    lines.iter().chain([&again]).for_each(|lines| lines.record(Some(u64::MAX)));
    let _edge: Line<EdgeValue> = counters.line("topic=swaps publisher=Feed reader=Reader");
    let readings = counters.read();
    assert!(readings.iter().any(|line| line.kind == Kind::Latency));
    let counts =
        Latency::of(&readings).into_iter().map(|Latency { topic, nanoseconds, .. }| {
            let count = nanoseconds.buckets().map(|bucket| bucket.count).sum::<u64>();
            assert_eq!((count, nanoseconds.most()), (nanoseconds.count(), Some(LONGEST_LATENCY)));
            (topic.len(), count)
        });
    assert_eq!(counts.collect::<Vec<_>>(), [(5, 2), (62, 1)]);
}
