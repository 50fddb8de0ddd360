//! The caches see every access: every byte of a message appears in the counts.

use std::cell::Cell;
use std::sync::Arc;

use mycelium_core::ring::broadcast::{Broadcast, Consumer, Layout};
use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::sync::lines::{Access, Kind as Does, report, watch};
use mycelium_line_tests::caches::LINE;
use mycelium_line_tests::machine::Machine;
use mycelium_line_tests::subjects::{ALL, BROADCAST, STAMPED};

thread_local! {
    static LOADED: Cell<usize> = const { Cell::new(0) };
    static STORED: Cell<usize> = const { Cell::new(0) };
    static LAST: Cell<usize> = const { Cell::new(0) };
    static AHEAD: Cell<usize> = const { Cell::new(0) };
}

/// Returns how many bytes `run` loads, and how many it stores.
fn moved(run: impl FnOnce()) -> (usize, usize) {
    let add_up = |access: Access| match access.kind {
        Does::Load => LOADED.set(LOADED.get() + access.bytes),
        Does::Store => STORED.set(STORED.get() + access.bytes),
        Does::LoadAhead | Does::StoreAhead => {}
    };
    LOADED.set(0);
    STORED.set(0);
    watch(Some(add_up));
    run();
    watch(None);
    (LOADED.get(), STORED.get())
}

#[test]
fn every_byte_of_a_message_is_stored_and_loaded() {
    for kind in ALL {
        let (mut subject, name) = ((kind.make)(), kind.name);
        let whole = subject.capacity;
        let (_, stored) = moved(|| assert_eq!(subject.writer.repeat(usize::MAX), whole, "{name}"));
        let (loaded, _) = moved(|| assert_eq!(subject.reader.repeat(usize::MAX), whole, "{name}"));
        let least = whole * kind.bytes;
        assert!(stored >= least, "{name}: {stored} of {least} bytes stored");
        assert!(loaded >= least, "{name}: {loaded} of {least} bytes loaded");
    }
}

#[test]
fn batches_and_borrowed_items_are_seen() {
    let ring = Arc::new(spsc::Boxed::<u64>::with_capacity(8).expect("a capacity"));
    let mut writer = Spsc::producer(ring.clone()).expect("the only one");
    let mut reader = Spsc::consumer(ring).expect("the only one");
    assert!(moved(|| assert_eq!(writer.push_slice(&[1, 2, 3, 4, 5, 6]), Ok(6))).1 >= 48);
    assert!(moved(|| assert_eq!(reader.pop_slice(&mut [0; 4]), Ok(4))).0 >= 32);
    let (_, granted) = moved(|| {
        let mut grant = writer.grant(4).expect("there is room");
        (7..11).for_each(|item| grant.push(item).expect("granted"));
        grant.commit();
    });
    assert!(granted >= 32, "{granted}");
    let items = reader.read(6).expect("there are six");
    let (in_slices, _) = moved(|| {
        let (before, after) = items.as_slices();
        assert_eq!([before, after].concat(), [5, 6, 7, 8, 9, 10]);
    });
    assert!(in_slices >= 48, "{in_slices}");
    assert!(moved(|| assert_eq!(items.iter().copied().sum::<u64>(), 45)).0 >= 48);
}

/// Returns how many lines `run` prefetches that it has not just loaded or stored to.
fn prefetched(run: impl FnOnce()) -> usize {
    let add_up = |access: Access| {
        let line = access.start / LINE;
        match access.kind {
            Does::LoadAhead | Does::StoreAhead if line == LAST.get() => {}
            Does::LoadAhead | Does::StoreAhead => AHEAD.set(AHEAD.get() + 1),
            Does::Load | Does::Store => LAST.set(line),
        }
    };
    AHEAD.set(0);
    watch(Some(add_up));
    run();
    watch(None);
    AHEAD.get()
}

#[test]
fn ends_prefetch_if_the_other_one_is_far_away() {
    for kind in [BROADCAST, STAMPED] {
        let (mut subject, name) = ((kind.make)(), kind.name);
        let whole = subject.capacity;
        subject.writer.repeat(whole);
        let taken = prefetched(|| assert_eq!(subject.reader.repeat(whole / 2), whole / 2));
        let pushed = prefetched(|| assert_eq!(subject.writer.repeat(whole), whole / 2));
        assert!(taken > whole / 3 && pushed > whole / 3, "{name}: {taken}, {pushed} of {whole}");
        // The last eight would be lines that the reader has still to read.
        assert!(pushed <= whole / 2 - 8, "{name}: {pushed} of {whole}");
        let mut heels = |messages: usize| {
            prefetched(|| {
                for _ in 0..messages {
                    subject.reader.repeat(usize::MAX);
                    assert_eq!(subject.writer.repeat(1), 1, "{name}");
                }
            })
        };
        heels(whole);
        assert_eq!(heels(2 * whole), 0, "{name}");
    }
}

#[test]
fn a_reader_that_waits_at_the_heels_prefetches_nothing() {
    let (bytes, message) = (56, [7; 56 / size_of::<usize>()]);
    for gates in [true, false] {
        let ring = Arc::new(Broadcast::boxed(Layout::exact(64, bytes), 1).expect("a layout"));
        let mut writer = Broadcast::producer(ring.clone()).expect("the only writer");
        let gating = gates.then(|| Broadcast::gating(ring.clone()).expect("an entry"));
        let mut reader = gating.unwrap_or_else(|| Broadcast::observing(ring));
        let mut message_to = |reader: &mut Consumer<_>| {
            writer.try_push(&message, bytes).expect("there is room");
            reader.peek_exact(&mut [0; 7], bytes).expect("a message");
            reader.advance();
        };
        (0..64).for_each(|_| message_to(&mut reader));
        let found = prefetched(|| {
            for _ in 0..640 {
                assert!(reader.is_waiting());
                message_to(&mut reader);
            }
        });
        assert_eq!(found, 0, "gates: {gates}");
    }
}

#[test]
fn prefetches_are_requests_and_an_access_over_two_lines_is_two() {
    let _machine = Machine::new(2, 8);
    for (core, kind) in [(0, Does::LoadAhead), (1, Does::StoreAhead)] {
        Machine::on(core, || report(kind, core * LINE, 1));
        Machine::on(1 - core, || report(kind, core * LINE, 1));
    }
    for counts in Machine::counts() {
        assert_eq!((counts.reads, counts.owns, counts.transfers), (1, 1, 1));
    }
    Machine::on(0, || report(Does::Store, 3 * LINE - 8, 16));
    assert_eq!(Machine::counts()[0].owns, 3);
}
