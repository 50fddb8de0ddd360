//! Rings in raw memory: refused layouts and headers, messages between two processes, eviction, and
//! false values from a peer.

#![allow(unsafe_code)]

use mycelium_core::doorbell::{Alarm, WakePath};
use mycelium_core::ring::broadcast::{
    Broadcast, Claim, HeapStorage, Layout, LayoutError, Peek, Storage,
};
use mycelium_core::ring::region::{
    ALIGNMENT, CursorRegion, DataRegion, ForeignData, ForeignRing, Import, Kind, Memory,
    RegionError, RingIdentity, TopicStorage, cursor_words, data_words, words_at,
};

use crate::pages::{ENTRIES, IDENTITY, Pages, READERS, Shared, WORD, memory, proxy};

const SMALL: Layout = Layout::exact(4, WORD);

#[test]
fn what_does_not_fit_is_refused() {
    let pages = Pages::new(data_words(SMALL, ENTRIES));
    let refused = |layout| pages.data(layout).map(|_| ()).unwrap_err();
    for given in [0, 1, 3, usize::MAX] {
        let invalid = RegionError::Layout(LayoutError::Capacity { given });
        assert_eq!(refused(Layout::exact(given, 8)), invalid);
    }
    let (large, found) = (Layout::exact(1024, WORD), pages.words().len());
    let expected = data_words(large, ENTRIES).unwrap();
    assert_eq!(refused(large), RegionError::Size { expected, found });
    for bytes in [usize::MAX, usize::MAX / 4] {
        for layout in [Layout::exact(4, bytes), Layout::up_to(4, bytes)] {
            for layout in [layout, layout.in_lines()] {
                assert!(matches!(refused(layout), RegionError::TooLarge | RegionError::Layout(_)));
            }
        }
    }
    // SAFETY: refused.
    let unaligned = unsafe { DataRegion::create(&pages.words()[1..], SMALL, ENTRIES, IDENTITY) };
    let expected = RegionError::Alignment { expected: ALIGNMENT, found: WORD };
    assert_eq!(unaligned.map(|_| ()).unwrap_err(), expected);
    assert_eq!((data_words(SMALL, usize::MAX), cursor_words(usize::MAX)), (None, None));
    let needed = cursor_words(READERS).unwrap();
    let words = &pages.words()[..needed - 1];
    // SAFETY: refused.
    let short = unsafe { CursorRegion::create(words, SMALL, READERS, IDENTITY) };
    let expected = RegionError::Size { expected: needed, found: needed - 1 };
    assert_eq!(short.map(|_| ()).unwrap_err(), expected);
}

#[test]
fn each_wrong_header_field_is_named() {
    // In their order, one for each word.
    let mut fields = vec![
        "magic",
        "layout version",
        "kind",
        "word size",
        "alignment",
        "capacity",
        "message bytes",
        "length mark",
        "slot words",
        "arena words",
        "number of entries",
        "size",
    ];
    fields.extend(["epoch"].repeat(8 / WORD));
    fields.extend(["digest"].repeat(16 / WORD));
    let pages = Pages::new(data_words(SMALL, ENTRIES));
    for (index, expected) in fields.into_iter().enumerate() {
        for lie in [0, 7, 64, 1 << (usize::BITS - 1), usize::MAX] {
            pages.cursors(SMALL).unwrap();
            pages.set(index, lie);
            match (expected, pages.foreign_cursors(SMALL).map(|_| ())) {
                // Invalid values, or values that do not fit other fields.
                ("capacity" | "message bytes", Err(_))
                | ("number of entries", Err(RegionError::TooLarge)) => {}
                ("number of entries", Err(RegionError::Field { field, .. })) => {
                    assert!(matches!(field, "size" | "number of entries"), "{field}");
                }
                ("length mark" | "arena words", Ok(())) => assert_eq!(lie, 0, "unchanged"),
                (_, Err(RegionError::Field { field, found, .. })) => {
                    assert_eq!((field, found), (expected, lie));
                }
                (field, found) => panic!("{field} is {lie}: {found:?}"),
            }
        }
    }
    assert!(ForeignData::attach(&pages.words()[..3], IDENTITY).is_err());
}

#[test]
fn a_region_of_another_ring_is_refused() {
    let (data, own, ours) = memory(SMALL);
    assert_eq!((ours.storage().layout(), ours.storage().identity()), (SMALL, IDENTITY));
    own.cursors(SMALL).unwrap();
    let (expected, found) = (Kind::Data as usize, Kind::Cursors as usize);
    let kind = RegionError::Field { field: "kind", expected, found };
    assert_eq!(ForeignData::attach(own.clone(), IDENTITY).map(|_| ()).unwrap_err(), kind);
    let named = |result: Result<(), RegionError>| match result {
        Err(RegionError::Field { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let attach = |identity| ForeignData::attach(data.clone(), identity).map(|_| ());
    assert_eq!(attach(IDENTITY), Ok(()));
    assert_eq!(named(attach(RingIdentity { epoch: 4, ..IDENTITY })), "epoch");
    assert_eq!(named(attach(RingIdentity { digest: [0; 16], ..IDENTITY })), "digest");

    let claim = proxy(&ours).claim();
    let theirs = ForeignData::attach(data.clone(), IDENTITY).unwrap();
    assert_eq!((theirs.layout(), theirs.readers()), (SMALL, ENTRIES));
    let cursors = own.cursors(Layout::exact(8, WORD)).unwrap();
    assert!(ForeignRing::new(theirs, cursors, Some(claim)).is_err(), "a region of another ring");
}

/// A reader of a closed ring has read everything, evicted or not.
#[test]
fn the_end_comes_before_an_eviction() {
    let (data, own, ours) = memory(SMALL);
    let mut writer = Broadcast::producer(&ours).unwrap();
    let proxy = proxy(&ours);
    let theirs = data.theirs(&own, proxy.claim());
    let mut reader = Broadcast::gating(&theirs).unwrap();
    writer.try_push(&[7], WORD).unwrap();
    writer.close();
    drop(proxy);
    let mut word = [0];
    assert!(matches!(reader.peek(&mut word), Peek::Message { .. }));
    reader.advance();
    assert_eq!(reader.peek(&mut word), Peek::Closed);
}

#[test]
fn both_sides_are_rung_once_for_each_sleep() {
    let (data, own, ours) = memory(SMALL);
    let theirs = data.theirs(&own, proxy(&ours).claim());
    let cursors = own.foreign_cursors(SMALL).unwrap();
    let (writers, readers) = (Alarm::new(), [Alarm::new(), Alarm::new()]);
    let data = theirs.storage().data();
    let reader = |entry| theirs.storage().cursors().asleep(entry).unwrap();
    let both = || [data.rings(&writers), cursors.rings(1, &readers[1])].map(|it| it.is_some());
    assert_eq!(both(), [false; 2]);
    for _ in 0..2 {
        ours.storage().asleep().sleep();
        reader(1).sleep();
        assert_eq!(both(), [true; 2]);
        assert_eq!(both(), [false; 2], "rung already");
        assert!(cursors.rings(0, &readers[0]).is_none(), "another reader sleeps");
        reader(1).sleep();
        assert!(cursors.rings(1, &readers[1]).is_some(), "it has looked, and sleeps again");
        ours.storage().asleep().wake();
        reader(1).wake();
        assert!(!reader(1).is_asleep());
    }
    assert!(cursors.rings(READERS, &readers[0]).is_none(), "no such reader");
    let rung = || {
        let mut rung = Vec::new();
        cursors.ring_all(&readers, |path| rung.push(path));
        rung
    };
    assert_eq!(rung(), [], "all are awake");
    (0..2).for_each(|entry| reader(entry).sleep());
    assert_eq!(rung(), [WakePath::Thread], "once for all");
    assert_eq!(rung(), [], "rung already");
    let last = WakePath::Socket(WakePath::SOCKETS - 1);
    reader(0).sleep_by(last);
    reader(1).sleep();
    assert_eq!(rung(), [WakePath::Thread, last]);
    reader(0).sleep();
    assert_eq!(rung(), [last], "by the path of the sleep before");
    reader(0).sleep_by(WakePath::Socket(0));
    reader(1).sleep_by(WakePath::Socket(0));
    assert_eq!(rung(), [WakePath::Socket(0)]);
    reader(0).sleep_by(WakePath::Socket(WakePath::SOCKETS));
    assert_eq!(rung(), [WakePath::Thread], "no such socket");
    assert!(theirs.storage().cursors().asleep(READERS).is_none());
}

/// A writer may jump half of all sequences ahead, and then the other half: its observers get two
/// gaps, each as large as the jump.
#[test]
fn a_writer_that_jumps_makes_gaps() {
    let (data, own, ours) = memory(SMALL);
    let theirs = data.theirs(&own, proxy(&ours).claim());
    let index_of = |address: usize| (address - data.words().as_ptr().addr()) / WORD;
    // The writer's words begin with its position; a slot of this layout is a stamp and a word.
    let tail = index_of(std::ptr::from_ref(ours.storage().writer()).addr());
    let slots = index_of(ours.storage().slots().as_ptr().addr());
    let mut observer = Broadcast::observing_shown(&theirs, None).unwrap();
    let half = 1 << (usize::BITS - 1);
    for from in [0, half] {
        assert_eq!(observer.cursor(), from);
        let to = from.wrapping_add(half);
        data.set(tail, to);
        for slot in 0..4 {
            data.set(slots + 2 * slot, to.wrapping_add(if slot == 0 { 0 } else { 100 }));
        }
        assert_eq!(observer.peek(&mut [0]), Peek::Gap { missed: half });
    }
}

#[test]
fn an_address_becomes_words() {
    let pages = Pages::new(data_words(SMALL, ENTRIES));
    let (start, count) = (pages.words().as_ptr().cast(), pages.words().len());
    // SAFETY: these words live as long as `pages`, with atomic accesses only.
    let words = unsafe { words_at(start, count) };
    // SAFETY: nothing else writes to them.
    assert!(unsafe { DataRegion::create(words, SMALL, ENTRIES, IDENTITY) }.is_ok());
    assert!(ForeignData::attach(words, IDENTITY).is_ok());
}

/// No other process reads the ring.
struct Nobody;

impl Import for Nobody {
    fn refresh(&self, _: bool, _: &mut dyn FnMut(Claim, Option<usize>)) {}
}

#[test]
fn a_storage_may_be_foreign_by_its_value() {
    let here = TopicStorage::<Shared, Nobody>::Heap(HeapStorage::new(SMALL, 1).unwrap());
    let here = Broadcast::new(here, SMALL).unwrap();
    let mut writer = Broadcast::producer(&here).unwrap();
    let mut reader = Broadcast::gating(&here).unwrap();
    writer.try_push(&[7], WORD).unwrap();
    assert_eq!(reader.read(1).map(|messages| messages.count()), Some(1), "its own memory");
    assert!(reader.retaining().can_borrow());

    let (data, own, ours) = memory(SMALL);
    let mut writer = Broadcast::producer(&ours).unwrap();
    writer.try_push(&[8], WORD).expect("before the other process attaches");
    let proxy = proxy(&ours);
    let there = data.foreign_ring(&own, proxy.claim());
    let there = TopicStorage::<_, Nobody>::Foreign(there);
    let there = Broadcast::new(there, SMALL).unwrap().starting_at(9);
    assert!(Broadcast::producer(&there).is_none(), "its writer is in the other process");
    let mut reader = Broadcast::gating(&there).unwrap();
    assert_eq!(reader.cursor(), 1, "the ring is not changed");
    writer.try_push(&[9], WORD).unwrap();
    let mut word = [0];
    assert!(reader.read(1).is_none());
    assert_eq!(reader.peek(&mut word), Peek::Message { sequence: 1, length: WORD });
    assert_eq!(word, [9]);
    assert!(proxy.evict() && reader.is_evicted());
    let reader = reader.retaining();
    assert!(!reader.can_borrow() && reader.borrow(1, 1).is_none());
}
