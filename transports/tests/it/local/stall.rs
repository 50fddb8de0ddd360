//! Readers that block their publisher for too long, in virtual time.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_executor::PausedTime;
use mycelium_transports::conformance::{NoTasks, Probe};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    Delivery, Eviction, GapReason, OnStall, Policy, Publisher, Refusal, Schema, Start,
    SubscribeOptions, Subscription, Topic,
};

use super::{epoch, probe};
use crate::deliveries::{assert_evicted, assert_gap, assert_next};

/// The time after which stalled readers are evicted.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// A topic that evicts stalled readers.
struct Evicting {
    topic: Arc<Topic>,
    time: PausedTime<NoTasks>,
}

impl Evicting {
    /// Returns a topic with rings of this many messages.
    fn of(capacity: usize) -> Evicting {
        // A virtual clock: Miri has no real one.
        let time = PausedTime::starting_at(NoTasks, std::time::UNIX_EPOCH);
        let (schema, counters) = (Schema::of::<Probe>(), Region::new(16));
        let topic = Topic::new("conformance", schema, capacity, counters).unwrap();
        topic.set_on_stall(OnStall::EvictAfter(LIMIT));
        topic.set_executor(Arc::new(time.clone()));
        Evicting { topic, time }
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Subscription<Probe> {
        self.topic.subscribe(name, options).unwrap()
    }

    /// Returns a publisher that has filled its ring, and the list of its evictions.
    fn full(&self) -> (Publisher<Probe>, Arc<Mutex<Vec<Eviction>>>) {
        let mut publisher = self.topic.publisher("publisher", epoch()).unwrap();
        let evictions = Arc::new(Mutex::new(Vec::new()));
        let seen = evictions.clone();
        publisher.observe_evictions(move |eviction| seen.lock().unwrap().push(eviction));
        let capacity = publisher.capacity() as u64;
        (0..capacity).for_each(|number| publisher.try_emit(probe(number)).unwrap());
        (publisher, evictions)
    }
}

fn emit(publisher: &mut Publisher<Probe>) -> bool {
    let message = probe(publisher.sent());
    match publisher.poll_emit(&Context::from_waker(Waker::noop()), &message) {
        Poll::Ready(sent) => sent.is_ok(),
        Poll::Pending => false,
    }
}

/// Each kind of emit that finds the ring full evicts stalled readers, with or without waiting.
#[test]
fn every_kind_of_emit_evicts() {
    let evicting = Evicting::of(4);
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

/// All stalled readers are evicted at the same time, but no reader that moves, however slowly.
#[test]
fn only_readers_that_do_not_move_are_evicted() {
    let evicting = Evicting::of(4);
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
    // An evicted reader continues, and the ring has only just become full.
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

/// A late reader may miss messages because the publisher did not know of it, or because it was
/// evicted.
#[test]
fn a_late_reader_is_told_whether_it_was_evicted() {
    let evicting = Evicting::of(4);
    let (mut publisher, _) = evicting.full();
    assert!(emit(&mut publisher), "there is no reader");
    let oldest = SubscribeOptions::new(Policy::Block, Start::OldestRetained);
    let mut late = evicting.subscribe("late", oldest);
    assert!(emit(&mut publisher), "its room is from an earlier check");
    assert_eq!(assert_gap(&mut late, 1), GapReason::Overwritten);
    assert_next(&mut late, 2);
    while emit(&mut publisher) {}
    evicting.time.advance(LIMIT);
    assert!(emit(&mut publisher));
    late.done();
    let gap = late.try_recv().delivery();
    assert!(matches!(gap, Some(Delivery::Gap(gap)) if gap.reason == GapReason::Evicted));
}

/// Without an executor there is no clock: before its node starts, a publisher waits.
#[test]
fn nobody_is_evicted_without_a_clock() {
    let topic = Topic::new("conformance", Schema::of::<Probe>(), 4, Region::new(16)).unwrap();
    topic.set_on_stall(OnStall::EvictAfter(Duration::ZERO));
    let mut reader = topic.subscribe::<Probe>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher::<Probe>("publisher", 1).unwrap();
    (0..4).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    assert!(!emit(&mut publisher) && publisher.try_emit(probe(4)).is_err());
    topic.set_executor(Arc::new(PausedTime::new(NoTasks)));
    assert!(emit(&mut publisher));
    assert_evicted(&mut reader, 1);
}

#[test]
fn the_time_of_a_reader_runs_on_when_another_one_that_had_stalled_leaves() {
    let evicting = Evicting::of(4);
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
    // The reader moves, but is still behind.
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
