//! The shared form of the broadcast ring against a plain model (`broadcast_shared/model.rs`), positions near the
//! wrap-around, stalled writers, and threads.

#[path = "broadcast_shared/model.rs"]
mod model;

use mycelium_core::ring::broadcast::{
    Blocked, Broadcast, Inline, Look, ReaderWords, Storage, Word, WriterWords, slot_words,
};
use proptest::prelude::*;

use model::{operation, run};

const CAPACITY: usize = 4;
const BYTES: usize = 2 * size_of::<usize>();
const WORDS: usize = CAPACITY * slot_words(BYTES);
const READERS: usize = 2;

type Memory = Broadcast<Inline<WORDS, READERS>>;

fn ring(start: usize) -> Memory {
    Broadcast::new(Inline::new(), CAPACITY, BYTES).unwrap().starting_at(start)
}

fn content(sequence: usize) -> [usize; 2] {
    [sequence.wrapping_mul(31), !sequence]
}

const LONGEST: usize = if cfg!(miri) { 20 } else { 120 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 2_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn behaves_like_the_model(
        before_wrap in 0..60usize,
        operations in prop::collection::vec(operation(), 1..LONGEST),
    ) {
        run(0usize.wrapping_sub(before_wrap), &operations)?;
    }
}

#[test]
fn a_gap_counts_messages_and_not_what_was_given_up() {
    let ring = ring(0);
    let mut writer = Broadcast::shared_producer(&ring).unwrap();
    let mut observer = Broadcast::observing(&ring);
    for _ in 0..CAPACITY + 1 {
        drop(writer.grant().unwrap());
    }
    let mut words = [0; 2];
    assert_eq!(observer.look(&mut words), Look::Empty, "nothing was missed");
    for count in 0..100 {
        if count % 3 == 0 {
            drop(writer.grant().unwrap());
        } else {
            writer.try_push(&content(count), BYTES).unwrap();
        }
    }
    // 66 messages; the last four places are given up, message, message, given up.
    assert_eq!(observer.look(&mut words), Look::Gap { missed: 64 });
    for sequence in [102, 103] {
        assert_eq!(observer.look(&mut words), Look::Message { sequence, length: BYTES });
        assert!(observer.advance());
    }
    assert_eq!(observer.look(&mut words), Look::Empty);
    assert_eq!(ring.skipped(), CAPACITY + 1 + 34);
}

#[test]
fn a_writer_that_sleeps_with_a_claim_is_not_overtaken_by_a_lap() {
    let ring = ring(usize::MAX - 1);
    let mut sleeper = Broadcast::shared_producer(&ring).unwrap();
    let mut writer = sleeper.clone();
    let mut observer = Broadcast::observing(&ring);
    let claim = sleeper.grant().unwrap();
    for _ in 1..CAPACITY {
        writer.try_push(&[1, 1], BYTES).unwrap();
    }
    let mut words = [0; 2];
    assert_eq!(writer.try_push(&[1, 1], BYTES), Err(Blocked::Writer));
    assert_eq!(observer.look(&mut words), Look::Empty, "messages come in the order of the claims");
    drop(claim);
    assert_eq!(writer.try_push(&[1, 1], BYTES), Ok(2));
    assert!(matches!(observer.look(&mut words), Look::Message { sequence: usize::MAX, .. }));
}

#[test]
fn a_ring_is_closed_by_its_last_writer_only() {
    let ring = ring(0);
    let first = Broadcast::shared_producer(&ring).unwrap();
    let second = first.clone();
    let mut reader = Broadcast::gating(&ring).unwrap();
    let mut words = [0; 2];
    first.close();
    assert_eq!(reader.look(&mut words), Look::Empty);
    drop(second);
    assert_eq!(reader.look(&mut words), Look::Empty, "nobody has closed it");
    let mut third = Broadcast::shared_producer(&ring).unwrap();
    third.try_push(&content(0), BYTES).unwrap();
    third.close();
    assert!(matches!(reader.look(&mut words), Look::Message { sequence: 0, .. }));
    reader.advance();
    assert_eq!(reader.look(&mut words), Look::Closed);
    assert!(Broadcast::producer(&ring).is_none());
}

#[test]
fn writers_and_readers_on_threads_agree_on_one_order() {
    const WRITERS: usize = 3;
    let count: usize = if cfg!(miri) { 10 } else { 60_000 };
    let ring = ring(0usize.wrapping_sub(100));
    let writer = Broadcast::shared_producer(&ring).unwrap();
    let gating: Vec<_> = (0..READERS).map(|_| Broadcast::gating(&ring).unwrap()).collect();
    let mut observing = Broadcast::observing(&ring);
    let seen = std::thread::scope(|scope| {
        let ring = &ring;
        for name in 0..WRITERS {
            let mut writer = writer.clone();
            scope.spawn(move || {
                let mut next = 0;
                while next < count {
                    match writer.grant() {
                        Ok(grant) if next % 7 == 3 && grant_is_given_up(name, ring) => drop(grant),
                        Ok(mut grant) => {
                            grant.write(&[name, next], BYTES);
                            grant.commit();
                            next += 1;
                        }
                        Err(_) => std::thread::yield_now(),
                    }
                }
                writer.close();
            });
        }
        writer.close();
        scope.spawn(move || {
            let (mut taken, mut missed, mut words) = (0, 0, [0; 2]);
            loop {
                match observing.look(&mut words) {
                    Look::Message { .. } => {
                        observing.advance();
                        taken += 1;
                    }
                    Look::Gap { missed: gap } => missed += gap,
                    Look::Empty => std::thread::yield_now(),
                    Look::Closed => break,
                }
            }
            assert_eq!(taken + missed, WRITERS * count, "sent = taken + missed");
        });
        let readers: Vec<_> = gating
            .into_iter()
            .map(|mut reader| {
                scope.spawn(move || {
                    let (mut seen, mut words) = (Vec::new(), [0; 2]);
                    loop {
                        match reader.look(&mut words) {
                            Look::Message { .. } => {
                                reader.advance();
                                seen.push(words);
                            }
                            Look::Gap { .. } => panic!("a gating reader has no gaps"),
                            Look::Empty => std::thread::yield_now(),
                            Look::Closed => break seen,
                        }
                    }
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(seen[0], seen[1], "two readers saw different orders");
    for name in 0..WRITERS {
        let of_one = seen[0].iter().filter(|words| words[0] == name).map(|words| words[1]);
        assert!(of_one.eq(0..count), "a writer's messages are lost or out of order");
    }
}

/// Whether this claim, about every second one of those that may be, is to be given up.
fn grant_is_given_up(name: usize, ring: &Memory) -> bool {
    (ring.skipped() + name).is_multiple_of(2)
}

/// What a grant publishes that nobody wrote to.
#[test]
fn a_grant_that_was_not_written_is_an_empty_message() {
    let ring = Broadcast::boxed(2, 8, 1).unwrap();
    let mut reader = Broadcast::gating(&ring).unwrap();
    let mut next = |length: usize| {
        let mut words = [0];
        assert!(
            matches!(reader.look(&mut words), Look::Message { length: found, .. } if found == length)
        );
        assert!(reader.advance());
    };
    let mut writer = Broadcast::producer(&ring).unwrap();
    for _ in 0..2 {
        writer.try_push(&[7], 8).unwrap();
        next(8);
    }
    writer.grant().unwrap().commit();
    next(0);
    drop(writer);
    let mut writer = Broadcast::shared_producer(&ring).unwrap();
    writer.try_push(&[7], 8).unwrap();
    next(8);
    writer.grant().unwrap().commit();
    next(0);
}

/// A single writer that has sent half of all sequences: the words that only the shared form needs must have kept up with
/// it, or they are taken for what is yet to come. On a host of 32 bits that is after half an hour.
#[test]
fn a_single_writer_keeps_the_position_for_all() {
    /// Two rings over one memory, the second of which sets the words back to where the first began.
    struct At<'a>(&'a Inline<{ 4 * slot_words(8) }, 2>);

    // SAFETY: what it leads to is a storage.
    #[allow(unsafe_code)]
    unsafe impl Storage for At<'_> {
        fn slots(&self) -> &[Word] {
            self.0.slots()
        }

        fn writer(&self) -> &WriterWords {
            self.0.writer()
        }

        fn reader(&self, index: usize) -> Option<&ReaderWords> {
            self.0.reader(index)
        }
    }

    let storage = Inline::new();
    let ring = Broadcast::new(At(&storage), 4, 8).unwrap().starting_at(usize::MAX / 2 + 100);
    let mut writer = Broadcast::producer(&ring).unwrap();
    Broadcast::new(At(&storage), 4, 8).unwrap();
    for number in 0..8 {
        writer.try_push(&[number], 8).unwrap();
    }
    let mut reader = Broadcast::gating(&ring).unwrap();
    assert_eq!(reader.cursor(), writer.sequence());
    drop(writer);
    let mut writer = Broadcast::shared_producer(&ring).unwrap();
    let pushed = (0..20).take_while(|number| writer.try_push(&[*number], 8).is_ok()).count();
    assert_eq!(pushed, 4, "a gating reader was passed");
    let mut words = [9];
    assert!(matches!(reader.look(&mut words), Look::Message { .. }));
    assert_eq!(words, [0]);
}
