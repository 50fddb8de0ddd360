//! Readers that block their publisher for too long, in virtual time.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{
    Eviction, GapReason, OnStall, Policy, Publisher, Refusal, Start, SubscribeOptions,
};

use super::{LocalTopic, probe};
use crate::deliveries::{assert_evicted, assert_gap, assert_next, handle_each};

/// The time after which stalled readers are evicted.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Returns a topic with rings of this many messages, which evicts stalled readers.
fn evicting(capacity: usize) -> LocalTopic {
    let local = LocalTopic::open(capacity).clocked();
    local.topic.set_on_stall(OnStall::EvictAfter(LIMIT));
    local
}

/// Returns a publisher that has filled its ring, and the list of its evictions.
fn full(local: &LocalTopic) -> (Publisher<Probe>, Arc<Mutex<Vec<Eviction>>>) {
    let mut publisher = local.publisher("publisher");
    let evictions = Arc::new(Mutex::new(Vec::new()));
    let seen = evictions.clone();
    publisher.observe_evictions(move |eviction| seen.lock().unwrap().push(eviction));
    let capacity = publisher.capacity() as u64;
    (0..capacity).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    (publisher, evictions)
}

fn emit(publisher: &mut Publisher<Probe>) -> bool {
    let message = probe(publisher.sent());
    let context = Context::from_waker(Waker::noop());
    matches!(publisher.poll_emit(&context, &message), Poll::Ready(Ok(())))
}

/// Each kind of emit that finds the ring full evicts stalled readers, with or without waiting.
#[test]
fn every_kind_of_emit_evicts() {
    let local = evicting(4);
    for policy in [Policy::Block, Policy::Reject] {
        let stalled = local.subscribe("stalled", policy);
        let (mut publisher, evictions) = full(&local);
        let is_refused = |refusal: Refusal| match policy {
            Policy::Reject => matches!(refusal, Refusal::Rejected { .. }),
            _ => matches!(refusal, Refusal::Full { .. }),
        };
        assert!(is_refused(publisher.try_emit(probe(4)).unwrap_err().refusal));
        local.time.advance(LIMIT);
        publisher.try_emit(probe(4)).unwrap();
        assert_eq!(evictions.lock().unwrap().len(), 1, "{policy:?}");

        let (mut publisher, evictions) = full(&local);
        let batch = [4, 5, 6].map(probe);
        let error = publisher.try_emit_batch(&batch).unwrap_err();
        assert!(error.sent == 0 && is_refused(error.refusal));
        local.time.advance(LIMIT);
        publisher.try_emit_batch(&batch).unwrap();
        assert_eq!(evictions.lock().unwrap().len(), 1, "{policy:?}");

        let (mut publisher, evictions) = full(&local);
        let (context, mut sent) = (Context::from_waker(Waker::noop()), 0);
        let polled = publisher.poll_emit_batch(&context, &batch, &mut sent);
        assert_eq!(polled.is_pending(), policy == Policy::Block);
        local.time.advance(LIMIT);
        assert!(publisher.poll_emit_batch(&context, &batch, &mut sent).is_ready());
        assert_eq!((sent, evictions.lock().unwrap().len()), (3, 1), "{policy:?}");
        drop(stalled);
    }
}

/// All stalled readers are evicted at the same time, but no reader that moves, however slowly.
#[test]
fn only_readers_that_do_not_move_are_evicted() {
    let local = evicting(4);
    let mut stalled = [0, 1, 2].map(|_| local.subscribe("stalled", Policy::Block));
    let mut slow = local.subscribe("slow", Policy::Block);
    let (mut publisher, evictions) = full(&local);
    assert!(!emit(&mut publisher));
    local.time.advance(LIMIT - Duration::from_secs(1));
    handle_each(&mut slow, 0..1);
    assert!(!emit(&mut publisher), "the others have not moved");
    local.time.advance(Duration::from_secs(1));
    assert!(emit(&mut publisher), "three are evicted, and one has made room");
    assert_eq!(evictions.lock().unwrap().len(), 3);
    assert!(!emit(&mut publisher), "the fourth one is waited for");
    // An evicted reader continues, and the ring has only just become full.
    stalled[0].try_recv();
    stalled[0].done();
    assert!(!emit(&mut publisher));
    local.time.advance(LIMIT - Duration::from_secs(1));
    assert!(!emit(&mut publisher));
    handle_each(&mut slow, 1..2);
    drop(stalled);
    assert!(emit(&mut publisher));
    assert_eq!(evictions.lock().unwrap().len(), 3);
}

/// A late reader may miss messages because the publisher did not know of it, or because it was
/// evicted.
#[test]
fn a_late_reader_is_told_whether_it_was_evicted() {
    let local = evicting(4);
    let (mut publisher, _) = full(&local);
    assert!(emit(&mut publisher), "there is no reader");
    let oldest = SubscribeOptions::new(Policy::Block, Start::Oldest);
    let mut late = local.subscribe("late", oldest);
    assert!(emit(&mut publisher), "its room is from an earlier check");
    assert_eq!(assert_gap(&mut late, 1), GapReason::Overwritten);
    assert_next(&mut late, 2);
    while emit(&mut publisher) {}
    local.time.advance(LIMIT);
    assert!(emit(&mut publisher));
    late.done();
    assert_evicted(&mut late, 2);
}

/// Without an executor there is no clock: before its node starts, a publisher waits.
#[test]
fn nobody_is_evicted_without_a_clock() {
    let local = LocalTopic::open(4);
    local.topic.set_on_stall(OnStall::EvictAfter(Duration::ZERO));
    let (local, mut reader, mut publisher) = local.join(Policy::Block);
    (0..4).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    assert!(!emit(&mut publisher) && publisher.try_emit(probe(4)).is_err());
    let _local = local.clocked();
    assert!(emit(&mut publisher));
    assert_evicted(&mut reader, 1);
}

#[test]
fn the_time_of_a_reader_runs_on_when_another_one_that_had_stalled_leaves() {
    let local = evicting(4);
    let leaves = local.subscribe("leaves", Policy::Block);
    let _stays = local.subscribe("stays", Policy::Block);
    let (mut publisher, evictions) = full(&local);
    assert!(!emit(&mut publisher), "both have stalled");
    local.time.advance(LIMIT / 2);
    drop(leaves);
    assert!(!emit(&mut publisher), "one of them still has");
    local.time.advance(LIMIT - LIMIT / 2);
    assert!(emit(&mut publisher));
    let eviction = Eviction { reader: "stays".into(), stalled: LIMIT };
    assert_eq!(*evictions.lock().unwrap(), [eviction]);
}

#[test]
fn the_reader_that_has_stalled_first_is_evicted_first() {
    let local = evicting(8);
    let _first = local.subscribe("first", Policy::Block);
    let mut second = local.subscribe("second", Policy::Block);
    let (mut publisher, evictions) = full(&local);
    let mut wait = || publisher.poll_until_below(&Context::from_waker(Waker::noop()));
    assert!(wait().is_pending());
    let later = Duration::from_secs(1);
    local.time.advance(later);
    // The reader moves, but is still behind.
    assert_next(&mut second, 0);
    assert_next(&mut second, 1);
    assert!(wait().is_pending());
    assert_eq!(local.time.next_timer(), Some(LIMIT));
    local.time.advance(LIMIT - later);
    assert!(wait().is_pending(), "for the second one");
    let eviction = |name: &str| Eviction { reader: name.into(), stalled: LIMIT };
    assert_eq!(*evictions.lock().unwrap(), [eviction("first")]);
    local.time.advance(later);
    assert!(wait().is_ready());
    assert_eq!(*evictions.lock().unwrap(), ["first", "second"].map(eviction));
}
