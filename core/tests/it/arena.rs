//! Messages of any length in a ring with an arena.
// The flag of a test is not shared memory of the core.
#![allow(clippy::disallowed_types)]
#![allow(unsafe_code)]

use std::sync::Arc;
use std::thread;

use mycelium_core::ring::broadcast::{
    ArenaWriter, Broadcast, CONTENT, Consumer, HeapStorage, Layout, Peek, Producer,
};
use proptest::prelude::*;
use zerocopy::IntoBytes;

use crate::cases::cases;

const WORD: usize = size_of::<usize>();
type Ring = Arc<Broadcast<HeapStorage>>;

/// Creates a ring of this capacity with an arena of this number of words.
fn ring(capacity: usize, words: usize) -> (Ring, Producer<Ring>, ArenaWriter) {
    let layout = Layout::exact(capacity, CONTENT * WORD).with_arena(words * WORD);
    let ring = Arc::new(Broadcast::boxed(layout, 4).unwrap());
    let producer = Broadcast::producer(ring.clone()).unwrap();
    let arena = ArenaWriter::new(&producer).unwrap();
    (ring, producer, arena)
}

/// Returns the words of a message: each has its number, so that a mixture of two is noticed.
fn message(number: usize, words: usize) -> Vec<usize> {
    vec![number.wrapping_mul(31).wrapping_add(words); words]
}

/// Reads the next message; `Err` with the result that is none.
fn read(reader: &mut Consumer<Ring>) -> Result<(usize, Vec<usize>), Peek> {
    let mut words = vec![0; 64];
    match reader.peek_body(&mut [0; CONTENT], &mut words) {
        Peek::Message { sequence, length } => {
            words.truncate(length.div_ceil(WORD));
            Ok((sequence, words))
        }
        other => Err(other),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    /// Reserves a place for the first number of words; sends as many as the second says. Also gives
    /// up what follows, if the last says so.
    Reserve(usize, Option<usize>, bool),
    Read,
    Observe,
}

fn step() -> impl Strategy<Value = Step> {
    let reserve = (CONTENT..=32).prop_flat_map(|most| {
        let sent = prop::option::of(CONTENT..=most);
        (sent, any::<bool>()).prop_map(move |(sent, ahead)| Step::Reserve(most, sent, ahead))
    });
    prop_oneof![(0..=32_usize).prop_map(Step::Push), reserve, Just(Step::Read), Just(Step::Observe)]
}

proptest! {
    #![proptest_config(cases(4))]

    /// A gating reader gets every message, an observer every message or an exact gap, and a
    /// message that both can have is refused only if the slots or the bytes are in use.
    #[test]
    fn any_sequence_of_steps_agrees_with_a_list(
        steps in prop::collection::vec(step(), 1..if cfg!(miri) { 40 } else { 400 })
    ) {
        let (ring, mut producer, mut arena) = ring(8, 64);
        let mut gating = Broadcast::gating(ring.clone()).unwrap();
        let mut observer = Broadcast::observing(ring);
        let (mut sent, mut taken, mut seen) = (Vec::new(), 0, 0);
        for step in steps {
            match step {
                Step::Push(words) | Step::Reserve(words, ..) => {
                    let pushed = match step {
                        Step::Reserve(_, sent_words, ahead) => {
                            let (length, end) = (words * WORD, arena.end_of_next(words * WORD));
                            let reserved = match ahead {
                                true => arena.reserve_ahead(&mut producer, length),
                                false => arena.reserve(&mut producer, length).map(|it| (it, end)),
                            };
                            reserved.map(|(place, until)| {
                                assert!((end..=end + 64 / 8).contains(&until), "{end}, {until}");
                                arena.write(&producer, place, 0, &message(usize::MAX, words));
                                sent_words.map(|words| {
                                    let content = message(sent.len(), words);
                                    arena.write(&producer, place, 0, &content);
                                    let length = words * WORD;
                                    arena.commit(&mut producer, place, length, &[]).unwrap();
                                    content
                                })
                            })
                        }
                        _ => {
                            let content = message(sent.len(), words);
                            let pushed =
                                arena.try_push(&mut producer, &content, words * WORD, &[]);
                            pushed.map(|_| Some(content))
                        }
                    };
                    match pushed {
                        Ok(content) => {
                            sent.extend(content);
                            prop_assert_eq!(producer.sequence(), sent.len());
                        }
                        Err(full) => {
                            prop_assert_eq!(Some(full.reader), gating.claim());
                            let waiting: usize = sent[taken..].iter().map(Vec::len).sum();
                            let is_full = sent.len() - taken == 8 || waiting + words > 64 / 2;
                            prop_assert!(is_full, "{waiting} words wait, {words} more fit");
                        }
                    }
                }
                Step::Read => match read(&mut gating) {
                    Ok((sequence, words)) => {
                        prop_assert_eq!((sequence, &words), (taken, &sent[taken]));
                        gating.advance();
                        gating.flush();
                        taken += 1;
                    }
                    Err(other) => prop_assert_eq!((other, taken), (Peek::Empty, sent.len())),
                },
                Step::Observe => match read(&mut observer) {
                    Ok((sequence, words)) => {
                        prop_assert_eq!((sequence, &words), (seen, &sent[seen]));
                        observer.advance();
                        seen += 1;
                    }
                    Err(Peek::Gap { missed }) => {
                        seen += missed;
                        // A place that was reserved for nothing has its bytes from all of them.
                        prop_assert!(missed > 0 && seen <= sent.len());
                    }
                    Err(other) => prop_assert_eq!((other, seen), (Peek::Empty, sent.len())),
                },
            }
        }
    }
}

/// An observer does not find what is given up ahead, and the newest message never belongs to it.
#[test]
fn what_is_given_up_ahead_is_not_found() {
    for (words, sent, given_up) in [(7, 9, 3), (30, 2, 1)] {
        let (ring, mut producer, mut arena) = ring(16, 64);
        let mut observer = Broadcast::observing(ring);
        for number in 0..sent {
            arena.try_push(&mut producer, &message(number, words), words * WORD, &[]).unwrap();
        }
        let (_, until) = arena.reserve_ahead(&mut producer, words * WORD).unwrap();
        assert!(until - 64 <= given_up * words, "{until}");
        assert_eq!(read(&mut observer), Err(Peek::Gap { missed: given_up }));
        assert_eq!(read(&mut observer), Ok((given_up, message(given_up, words))));
    }
}

/// Only observers: the oldest messages give way until a new one fits.
#[test]
fn an_observer_that_is_lapped_is_told_exactly() {
    let (ring, mut producer, mut arena) = ring(8, 64);
    let mut observer = Broadcast::observing(ring);
    for number in 0..5 {
        arena.try_push(&mut producer, &message(number, 30), 30 * WORD, &[]).unwrap();
    }
    assert_eq!(read(&mut observer), Err(Peek::Gap { missed: 3 }));
    assert_eq!(read(&mut observer), Ok((3, message(3, 30))));
    observer.advance();
    assert_eq!(read(&mut observer), Ok((4, message(4, 30))));
    observer.advance();
    assert_eq!(read(&mut observer), Err(Peek::Empty));
}

/// A writer and an observer race: every message is whole, and the sum is exact.
#[test]
fn an_observer_never_reads_a_mixture() {
    let (ring, mut producer, mut arena) = ring(8, 64);
    let mut observer = Broadcast::observing(ring);
    let count = if cfg!(miri) { 300 } else { 200_000 };
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..count {
                let words = number % 33;
                let content = message(number, words);
                arena.try_push(&mut producer, &content, words * WORD, &[]).unwrap();
            }
            producer.close();
        });
        let mut next = 0;
        loop {
            match read(&mut observer) {
                Ok((sequence, words)) => {
                    assert_eq!((sequence, words), (next, message(next, next % 33)));
                    observer.advance();
                    next += 1;
                }
                Err(Peek::Gap { missed }) => next += missed,
                Err(Peek::Closed) => break,
                Err(_) => thread::yield_now(),
            }
        }
        assert_eq!(next, count);
    });
}

/// Gating readers join and leave while the arena wraps: each gets every message from its start on,
/// whole, in place or as a copy.
#[test]
fn a_reader_that_joins_is_never_lapped() {
    let (ring, mut producer, mut arena) = ring(8, 64);
    let joins = if cfg!(miri) { 20 } else { 5_000 };
    let is_over = Arc::new(());
    thread::scope(|scope| {
        let still_runs = Arc::downgrade(&is_over);
        scope.spawn(move || {
            let mut number = 0;
            while still_runs.strong_count() > 0 {
                let words = number % 33;
                match arena.try_push(&mut producer, &message(number, words), words * WORD, &[]) {
                    Ok(_) => number += 1,
                    Err(_) => thread::yield_now(),
                }
            }
        });
        for join in 0..joins {
            let mut reader = Broadcast::gating(ring.clone()).unwrap();
            let mut taken = 0;
            while taken < 4 {
                let next = reader.cursor();
                let expected = message(next, next % 33);
                if join % 2 == 0 {
                    // SAFETY: the writer pushes what its `ArenaWriter` returns.
                    let Some(body) = (unsafe { reader.borrow_body(0) }) else { continue };
                    assert_eq!(body, expected.as_bytes());
                } else {
                    match read(&mut reader) {
                        Ok(found) => assert_eq!(found, (next, expected)),
                        Err(found) => {
                            assert_eq!(found, Peek::Empty);
                            continue;
                        }
                    }
                }
                reader.advance_by(1);
                taken += 1;
            }
        }
        drop(is_over);
    });
}
