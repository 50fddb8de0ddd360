//! Rings in memory that a hostile peer writes to: it cannot make this side panic, loop without end,
//! or report impossible values.

#![allow(unsafe_code)]

use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek, Word};
use mycelium_core::ring::region::{READER_WORDS, ReaderRegion, WriterRegion};

const CAPACITY: usize = 4;
/// A size that is not a multiple of a word.
const BYTES: usize = 12;
const LAYOUTS: [Layout; 2] = [Layout::exact(CAPACITY, BYTES), Layout::up_to(CAPACITY, BYTES)];

/// Memory that both sides map.
#[repr(align(256))]
struct Pages<const N: usize>([Word; N]);

impl<const N: usize> Pages<N> {
    fn new() -> Box<Pages<N>> {
        Box::new(Pages([const { Word::new() }; N]))
    }
}

/// Any bytes as a region, or as the steps of both sides of a ring: this side is correct, the peer
/// writes any word.
pub fn region(data: &[u8]) {
    let Some((game, data)) = data.split_first() else { return };
    let layout = LAYOUTS[usize::from(game / 4 % 2)];
    match game % 4 {
        0 => any_bytes(data),
        1 => reader_of_a_hostile_writer(layout, Steps(data)),
        _ => writer_with_hostile_readers(layout, Steps(data)),
    }
}

/// The rest of the input.
struct Steps<'a>(&'a [u8]);

impl Steps<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number near zero, near a limit, or any other.
    fn number(&mut self) -> usize {
        let near = usize::from(self.next().unwrap_or(0));
        match self.next().unwrap_or(0) % 4 {
            0 => near,
            1 => near.wrapping_sub(256),
            2 => (1usize << (usize::BITS - 1)).wrapping_sub(128).wrapping_add(near),
            _ => (0..size_of::<usize>())
                .fold(near, |number, _| (number << 8) | usize::from(self.next().unwrap_or(0))),
        }
    }

    /// The peer writes one of its words.
    fn spoil(&mut self, words: &[Word]) {
        let index = usize::from(self.next().unwrap_or(0)) % words.len();
        // SAFETY: rings in regions are made for words that another process writes.
        unsafe { words[index].set(self.number()) };
    }
}

fn any_bytes(data: &[u8]) {
    let pages = Pages::<256>::new();
    for (word, bytes) in pages.0.iter().zip(data.chunks(size_of::<usize>())) {
        let mut whole = [0; size_of::<usize>()];
        whole[..bytes.len()].copy_from_slice(bytes);
        // SAFETY: no ring uses the words yet.
        unsafe { word.set(usize::from_ne_bytes(whole)) };
    }
    let Ok(region) = WriterRegion::attach(&pages.0) else { return };
    // An accepted region fits into the memory.
    let layout = region.layout();
    assert!(layout.capacity().is_power_of_two() && layout.capacity() < 256);
    let own = Pages::<{ READER_WORDS }>::new();
    let cursor = ReaderRegion::create(&own.0, &region).expect("the memory has its size");
    let ring = region.with([cursor]).expect("of this ring");
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
    let (data, own) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    let theirs = WriterRegion::create(&data.0, layout).expect("it fits");
    let ours = WriterRegion::attach(&data.0).expect("just made");
    let ours =
        ours.with([ReaderRegion::create(&own.0, &ours).expect("it fits")]).expect("broadcast");
    let theirs = theirs.with([ReaderRegion::attach(&own.0, &theirs).expect("just made")]);
    let theirs = theirs.expect("broadcast");
    let mut writer = Broadcast::producer(&theirs).expect("the only writer");
    let (mut gating, mut observing) = (Broadcast::gating(&ours), Broadcast::observing(&ours));
    let mut message = [0; 3];
    while let Some(step) = steps.next() {
        let gating = gating.as_mut().expect("the entry is free");
        let reader = if step & 8 == 0 { gating } else { &mut observing };
        match step % 8 {
            0 => _ = writer.try_push(&[1, 2], BYTES),
            1 => drop(writer.grant()),
            2..=4 => steps.spoil(&data.0),
            5 => assert!(reader.skip_to_latest() <= usize::MAX / 2),
            6 => _ = (reader.depth(), ours.depth(), ours.high_water()),
            _ => {
                if let Peek::Message { length, .. } = reader.peek(&mut message) {
                    assert!(length <= layout.message_bytes());
                }
                reader.advance();
            }
        }
    }
}

fn writer_with_hostile_readers(layout: Layout, mut steps: Steps<'_>) {
    let data = Pages::<256>::new();
    let cursors = [Pages::<{ READER_WORDS }>::new(), Pages::new()];
    let region = WriterRegion::create(&data.0, layout).expect("it fits");
    let readers = [0, 1].map(|name: usize| {
        ReaderRegion::create(&cursors[name].0, &region).expect("it fits");
        ReaderRegion::attach(&cursors[name].0, &region).expect("just made")
    });
    let ring = region.with(readers).expect("broadcast");
    let mut writer = Broadcast::producer(&ring).expect("the only writer");
    let mut joined = Vec::new();
    let (mut pushed, mut message) = (0, [0; 3]);
    while let Some(step) = steps.next() {
        match step % 8 {
            0 | 1 => match writer.try_push(&[1, 2], BYTES) {
                Ok(sequence) => {
                    assert_eq!(sequence, pushed, "a reader moves the writer");
                    pushed += 1;
                }
                Err(full) => assert!(full.reader < readers.len()),
            },
            2..=4 => steps.spoil(&cursors[usize::from(step) / 8 % 2].0),
            5 => joined.extend(Broadcast::gating(&ring)),
            6 => assert!(ring.high_water() <= CAPACITY && ring.depth() <= CAPACITY),
            _ => {
                if let Some(reader) = joined.last_mut() {
                    reader.peek(&mut message);
                    reader.advance();
                }
            }
        }
    }
    drop(joined);
    drop(writer);
    // The ring stays usable after any writes of the readers.
    assert_eq!(Broadcast::producer(&ring).map(|writer| writer.sequence()), Some(pushed));
}
