//! The caches see every access: every byte of a message appears in the counts.

use std::cell::Cell;
use std::sync::Arc;

use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::sync::lines::{Access, Kind as Does, report, watch};
use mycelium_line_tests::caches::LINE;
use mycelium_line_tests::machine::Machine;
use mycelium_line_tests::place::at_offset;
use mycelium_line_tests::subjects::Kind;

thread_local! {
    static LOADED: Cell<usize> = const { Cell::new(0) };
    static STORED: Cell<usize> = const { Cell::new(0) };
}

fn add_up(access: Access) {
    match access.kind {
        Does::Load => LOADED.set(LOADED.get() + access.bytes),
        Does::Store => STORED.set(STORED.get() + access.bytes),
        Does::LoadAhead | Does::StoreAhead => {}
    }
}

#[test]
fn every_byte_of_a_message_is_stored_and_loaded() {
    for kind in Kind::ALL {
        let subject = kind.make();
        watch(Some(add_up));
        STORED.set(0);
        let sent: usize = (subject.writers.iter()).map(|end| end.poll_until(usize::MAX)).sum();
        let stored = STORED.get();
        LOADED.set(0);
        let taken: usize = (subject.readers.iter()).map(|end| end.poll_until(usize::MAX)).sum();
        let loaded = LOADED.get();
        watch(None);
        assert_eq!((sent, taken), (subject.capacity, subject.capacity), "{}", kind.name());
        let least = sent * kind.bytes();
        assert!(stored >= least, "{}: {stored} of {least} bytes stored", kind.name());
        assert!(loaded >= least, "{}: {loaded} of {least} bytes loaded", kind.name());
    }
}

#[test]
fn batches_and_borrowed_items_are_seen() {
    let ring = Arc::new(spsc::Boxed::<u64>::with_capacity(8).expect("a capacity"));
    let mut writer = Spsc::producer(ring.clone()).expect("the only one");
    let mut reader = Spsc::consumer(ring).expect("the only one");
    watch(Some(add_up));
    let stored = |run: &mut dyn FnMut()| {
        STORED.set(0);
        run();
        STORED.get()
    };
    let loaded = |run: &mut dyn FnMut()| {
        LOADED.set(0);
        run();
        LOADED.get()
    };
    assert!(stored(&mut || assert_eq!(writer.push_slice(&[1, 2, 3, 4, 5, 6]), Ok(6))) >= 48);
    let mut items = [0; 4];
    assert!(loaded(&mut || assert_eq!(reader.pop_slice(&mut items), Ok(4))) >= 32);
    let granted = stored(&mut || {
        let mut grant = writer.grant(4).expect("there is room");
        (7..11).for_each(|item| grant.push(item).expect("granted"));
        grant.commit();
    });
    assert!(granted >= 32, "{granted}");
    let items = reader.read(6).expect("there are six");
    let in_slices = loaded(&mut || {
        let (before, after) = items.as_slices();
        assert_eq!([before, after].concat(), [5, 6, 7, 8, 9, 10]);
    });
    assert!(in_slices >= 48, "{in_slices}");
    assert!(loaded(&mut || assert_eq!(items.iter().copied().sum::<u64>(), 45)) >= 48);
    watch(None);
}

/// A writer fills a ring, then a reader empties it: each core requests each line of the messages at
/// least once.
#[test]
fn every_line_of_a_message_is_requested_on_both_sides() {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_for_many()) {
        let subject = kind.make();
        let _machine = Machine::new(2, 100_000);
        let sent = Machine::on(0, || subject.writers[0].poll_until(usize::MAX));
        assert_eq!(sent, subject.capacity, "{}", kind.name());
        let taken = Machine::on(1, || subject.readers[0].poll_until(usize::MAX));
        assert_eq!(taken, sent, "{}", kind.name());
        let lines = (sent * kind.bytes()).div_ceil(LINE) as u64;
        let counts = Machine::counts();
        for (core, counts) in counts.iter().enumerate() {
            let requests = counts.reads + counts.owns;
            assert!(requests >= lines, "{} on core {core}: {requests} of {lines}", kind.name());
        }
        // All lines that the reader read came from the writer's cache.
        assert!(counts[1].transfers >= lines, "{}: {:?}", kind.name(), counts[1]);
    }
}

/// Each word and each piece of an item is a separate access, at which a script can stop the push.
#[test]
fn a_push_can_be_stopped_between_its_stores() {
    for (kind, least) in
        [(Kind::Emit, 5), (Kind::Broadcast, 5), (Kind::Stamped, 5), (Kind::Spsc, 2)]
    {
        let subject = kind.make();
        let _machine = Machine::new(2, 128);
        let mut stops = 0;
        loop {
            Machine::stop(0, stops, Box::new(|| {}));
            assert!(Machine::on(0, || subject.writers[0].poll_until(1)) == 1);
            if Machine::not_stopped().is_some() {
                break;
            }
            stops += 1;
        }
        assert!(stops >= least, "{}: {stops}", kind.name());
    }
}

#[test]
fn prefetches_are_requests() {
    let _machine = Machine::new(2, 8);
    let mut next = 0;
    let mut ask = |core, kind| {
        Machine::on(core, || report(kind, next * LINE, 1));
        Machine::on(1 - core, || report(kind, next * LINE, 1));
        next += 1;
    };
    ask(0, Does::LoadAhead);
    ask(1, Does::StoreAhead);
    let counts = Machine::counts();
    assert_eq!((counts[0].reads, counts[0].owns, counts[0].transfers), (1, 1, 1));
    assert_eq!((counts[1].reads, counts[1].owns, counts[1].transfers), (1, 1, 1));
}

#[test]
fn an_access_over_two_lines_is_two() {
    let _machine = Machine::new(2, 8);
    Machine::on(0, || report(Does::Store, LINE - 8, 16));
    assert_eq!(Machine::counts()[0].owns, 2);
}

#[test]
fn counts_do_not_depend_on_other_allocations() {
    use mycelium_line_tests::scripts::{Script, cost};

    let count = || cost(&|| Kind::Broadcast.make(), Script::AtTheHeels);
    let alone = count();
    let _others: Vec<Vec<u8>> = (0..100).map(|size| at_offset(8, || vec![0; size])).collect();
    assert_eq!(count(), alone);
}
