//! Rings in raw memory: refused layouts and headers, messages between two regions, and false values
//! from a peer.

#![allow(unsafe_code)]

use mycelium_core::ring::CapacityError;
use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek, Word};
use mycelium_core::ring::region::{
    ALIGNMENT, Field, READER_WORDS, ReaderRegion, RegionError, WriterRegion, words_at, writer_words,
};

const WORD: usize = size_of::<usize>();
const SMALL: Layout = Layout::exact(4, WORD);

/// Memory that both processes map, with plain access for the tests.
#[repr(align(256))]
struct Pages<const N: usize>([Word; N]);

impl<const N: usize> Pages<N> {
    fn new() -> Pages<N> {
        Pages([const { Word::new() }; N])
    }

    /// Writes a word, like the other process.
    fn set(&self, index: usize, value: usize) {
        // SAFETY: rings in regions allow that another process writes these words.
        unsafe { self.0[index].set(value) };
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let pages = Pages::<256>::new();
    let refused = |words, layout| WriterRegion::create(words, layout).map(|_| ()).unwrap_err();
    for given in [0, 1, 3, usize::MAX] {
        let invalid = RegionError::Capacity(CapacityError::Invalid { given });
        assert_eq!(refused(&pages.0, Layout::exact(given, 8)), invalid);
    }
    let large = Layout::exact(128, WORD);
    let expected = writer_words(large).unwrap();
    assert_eq!(refused(&pages.0, large), RegionError::Size { expected, found: 256 });
    for bytes in [usize::MAX, usize::MAX / 4] {
        for layout in [Layout::exact(4, bytes), Layout::up_to(4, bytes)] {
            assert_eq!(refused(&pages.0, layout), RegionError::TooLarge);
        }
    }
    assert_eq!(
        refused(&pages.0[1..], SMALL),
        RegionError::Alignment { expected: ALIGNMENT, found: WORD }
    );
}

#[test]
fn each_wrong_header_field_is_named() {
    let pages = Pages::<256>::new();
    let fields = [
        Field::Magic,
        Field::Version,
        Field::Kind,
        Field::WordSize,
        Field::Alignment,
        Field::Capacity,
        Field::MessageBytes,
        Field::HasLength,
        Field::Size,
    ];
    for (index, expected) in fields.into_iter().enumerate() {
        WriterRegion::create(&pages.0, SMALL).unwrap();
        for lie in [0, 7, 64, 1 << (usize::BITS - 1), usize::MAX] {
            pages.set(index, lie);
            let found = WriterRegion::attach(&pages.0).map(|_| ());
            match (expected, found) {
                // An invalid value, or one that does not fit another field.
                (
                    Field::Capacity,
                    Err(
                        RegionError::Capacity(_) | RegionError::Size { .. } | RegionError::TooLarge,
                    ),
                )
                | (Field::MessageBytes, Err(RegionError::Size { .. } | RegionError::TooLarge)) => {}
                (Field::Capacity | Field::MessageBytes, Err(RegionError::Field { field, .. })) => {
                    assert_eq!(field, Field::Size);
                }
                (_, Err(RegionError::Field { field, found, .. })) => {
                    assert_eq!((field, found), (expected, lie));
                }
                (Field::MessageBytes, Ok(())) => assert_eq!(lie, 7, "a slot has whole words"),
                (Field::HasLength, Ok(())) => assert_eq!(lie, 0, "unchanged"),
                (field, found) => panic!("{field} is {lie}: {found:?}"),
            }
        }
    }
    assert!(WriterRegion::attach(&pages.0[..3]).is_err());
}

#[test]
fn a_region_of_another_ring_is_refused() {
    let (data, cursor) = (Pages::<256>::new(), Pages::<128>::new());
    let ring = WriterRegion::create(&data.0, SMALL).unwrap();
    assert_eq!(ring.layout(), SMALL);
    ReaderRegion::create(&cursor.0, &ring).unwrap();
    assert!(matches!(
        WriterRegion::attach(&cursor.0),
        Err(RegionError::Field { field: Field::Kind, .. })
    ));
    let other = WriterRegion::create(&data.0, Layout::exact(8, WORD)).unwrap();
    assert_eq!(
        ReaderRegion::attach(&cursor.0, &other).map(|_| ()).unwrap_err(),
        RegionError::Field { field: Field::Capacity, expected: 8, found: 4 }
    );
    let reader = ReaderRegion::create(&cursor.0, &ring).unwrap();
    assert!(other.with([reader]).is_err(), "a reader's region of another ring");
}

#[test]
fn messages_come_through_two_regions() {
    let (data, cursor) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    let (ours, theirs) =
        (WriterRegion::create(&data.0, SMALL).unwrap(), WriterRegion::attach(&data.0).unwrap());
    let theirs = theirs.with([ReaderRegion::create(&cursor.0, &theirs).unwrap()]).unwrap();
    let ours = ours.with([ReaderRegion::attach(&cursor.0, &ours).unwrap()]).unwrap();
    let mut writer = Broadcast::producer(&ours).unwrap();
    let mut gating = Broadcast::gating(&theirs).unwrap();
    let mut observing = Broadcast::observing(&theirs);
    let mut word = [0];
    for sequence in 0..20 {
        writer.try_push(&[sequence + 100], WORD).unwrap();
        assert_eq!(gating.peek(&mut word), Peek::Message { sequence, length: WORD });
        assert_eq!(word, [sequence + 100]);
        gating.advance();
    }
    assert_eq!(observing.peek(&mut word), Peek::Gap { missed: 16 });
    for _ in 0..4 {
        writer.try_push(&[0], WORD).unwrap();
    }
    assert_eq!(writer.try_push(&[0], WORD).unwrap_err().reader, 0);
    writer.close();
    for _ in 0..4 {
        assert!(matches!(gating.peek(&mut word), Peek::Message { .. }));
        gating.advance();
    }
    assert_eq!(gating.peek(&mut word), Peek::Closed);
    assert_eq!(ours.high_water(), 4);
}

#[test]
fn false_values_of_a_peer_are_clamped() {
    let (data, cursor) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    let ring = WriterRegion::create(&data.0, Layout::up_to(4, WORD)).unwrap();
    let ring = ring.with([ReaderRegion::create(&cursor.0, &ring).unwrap()]).unwrap();
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    let owned = ALIGNMENT.max(16 * WORD) / WORD;
    for lie in [usize::MAX, 1 << (usize::BITS - 1), 5, 0] {
        cursor.set(owned, lie);
        // The ring is full, or the faulty reader is passed: no other end is affected.
        let pushed = (0..8).filter(|_| writer.try_push(&[1], WORD).is_ok()).count();
        assert!(pushed <= 8);
    }
    let mut word = [0];
    // The stamps are correct, the lengths are not.
    let slots = owned + 2 * ALIGNMENT / WORD;
    (0..4).for_each(|slot| data.set(slots + 3 * slot + 1, usize::MAX));
    assert!(matches!(reader.peek(&mut word), Peek::Gap { .. }), "it was passed");
    let Peek::Message { length, .. } = reader.peek(&mut word) else { panic!("it was left") };
    assert_eq!(length, WORD, "a length that no slot has");
    for index in (owned..256).step_by(if cfg!(miri) { 16 } else { 1 }) {
        for lie in [usize::MAX, usize::MAX / 2, usize::MAX / 2 + 2, 1] {
            data.set(index, lie);
            for _ in 0..3 {
                if let Peek::Message { length, .. } = reader.peek(&mut word) {
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
fn an_address_becomes_words() {
    let pages = Pages::<256>::new();
    // SAFETY: 256 words, which live as long as `pages`, with atomic accesses only.
    let words = unsafe { words_at(pages.0.as_ptr().cast(), 256) };
    assert!(WriterRegion::create(words, SMALL).is_ok());
}
