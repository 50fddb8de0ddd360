//! A stream moves to the memory of its publisher, and readers in another process read it there:
//! deliveries before and after the move, and positions after the end of their connection.

use std::num::NonZeroU32;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use mycelium_core::Fixed;
use mycelium_core::doorbell::WakePath;
use mycelium_core::message;
use mycelium_core::ring::broadcast::{self, Broadcast, BroadcastHandle, Peek, ReaderFault, Word};
use mycelium_core::ring::region::{CursorRegion, ForeignCursors, ForeignData, ForeignRing, Memory};
use mycelium_executor::PausedTime;
use mycelium_transports::conformance::{NoTasks, Probe};
use mycelium_transports::counters::{Kind, Reading, Region};
use mycelium_transports::local::{
    Delivery, GapReason, LatestByKey, MappedRing, OnStall, PageSize, Policy, Publisher, Recorded,
    RemoteBell, RingMemory, Schema, SharedRing, Subscription, Topic, TraceArea, TryRecv,
};
use mycelium_transports::memory::{Mapping, cursor_region};
use mycelium_transports::seam::{Feed, MappedFeed, Tap, TapItem, TapStream};

use crate::deliveries::{
    assert_each, assert_evicted, assert_gap, assert_next, handle_each, probe, receive,
};
use crate::waiter::Waiter;

/// A message of the same size as a probe. The bytes of most numbers are invalid for it.
#[message(topic = "moved", id = 9)]
#[derive(Debug)]
struct Flags {
    flags: [bool; 16],
}

#[derive(Debug)]
struct NoBell;

impl RemoteBell for NoBell {
    fn ring(&self, _: WakePath) {}

    fn own_path(&self) -> WakePath {
        WakePath::Thread
    }
}

/// The time after which stalled readers are evicted.
const LIMIT: Duration = Duration::from_secs(5);
/// The places for subscriptions in the readers' memory.
const READERS: usize = 3;

/// The regions of the publisher and of the readers as the readers' process has mapped them, and the
/// entry of the readers in the publisher's ring.
type MappedByReaders = (ForeignData<Mapping>, CursorRegion<Mapping>, Option<broadcast::Claim>);

/// A publisher, its stream to readers in another process, and that process's topic.
struct Stream {
    publisher: Publisher<Probe>,
    /// `None` once the publisher's process no longer waits for the readers.
    egress: Option<Tap<()>>,
    there: Arc<Topic>,
    here: Arc<Topic>,
    /// The counters of the publisher's process.
    counters: Arc<Region>,
    /// The clock of the publisher's process.
    time: PausedTime<NoTasks>,
}

impl Stream {
    fn new(policy: Policy) -> Stream {
        Stream::read_as(Schema::of::<Probe>(), policy, OnStall::Block)
    }

    /// Returns a stream whose readers are evicted when they stall.
    fn evicting() -> Stream {
        Stream::read_as(Schema::of::<Probe>(), Policy::Block, OnStall::EvictAfter(LIMIT))
    }

    /// Adds a reader, which gets its messages from the feed.
    fn join(self, reads: Policy) -> (Stream, Subscription<Probe>, Feed) {
        let reader = self.there.subscribe("reader", reads).unwrap();
        let remote = self.there.feed("publisher", 7, 0).unwrap();
        (self, reader, remote)
    }

    /// Adds a reader, which reads in memory from the first message on.
    fn moved(self, reads: Policy) -> (Stream, Subscription<Probe>, MappedFeed) {
        let (mut stream, reader, mut remote) = self.join(reads);
        let mapped = stream.move_to_memory(&mut remote);
        (stream, reader, mapped)
    }

    /// Returns a stream whose readers have messages of this schema.
    fn read_as(schema: Schema, policy: Policy, on_stall: OnStall) -> Stream {
        let memory = RingMemory::Shared { pages: PageSize::Small, is_required: true };
        let (counters, time) = (Region::new(16), PausedTime::new(NoTasks));
        let (own, recorded, lines) = (Schema::of::<Probe>(), Recorded::default(), counters.clone());
        let here = Topic::with_recorded("moved", own, 16, 4, memory, recorded, lines).unwrap();
        let there = Topic::new("moved", schema, 16, Region::new(16)).unwrap();
        here.set_on_stall(on_stall);
        here.set_executor(Arc::new(time.clone()));
        let egress = Some(here.tap("far", policy).unwrap());
        let publisher = here.publisher("publisher", 7).unwrap();
        Stream { publisher, egress, there, here, counters, time }
    }

    fn end(&mut self) -> &mut TapStream<()> {
        &mut self.egress.as_mut().unwrap().streams()[0]
    }

    /// Maps the regions in both processes. Also returns the region of the readers as the process
    /// of the publisher has mapped it, to which the stream moves.
    fn map(&mut self) -> (MappedByReaders, ForeignCursors<Mapping>) {
        let stream = self.end();
        let attach = |file: OwnedFd| Mapping::attach(file, 1 << 20, true).unwrap();
        let (file, proxy) = stream.memory().unwrap();
        let (layout, identity) = stream.ring();
        let data = ForeignData::attach(attach(file.try_clone().unwrap()), identity).unwrap();
        let (own, file) = cursor_region("positions", layout, READERS, identity).unwrap();
        let cursors = ForeignCursors::attach(attach(file), layout, READERS, identity).unwrap();
        ((data, own, proxy), cursors)
    }

    /// Moves the stream: subscriptions of `there` continue in memory after the messages from
    /// `remote`.
    fn move_to_memory(&mut self, remote: &mut Feed) -> MappedFeed {
        let ((data, own, proxy), cursors) = self.map();
        let ring = MappedRing::new(data, own, READERS, TraceArea::Absent, proxy).unwrap();
        self.end().move_to_memory(cursors, Arc::new(NoBell));
        remote.continue_in_memory(ring, Arc::new(NoBell)).unwrap()
    }

    /// Moves the stream, and returns the ring as the readers see it.
    fn foreign(&mut self) -> Broadcast<ForeignRing<Mapping, Mapping>> {
        let layout = self.end().ring().0;
        let ((data, own, proxy), cursors) = self.map();
        self.end().move_to_memory(cursors, Arc::new(NoBell));
        Broadcast::new(ForeignRing::new(data, own, proxy).unwrap(), layout).unwrap()
    }

    /// Returns values of the stream's counters.
    fn edge<const N: usize>(&self, values: [&str; N]) -> [u64; N] {
        let lines = self.counters.read();
        let is_own = |line: &&Reading| line.kind == Kind::Edge && line.label.contains("far");
        values.map(|value| lines.iter().filter(is_own).map(|line| line.value(value)).sum())
    }

    /// Emits messages.
    fn emit(&mut self, numbers: Range<u64>) {
        numbers.for_each(|number| self.publisher.try_emit(probe(number)).unwrap());
    }

    /// Emits messages, which arrive over the link and are confirmed.
    fn send(&mut self, numbers: Range<u64>, remote: &mut Feed) {
        self.send_unconfirmed(numbers.clone(), remote);
        self.end().release(numbers.end);
    }

    fn send_unconfirmed(&mut self, numbers: Range<u64>, remote: &mut Feed) {
        for number in numbers {
            self.emit(number..number + 1);
            let stream = self.end();
            assert!(matches!(stream.next_item(), TapItem::Message(..)));
            stream.advance();
            remote.push(probe(number).encoded(), false).unwrap();
        }
        remote.flush();
    }
}

/// Returns the policy of a reader that gets the newest message of each of this many numbers.
fn by_key(keys: u32) -> Policy {
    let keys = NonZeroU32::new(keys).unwrap();
    Policy::LatestByKey(LatestByKey::of::<Probe>("number", keys).unwrap())
}

/// The link's session has nothing to do when readers take messages, nor when the publisher's
/// process wakes them.
#[test]
fn readers_in_memory_wake_their_session_only_when_they_leave() {
    let (mut stream, mut first, mut remote) = Stream::new(Policy::Block).join(Policy::Block);
    let mut second = stream.there.subscribe::<Probe>("second", Policy::Block).unwrap();
    let mapped = stream.move_to_memory(&mut remote);
    let ring = mapped.ring().upgrade().unwrap();
    let waiter = Waiter::new();
    mapped.park(&waiter.1);
    for number in 0..100 {
        stream.emit(number..number + 1);
        ring.look();
        handle_each(&mut first, number..number + 1);
        handle_each(&mut second, number..number + 1);
    }
    assert_eq!(waiter.wakes(), 0, "nothing has changed for the session");
    // The publisher waits for a reader that has left, until the session reports its leave.
    stream.emit(100..116);
    drop(first);
    assert_eq!(waiter.wakes(), 1, "one has left");
    mapped.park(&waiter.1);
    mapped.settle(|| false);
    assert_eq!(waiter.wakes(), 0, "the session itself has done this");
    handle_each(&mut second, 100..116);
    stream.emit(116..132);
    ring.peer_is_gone(true);
    assert_eq!((waiter.wakes(), mapped.is_gone()), (1, true));
    mapped.park(&waiter.1);
    drop(mapped);
    assert_eq!(Arc::strong_count(&waiter.0), 2, "readers do not keep the task of the session");
}

/// Takes messages in memory, and publishes the position.
fn take<H: BroadcastHandle>(reader: &mut broadcast::Consumer<H>, count: usize) {
    for _ in 0..count {
        assert!(matches!(reader.peek(&mut [0]), Peek::Message { .. }));
        reader.advance();
    }
    reader.flush();
}

/// A process whose connection has ended may still write into its memory.
#[test]
fn positions_after_the_end_of_a_connection_do_not_count() {
    let mut stream = Stream::new(Policy::Block);
    let theirs = stream.foreign();
    let mut reader = Broadcast::gating_from(&theirs, 0).unwrap();
    stream.emit(0..8);
    take(&mut reader, 3);
    stream.assert_resumes_at(3);
    stream.end().remote_readers().unwrap().peer_is_gone(true);
    take(&mut reader, 3);
    // Nothing of it is read any more.
    stream.assert_resumes_at(3);
}

/// What is published after the death of a process goes to the next one without doubt.
#[test]
fn messages_after_the_death_of_a_process_were_not_seen_by_it() {
    for has_died in [true, false] {
        let (mut stream, _reader, _mapped) =
            Stream::new(Policy::DropOldest).moved(Policy::DropOldest);
        stream.emit(0..4);
        stream.end().remote_readers().unwrap().peer_is_gone(has_died);
        stream.emit(4..6);
        assert_eq!((stream.end().unseen(), stream.end().next()), (if has_died { 4 } else { 6 }, 6));
    }
}

/// A process unmaps an ended publisher's ring once its readers have read it to the end. If its
/// connection is lost before it has confirmed messages that came over the link, it confirms them on
/// the next connection, and gets nothing again.
#[test]
fn readers_that_have_read_to_the_end_lose_nothing_with_the_memory() {
    let cases = [Policy::Block, Policy::DropOldest].map(|it| [(it, false), (it, true)]);
    for (policy, at_shutdown) in cases.into_iter().flatten() {
        let (mut stream, mut reader, mut remote) = Stream::new(policy).join(policy);
        stream.send_unconfirmed(0..2, &mut remote);
        let mapped = stream.move_to_memory(&mut remote);
        stream.emit(2..4);
        handle_each(&mut reader, 0..4);
        // The previous publisher ends.
        stream.publisher = stream.here.publisher("next", 8).unwrap();
        mapped.end();
        assert!(matches!(reader.try_recv(), TryRecv::Closed));
        assert!(mapped.is_read());
        mapped.settle(|| at_shutdown);
        drop(mapped);
        let end = stream.end();
        end.remote_readers().unwrap().peer_is_gone(true);
        end.update(false);
        assert!(!end.has_lost_memory(), "{policy:?}");
        assert_eq!(end.depth(), 4, "{policy:?}: the first two are not confirmed");
        end.release(2);
        assert_eq!(end.depth(), 0, "{policy:?}");
        assert_eq!(stream.edge(["taken", "left"]), [4, 0], "{policy:?}");
    }
}

/// Writes a number into each word of a region, or into the words that have this value.
#[allow(unsafe_code)]
fn overwrite(words: &[Word], only: Option<usize>, mut value: impl FnMut() -> usize) {
    for word in words {
        // SAFETY: a `Word` is an atomic word and nothing else.
        let before = unsafe { &*ptr::from_ref(word).cast::<AtomicUsize>() };
        if only.is_none_or(|only| before.load(Ordering::Relaxed) == only) {
            // SAFETY: the storage of the ring is foreign.
            unsafe { word.set(value()) };
        }
    }
}

/// The publisher once waited for such readers until its deadline.
#[test]
fn strangers_garbage_in_the_memory_of_readers_ends_their_stream() {
    type Garbage = fn(&[Word]);
    let cases: [(&str, Garbage); 6] = [
        ("zeros", |words| overwrite(words, None, || 0)),
        ("ones", |words| overwrite(words, None, || usize::MAX)),
        ("random", |words| {
            let mut random = Rng::with_seed(7);
            overwrite(words, None, || random.usize(..));
        }),
        ("backwards", |words| overwrite(words, Some(5), || 4)),
        ("ahead", |words| overwrite(words, Some(5), || 5 + 3 + 16 + 1)),
        ("far ahead", |words| overwrite(words, Some(5), || usize::MAX / 3)),
    ];
    for (case, garbage) in cases {
        let mut stream = Stream::new(Policy::Block);
        let theirs = stream.foreign();
        let mut reader = Broadcast::gating_from(&theirs, 0).unwrap();
        stream.emit(0..8);
        take(&mut reader, 5);
        let end = stream.end();
        assert_eq!(end.update(false), 5);
        assert_eq!(end.memory_fault(), None, "{case}");
        garbage(theirs.storage().cursors().memory().words());
        assert_eq!(end.update(false), 0, "{case}");
        let fault = end.memory_fault().unwrap_or_else(|| panic!("{case} is not found"));
        let expected = matches!(
            (case, fault.fault),
            ("backwards", ReaderFault::Backwards { before: 5, found: 4 })
                | ("ahead", ReaderFault::Ahead { tail: 8, found: 25 })
                | ("far ahead", ReaderFault::Ahead { tail: 8, .. })
                | ("zeros" | "ones" | "random", ReaderFault::State { .. })
        );
        assert!(expected, "{case}: {fault}");
        // Nothing after the damage counts, and the rest is not confirmed.
        assert_eq!((end.kept(), end.depth()), (5, 3), "{case}");
        stream.egress = None;
        assert_eq!(stream.edge(["taken", "left", "overwritten"]), [5, 3, 0], "{case}");
        stream.emit(8..40);
    }
}

/// Messages from before the move are in a ring of the reader's process, later ones in the
/// publisher's memory.
#[test]
fn a_latest_reader_passes_over_the_messages_before_a_move() {
    let (mut stream, mut latest, mut remote) = Stream::new(Policy::DropOldest).join(Policy::Latest);
    let mut left = stream.there.subscribe::<Probe>("left", Policy::Latest).unwrap();
    stream.send(0..2, &mut remote);
    let _mapped = stream.move_to_memory(&mut remote);
    stream.emit(2..3);
    for reader in [&mut latest, &mut left] {
        assert_eq!(reader.depth(), 3);
        assert_gap(reader, 2);
    }
    assert_next(&mut latest, 2);
    assert_eq!(left.depth(), 1);
}

/// A newer message in memory replaces an earlier one of its key that came over the link, and the
/// messages of other publishers keep their places.
#[test]
fn a_reader_by_key_gets_the_newest_message_of_each_key_on_both_sides_of_a_move() {
    let (mut stream, mut newest, mut remote) = Stream::new(Policy::DropOldest).join(by_key(4));
    let mut other = stream.there.feed("other", 8, 0).unwrap();
    stream.send(0..2, &mut remote);
    other.push(probe(9).encoded(), false).unwrap();
    other.flush();
    let _mapped = stream.move_to_memory(&mut remote);
    stream.emit(1..3);
    assert_eq!(newest.depth(), 5);
    assert_next(&mut newest, 0);
    assert_gap(&mut newest, 1);
    assert_each(&mut newest, 1..3);
    assert_next(&mut newest, 9);
    assert_eq!(newest.depth(), 0);
    stream.emit(0..2);
    assert_each(&mut newest, 0..2);
    assert!(matches!(newest.try_recv(), TryRecv::Empty));
}

/// A failed message is delivered once more, unless its publisher has evicted the reader.
#[test]
fn a_failed_message_of_an_evicted_reader_is_a_gap() {
    for others in 0..3 {
        let mut stream = Stream::new(Policy::Block);
        let _open = stream.there.keep_open();
        let other = |epoch| stream.there.feed("other", epoch, 0).unwrap();
        let mut others: Vec<_> = (0..others).map(|number| other(8 + number)).collect();
        let mut reader = stream.there.subscribe::<Probe>("reader", Policy::Block).unwrap();
        let mut remote = stream.there.feed("publisher", 7, 0).unwrap();
        let _mapped = stream.move_to_memory(&mut remote);
        // A reader takes at most this many messages from one publisher in a row, so the next turn
        // is another publisher's.
        for number in 0..32 {
            stream.emit(number..number + 1);
            assert_next(&mut reader, number);
        }
        assert!(reader.fail().is_none(), "it is delivered once more");
        // The publishers that the reader knew before have ended.
        others.iter_mut().for_each(Feed::end);
        stream.egress = None;
        stream.emit(32..72);
        let gap = reader.try_recv().delivery();
        assert!(matches!(gap, Some(Delivery::Gap(gap)) if gap.reason == GapReason::Evicted));
        assert!((0..3).all(|_| reader.try_recv() == TryRecv::Empty));
        assert!(reader.fail().is_none(), "nothing is in flight");
    }
}

/// The edge of the link's ring ends with the move, while other edges are idle.
#[test]
fn a_reader_that_finishes_when_empty_gets_the_messages_after_a_move() {
    let (mut stream, mut reader, mut remote) = Stream::new(Policy::Block).join(Policy::Block);
    assert!(matches!(reader.try_recv(), TryRecv::Empty));
    let _idle = stream.there.feed("idle", 8, 0).unwrap();
    let _mapped = stream.move_to_memory(&mut remote);
    stream.emit(0..2);
    reader.finisher().finish_when_empty();
    assert_each(&mut reader, 0..2);
    assert!(matches!(reader.try_recv(), TryRecv::Closed));
}

#[test]
fn a_reader_that_finishes_after_what_was_sent_gets_it_on_both_sides_of_a_move() {
    let (mut stream, mut reader, mut remote) = Stream::new(Policy::Block).join(Policy::Block);
    stream.send(0..2, &mut remote);
    let _mapped = stream.move_to_memory(&mut remote);
    stream.emit(2..4);
    reader.finisher().finish_after_sent();
    assert_each(&mut reader, 0..4);
    assert!(matches!(reader.try_recv(), TryRecv::Closed));
}

/// If a process's link observes, the publisher waits for none of its subscriptions.
#[test]
fn a_block_subscription_of_a_link_that_observes_gets_gaps() {
    let (mut stream, mut reader, _mapped) = Stream::new(Policy::DropOldest).moved(Policy::Block);
    for lap in 0..3 {
        // The ring has only 16 slots.
        let first = lap * 40;
        stream.emit(first..first + 40);
        assert_eq!(assert_gap(&mut reader, 24), GapReason::Overwritten);
        assert_each(&mut reader, first + 24..first + 40);
        assert!(matches!(reader.try_recv(), TryRecv::Empty));
    }
}

/// Only the memory connection is lost: the publisher still runs, and sends the rest over the link.
#[test]
fn readers_of_a_publisher_whose_connection_is_lost_continue_with_the_link() {
    for (policy, left_at_shutdown) in [(Policy::Block, 0), (Policy::DropOldest, 3)] {
        let (mut stream, mut reader, mut remote) = Stream::new(policy).join(policy);
        let other = stream.there.subscribe::<Probe>("other", policy).unwrap();
        let mapped = stream.move_to_memory(&mut remote);
        stream.emit(0..8);
        handle_each(&mut reader, 0..3);
        mapped.ring().upgrade().unwrap().peer_is_gone(false);
        stream.emit(8..12);
        let mut remote = mapped.continue_on_link(8).unwrap();
        remote.push(probe(8).encoded(), false).unwrap();
        remote.flush();
        assert_eq!(mapped.needed(|| false), Some(0), "{policy:?}: the other one has read nothing");
        drop(other);
        assert_eq!(mapped.needed(|| true), Some(left_at_shutdown), "{policy:?}");
        assert_eq!(mapped.needed(|| false), Some(3), "{policy:?}");
        handle_each(&mut reader, 3..9);
        assert_eq!(mapped.needed(|| false), None, "{policy:?}");
        assert_eq!(remote.done(|| false), Some(9), "{policy:?}");
        // The publisher does not know yet.
        stream.assert_resumes_at([0, 8][usize::from(policy == Policy::DropOldest)]);
    }
}

/// The memory connection is lost, and no link continues the stream.
#[test]
fn readers_that_lose_a_publisher_read_no_further_and_keep_their_positions() {
    let (mut stream, mut reader, mapped) = Stream::new(Policy::Block).moved(Policy::Block);
    stream.emit(0..8);
    assert_each(&mut reader, 0..3);
    mapped.lose();
    stream.emit(8..12);
    assert_each(&mut reader, 3..8);
    let gap = reader.try_recv();
    assert!(matches!(gap, TryRecv::Delivery(Delivery::Gap(gap)) if !gap.exact()));
    assert!(matches!(reader.try_recv(), TryRecv::Closed), "it has no other publisher");
    mapped.settle(|| false);
    stream.end().update(false);
    assert_eq!((stream.end().kept(), stream.end().depth()), (8, 4));
}

/// What a reader gets next, or that it has handled everything.
enum Step {
    Gap(u64),
    Next(u64),
    Done,
}

use Step::{Done, Gap, Next};

impl Stream {
    /// Asserts from which message on the next process would continue if the readers' process died
    /// now.
    #[track_caller]
    fn assert_resumes_at(&mut self, number: u64) {
        let end = self.end();
        end.update(false);
        assert_eq!(end.kept(), number);
    }

    /// Does the steps, and asserts after each from which message on the next process would continue.
    #[track_caller]
    fn assert_places(&mut self, reader: &mut Subscription<Probe>, steps: &[(Step, u64)]) {
        for (step, place) in steps {
            match step {
                Step::Gap(count) => _ = assert_gap(reader, *count),
                Step::Next(number) => assert_next(reader, *number),
                Step::Done => reader.done(),
            }
            self.assert_resumes_at(*place);
        }
    }

    /// Ends the readers' process, and returns what the next process gets first.
    fn resume(&mut self) -> TapItem<'_> {
        let end = self.end();
        end.move_back();
        end.rewind(end.kept());
        end.next_item()
    }
}

/// A kill after the receive of a gap and before the end of its handling loses neither the gap nor
/// the message after it.
#[test]
fn a_gap_that_was_not_handled_is_reported_to_the_next_process() {
    let (mut stream, mut reader, _mapped) =
        Stream::new(Policy::DropOldest).moved(Policy::DropOldest);
    stream.emit(0..40);
    stream.assert_places(&mut reader, &[(Gap(24), 0)]);
    assert_eq!(stream.resume(), TapItem::Gap(24));
    let next = stream.end();
    assert!(matches!(next.next_item(), TapItem::Message(..)));
    assert_eq!(next.next(), 24);
}

/// A kill before the gap is handled loses neither the gap nor the message.
#[test]
fn a_gating_reader_passes_an_undecodable_message_when_its_gap_is_handled() {
    const VALID: u64 = 0x0100;
    for in_memory in [false, true] {
        let mut stream = Stream::read_as(Schema::of::<Flags>(), Policy::Block, OnStall::Block);
        let mut reader = stream.there.subscribe::<Flags>("reader", Policy::Block).unwrap();
        let mut remote = stream.there.feed("publisher", 7, 0).unwrap();
        let numbers = [VALID, 2, 3, VALID];
        let mapped = in_memory.then(|| stream.move_to_memory(&mut remote));
        for number in numbers {
            stream.emit(number..number + 1);
            if !in_memory {
                remote.push(probe(number).encoded(), false).unwrap();
            }
        }
        remote.flush();
        let mut assert_done = |number: u64| {
            if in_memory {
                stream.assert_resumes_at(number);
            } else {
                assert_eq!(remote.done(|| false), Some(number), "over a link");
            }
        };
        for (done, number) in (0..).zip(numbers) {
            if number == VALID {
                let delivery = reader.try_recv().delivery().unwrap();
                assert!(delivery.message().unwrap().flags[9]);
            } else {
                assert_eq!(assert_gap(&mut reader, 1), GapReason::Undecodable);
            }
            assert_done(done);
        }
        reader.done();
        assert_done(4);
        drop((reader, mapped));
    }
}

/// Messages that were sent over the link are done when the link confirms them.
#[test]
fn an_observer_that_moves_to_memory_has_not_taken_what_came_over_the_link() {
    for confirmed in [true, false] {
        let (mut stream, mut reader, mut remote) =
            Stream::new(Policy::DropOldest).join(Policy::DropOldest);
        stream.send_unconfirmed(0..3, &mut remote);
        let _mapped = stream.move_to_memory(&mut remote);
        stream.assert_resumes_at(0);
        stream.emit(3..5);
        assert_each(&mut reader, 0..3);
        stream.end().release(1);
        stream.assert_resumes_at(1);
        handle_each(&mut reader, 3..4);
        stream.assert_resumes_at(1);
        if confirmed {
            stream.end().release(3);
            stream.assert_resumes_at(4);
        }
        assert!(matches!(stream.resume(), TapItem::Message(..)));
        assert_eq!(stream.end().next(), if confirmed { 4 } else { 1 });
    }
}

#[test]
fn the_place_of_an_observer_passes_a_delivery_at_the_next_receive() {
    let (mut stream, mut reader, _mapped) =
        Stream::new(Policy::DropOldest).moved(Policy::DropOldest);
    stream.emit(0..40);
    stream.assert_places(&mut reader, &[(Gap(24), 0), (Next(24), 24), (Next(25), 25), (Done, 26)]);
    assert!(reader.fail().is_none(), "nothing is delivered again");
    assert_next(&mut reader, 26);
    assert!(matches!(stream.resume(), TapItem::Message(..)), "it may have been handled");
    assert_eq!(stream.end().next(), 26);
}

#[test]
fn the_place_of_an_observer_passes_a_batch_at_the_next_receive() {
    let (mut stream, mut reader, _mapped) =
        Stream::new(Policy::DropOldest).moved(Policy::DropOldest);
    stream.emit(0..40);
    let batch = receive(&mut reader, 8);
    assert_eq!(batch.len(), 8);
    assert!(matches!(&batch[0], Delivery::Gap(gap) if gap.count == 24));
    stream.assert_resumes_at(0);
    assert_next(&mut reader, 31);
    stream.assert_resumes_at(31);
    // The end of the publisher does not end the batch before it is handled.
    reader.done();
    stream.publisher = stream.here.publisher("next", 8).unwrap();
    assert_eq!(receive(&mut reader, 64).len(), 8);
    stream.assert_resumes_at(32);
    reader.done();
    stream.assert_resumes_at(40);
}

#[test]
fn the_place_of_a_latest_reader_passes_what_it_skipped_at_the_next_receive() {
    let (mut stream, mut reader, _mapped) = Stream::new(Policy::DropOldest).moved(Policy::Latest);
    stream.emit(0..3);
    stream.assert_places(&mut reader, &[(Gap(2), 0), (Next(2), 2), (Done, 3)]);
}

#[test]
fn the_place_of_a_sampling_reader_passes_a_message_at_the_next_receive() {
    let (mut stream, mut reader, _mapped) =
        Stream::new(Policy::DropOldest).moved(Policy::Sample(NonZeroU32::new(2).unwrap()));
    stream.emit(0..4);
    stream.assert_places(&mut reader, &[(Next(0), 0), (Next(2), 2)]);
    stream.emit(4..40);
    stream.assert_places(&mut reader, &[(Gap(20), 4), (Next(24), 24)]);
}

/// Messages that wait in the table of a reader by key were not delivered.
#[test]
fn the_place_of_a_reader_by_key_is_that_of_the_first_message_in_its_table() {
    let (mut stream, mut reader, _mapped) = Stream::new(Policy::DropOldest).moved(by_key(2));
    [7, 8, 7, 8].into_iter().for_each(|number| stream.emit(number..number + 1));
    stream.assert_places(&mut reader, &[(Gap(1), 0), (Next(7), 0), (Gap(1), 1), (Next(8), 1)]);
    stream.assert_places(&mut reader, &[(Done, 4)]);
    // The table has no room for the third message.
    stream.emit(1..4);
    stream.assert_places(&mut reader, &[(Gap(1), 4), (Next(2), 5), (Next(3), 6)]);
}

impl Stream {
    /// Returns an evicting stream, a reader that has taken the first message in memory, and the
    /// ring that it reads.
    fn first_in_memory() -> (Stream, Subscription<Probe>, MappedFeed) {
        let (mut stream, mut reader, mapped) = Stream::evicting().moved(Policy::Block);
        stream.emit(0..1);
        handle_each(&mut reader, 0..1);
        (stream, reader, mapped)
    }

    /// Emits until the readers block the publisher, which they do soon. Returns the next number.
    fn fill(&mut self, from: u64) -> u64 {
        let mut numbers = from..;
        let refused = numbers.find(|number| self.publisher.try_emit(probe(*number)).is_err());
        let next = refused.unwrap();
        assert!(next <= from + 16, "they are waited for after {} messages", next - from);
        next
    }

    /// Fills the ring, and emits more after the time of an eviction.
    fn stall(&mut self, from: u64, to: u64) {
        self.emit(from..from + 16);
        assert!(self.publisher.try_emit(probe(0)).is_err());
        self.time.advance(LIMIT);
        self.emit(from + 16..to);
    }
}

/// The readers of a process are evicted together, and gate again when the slowest of them has
/// moved.
#[test]
fn readers_in_memory_that_stall_are_evicted_until_they_read() {
    let (mut stream, mut first, mut remote) = Stream::evicting().join(Policy::Block);
    let mut second = stream.there.subscribe::<Probe>("second", Policy::Block).unwrap();
    stream.send(0..2, &mut remote);
    let _mapped = stream.move_to_memory(&mut remote);
    handle_each(&mut first, 0..2);
    handle_each(&mut second, 0..2);
    stream.stall(2, 40);
    assert_eq!((first.depth(), stream.end().depth()), (38, 38));
    assert_evicted(&mut first, 38 - 16);
    handle_each(&mut first, 24..40);
    // The second reader has not moved.
    stream.emit(40..80);
    assert_evicted(&mut second, 80 - 16 - 2);
    assert_evicted(&mut first, 80 - 16 - 40);
    // The next process would get the gap.
    stream.assert_resumes_at(2);
    first.done();
    second.done();
    let next = stream.fill(80);
    for reader in [&mut first, &mut second] {
        let mut number = 64;
        if next > 80 {
            assert_evicted(reader, next - 80);
            number = next - 16;
        }
        handle_each(reader, number..next);
    }
    stream.emit(next..next + 16);
    assert!(stream.publisher.try_emit(probe(0)).is_err(), "both are waited for");
    stream.end().update(false);
    assert_eq!(stream.end().depth(), 16);
}

/// 1,098 messages were once reported as undelivered by a ring of 1,024.
#[test]
fn no_more_messages_are_left_for_evicted_readers_than_the_ring_has() {
    for moves_back in [false, true] {
        let (mut stream, _reader, _mapped) = Stream::first_in_memory();
        stream.stall(1, 60);
        let end = stream.end();
        end.update(false);
        if moves_back {
            end.move_back();
        }
        assert_eq!((end.depth(), end.held()), (59, 16));
        stream.egress = None;
        assert_eq!(stream.edge(["taken", "left", "overwritten"]), [1, 16, 60 - 1 - 16]);
    }
}

/// After evicted readers, their process is gone: the next process misses the same messages.
#[test]
fn a_process_that_is_gone_stays_evicted_until_the_next_one_confirms() {
    for evicted_before in [true, false] {
        let (mut stream, _reader, _mapped) = Stream::first_in_memory();
        if evicted_before {
            stream.stall(1, 40);
            stream.end().move_back();
        } else {
            stream.end().move_back();
            stream.stall(1, 40);
        }
        stream.emit(40..60);
        let end = stream.end();
        end.rewind(1);
        assert_eq!(end.next_item(), TapItem::Gap(60 - 16 - 1));
        assert!(matches!(end.next_item(), TapItem::Message(..)));
        assert_eq!((end.kept(), end.next()), (1, 44));
        end.advance();
        stream.emit(60..64);
        stream.end().release(45);
        stream.fill(64);
    }
}
