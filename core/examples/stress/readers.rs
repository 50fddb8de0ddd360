//! A reader of a round.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::Duration;

use mycelium_core::ring::{Consumer, PopError};

use crate::dice::Dice;
use crate::item::{Item, WRITERS, note};
use crate::kinds::Kind;
use crate::round::{Counts, Deliberate, Idle, Round, Side, broken};
use crate::watchdog;

struct Reader<'a, K: Kind> {
    round: &'a Round<K>,
    index: usize,
    dice: Dice,
    idle: Idle,
    /// The lowest possible number of the next item of each writer, as far as this thread knows.
    expected: [u64; WRITERS],
    taken: u64,
    counts: Counts,
}

/// All items were taken, and the ring is closed.
struct Over;

pub(crate) fn run<K: Kind>(round: &Round<K>, index: usize, mut dice: Dice) {
    let idle = Idle::of(&mut dice);
    let counts = Counts::default();
    let expected = [0; WRITERS];
    let mut reader = Reader { round, index, dice, idle, expected, taken: 0, counts };
    let mut kept = None;
    loop {
        let Some(mut end) = kept.take().or_else(|| K::reader(&round.ring)) else {
            if round.abandoned.load(SeqCst) || round.drained.load(SeqCst) {
                break;
            }
            thread::yield_now();
            continue;
        };
        // The end is moved into the closure, so that a panic drops it.
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let worked = reader.tenure(&mut end);
            (worked, end)
        }));
        round.notify(Side::Writers);
        match worked {
            Ok((Ok(()), end)) if reader.dice.once_in(2) => kept = Some(end),
            Ok((Ok(()), end)) => {
                drop(end);
                // The drop has shown its position.
                round.notify(Side::Writers);
                reader.counts.retaken += 1;
            }
            Ok((Err(Over), _)) => {
                round.drained.store(true, SeqCst);
                // Another reader may have got `Empty` because this one was popping.
                round.notify(Side::Readers);
                break;
            }
            Err(panic) if panic.is::<Deliberate>() => reader.counts.panics += 1,
            Err(panic) => resume_unwind(panic),
        }
    }
    round.counts.lock().unwrap_or_else(PoisonError::into_inner).add(reader.counts);
}

impl<K: Kind> Reader<'_, K> {
    /// Some operations with one end.
    fn tenure(&mut self, end: &mut K::Reader<Item>) -> Result<(), Over> {
        let round = self.round;
        // If there is one reader at a time, the next one continues exactly where this one stops.
        let mut handed_over = (K::READERS == 1)
            .then(|| round.expected.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(expected) = &handed_over {
            self.expected = **expected;
        }
        let panics = self.dice.once_in(16);
        let worked = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..self.dice.below(200) {
                let found = match self.dice.below(64) {
                    0..32 => end.try_pop().map(|item| self.accept(item)),
                    32..62 => self.pop_many(end, false),
                    62 => {
                        thread::sleep(Duration::from_micros(self.dice.below(50) as u64));
                        Ok(())
                    }
                    _ => self.pop_many(end, panics),
                };
                // A check that finds nothing shows the items that were taken before.
                self.round.notify(Side::Writers);
                match found {
                    Ok(()) => {}
                    Err(PopError::Closed) => return Err(Over),
                    Err(PopError::Empty) => self.wait(end),
                }
            }
            Ok(())
        }));
        if let Some(expected) = &mut handed_over {
            **expected = self.expected;
        }
        worked.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn pop_many(&mut self, end: &mut K::Reader<Item>, panics: bool) -> Result<(), PopError> {
        let most = 1 + self.dice.below(40);
        let mut left = 1 + self.dice.below(most);
        end.pop_many(most, |item| {
            self.accept(item);
            left -= usize::from(left > 0);
            if panics && left == 0 {
                self.round.forsaken.fetch_add(1, Relaxed);
                resume_unwind(Box::new(Deliberate));
            }
        })?;
        Ok(())
    }

    fn wait(&mut self, end: &mut K::Reader<Item>) {
        if !self.round.asleep {
            return self.idle.wait();
        }
        self.counts.sleeps += 1;
        let check = || {
            end.try_pop().map_or_else(
                |error| (error == PopError::Closed).then_some(None),
                |item| Some(Some(item)),
            )
        };
        let found = self.round.sleep(Side::Readers, self.index, check);
        if let Some(Some(item)) = found {
            self.accept(item);
            self.round.notify(Side::Writers);
        }
    }

    fn accept(&mut self, item: Item) {
        if !item.is_whole() {
            broken("an item is not what was pushed");
        }
        if item.ghost {
            broken("an item was never pushed, and was taken");
        }
        let expected = &mut self.expected[item.writer];
        let in_order =
            if K::READERS == 1 { item.number == *expected } else { item.number >= *expected };
        if !in_order {
            broken(&format!(
                "out of order: item {} of writer {} came where {expected} was due",
                item.number, item.writer
            ));
        }
        *expected = item.number + 1;
        note(item.writer, |books| books.taken.add(item.number));
        self.taken += 1;
        if self.taken.is_multiple_of(64) {
            watchdog::step();
        }
    }
}
