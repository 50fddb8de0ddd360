//! Rounds: a number of threads on a ring of some size, each with random choices of its own, and an
//! audit at the end.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::item::{Books, Dice, WRITERS, close_the_books, hand_in};
use crate::kinds::{Kind, Mpmc, Spsc, Stamped};
use crate::probes::{Faulty, LEAKS, LOSES, REORDERS, SHOWS_GHOSTS, STOPS};
use crate::round::{Counts, PLACE, Round, broken, place};
use crate::sides::Sides;
use crate::{readers, watchdog, writers};

/// The most slots of one claim, and so the most items that a reader that panics may lose.
const CLAIM: u64 = 64;
/// After this many rounds of a ring, each event that is counted must have happened at least once.
const ENOUGH: u64 = 20;

type Run = fn(u64, u64) -> Counts;

const KINDS: &[(&str, Run)] =
    &[(Spsc::NAME, run::<Spsc>), (Stamped::NAME, run::<Stamped>), (Mpmc::NAME, run::<Mpmc>)];

const PROBES: &[(&str, Run)] = &[
    (Faulty::<LOSES>::NAME, run::<Faulty<LOSES>>),
    (Faulty::<LEAKS>::NAME, run::<Faulty<LEAKS>>),
    (Faulty::<REORDERS>::NAME, run::<Faulty<REORDERS>>),
    (Faulty::<STOPS>::NAME, run::<Faulty<STOPS>>),
    (Faulty::<SHOWS_GHOSTS>::NAME, run::<Faulty<SHOWS_GHOSTS>>),
];

/// Runs rounds on all chosen rings in turn until the time is over.
pub(crate) fn run_all(ring: &str, seed: u64, time: Duration) -> Result<(), String> {
    let all = KINDS.iter().chain(if ring.is_empty() { &[] } else { PROBES });
    let chosen: Vec<_> = all.filter(|(name, _)| name.starts_with(ring)).collect();
    if chosen.is_empty() {
        return Err(format!("unknown ring `{ring}`"));
    }
    println!("stress: seed {seed}");
    let timeout = if ring == Faulty::<STOPS>::NAME { 2 } else { 30 };
    watchdog::start(Duration::from_secs(timeout), place);
    let mut all = vec![Counts::default(); chosen.len()];
    let began = Instant::now();
    let mut number = 0;
    while began.elapsed() < time {
        for ((name, run), counts) in chosen.iter().zip(&mut all) {
            *PLACE.lock().unwrap_or_else(PoisonError::into_inner) =
                format!("{name}, seed {seed}, round {number}");
            counts.add(run(seed, number));
        }
        number += 1;
    }
    for ((name, _), counts) in chosen.iter().zip(&all) {
        println!("stress: {name}: {counts}");
        let happened = [counts.items, counts.retaken, counts.panics, counts.aborted];
        if counts.rounds >= ENOUGH && happened.contains(&0) {
            return Err(format!("{name}: something never happened: {counts}"));
        }
    }
    Ok(())
}

/// Runs one round. Writers push all their items, or the ring is closed while all threads work; then
/// readers take the rest.
fn run<K: Kind>(seed: u64, number: u64) -> Counts {
    let mut dice = Dice::of(seed, number);
    let capacity = 2 << dice.below(8);
    let (writers, readers) = (1 + dice.below(WRITERS), 1 + dice.below(4));
    let (closes, items) = (dice.below(2) == 0, 500 + dice.below(20_000) as u64);
    let round = Round::<K> {
        ring: K::ring(capacity),
        capacity,
        sides: Sides::waking_all(),
        closing: AtomicBool::new(false),
        drained: AtomicBool::new(false),
        expected: Mutex::new([0; WRITERS]),
        forsaken: AtomicU64::new(0),
        counts: Mutex::new(Counts { rounds: 1, ..Counts::default() }),
    };
    thread::scope(|scope| {
        let round = &round;
        for index in 0..readers {
            let dice = Dice::of(dice.next(), index as u64);
            scope.spawn(move || {
                readers::run(round, dice);
                hand_in();
            });
        }
        let writing = |index| {
            let dice = Dice::of(dice.next(), index as u64);
            scope.spawn(move || {
                writers::run(round, index, items, dice);
                hand_in();
            })
        };
        let writing: Vec<_> = (0..writers).map(writing).collect();
        if closes {
            thread::sleep(Duration::from_micros(dice.below(3_000) as u64));
            round.closing.store(true, SeqCst);
            while !K::close(&round.ring) {
                thread::yield_now();
            }
            // Wakes all threads, as the drop of any side does.
            drop(round.sides.writer());
        }
        for writer in writing {
            writer.join().expect("a writer panicked for real");
        }
        round.closing.store(true, SeqCst);
        K::close(&round.ring);
        drop(round.sides.writer());
    });
    let Round { ring, forsaken, counts, .. } = round;
    drop(ring);
    let mut counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (writer, books) in close_the_books().iter().enumerate() {
        audit::<K>(writer, books, forsaken.load(Relaxed));
        counts.items += books.pushed.count;
    }
    counts
}

/// Checks the books of one writer.
fn audit<K: Kind>(writer: usize, books: &Books, forsaken: u64) {
    let Books { made, gone, pushed, taken, dropped } = *books;
    if made != gone {
        let what = if made > gone { "were not dropped" } else { "were dropped twice" };
        broken(&format!("of {made} items of writer {writer}, {} {what}", made.abs_diff(gone)));
    }
    if pushed != dropped {
        broken(&format!("writer {writer} pushed {pushed:?}, but dropped was {dropped:?}"));
    }
    let left = pushed.count.wrapping_sub(taken.count);
    let may_be_left = if K::READERS == 1 { 0 } else { forsaken * CLAIM };
    if taken.count > pushed.count || left > may_be_left {
        broken(&format!("of {} items of writer {writer}, {left} were lost", pushed.count));
    }
    if left == 0 && taken != pushed {
        broken(&format!("writer {writer} pushed {pushed:?}, but taken was {taken:?}"));
    }
}
