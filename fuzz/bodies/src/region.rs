//! Rings in memory that a hostile process writes to: it cannot make this side panic, loop without
//! end, or report impossible values.

#![allow(unsafe_code)]

use mycelium_core::doorbell::Alarm;
use mycelium_core::ring::broadcast::{Broadcast, Claim, Layout, Peek, ProxyReader, Word};
use mycelium_core::ring::region::{
    CursorRegion, DataRegion, ForeignCursors, ForeignData, ForeignRing, RingIdentity,
};

use crate::shapes::Steps;

const CAPACITY: usize = 4;
/// The bytes of a message: a size that is not a multiple of a word.
const BYTES: usize = 12;
const LAYOUTS: [Layout; 4] = [
    Layout::exact(CAPACITY, BYTES),
    Layout::up_to(CAPACITY, BYTES),
    Layout::exact(CAPACITY, BYTES).in_lines(),
    Layout::up_to(CAPACITY, BYTES).in_lines(),
];
pub(crate) const IDENTITY: RingIdentity = RingIdentity { epoch: 1, digest: [2; 16] };
/// The number of entries in a data region; `READERS` is the number of entries in a cursor region.
const ENTRIES: usize = 2;
pub(crate) const READERS: usize = 3;

/// Memory that both sides map.
#[repr(align(256))]
pub(crate) struct Pages<const WORDS: usize = 256>([Word; WORDS]);

impl<const WORDS: usize> Pages<WORDS> {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Pages([const { Word::new() }; WORDS]))
    }

    pub(crate) fn words(&self) -> &[Word] {
        &self.0
    }

    pub(crate) fn data(&self, layout: Layout) -> Broadcast<DataRegion<&[Word]>> {
        // SAFETY: nothing else writes to the memory, or only where readers of other processes look.
        let region = unsafe { DataRegion::create(&self.0[..], layout, ENTRIES, IDENTITY) };
        Broadcast::new(region.expect("it fits"), layout).expect("a ring")
    }

    pub(crate) fn foreign<'a>(
        &'a self,
        own: &'a Self,
        claim: Claim,
    ) -> Option<Broadcast<ForeignRing<&'a [Word], &'a [Word]>>> {
        let data = ForeignData::attach(&self.0[..], IDENTITY).ok()?;
        let layout = data.layout();
        // SAFETY: nothing else writes to the memory.
        let cursors = unsafe { CursorRegion::create(&own.0[..], layout, READERS, IDENTITY) };
        let ring =
            ForeignRing::new(data, cursors.expect("it fits"), Some(claim)).expect("of this ring");
        Some(Broadcast::new(ring, layout).expect("a ring"))
    }
}

pub(crate) fn proxy<'a, 'b>(
    ring: &'b Broadcast<DataRegion<&'a [Word]>>,
) -> ProxyReader<&'b Broadcast<DataRegion<&'a [Word]>>> {
    let reader = Broadcast::gating(ring).expect("an entry is free").retaining();
    reader.into_proxy().expect("it is a gating reader")
}

/// Reads any bytes as a region, or as the steps of both sides of a ring: this side is correct, and
/// the peer writes any word.
pub fn region(data: &[u8]) {
    let Some((game, data)) = data.split_first() else { return };
    let layout = LAYOUTS[usize::from(game / 4 % 4)];
    match game % 4 {
        0 => any_bytes(data),
        1 => reader_of_a_hostile_writer(layout, Steps(data)),
        _ => writer_with_a_hostile_reader(layout, Steps(data)),
    }
}

impl Steps<'_> {
    /// Lets the peer write one of its words: a number, counted from `base`.
    pub(crate) fn spoil(&mut self, words: &[Word], base: usize) {
        let index = usize::from(self.next().unwrap_or(0)) % words.len();
        let value = base.wrapping_add(self.number());
        // SAFETY: this side only reads them, as those of another process.
        unsafe { words[index].set(value) };
    }
}

fn any_bytes(data: &[u8]) {
    let (pages, own) = (Pages::<256>::new(), Pages::new());
    for (word, bytes) in pages.0.iter().zip(data.chunks(size_of::<usize>())) {
        let mut whole = [0; size_of::<usize>()];
        whole[..bytes.len()].copy_from_slice(bytes);
        // SAFETY: no ring uses the words yet.
        unsafe { word.set(usize::from_ne_bytes(whole)) };
    }
    let cursors = ForeignCursors::attach(&pages.0[..], LAYOUTS[0], READERS, IDENTITY);
    let _ = cursors.map(|it| (it.position(true), it.observed(), it.gating()));
    let Some(ring) = pages.foreign(&own, Claim { entry: 0, generation: 1 }) else { return };
    // An accepted region fits into the memory.
    let layout = ring.layout();
    assert!(layout.capacity().is_power_of_two() && layout.capacity() < 256);
    let mut readers = [Broadcast::observing(&ring), Broadcast::gating(&ring).expect("free")];
    let mut message = vec![0; 2 + layout.message_bytes() / size_of::<usize>()];
    for reader in &mut readers {
        for _ in 0..8 {
            if let Peek::Message { length, .. } = reader.peek(&mut message) {
                assert!(length <= layout.message_bytes());
            }
            reader.advance();
        }
        reader.skip_to_latest();
    }
}

fn reader_of_a_hostile_writer(layout: Layout, mut steps: Steps<'_>) {
    let (data, own) = (Pages::<256>::new(), Pages::new());
    let theirs = data.data(layout);
    let proxy = proxy(&theirs);
    let ours = data.foreign(&own, proxy.claim()).expect("just made");
    let cursors = ForeignCursors::attach(&own.0[..], layout, READERS, IDENTITY);
    let cursors = cursors.expect("just made");
    let mut writer = Broadcast::producer(&theirs).expect("the only writer");
    let mut gating = Broadcast::gating(&ours).expect("the entry is free");
    let mut observing = Broadcast::observing(&ours);
    let mut shown = Broadcast::observing_shown(&ours, None).expect("an entry is free");
    let (mut message, alarm, mut evicted) = ([0; 3], Alarm::new(), false);
    while let Some(step) = steps.next() {
        let is_gating = step & 8 == 0;
        let reader = match step & 24 {
            8 => &mut observing,
            24 => &mut shown,
            _ => &mut gating,
        };
        match step % 8 {
            0 => _ = writer.try_push(&[1, 2], BYTES),
            1 => {
                proxy.import(|| cursors.position(!is_gating));
                assert!(cursors.observed().is_some(), "one shows its position");
            }
            2 | 3 => steps.spoil(&data.0, 0),
            4 => steps.spoil(&data.0, reader.cursor()),
            5 => assert!(reader.skip_to_latest() <= usize::MAX / 2),
            6 if step & 64 != 0 => {
                // The other process says at which sequence to begin.
                let mut late = Broadcast::gating_from(&ours, steps.number()).expect("one is left");
                while late.peek(&mut message) != Peek::Evicted && late.advance() {}
            }
            6 => {
                let _ = (reader.depth(), ours.depth(), ours.high_water(), reader.is_waiting());
                let _ = ours.storage().data().rings(&alarm);
            }
            _ => {
                let before = reader.cursor();
                let found = reader.peek(&mut message);
                match found {
                    Peek::Message { length, .. } => assert!(length <= layout.message_bytes()),
                    Peek::Gap { missed } => {
                        assert!(missed > 0, "a gap of nothing");
                        assert_eq!(reader.cursor(), before.wrapping_add(missed));
                    }
                    Peek::Empty | Peek::Closed | Peek::Evicted => {}
                }
                if is_gating {
                    assert!(!evicted || found == Peek::Evicted, "it was evicted");
                    evicted = found == Peek::Evicted;
                }
                reader.advance();
            }
        }
    }
}

fn writer_with_a_hostile_reader(layout: Layout, mut steps: Steps<'_>) {
    let (data, own) = (Pages::<256>::new(), Pages::new());
    let ring = data.data(layout);
    let proxy = proxy(&ring);
    // The memory is that of a correct process, before it is spoilt.
    assert!(data.foreign(&own, proxy.claim()).is_some());
    let cursors = ForeignCursors::attach(&own.0[..], layout, READERS, IDENTITY);
    let cursors = cursors.expect("just made");
    let mut writer = Broadcast::producer(&ring).expect("the only writer");
    let mut local = Broadcast::gating(&ring).expect("the entry is free");
    let (mut pushed, mut message, alarm) = (0, [0; 3], Alarm::new());
    while let Some(step) = steps.next() {
        match step % 8 {
            0 | 1 => match writer.try_push(&[1, 2], BYTES) {
                Ok(sequence) => {
                    assert_eq!(sequence, pushed, "a reader moves the writer");
                    pushed += 1;
                }
                Err(full) => assert!(full.reader.entry < ENTRIES),
            },
            2..=4 => steps.spoil(&own.0, 0),
            5 => {
                let before = proxy.kept();
                proxy.import(|| cursors.position(step & 8 == 0));
                let (kept, moved) = (proxy.kept(), proxy.kept().wrapping_sub(before));
                assert!(moved <= CAPACITY && pushed.wrapping_sub(kept) <= CAPACITY);
            }
            6 => {
                assert!(ring.high_water() <= CAPACITY && ring.depth() <= CAPACITY);
                let _ = (cursors.gating(), cursors.observed());
                let _ = cursors.rings(usize::from(step / 8 % 4), &alarm);
            }
            _ => match local.peek(&mut message) {
                Peek::Message { .. } => _ = local.advance(),
                found => assert_eq!(found, Peek::Empty, "a reader spoils the messages of another"),
            },
        }
    }
    drop(local);
    drop(writer);
    // The ring stays usable after any writes of the reader.
    assert_eq!(Broadcast::producer(&ring).map(|writer| writer.sequence()), Some(pushed));
}
