//! The broadcast ring on one thread: gating readers block the writer, observers get the number of
//! missed messages.

use mycelium_core::ring::broadcast::{
    Broadcast, Consumer, InlineStorage, Layout, LayoutError, Peek,
};

const CAPACITY: usize = 4;
const BYTES: usize = 2 * size_of::<usize>();
const LAYOUT: Layout = Layout::exact(CAPACITY, BYTES);
const WORDS: usize = LAYOUT.words();
type Ring = Broadcast<InlineStorage<WORDS, 2>>;

fn ring() -> Ring {
    Broadcast::new(InlineStorage::new(), LAYOUT).unwrap()
}

fn content(sequence: usize) -> [usize; 2] {
    [sequence.wrapping_mul(31), !sequence]
}

/// Takes the next message, which must be `sequence`.
fn take(reader: &mut Consumer<&Ring>, sequence: usize) {
    let mut words = [0; 2];
    assert_eq!(reader.peek(&mut words), Peek::Message { sequence, length: BYTES });
    assert_eq!(words, content(sequence));
    assert!(reader.advance());
}

pub(crate) fn a_gating_reader_holds_the_writer() {
    let ring = ring();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    for sequence in 0..CAPACITY {
        assert_eq!(writer.try_push(&content(sequence), BYTES), Ok(sequence));
    }
    let full = writer.try_push(&content(99), BYTES).unwrap_err();
    assert_eq!(Some(full.reader), reader.claim());
    assert_eq!(reader.depth(), CAPACITY);
    take(&mut reader, 0);
    assert_eq!(writer.try_push(&content(CAPACITY), BYTES), Ok(CAPACITY));
    for sequence in 1..=CAPACITY {
        take(&mut reader, sequence);
    }
    assert_eq!(reader.peek(&mut [0; 2]), Peek::Empty);
}

pub(crate) fn a_grant_that_is_dropped_publishes_nothing() {
    let ring = ring();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    writer.grant().unwrap().write(&[7, 7], BYTES);
    assert_eq!(reader.peek(&mut [0; 2]), Peek::Empty);
    let mut grant = writer.grant().unwrap();
    grant.write(&content(0), BYTES);
    assert_eq!(grant.commit(), 0);
    take(&mut reader, 0);
}

pub(crate) fn an_observer_gets_the_exact_number_of_missed_messages() {
    const SENT: usize = if cfg!(miri) { 103 } else { 1_003 };
    let ring = ring();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut observer = Broadcast::observing(&ring);
    for sequence in 0..SENT {
        writer.try_push(&content(sequence), BYTES).unwrap();
    }
    assert_eq!(observer.peek(&mut [0; 2]), Peek::Gap { missed: SENT - CAPACITY });
    for sequence in SENT - CAPACITY..SENT {
        take(&mut observer, sequence);
    }
    assert_eq!(observer.peek(&mut [0; 2]), Peek::Empty);
}

pub(crate) fn readers_join_and_leave() {
    let ring = ring();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let first = Broadcast::gating(&ring).unwrap();
    let second = Broadcast::gating(&ring).unwrap();
    assert!(Broadcast::gating(&ring).is_none(), "there are two entries");
    for sequence in 0..CAPACITY {
        writer.try_push(&content(sequence), BYTES).unwrap();
    }
    drop(first);
    assert!(writer.try_push(&content(CAPACITY), BYTES).is_err(), "the other is still there");
    drop(second);
    writer.try_push(&content(CAPACITY), BYTES).unwrap();
    let mut late = Broadcast::gating(&ring).unwrap();
    assert_eq!(late.peek(&mut [0; 2]), Peek::Empty, "it starts at what comes next");
    writer.try_push(&content(CAPACITY + 1), BYTES).unwrap();
    take(&mut late, CAPACITY + 1);
}

pub(crate) fn the_writers_end_is_handed_over() {
    let ring = ring();
    let mut reader = Broadcast::gating(&ring).unwrap();
    for sequence in 0..3 {
        let mut writer = Broadcast::producer(&ring).unwrap();
        assert!(Broadcast::producer(&ring).is_none(), "one writer at a time");
        assert_eq!(writer.try_push(&content(sequence), BYTES), Ok(sequence));
        take(&mut reader, sequence);
    }
}

pub(crate) fn a_closed_ring_is_drained() {
    let ring = ring();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    writer.try_push(&content(0), BYTES).unwrap();
    writer.close();
    assert!(Broadcast::producer(&ring).is_none());
    take(&mut reader, 0);
    assert_eq!(reader.peek(&mut [0; 2]), Peek::Closed);
}

pub(crate) fn wraps_around_many_times() {
    let ring = ring();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut gating = Broadcast::gating(&ring).unwrap();
    let mut observing = Broadcast::observing(&ring);
    for sequence in 0..100 * CAPACITY {
        writer.try_push(&content(sequence), BYTES).unwrap();
        take(&mut gating, sequence);
        take(&mut observing, sequence);
    }
}

pub(crate) fn invalid_layouts_are_refused() {
    let refuse = |capacity| {
        let layout = Layout::exact(capacity, BYTES);
        Broadcast::new(InlineStorage::<WORDS, 1>::new(), layout).map(|_| ()).unwrap_err()
    };
    for given in [0, 1, 3, usize::MAX] {
        assert_eq!(refuse(given), LayoutError::Capacity { given });
    }
    let expected = 2 * WORDS;
    assert_eq!(refuse(8), LayoutError::Slots { expected, found: WORDS });
    let most = 1 << (usize::BITS - 1);
    assert_eq!(refuse(most), LayoutError::TooLarge);
}
