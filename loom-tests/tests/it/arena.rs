//! The arena of a broadcast ring under loom: an observer copies while the writer laps the arena,
//! and a gating reader is never lapped, even if it joins while the arena wraps.

#![allow(unsafe_code)]

use loom::sync::{Arc, Mutex};
use loom::thread;
use mycelium_core::ring::broadcast::{
    ArenaWriter, Broadcast, CONTENT, Consumer, HeapStorage, Layout, Peek, Place, Producer,
};
use mycelium_loom_tests::{beside, content, models};

type Ring = Arc<Broadcast<HeapStorage>>;

/// Creates a ring of this capacity whose arena has room for two messages, and its writer.
fn ring(capacity: usize) -> (Ring, Writer) {
    let layout = Layout::exact(capacity, size_of::<[usize; CONTENT]>()).with_arena(32);
    let ring = Arc::new(Broadcast::new(HeapStorage::new(layout, 1).unwrap(), layout).unwrap());
    let producer = Broadcast::producer(ring.clone()).unwrap();
    let arena = ArenaWriter::new(&producer).unwrap();
    (ring, Writer { producer, arena })
}

struct Writer {
    producer: Producer<Ring>,
    arena: ArenaWriter,
}

impl Writer {
    /// Pushes the message of this sequence. Returns whether there was room.
    fn push(&mut self, sequence: usize) -> bool {
        self.arena.try_push(&mut self.producer, &content(sequence), 16, &[]).is_ok()
    }
}

/// Reads messages until the ring reports its end. Returns how many were taken and missed.
fn read(reader: &mut Consumer<Ring>) -> (usize, usize) {
    let (mut taken, mut missed, mut message) = (0, 0, [0; 2]);
    loop {
        // In place, by plain loads: the checker reports a store that comes too early.
        // SAFETY: the writer pushes what its `ArenaWriter` returns.
        if let Some(body) = unsafe { reader.borrow_body(0) } {
            let words = body.chunks(size_of::<usize>()).map(|word| word.try_into().unwrap());
            let words: Vec<_> = words.map(usize::from_ne_bytes).collect();
            assert_eq!(words, content(reader.cursor()), "a mixture was read");
            reader.advance_by(1);
            taken += 1;
            continue;
        }
        match reader.peek_body(&mut [0; CONTENT], &mut message) {
            Peek::Message { sequence, length } => {
                assert_eq!((sequence, length), (reader.cursor(), 16));
                assert_eq!(message, content(sequence), "a mixture was read");
                assert!(reader.advance());
                taken += 1;
            }
            Peek::Gap { missed: gap } => missed += gap,
            Peek::Empty => thread::yield_now(),
            Peek::Closed | Peek::Evicted => return (taken, missed),
        }
    }
}

/// The writer laps the arena while an observer copies.
fn observer_is_lapped(capacity: usize) {
    let (ring, mut writer) = ring(capacity);
    let mut observer = Broadcast::observing(ring);
    assert!(writer.push(0) && writer.push(1));
    let writing = thread::spawn(move || {
        assert!(writer.push(2));
        writer.producer.close();
    });
    let (taken, missed) = read(&mut observer);
    assert_eq!(taken + missed, 3, "sent = taken + dropped");
    writing.join().unwrap();
}

/// A gating reader joins when the arena is about to wrap. It gets every message from its start on.
fn a_reader_joins_while_the_arena_wraps() {
    let (ring, mut writer) = ring(4);
    assert!(writer.push(0));
    let writing = beside(&ring, move |_| {
        _ = (1..4).all(|sequence| writer.push(sequence));
        writer.producer.close();
    });
    let mut reader = Broadcast::gating(ring.clone()).unwrap();
    let start = reader.cursor();
    assert_eq!(read(&mut reader), (ring.tail() - start, 0), "a gating reader was lapped");
    writing.join().unwrap();
}

/// The writer waits for the bytes that a gating reader reads in place.
fn a_gating_reader_is_waited_for() {
    let (ring, mut writer) = ring(4);
    let mut reader = Broadcast::gating(ring).unwrap();
    let writing = thread::spawn(move || {
        for sequence in 0..4 {
            while !writer.push(sequence) {
                thread::yield_now();
            }
        }
        writer.producer.close();
    });
    assert_eq!(read(&mut reader), (4, 0), "a gating reader was lapped");
    writing.join().unwrap();
}

/// Two messages are written in place, by plain stores, while an observer joins at the oldest
/// message. The writer looks for observers under the lock under which they join, and for both
/// messages at once.
fn an_observer_joins_while_messages_are_written_in_place() {
    let (ring, mut writer) = ring(8);
    assert!(writer.push(0) && writer.push(1));
    // The newest message is never given up ahead, and takes nothing of the arena here.
    writer.arena.try_push(&mut writer.producer, &content(2)[..1], 8, &[]).unwrap();
    let observers = Arc::new(Mutex::new(0));
    let writing = beside(&observers, move |observers| {
        let Writer { producer, arena } = &mut writer;
        let (place, until) = arena.reserve_ahead(producer, 16).unwrap();
        let is_alone = *observers.lock().unwrap() == 0;
        let send = |arena: &mut ArenaWriter, producer: &mut _, place: Place, sequence| {
            match is_alone {
                // SAFETY: the place was reserved last. The only reader had not joined when all
                // bytes before `until` had been given up, and it joins under the lock.
                true => unsafe { place.write_in_place(producer, &content(sequence)) },
                false => arena.write(producer, place, 0, &content(sequence)),
            }
            arena.commit(producer, place, 16, &[]).unwrap();
        };
        send(arena, producer, place, 3);
        assert!(arena.end_of_next(16) <= until);
        let place = arena.reserve(producer, 16).unwrap();
        send(arena, producer, place, 4);
        writer.producer.close();
    });
    *observers.lock().unwrap() += 1;
    let (mut observer, mut message) = (Broadcast::observing_from(ring, 0), [0; 2]);
    loop {
        match observer.peek_body(&mut [0; CONTENT], &mut message) {
            Peek::Message { sequence, length } => {
                let words = ..length / 8;
                assert_eq!(message[words], content(sequence)[words], "a mixture was read");
                observer.advance();
            }
            Peek::Gap { .. } => {}
            _ => break,
        }
    }
    writing.join().unwrap();
}

models! {
    observer_is_lapped_before_its_slot [2] = observer_is_lapped(4) {
        fails_if_stamps_stay: "broadcast.give-up",
        fails_without_the_fence_before_the_bytes: "broadcast.arena-fence",
        fails_without_the_recheck_fence: "broadcast.recheck-fence",
    }
    observer_is_lapped_with_its_slot [2] = observer_is_lapped(2) {
        fails_if_stamps_stay: "broadcast.give-up",
        fails_without_the_fence_before_the_bytes: "broadcast.arena-fence",
        fails_without_the_recheck_fence: "broadcast.recheck-fence",
    }
    a_reader_joins_while_the_arena_wraps [2] {
        fails_without_the_join_fence: "broadcast.join-fence",
        fails_without_the_room_fence: "broadcast.room-fence",
    }
    an_observer_joins_while_messages_are_written_in_place [2] {
        fails_if_stamps_stay: "broadcast.give-up",
    }
    a_gating_reader_is_waited_for [2] {
        fails_with_a_relaxed_take: "broadcast.take",
        fails_with_a_relaxed_look_for_room: "broadcast.room",
    }
}
