//! Rings between two processes, at random and at full speed: an oracle, readers that are evicted
//! while they copy, and peers that write any value. Both processes are threads here, or one thread.

#![allow(unsafe_code)]
// Atomics that stop threads. They are not under test.
#![allow(clippy::disallowed_types)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use mycelium_core::doorbell::Alarm;
use mycelium_core::ring::broadcast::{
    Broadcast, Claim, Consumer, Layout, Peek, Producer, ProxyReader, ReaderWords, Storage, Word,
    WriterWords,
};
use mycelium_core::ring::region::{DataRegion, ForeignCursors, cursor_words, data_words};
use proptest::prelude::*;

use crate::cases::cases;
use crate::pages::{ENTRIES, Pages, READERS, Theirs, WORD, proxy};

/// The storage of the publisher's process: it imports the positions of all processes.
#[derive(Debug)]
struct Ours {
    data: DataRegion<Arc<Pages>>,
    attached: Mutex<Vec<(Claim, ForeignCursors<Arc<Pages>>)>>,
}

// SAFETY: the parts of a region that stays.
unsafe impl Storage for Ours {
    fn slots(&self) -> &[Word] {
        self.data.slots()
    }

    fn writer(&self) -> &WriterWords {
        self.data.writer()
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.data.reader(index)
    }

    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>)) {
        for (claim, cursors) in &*self.attached.lock().unwrap() {
            import(*claim, cursors.position(exact));
        }
    }
}

type Ring = Arc<Broadcast<Ours>>;
type Foreign = Arc<Theirs>;

fn ring(layout: Layout, start: usize) -> Ring {
    let data = Pages::new(data_words(layout, ENTRIES)).data(layout).unwrap();
    let ring = Broadcast::new(Ours { data, attached: Mutex::default() }, layout).unwrap();
    Arc::new(ring.starting_at(start))
}

/// Another process attaches: its ring, and the proxy that stands for it in this one.
fn attach(ring: &Ring) -> (Foreign, ProxyReader<Ring>) {
    let proxy = proxy(ring.clone());
    let own = Pages::new(cursor_words(READERS));
    let theirs = ring.storage().data.memory().theirs(&own, proxy.claim());
    let cursors = own.foreign_cursors(ring.layout()).unwrap();
    ring.storage().attached.lock().unwrap().push((proxy.claim(), cursors));
    (Arc::new(theirs), proxy)
}

/// The other process is gone.
fn detach(ring: &Ring, proxy: ProxyReader<Ring>) {
    let claim = proxy.claim();
    drop(proxy);
    ring.storage().attached.lock().unwrap().retain(|(other, _)| *other != claim);
}

/// Different words for each message.
fn content(sequence: usize, words: usize) -> Vec<usize> {
    (0..words).map(|word| sequence.wrapping_mul(31).wrapping_add(word)).collect()
}

fn push(writer: &mut Producer<Ring>) -> bool {
    let layout = writer.ring().layout();
    let words = content(writer.sequence(), layout.message_bytes() / WORD);
    writer.try_push(&words, layout.message_bytes()).is_ok()
}

/// The next message, which must be whole.
fn take(reader: &mut Consumer<Foreign>, words: &mut [usize]) -> Peek {
    let (found, next) = (reader.peek(words), reader.cursor());
    if let Peek::Message { sequence, length } = found {
        assert_eq!((sequence, length), (next, words.len() * WORD));
        assert_eq!(words, content(sequence, words.len()), "a torn message");
        reader.advance();
    }
    found
}

#[derive(Clone, Debug)]
enum Operation {
    Push,
    Take(usize),
    Join,
    JoinAt(usize),
    Leave(usize),
    TakeHere,
    Import(bool),
    Evict,
    Attach,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => Just(Operation::Push),
        8 => (0..READERS).prop_map(Operation::Take),
        2 => Just(Operation::Join),
        1 => (0..4_usize).prop_map(Operation::JoinAt),
        1 => (0..READERS).prop_map(Operation::Leave),
        4 => Just(Operation::TakeHere),
        2 => any::<bool>().prop_map(Operation::Import),
        1 => Just(Operation::Evict),
        1 => Just(Operation::Attach),
    ]
}

/// Runs the operations, and compares all results with counters.
fn run(layout: Layout, start: usize, operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let capacity = layout.capacity();
    let ring = ring(layout, start);
    let mut writer = Broadcast::producer(ring.clone()).unwrap();
    let mut local = Broadcast::gating(ring.clone()).unwrap();
    let (mut theirs, mut proxy) = attach(&ring);
    let mut readers: Vec<Consumer<Foreign>> = Vec::new();
    let (mut pushed, mut local_next, mut evicted) = (0, 0, false);
    // What the writer may know of the other process: its position never moves backwards.
    let mut kept = 0;
    let mut words = vec![0; layout.message_bytes() / WORD];
    let at = |sequence: usize| start.wrapping_add(sequence);
    for operation in operations {
        let slowest = readers.iter().map(|reader| reader.cursor().wrapping_sub(start)).min();
        match operation {
            Operation::Push => {
                let held = if evicted { pushed } else { slowest.unwrap_or(pushed).max(kept) };
                let fits = pushed - held.min(local_next) < capacity;
                prop_assert_eq!(push(&mut writer), fits);
                pushed += usize::from(fits);
                kept = kept.max(proxy.kept().wrapping_sub(start));
            }
            Operation::Take(index) => {
                let Some(reader) = readers.get_mut(index) else { continue };
                let next = reader.cursor().wrapping_sub(start);
                let expected = match take(reader, &mut words) {
                    Peek::Message { .. } => next < pushed && pushed - next <= capacity,
                    Peek::Empty => next == pushed && !evicted,
                    found => evicted && found == Peek::Evicted,
                };
                prop_assert!(expected);
            }
            Operation::Join => {
                if let Some(reader) = Broadcast::gating(theirs.clone()) {
                    prop_assert_eq!(reader.cursor(), at(pushed));
                    readers.push(reader);
                }
            }
            Operation::JoinAt(ahead) => {
                let first = (kept + ahead).min(pushed);
                if first >= proxy.kept().wrapping_sub(start) {
                    readers.extend(Broadcast::gating_from(theirs.clone(), at(first)));
                }
            }
            Operation::Leave(index) => {
                if index < readers.len() {
                    readers.swap_remove(index);
                }
            }
            Operation::TakeHere => {
                if let Some(messages) = local.read(1) {
                    prop_assert_eq!(messages.sequence(), at(local_next));
                    local_next += 1;
                    messages.release(1);
                }
            }
            Operation::Import(exact) => {
                let attached = ring.storage().attached.lock().unwrap();
                proxy.import(|| attached[0].1.position(exact));
                if !evicted {
                    kept = slowest.unwrap_or(pushed).max(kept);
                }
                prop_assert_eq!(proxy.kept(), at(kept));
                prop_assert_eq!(proxy.depth(), (pushed - kept).min(capacity));
            }
            Operation::Evict => {
                prop_assert_eq!(proxy.evict(), !evicted);
                evicted = true;
            }
            Operation::Attach => {
                readers.clear();
                detach(&ring, proxy);
                (theirs, proxy) = attach(&ring);
                (evicted, kept) = (false, pushed);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(2))]

    #[test]
    fn two_processes_agree_with_counters(
        operations in prop::collection::vec(operation(), 0..80),
        start in prop_oneof![Just(0), Just(usize::MAX - 20), Just(usize::MAX / 2 - 20)],
        words in 1..10_usize,
        kind in 0..4_usize,
    ) {
        let layout = if kind & 1 == 0 { Layout::exact } else { Layout::up_to }(4, words * WORD);
        run(if kind & 2 == 0 { layout } else { layout.in_lines() }, start, operations)?;
    }
}

/// A writer that evicts each reader that blocks it, and readers in another process that are too
/// slow: they get whole messages, or learn that they were evicted.
#[test]
fn an_evicted_reader_never_gets_a_torn_message() {
    let count = if cfg!(miri) { 16 } else { 20_000 };
    for words in if cfg!(miri) { [3, 5] } else { [7, 400] } {
        let ring = ring(Layout::exact(4, words * WORD).in_lines(), 0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (ring, stop) = (&ring, &stop);
            scope.spawn(move || {
                let mut writer = Broadcast::producer(ring.clone()).unwrap();
                for _ in 0..count {
                    let (length, number) = (words * WORD, writer.sequence());
                    while let Err(full) = writer.try_push(&content(number, words), length) {
                        ring.evict(full.reader);
                    }
                }
                stop.store(true, Ordering::Release);
            });
            scope.spawn(move || {
                let mut message = vec![0; words];
                while !stop.load(Ordering::Acquire) {
                    let (theirs, proxy) = attach(ring);
                    let mut readers = [(); 2].map(|()| Broadcast::gating(theirs.clone()).unwrap());
                    while !stop.load(Ordering::Acquire) {
                        let found = readers.each_mut().map(|reader| take(reader, &mut message));
                        if found == [Peek::Evicted; 2] {
                            break;
                        }
                    }
                    drop(readers);
                    detach(ring, proxy);
                }
            });
        });
    }
}

/// Numbers that hit limits.
fn number(seed: &mut usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005_u64 as usize).wrapping_add(1_442_695_041);
    let (random, small) = (*seed >> 8, *seed % 16);
    [random, small, usize::MAX - small, (1 << (usize::BITS - 1)) - 8 + small][random % 4]
}

/// A process writes any value into any word that it may write, while the other one uses them.
#[test]
fn any_values_of_a_process_harm_nobody_else() {
    let count = if cfg!(miri) { 8 } else { 20_000 };
    let layout = Layout::up_to(4, 3 * WORD).in_lines();
    let (good, bad) = (ring(layout, 0), ring(layout, 0));
    let (stop, alarm) = (AtomicBool::new(false), Alarm::new());
    let (_theirs, proxy) = attach(&good);
    let spoilt = good.storage().attached.lock().unwrap()[0].1.clone();
    let (reading, _bad_proxy) = attach(&bad);
    std::thread::scope(|scope| {
        let (stop, spoilt, bad) = (&stop, &spoilt, &bad);
        // The cursor region of one process, the data region of another one.
        scope.spawn(move || {
            let mut seed = 1;
            while !stop.load(Ordering::Acquire) {
                spoilt.memory().set(number(&mut seed), number(&mut seed));
                let data = bad.storage().data.memory();
                data.set(number(&mut seed), number(&mut seed));
                if cfg!(miri) {
                    std::thread::yield_now();
                }
            }
        });
        let mut writer = Broadcast::producer(good.clone()).unwrap();
        let mut local = Broadcast::gating(good.clone()).unwrap();
        let mut message = [0; 3];
        for sequence in 0..count {
            while !push(&mut writer) {
                proxy.import(|| spoilt.position(true));
                // A process may stop, but this one soon writes something else.
                if cfg!(miri) && writer.find_room().is_err() {
                    proxy.evict();
                }
            }
            let found = Peek::Message { sequence, length: 3 * WORD };
            assert_eq!(local.peek(&mut message), found, "the messages of another reader");
            assert_eq!(message[..], content(sequence, 3));
            local.advance();
            let _ = (spoilt.rings(sequence % 4, &alarm), spoilt.gating(), proxy.depth());
            assert!(good.depth() <= 4 && good.high_water() <= 4);

            let gating = Broadcast::gating(reading.clone()).unwrap();
            let from = Broadcast::gating_from(reading.clone(), sequence).unwrap();
            let observing = Broadcast::observing(reading.clone());
            for mut reader in [gating, from, observing] {
                for _ in 0..2 {
                    if let Peek::Message { length, .. } = reader.peek(&mut message) {
                        assert!(length <= 3 * WORD, "a length that no slot has");
                    }
                    reader.advance();
                    reader.skip_to_latest();
                    let _ = (reader.depth(), reader.is_waiting(), reading.depth());
                }
            }
        }
        stop.store(true, Ordering::Release);
    });
}
