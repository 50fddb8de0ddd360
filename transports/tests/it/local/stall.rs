//! Readers that hold their publisher up for too long, in virtual time.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_executor::PausedTime;
use mycelium_transports::conformance::{NoTasks, Probe};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    Delivery, Eviction, GapReason, OnStall, Policy, Publisher, Refusal, Schema, Start,
    SubscribeOptions, Subscription, Topic, TryRecv,
};

use super::{epoch, probe, receive_many, send};

/// The time after which readers are evicted.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// A topic whose readers are evicted.
struct Evicting {
    topic: Arc<Topic>,
    counters: Arc<Region>,
    time: PausedTime<NoTasks>,
}

impl Evicting {
    /// With rings of four messages.
    fn new() -> Evicting {
        Evicting::of(4)
    }

    fn of(capacity: usize) -> Evicting {
        // A time of its own: Miri has no clock.
        let (counters, time) =
            (Region::new(16), PausedTime::starting_at(NoTasks, std::time::UNIX_EPOCH));
        let schema = Schema::of::<Probe>();
        let topic = Topic::new("conformance", schema, capacity, counters.clone()).unwrap();
        topic.set_on_stall(OnStall::EvictAfter(LIMIT));
        topic.set_executor(Arc::new(time.clone()));
        Evicting { topic, counters, time }
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Subscription<Probe> {
        self.topic.subscribe(name, options).unwrap()
    }

    /// A publisher that has filled its ring, and its evictions.
    fn full(&self) -> (Publisher<Probe>, Arc<Mutex<Vec<Eviction>>>) {
        let mut publisher = self.topic.publisher("publisher", epoch()).unwrap();
        let evictions = Arc::new(Mutex::new(Vec::new()));
        let seen = evictions.clone();
        publisher.observe_evictions(move |eviction| seen.lock().unwrap().push(eviction));
        let capacity = publisher.capacity() as u64;
        send(&mut publisher, 0..capacity);
        (publisher, evictions)
    }

    fn value(&self, reader: &str, value: &str) -> u64 {
        let readings = self.counters.read();
        readings.iter().find(|line| line.label("reader") == reader).unwrap().value(value)
    }
}

fn emit(publisher: &mut Publisher<Probe>) -> bool {
    let message = probe(publisher.sent());
    match publisher.poll_emit(&Context::from_waker(Waker::noop()), &message) {
        Poll::Ready(sent) => sent.is_ok(),
        Poll::Pending => false,
    }
}

#[track_caller]
fn assert_evicted(reader: &mut Subscription<Probe>, missed: u64) {
    match reader.try_recv() {
        TryRecv::Delivery(Delivery::Gap(gap)) => {
            assert_eq!((gap.count, gap.exact, gap.reason), (missed, true, GapReason::Evicted));
        }
        other => panic!("expected a gap, found {other:?}"),
    }
}

#[track_caller]
fn assert_next(reader: &mut Subscription<Probe>, number: u64) {
    match reader.try_recv() {
        TryRecv::Delivery(Delivery::Msg(probe)) => assert_eq!(probe.number, number),
        other => panic!("expected message {number}, found {other:?}"),
    }
}

#[test]
fn a_waiting_emit_evicts_the_reader_and_waits_for_it_again_once_it_moves() {
    let evicting = Evicting::new();
    let mut stalled = evicting.subscribe("stalled", Policy::Block);
    let (mut publisher, evictions) = evicting.full();
    assert_next(&mut stalled, 0);
    assert!(!emit(&mut publisher), "it waits");
    assert_eq!(evicting.time.next_timer(), Some(LIMIT), "and is woken in time");
    evicting.time.advance(LIMIT - Duration::from_nanos(1));
    assert!(!emit(&mut publisher), "not yet");
    evicting.time.advance(Duration::from_nanos(1));
    assert!(emit(&mut publisher));
    let eviction = Eviction { reader: "stalled".into(), stalled: LIMIT };
    assert_eq!(*evictions.lock().unwrap(), [eviction]);
    assert_eq!(evicting.value("stalled", "evicted"), 1);
    assert_eq!((publisher.depth(), stalled.depth()), (0, 5));
    for _ in 5..20 {
        assert!(emit(&mut publisher), "nobody is waited for");
    }
    // The message that was in flight is taken, and then the reader has missed some.
    assert_evicted(&mut stalled, 15);
    assert_eq!(evicting.value("stalled", "taken"), 1);
    assert_eq!(evicting.value("stalled", "overwritten"), 15);
    // The publisher finds that it has moved at its next check, within a lap.
    let more = (0..9).take_while(|_| emit(&mut publisher)).count() as u64;
    assert!(more <= 4, "{more} messages later it is waited for");
    if more > 0 {
        assert_evicted(&mut stalled, more);
    }
    for number in 16 + more..40 {
        assert_next(&mut stalled, number);
        stalled.done();
        assert!(emit(&mut publisher));
        assert!(!emit(&mut publisher), "a normal reader again");
    }
    assert_eq!(evictions.lock().unwrap().len(), 1);
}

/// Each call that finds the ring full evicts who has stalled, with or without a wait.
#[test]
fn every_kind_of_emit_evicts() {
    let evicting = Evicting::new();
    for policy in [Policy::Block, Policy::Reject] {
        let stalled = evicting.subscribe("stalled", policy);
        let (mut publisher, evictions) = evicting.full();
        let is_refused = |refusal: Refusal| match policy {
            Policy::Reject => matches!(refusal, Refusal::Rejected { .. }),
            _ => matches!(refusal, Refusal::Full { .. }),
        };
        assert!(is_refused(publisher.try_emit(probe(4)).unwrap_err().refusal));
        evicting.time.advance(LIMIT);
        publisher.try_emit(probe(4)).unwrap();
        assert_eq!(evictions.lock().unwrap().len(), 1, "{policy:?}");

        let (mut publisher, evictions) = evicting.full();
        let batch = [4, 5, 6].map(probe);
        let error = publisher.try_emit_batch(&batch).unwrap_err();
        assert!(error.sent == 0 && is_refused(error.refusal));
        evicting.time.advance(LIMIT);
        publisher.try_emit_batch(&batch).unwrap();
        assert_eq!(evictions.lock().unwrap().len(), 1, "{policy:?}");

        let (mut publisher, evictions) = evicting.full();
        let (context, mut sent) = (Context::from_waker(Waker::noop()), 0);
        let polled = publisher.poll_emit_batch(&context, &batch, &mut sent);
        assert_eq!(polled.is_pending(), policy == Policy::Block);
        evicting.time.advance(LIMIT);
        assert!(publisher.poll_emit_batch(&context, &batch, &mut sent).is_ready());
        assert_eq!((sent, evictions.lock().unwrap().len()), (3, 1), "{policy:?}");
        drop(stalled);
    }
}

/// A service that emits only below the threshold would never find a full ring.
#[test]
fn a_wait_for_less_backpressure_evicts() {
    let evicting = Evicting::new();
    let stalled = evicting.subscribe("stalled", Policy::Block);
    let mut above = evicting.subscribe("above", Policy::Block);
    let (mut publisher, evictions) = evicting.full();
    (0..3).for_each(|number| assert_next(&mut above, number));
    let context = Context::from_waker(Waker::noop());
    assert!(publisher.poll_until_below(&context).is_pending());
    evicting.time.advance(LIMIT);
    assert!(publisher.poll_until_below(&context).is_ready());
    assert!(!publisher.backpressure_threshold_exceeded());
    let readers: Vec<_> = evictions.lock().unwrap().iter().map(|it| it.reader.clone()).collect();
    assert_eq!(readers, ["stalled".into()], "the other one needs less than the mark");
    drop(stalled);
}

/// A reader that moves is not evicted, although it holds the publisher up all the time.
#[test]
fn a_reader_that_moves_slowly_is_not_evicted() {
    let evicting = Evicting::of(16);
    let mut slow = evicting.subscribe("slow", Policy::Block);
    let (mut publisher, evictions) = evicting.full();
    let context = Context::from_waker(Waker::noop());
    for number in 0..6 {
        assert!(publisher.poll_until_below(&context).is_pending(), "{} are left", slow.depth());
        evicting.time.advance(LIMIT - Duration::from_secs(1));
        assert_next(&mut slow, number);
        slow.done();
    }
    assert!(publisher.poll_until_below(&context).is_pending(), "ten are left");
    evicting.time.advance(LIMIT - Duration::from_secs(1));
    assert!(
        publisher.poll_until_below(&context).is_pending() && evictions.lock().unwrap().is_empty()
    );
    evicting.time.advance(Duration::from_secs(1));
    assert!(publisher.poll_until_below(&context).is_ready());
    assert_eq!(evictions.lock().unwrap().len(), 1);
}

/// All that have stalled are evicted at the same time; not one that moves, however slowly.
#[test]
fn only_readers_that_do_not_move_are_evicted() {
    let evicting = Evicting::new();
    let mut stalled = [0, 1, 2].map(|_| evicting.subscribe("stalled", Policy::Block));
    let mut slow = evicting.subscribe("slow", Policy::Block);
    let (mut publisher, evictions) = evicting.full();
    assert!(!emit(&mut publisher));
    evicting.time.advance(LIMIT - Duration::from_secs(1));
    assert_next(&mut slow, 0);
    slow.done();
    assert!(!emit(&mut publisher), "the others have not moved");
    evicting.time.advance(Duration::from_secs(1));
    assert!(emit(&mut publisher), "three are evicted, and one has made room");
    assert_eq!(evictions.lock().unwrap().len(), 3);
    assert!(!emit(&mut publisher), "the fourth one is waited for");
    // One of them reads on, and the ring is full since just now.
    stalled[0].try_recv();
    stalled[0].done();
    assert!(!emit(&mut publisher));
    evicting.time.advance(LIMIT - Duration::from_secs(1));
    assert!(!emit(&mut publisher));
    assert_next(&mut slow, 1);
    slow.done();
    drop(stalled);
    assert!(emit(&mut publisher));
    assert_eq!(evictions.lock().unwrap().len(), 3);
}

#[test]
fn a_failed_message_of_an_evicted_reader_is_in_the_gap() {
    let evicting = Evicting::new();
    for batch in [false, true] {
        let mut reader = evicting.subscribe("reader", Policy::Block);
        let (mut publisher, _) = evicting.full();
        if batch {
            receive_many(&mut reader, 3);
        } else {
            assert_next(&mut reader, 0);
        }
        assert!(reader.fail().is_none(), "it is to be delivered once more");
        assert!(!emit(&mut publisher));
        evicting.time.advance(LIMIT);
        (4..8).for_each(|_| assert!(emit(&mut publisher)));
        assert_evicted(&mut reader, 4);
        assert_next(&mut reader, 4);
        assert!(reader.fail().is_none() && reader.try_recv().delivery().is_some());
        assert!(reader.fail().is_some(), "its second failure");
    }
}

/// A late reader may miss messages because the publisher did not know of it, or because of an
/// eviction.
#[test]
fn a_late_reader_is_told_whether_it_was_evicted() {
    let evicting = Evicting::new();
    let (mut publisher, _) = evicting.full();
    assert!(emit(&mut publisher), "there is no reader");
    let oldest = SubscribeOptions::new(Policy::Block, Start::OldestRetained);
    let mut late = evicting.subscribe("late", oldest);
    assert!(emit(&mut publisher), "its room is from an earlier check");
    let gap = late.try_recv().delivery();
    let Some(Delivery::Gap(gap)) = gap else { panic!("expected a gap, found {gap:?}") };
    assert_eq!((gap.count, gap.reason), (1, GapReason::Overwritten));
    assert_next(&mut late, 2);
    while emit(&mut publisher) {}
    evicting.time.advance(LIMIT);
    assert!(emit(&mut publisher));
    late.done();
    let gap = late.try_recv().delivery();
    assert!(matches!(gap, Some(Delivery::Gap(gap)) if gap.reason == GapReason::Evicted));
}

/// Without an executor there is no time: before its node starts, a publisher waits.
#[test]
fn nobody_is_evicted_without_a_clock() {
    let topic = Topic::new("conformance", Schema::of::<Probe>(), 4, Region::new(16)).unwrap();
    topic.set_on_stall(OnStall::EvictAfter(Duration::ZERO));
    let mut reader = topic.subscribe::<Probe>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher::<Probe>("publisher", 1).unwrap();
    send(&mut publisher, 0..4);
    assert!(!emit(&mut publisher) && publisher.try_emit(probe(4)).is_err());
    topic.set_executor(Arc::new(PausedTime::new(NoTasks)));
    assert!(emit(&mut publisher));
    assert_evicted(&mut reader, 1);
}

#[test]
fn the_time_of_a_reader_runs_on_when_another_one_that_had_stalled_leaves() {
    let evicting = Evicting::new();
    let leaves = evicting.subscribe("leaves", Policy::Block);
    let _stays = evicting.subscribe("stays", Policy::Block);
    let (mut publisher, evictions) = evicting.full();
    assert!(!emit(&mut publisher), "both have stalled");
    evicting.time.advance(LIMIT / 2);
    drop(leaves);
    assert!(!emit(&mut publisher), "one of them still has");
    evicting.time.advance(LIMIT - LIMIT / 2);
    assert!(emit(&mut publisher));
    let eviction = Eviction { reader: "stays".into(), stalled: LIMIT };
    assert_eq!(*evictions.lock().unwrap(), [eviction]);
}

#[test]
fn the_reader_that_has_stalled_first_is_evicted_first() {
    let evicting = Evicting::of(8);
    let _first = evicting.subscribe("first", Policy::Block);
    let mut second = evicting.subscribe("second", Policy::Block);
    let (mut publisher, evictions) = evicting.full();
    let mut wait = || publisher.poll_until_below(&Context::from_waker(Waker::noop()));
    assert!(wait().is_pending());
    let later = Duration::from_secs(1);
    evicting.time.advance(later);
    // It moves, and is still behind.
    assert_next(&mut second, 0);
    assert_next(&mut second, 1);
    assert!(wait().is_pending());
    assert_eq!(evicting.time.next_timer(), Some(LIMIT));
    evicting.time.advance(LIMIT - later);
    assert!(wait().is_pending(), "for the second one");
    let eviction = |name: &str| Eviction { reader: name.into(), stalled: LIMIT };
    assert_eq!(*evictions.lock().unwrap(), [eviction("first")]);
    evicting.time.advance(later);
    assert!(wait().is_ready());
    assert_eq!(*evictions.lock().unwrap(), ["first", "second"].map(eviction));
}
