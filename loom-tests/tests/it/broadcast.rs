//! The broadcast ring under loom: publish and read, wrap-around, observers that are overwritten,
//! joining a running ring.

use std::task::Poll;

use loom::sync::Arc;
use loom::thread;
use mycelium_core::doorbell::{Doorbell, announce};
use mycelium_core::ring::broadcast::{
    Broadcast, BroadcastHandle, Consumer, HeapStorage, InlineStorage, Layout, Peek, Producer,
};
use mycelium_loom_tests::task::{Task, finish};
use mycelium_loom_tests::{beside, content, look, models, read};

const CAPACITY: usize = 2;
const LAYOUT: Layout = Layout::exact(CAPACITY, 16);
const WORDS: usize = LAYOUT.words();
type Ring = Arc<Broadcast<InlineStorage<WORDS, 1>>>;

fn ring() -> Ring {
    Arc::new(Broadcast::new(InlineStorage::new(), LAYOUT).unwrap())
}

/// Creates the writer and a gating reader of a new ring.
fn ends() -> (Producer<Ring>, Consumer<Ring>) {
    let ring = ring();
    (Broadcast::producer(ring.clone()).unwrap(), Broadcast::gating(ring).unwrap())
}

fn push_all<H: BroadcastHandle>(producer: &mut Producer<H>, sequences: core::ops::Range<usize>) {
    for sequence in sequences {
        while producer.try_push(&content(sequence), 16).is_err() {
            thread::yield_now();
        }
    }
}

fn publish_and_read() {
    let (mut producer, mut reader) = ends();
    let writer = thread::spawn(move || {
        push_all(&mut producer, 0..2);
        producer.close();
    });
    assert_eq!((read(&mut reader, false), reader.cursor()), (Peek::Closed, 2));
    writer.join().unwrap();
}

/// Pushes four messages through two slots, the first `before` of them before the writer's thread
/// starts. The reader publishes its position after `lag` messages or when it finds nothing. The
/// writer never uses a slot before the reader has finished with it, and finally gets the room.
fn around_the_end(lag: usize, before: usize) {
    let (mut producer, reader) = ends();
    let mut reader = reader.with_lag(lag);
    push_all(&mut producer, 0..before);
    let writer = thread::spawn(move || push_all(&mut producer, before..4));
    let (mut next, mut missed) = (0, 0);
    while next < 4 {
        look(&mut reader, &mut next, &mut missed);
    }
    assert_eq!(missed, 0, "a gating reader was passed");
    writer.join().unwrap();
}

fn observer_is_passed() {
    let ring = ring();
    let mut producer = Broadcast::producer(ring.clone()).unwrap();
    let mut observer = Broadcast::observing(ring);
    let writer = thread::spawn(move || {
        push_all(&mut producer, 0..3);
        producer.close();
    });
    let (mut next, mut missed, mut taken) = (0, 0, 0);
    loop {
        match look(&mut observer, &mut next, &mut missed) {
            Peek::Closed => break,
            Peek::Message { .. } => taken += 1,
            _ => {}
        }
    }
    assert_eq!(taken + missed, 3, "sent = taken + dropped");
    writer.join().unwrap();
}

/// The ring has no entry yet: the reader adds one. The writer never uses an entry that is not
/// complete.
fn join_into_a_ring_that_grows() {
    let storage = HeapStorage::growing(LAYOUT, 0, 1).unwrap();
    join_into(Arc::new(Broadcast::new(storage, LAYOUT).unwrap()), push_each);
}

/// The writer stores its position once for several messages.
fn join_while_a_batch_is_pushed() {
    join_into(ring(), |producer| {
        let mut next = 1;
        while next < 4
            && let Ok(done) = producer.push_all(16, (next..4).map(content))
        {
            next += done;
        }
    });
}

fn push_each<H: BroadcastHandle>(producer: &mut Producer<H>) {
    _ = (1..4).all(|sequence| producer.try_push(&content(sequence), 16).is_ok());
}

/// The writer has used its room up to the end of a lap when a gating reader joins. The reader must
/// get every message from its start on: it is never passed, and sees no gap. `push` pushes messages
/// 1 to 3, as far as there is room.
fn join_into<H: BroadcastHandle + Clone + Send + 'static>(ring: H, push: fn(&mut Producer<H>))
where
    H::Storage: Sync,
{
    let mut producer = Broadcast::producer(ring.clone()).unwrap();
    push_all(&mut producer, 0..1);
    let writer = thread::spawn(move || {
        push(&mut producer);
        producer.close();
    });
    let mut reader = Broadcast::gating(ring).unwrap();
    assert!(reader.cursor() >= 1, "the join does not see an earlier message");
    assert_eq!(read(&mut reader, false), Peek::Closed, "a gating reader was passed");
    writer.join().unwrap();
}

/// A new reader never makes the writer wait for room that it does not need: the writer sees the
/// reader together with its first position, and then the position where it starts. The reader joins
/// on the first thread: it loads the state before it stores it, which would hide an earlier load of
/// the writer from loom's search.
fn a_new_reader_leaves_room() {
    let ring = ring();
    let mut producer = Broadcast::producer(ring.clone()).unwrap();
    push_all(&mut producer, 0..2);
    let writer = thread::spawn(move || {
        assert!(producer.try_push(&content(2), 16).is_ok(), "refused while a reader joins");
        producer
    });
    let reader = Broadcast::gating(ring).unwrap();
    let mut producer = writer.join().unwrap();
    for sequence in 3..reader.cursor() + CAPACITY {
        assert!(producer.try_push(&content(sequence), 16).is_ok(), "refused after the join");
    }
}

/// Two readers join a ring that grows to two entries: each gets an entry of its own.
fn two_readers_add_entries() {
    let storage = HeapStorage::growing(LAYOUT, 0, 2).unwrap();
    let ring = Arc::new(Broadcast::new(storage, LAYOUT).unwrap());
    let other = beside(&ring, Broadcast::gating);
    let here = Broadcast::gating(ring).expect("there are two entries");
    let there = other.join().unwrap().expect("there are two entries");
    assert_ne!(here.entry(), there.entry());
}

/// The slots of a reader that has left are used for the next message, and its entry for the next
/// reader. The writer may still see the old reader in the entry, and must not overwrite messages
/// that it had borrowed: a gating reader loads words plainly, and the checker reports a store that
/// comes too early.
fn an_entry_changes_hands() {
    let ring = ring();
    let mut producer = Broadcast::producer(ring.clone()).unwrap();
    let mut first = Broadcast::gating(ring.clone()).unwrap();
    push_all(&mut producer, 0..2);
    let writer = thread::spawn(move || _ = producer.try_push(&content(2), 16));
    let second = thread::spawn(move || {
        let second = Broadcast::gating(ring);
        assert!(second.is_none_or(|second| second.cursor() >= 2));
    });
    let mut words = [0; 2];
    assert!(matches!(first.peek(&mut words), Peek::Message { sequence: 0, .. }));
    assert_eq!(words, content(0));
    drop(first);
    writer.join().unwrap();
    second.join().unwrap();
}

/// Messages that are borrowed in place stay complete until they are released, which is late.
fn borrowed_in_place() {
    let (mut producer, reader) = ends();
    let mut reader = reader.with_lag(2);
    let writer = thread::spawn(move || push_all(&mut producer, 0..3));
    let mut next = 0;
    while next < 3 {
        let Some(messages) = reader.read(2) else {
            thread::yield_now();
            continue;
        };
        for message in messages.iter() {
            let word = size_of::<usize>();
            let first = usize::from_ne_bytes(message[..word].try_into().unwrap());
            assert_eq!(first, content(next)[0]);
            next += 1;
        }
        messages.release(2);
    }
    writer.join().unwrap();
}

/// A task takes one message of two, does not publish its position, and rings. The writer that waits
/// for room loads the exact position after it has parked: it never sleeps although there is room.
fn a_parked_writer_sees_the_exact_position() {
    let bell = Arc::new(Doorbell::new());
    let (mut producer, reader) = ends();
    let mut reader = reader.with_lag(2);
    push_all(&mut producer, 0..2);
    let writer = {
        let bell = bell.clone();
        let waits = std::future::poll_fn(move |context| {
            if producer.try_push(&content(2), 16).is_err() {
                bell.park(context.waker());
                if producer.find_room().is_err() {
                    return Poll::Pending;
                }
                assert!(producer.try_push(&content(2), 16).is_ok(), "there was room");
            }
            Poll::Ready(())
        });
        thread::spawn(move || Task::new(waits).run(2))
    };
    let (mut next, mut missed) = (0, 0);
    look(&mut reader, &mut next, &mut missed);
    announce();
    bell.ring();
    let writer = writer.join().unwrap();
    let _ = finish(vec![writer]);
    look(&mut reader, &mut next, &mut missed);
    look(&mut reader, &mut next, &mut missed);
    assert_eq!((next, missed), (3, 0));
}

/// Retained messages are complete when they are read again, even while the writer runs; released
/// messages make room.
fn retained_messages_stay() {
    let (mut producer, reader) = ends();
    let mut reader = reader.retaining();
    push_all(&mut producer, 0..2);
    let writer = thread::spawn(move || push_all(&mut producer, 2..4));
    let mut next = 0;
    while next < 4 {
        let mut words = [0; 2];
        if reader.peek(&mut words) == Peek::Empty {
            // All messages in the ring are retained: one must be released.
            reader.release(reader.kept() + 1);
            thread::yield_now();
            continue;
        }
        assert_eq!(words, content(next));
        assert!(reader.advance());
        next += 1;
        reader.rewind(reader.kept());
        for sequence in reader.kept()..next {
            assert_eq!(reader.peek(&mut words), Peek::Message { sequence, length: 16 });
            assert_eq!(words, content(sequence), "a kept message is gone");
            assert!(reader.advance());
        }
    }
    writer.join().unwrap();
}

/// Borrowed slots stay complete until they are released, although many messages are written at a
/// time.
fn slots_borrowed_in_place() {
    let (mut producer, reader) = ends();
    let mut reader = reader.retaining();
    let writer = thread::spawn(move || {
        let items = [content(0), content(1), content(2)].concat();
        let mut done = 0;
        while done < 3 {
            match producer.push_items(&items[2 * done..], 2, 0) {
                Ok(count) => done += count,
                Err(_) => thread::yield_now(),
            }
        }
    });
    let mut next = 0;
    while next < 3 {
        let ready = reader.ready(2);
        if ready == 0 {
            thread::yield_now();
            continue;
        }
        reader.pass(ready);
        let [one, two] = reader.borrow(next, ready).expect("it is kept");
        for (slot, sequence) in one.chunks(3).chain(two.chunks(3)).zip(next..) {
            assert_eq!(slot[1..], content(sequence), "it is not whole");
        }
        next += ready;
        reader.release(next);
    }
    writer.join().unwrap();
}

/// The next writer continues where the previous one stopped.
fn hand_over() {
    let ring = ring();
    let mut first = Broadcast::producer(ring.clone()).unwrap();
    let second = thread::spawn(move || {
        if let Some(second) = Broadcast::producer(ring) {
            assert_eq!(second.sequence(), 1, "a message would be overwritten");
        }
    });
    push_all(&mut first, 0..1);
    drop(first);
    second.join().unwrap();
}

models! {
    publish_and_read [2] {
        fails_with_a_relaxed_publish: "broadcast.publish",
        fails_with_a_relaxed_look: "broadcast.look",
        fails_with_a_relaxed_close: "broadcast.close",
        fails_with_a_relaxed_closed: "broadcast.closed",
    }
    wrap_around [2] = around_the_end(1, 0) {
        fails_with_a_relaxed_publish: "broadcast.publish",
        fails_with_a_relaxed_advance: "broadcast.advance",
        fails_with_a_relaxed_look_for_room: "broadcast.room",
    }
    an_entry_changes_hands [3] {
        fails_with_a_relaxed_first_cursor: "broadcast.advance",
        fails_with_a_relaxed_leave: "broadcast.leave",
        fails_with_a_relaxed_claim: "broadcast.claim",
        fails_with_a_relaxed_look_at_the_readers: "broadcast.readers",
    }
    a_position_is_shown_late [2] = around_the_end(2, 2) {
        fails_with_a_relaxed_advance: "broadcast.advance",
    }
    borrowed_in_place [2] {
        fails_with_a_relaxed_advance: "broadcast.advance",
        fails_with_a_relaxed_look: "broadcast.look",
    }
    a_parked_writer_sees_the_exact_position [3] {
        fails_with_a_relaxed_take: "broadcast.take",
        fails_without_the_announcement: "doorbell.announce",
    }
    observer_is_passed [2] {
        fails_without_the_overwrite_fence: "broadcast.overwrite-fence",
        fails_without_the_recheck_fence: "broadcast.recheck-fence",
    }
    join_into_a_running_ring [2] = join_into(ring(), push_each) {
        fails_without_the_join_fence: "broadcast.join-fence",
        fails_without_the_room_fence: "broadcast.room-fence",
    }
    join_into_a_ring_that_grows [2] {
        fails_with_a_relaxed_new_entry: "broadcast.grow",
        fails_with_a_relaxed_look_for_entries: "broadcast.grown",
        fails_without_the_fence_of_the_join: "broadcast.join-fence",
        fails_without_the_fence_before_the_entries: "broadcast.room-fence",
    }
    a_new_reader_leaves_room [2] {
        fails_with_a_relaxed_join: "broadcast.join",
        fails_with_a_relaxed_look_at_the_readers: "broadcast.readers",
    }
    two_readers_add_entries [2] {}
    join_while_a_batch_is_pushed [2] {
        fails_without_the_join_fence: "broadcast.join-fence",
        fails_without_the_room_fence: "broadcast.room-fence",
    }
    retained_messages_stay [2] {}
    slots_borrowed_in_place [2] {
        fails_with_a_relaxed_publish: "broadcast.publish",
        fails_with_a_relaxed_look: "broadcast.look",
        fails_with_a_relaxed_take: "broadcast.take",
    }
    hand_over [2] {
        fails_with_a_relaxed_hand_over: "broadcast.hand-over",
        fails_with_a_relaxed_take_over: "broadcast.take-over",
    }
}
