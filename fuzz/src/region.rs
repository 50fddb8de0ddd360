//! Rings in memory that a hostile peer writes to: nothing it writes makes this side panic, loop without end, or report
//! what cannot be.

use mycelium_core::ring::broadcast::{Broadcast, Look, Word};
use mycelium_core::ring::region::{Kind, Pair, READER_WORDS, ReaderRegion, WriterRegion};
use mycelium_core::ring::spsc::Spsc;

const CAPACITY: usize = 4;
/// Not whole words.
const BYTES: usize = 12;
type Item = [u8; BYTES];

/// Memory that both sides map.
#[repr(align(256))]
struct Pages<const N: usize>([Word; N]);

impl<const N: usize> Pages<N> {
    fn new() -> Box<Pages<N>> {
        Box::new(Pages([const { Word::new() }; N]))
    }
}

/// Any bytes as a region, or as the steps of both sides of a ring: ours by the book, and the peer's, who writes what
/// it likes.
pub fn region(data: &[u8]) {
    let Some((game, data)) = data.split_first() else { return };
    match game % 4 {
        0 => any_bytes(data),
        1 => reader_of_a_hostile_writer(Steps(data)),
        2 => writer_with_hostile_readers(Steps(data)),
        _ => both_ends_of_spsc(Steps(data)),
    }
}

/// What is left of the input.
struct Steps<'a>(&'a [u8]);

impl Steps<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number that is near zero, near a limit, or anything.
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
        words[index].set(self.number());
    }
}

fn any_bytes(data: &[u8]) {
    let pages = Pages::<256>::new();
    for (word, bytes) in pages.0.iter().zip(data.chunks(size_of::<usize>())) {
        let mut whole = [0; size_of::<usize>()];
        whole[..bytes.len()].copy_from_slice(bytes);
        word.set(usize::from_ne_bytes(whole));
    }
    let Ok(region) = WriterRegion::attach(&pages.0) else { return };
    // What was accepted fits into the memory.
    assert!(region.capacity().is_power_of_two() && region.capacity() < 256);
    let own = Pages::<{ READER_WORDS }>::new();
    let cursor = ReaderRegion::create(&own.0, &region).expect("the memory is made for it");
    if region.kind() == Kind::Broadcast {
        let ring = region.with([cursor]).expect("of the right kind");
        let mut readers = [Broadcast::observing(&ring), Broadcast::gating(&ring).expect("free")];
        let mut message = vec![0; 2 + region.message_bytes() / size_of::<usize>()];
        for reader in &mut readers {
            for _ in 0..8 {
                if let Look::Message { length, .. } = reader.look(&mut message) {
                    assert!(length <= ring.message_bytes());
                }
                reader.advance();
            }
            reader.skip_to_latest();
        }
    } else if let Ok(ring) = Pair::<Item>::ring(region, cursor) {
        let mut reader = Spsc::consumer(&ring).expect("nobody else reads");
        assert!(reader.by_ref().take(8).count() <= 8);
        assert!(reader.ready() <= region.capacity());
    }
}

fn reader_of_a_hostile_writer(mut steps: Steps<'_>) {
    let (data, own) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    let theirs = WriterRegion::broadcast(&data.0, CAPACITY, BYTES).expect("it fits");
    let ours = WriterRegion::attach(&data.0).expect("just made");
    let ours =
        ours.with([ReaderRegion::create(&own.0, &ours).expect("it fits")]).expect("broadcast");
    let theirs = theirs.with([ReaderRegion::attach(&own.0, &theirs).expect("just made")]);
    let theirs = theirs.expect("broadcast");
    let mut writer = Broadcast::producer(&theirs).expect("nobody else writes");
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
            6 => _ = (reader.depth(), ours.depth(), ours.high_water(), ours.skipped()),
            _ => {
                if let Look::Message { length, .. } = reader.look(&mut message) {
                    assert!(length <= ours.message_bytes());
                }
                reader.advance();
            }
        }
    }
}

fn writer_with_hostile_readers(mut steps: Steps<'_>) {
    let data = Pages::<256>::new();
    let cursors = [Pages::<{ READER_WORDS }>::new(), Pages::new()];
    let region = WriterRegion::broadcast(&data.0, CAPACITY, BYTES).expect("it fits");
    let readers = [0, 1].map(|name: usize| {
        ReaderRegion::create(&cursors[name].0, &region).expect("it fits");
        ReaderRegion::attach(&cursors[name].0, &region).expect("just made")
    });
    let ring = region.with(readers).expect("broadcast");
    let mut writer = Broadcast::producer(&ring).expect("nobody else writes");
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
                    reader.look(&mut message);
                    reader.advance();
                }
            }
        }
    }
    drop(joined);
    drop(writer);
    // The ring goes on whatever the readers wrote.
    assert_eq!(Broadcast::producer(&ring).map(|writer| writer.sequence()), Some(pushed));
}

fn both_ends_of_spsc(mut steps: Steps<'_>) {
    let (data, own) = (Pages::<256>::new(), Pages::<{ READER_WORDS }>::new());
    let region = WriterRegion::spsc::<Item>(&data.0, CAPACITY).expect("it fits");
    let cursor = ReaderRegion::create(&own.0, &region).expect("it fits");
    let ring = Pair::<Item>::ring(region, cursor).expect("of the same items");
    let (mut writer, mut reader) = (Spsc::producer(&ring), Spsc::consumer(&ring));
    while let Some(step) = steps.next() {
        match (step % 8, &mut writer, &mut reader) {
            (0, Some(writer), _) => _ = writer.try_push([7; BYTES]),
            (1, Some(writer), _) => assert!(writer.room() <= CAPACITY),
            (2, ..) => steps.spoil(&data.0),
            (3, ..) => steps.spoil(&own.0),
            (4, _, Some(reader)) => _ = reader.try_pop(),
            (5, _, Some(reader)) => assert!(reader.ready() <= CAPACITY && ring.len() <= CAPACITY),
            (6, _, Some(reader)) => {
                let mut taken = 0;
                let _ = reader.pop_many(9, |_| taken += 1);
                assert!(taken <= CAPACITY);
            }
            _ => {
                // The ends go, and others may come in their place.
                drop((writer.take(), reader.take()));
                writer = Spsc::producer(&ring);
                reader = Spsc::consumer(&ring);
            }
        }
    }
    drop((writer, reader));
    drop(ring);
}
