//! Rings in raw memory: what is refused, what comes through, and what a lying peer can do.

#![allow(unsafe_code)]

use mycelium_core::ring::broadcast::{Broadcast, LayoutError, Look, Word};
use mycelium_core::ring::region::{
    ALIGNMENT, Field, Kind, Pair, READER_WORDS, ReaderRegion, RegionError, WriterRegion,
    broadcast_words, spsc_words, words_at,
};
use mycelium_core::ring::spsc::Spsc;
use mycelium_core::ring::{CapacityError, PopError, PushError};

const WORD: usize = size_of::<usize>();

/// Memory of any process, with plain access for the tests.
#[repr(align(256))]
struct Pages<const N: usize>([Word; N]);

impl<const N: usize> Pages<N> {
    fn new() -> Pages<N> {
        Pages([const { Word::new() }; N])
    }

    /// Writes a word, as the other process does.
    fn set(&self, index: usize, value: usize) {
        self.0[index].set(value);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let pages = Pages::<256>::new();
    let refused = |words, capacity, bytes| {
        WriterRegion::broadcast(words, capacity, bytes).map(|_| ()).unwrap_err()
    };
    let invalid = |given| RegionError::Spsc(CapacityError::Invalid { given });
    for given in [0, 1, 3, usize::MAX] {
        assert_eq!(refused(&pages.0, given, 8), invalid(given));
    }
    let expected = broadcast_words(128, 8);
    assert_eq!(refused(&pages.0, 128, 8), RegionError::Size { expected, found: 256 });
    let most = LayoutError::LONGEST;
    let too_long = LayoutError::Message { given: most + 1, most };
    assert_eq!(refused(&pages.0, 4, most + 1), RegionError::Broadcast(too_long));
    assert_eq!(
        refused(&pages.0, CapacityError::MOST, most),
        RegionError::Size { expected: None, found: 256 }
    );
    assert_eq!(
        refused(&pages.0[1..], 4, 8),
        RegionError::Alignment { expected: ALIGNMENT, found: WORD }
    );
    assert_eq!(spsc_words::<u64>(CapacityError::MOST), None);
    assert!(WriterRegion::spsc::<()>(&pages.0, 4).is_err(), "items without a size");
}

#[test]
fn each_lie_of_a_header_is_named() {
    let pages = Pages::<256>::new();
    let fields = [
        Field::Magic,
        Field::Version,
        Field::Kind,
        Field::WordSize,
        Field::Alignment,
        Field::Capacity,
        Field::MessageBytes,
        Field::ItemAlignment,
        Field::Size,
    ];
    for (index, expected) in fields.into_iter().enumerate() {
        WriterRegion::broadcast(&pages.0, 4, 8).unwrap();
        for lie in [0, 7, 64, 1 << (usize::BITS - 1), usize::MAX] {
            pages.set(index, lie);
            let found = WriterRegion::attach(&pages.0).map(|_| ());
            match (expected, found) {
                // A value that no ring has, or one that another field does not fit.
                (Field::Capacity, Err(RegionError::Spsc(_) | RegionError::Size { .. })) => {}
                (
                    Field::MessageBytes,
                    Err(RegionError::Broadcast(_) | RegionError::Size { .. }),
                ) => {}
                (Field::Capacity | Field::MessageBytes, Err(RegionError::Field { field, .. })) => {
                    assert_eq!(field, Field::Size);
                }
                (_, Err(RegionError::Field { field, found, .. })) => {
                    assert_eq!((field, found), (expected, lie));
                }
                (Field::MessageBytes, Ok(())) => assert_eq!(lie, 7, "a slot has whole words"),
                (Field::ItemAlignment, Ok(())) => assert_eq!(lie, 64, "an alignment may be larger"),
                (field, found) => panic!("{field} is {lie}: {found:?}"),
            }
        }
    }
    assert!(WriterRegion::attach(&pages.0[..3]).is_err());
}

#[test]
fn a_region_of_another_ring_is_refused() {
    let (data, cursor) = (Pages::<256>::new(), Pages::<128>::new());
    let ring = WriterRegion::broadcast(&data.0, 4, 8).unwrap();
    assert_eq!((ring.kind(), ring.capacity(), ring.message_bytes()), (Kind::Broadcast, 4, 8));
    ReaderRegion::create(&cursor.0, &ring).unwrap();
    assert!(matches!(
        WriterRegion::attach(&cursor.0),
        Err(RegionError::Field { field: Field::Kind, .. })
    ));
    assert!(Pair::<u64>::ring(ring, ReaderRegion::attach(&cursor.0, &ring).unwrap()).is_err());
    let other = WriterRegion::broadcast(&data.0, 8, 8).unwrap();
    assert_eq!(
        ReaderRegion::attach(&cursor.0, &other).map(|_| ()).unwrap_err(),
        RegionError::Field { field: Field::Capacity, expected: 8, found: 4 }
    );
    let items = WriterRegion::spsc::<u32>(&data.0, 4).unwrap();
    let reader = ReaderRegion::create(&cursor.0, &items).unwrap();
    assert!(matches!(
        Pair::<u64>::ring(items, reader).map(|_| ()),
        Err(RegionError::Field { field: Field::MessageBytes, expected: 8, found: 4 })
    ));
    assert!(items.with([]).is_err());
}

#[test]
fn messages_come_through_two_regions() {
    let (data, cursor) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    let (ours, theirs) =
        (WriterRegion::broadcast(&data.0, 4, 8).unwrap(), WriterRegion::attach(&data.0).unwrap());
    let theirs = theirs.with([ReaderRegion::create(&cursor.0, &theirs).unwrap()]).unwrap();
    let ours = ours.with([ReaderRegion::attach(&cursor.0, &ours).unwrap()]).unwrap();
    assert!(Broadcast::shared_producer(&ours).is_none(), "each word has one writer");
    let mut writer = Broadcast::producer(&ours).unwrap();
    let mut gating = Broadcast::gating(&theirs).unwrap();
    let mut observing = Broadcast::observing(&theirs);
    let mut word = [0];
    for sequence in 0..20 {
        writer.try_push(&[sequence + 100], WORD).unwrap();
        assert_eq!(gating.look(&mut word), Look::Message { sequence, length: WORD });
        assert_eq!(word, [sequence + 100]);
        gating.advance();
    }
    assert_eq!(observing.look(&mut word), Look::Gap { missed: 16 });
    for _ in 0..4 {
        writer.try_push(&[0], WORD).unwrap();
    }
    assert_eq!(writer.try_push(&[0], WORD).unwrap_err().reader, 0);
    writer.close();
    for _ in 0..4 {
        assert!(matches!(gating.look(&mut word), Look::Message { .. }));
        gating.advance();
    }
    assert_eq!(gating.look(&mut word), Look::Closed);
    assert_eq!(ours.high_water(), 4);
}

#[test]
fn items_come_through_two_regions() {
    let (data, cursor) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    type Item = [u8; 11];
    let ours = WriterRegion::spsc::<Item>(&data.0, 8).unwrap();
    let theirs = WriterRegion::attach(&data.0).unwrap();
    let theirs =
        Pair::<Item>::ring(theirs, ReaderRegion::create(&cursor.0, &theirs).unwrap()).unwrap();
    let ours = Pair::<Item>::ring(ours, ReaderRegion::attach(&cursor.0, &ours).unwrap()).unwrap();
    let count = if cfg!(miri) { 50 } else { 20_000u32 };
    let item = |number: u32| {
        let mut item = [7; 11];
        item[4..8].copy_from_slice(&number.to_le_bytes());
        item
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = Spsc::producer(&ours).unwrap();
            for number in 0..count {
                while writer.try_push(item(number)).is_err() {
                    std::thread::yield_now();
                }
            }
            writer.close();
        });
        let mut reader = Spsc::consumer(&theirs).unwrap();
        let mut next = 0;
        loop {
            match reader.try_pop() {
                Ok(found) => {
                    assert_eq!(found, item(next));
                    next += 1;
                }
                Err(PopError::Empty) => std::thread::yield_now(),
                Err(PopError::Closed) => break,
            }
        }
        assert_eq!(next, count);
    });
}

#[test]
fn lies_of_a_peer_are_clamped() {
    let (data, cursor) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    let ring = WriterRegion::broadcast(&data.0, 4, 8).unwrap();
    let ring = ring.with([ReaderRegion::create(&cursor.0, &ring).unwrap()]).unwrap();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    let owned = ALIGNMENT.max(16 * WORD) / WORD;
    for lie in [usize::MAX, 1 << (usize::BITS - 1), 5, 0] {
        cursor.set(owned, lie);
        // Full, or the lying reader is passed: nobody else is hurt.
        let pushed = (0..8).filter(|_| writer.try_push(&[1], WORD).is_ok()).count();
        assert!(pushed <= 8);
    }
    let mut word = [0];
    // The stamps are true, the lengths are not.
    let slots = owned + 2 * ALIGNMENT / WORD;
    (0..4).for_each(|slot| data.set(slots + 3 * slot + 1, usize::MAX));
    assert!(matches!(reader.look(&mut word), Look::Gap { .. }), "it was passed");
    let Look::Message { length, .. } = reader.look(&mut word) else { panic!("it was left") };
    assert_eq!(length, WORD, "a length that no slot has");
    for index in (owned..256).step_by(if cfg!(miri) { 16 } else { 1 }) {
        for lie in [usize::MAX, usize::MAX / 2, usize::MAX / 2 + 2, 1] {
            data.set(index, lie);
            for _ in 0..3 {
                if let Look::Message { length, .. } = reader.look(&mut word) {
                    assert!(length <= 8, "a length that no slot has");
                }
                reader.advance();
                reader.skip_to_latest();
                let _ = (reader.depth(), ring.high_water(), ring.depth());
            }
        }
    }
}

#[test]
fn a_ring_whose_positions_lie_ends() {
    let (data, cursor) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    let region = WriterRegion::spsc::<u64>(&data.0, 8).unwrap();
    let ring =
        Pair::<u64>::ring(region, ReaderRegion::create(&cursor.0, &region).unwrap()).unwrap();
    let mut writer = Spsc::producer(&ring).unwrap();
    let mut reader = Spsc::consumer(&ring).unwrap();
    let owned = ALIGNMENT.max(16 * WORD) / WORD;
    for lie in [usize::MAX, 1 << (usize::BITS - 1), 9, 3] {
        data.set(owned, lie);
        assert!((0..20).filter(|_| reader.try_pop().is_ok()).count() <= 20);
        assert!(reader.ready() <= 8 && ring.len() <= 8);
        cursor.set(owned, lie);
        let full =
            (0..20).filter(|_| matches!(writer.try_push(1), Err(PushError::Full(_)))).count();
        assert!(full <= 20);
    }
    drop((writer, reader));
    data.set(owned, usize::MAX / 2);
    // Dropping the ring does not walk from one position to the other.
    drop(ring);
}

/// An end goes as far as it has seen that it may, and not as far as it had seen before.
#[test]
fn positions_that_go_back_lead_nobody_outside() {
    let (data, cursor) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    let region = WriterRegion::spsc::<u64>(&data.0, 8).unwrap();
    let ring =
        Pair::<u64>::ring(region, ReaderRegion::create(&cursor.0, &region).unwrap()).unwrap();
    let mut writer = Spsc::producer(&ring).unwrap();
    let mut reader = Spsc::consumer(&ring).unwrap();
    let owned = ALIGNMENT.max(16 * WORD) / WORD;
    let items = [7; 64];

    assert!(writer.try_push(1).is_ok());
    cursor.set(owned, 1_usize.wrapping_sub(6));
    assert_eq!(writer.room(), 2, "the reader says that there are six");
    assert!((0..6).filter(|_| writer.try_push(1).is_ok()).count() <= 2);
    assert!(writer.push_slice(&items) <= 8);

    data.set(owned, 8);
    assert!(reader.try_pop().is_ok());
    data.set(owned, 2);
    assert_eq!(reader.ready(), 1, "the writer says that there is one more");
    assert!((0..6).filter(|_| reader.try_pop().is_ok()).count() <= 1);
    assert!(reader.pop_slice(&mut [0; 64]).unwrap_or(0) <= 8);
}

#[test]
fn an_address_becomes_words() {
    let pages = Pages::<256>::new();
    // SAFETY: 256 words, which live as long as `pages`, and which only atomic accesses reach.
    let words = unsafe { words_at(pages.0.as_ptr().cast(), 256) };
    assert!(WriterRegion::broadcast(words, 4, 8).is_ok());
}
