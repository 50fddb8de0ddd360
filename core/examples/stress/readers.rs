//! A reader of a round.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::Duration;

use mycelium_core::ring::{Consumer, PopError};

use crate::item::{Dice, Item, WRITERS, note};
use crate::kinds::Kind;
use crate::round::{Counts, Deliberate, Round, broken};
use crate::sides::Side;
use crate::watchdog;

struct Reader<'a, K: Kind> {
    round: &'a Round<K>,
    dice: Dice,
    side: Side<'a>,
    /// The lowest possible number of the next item of each writer, as far as this thread knows.
    expected: [u64; WRITERS],
    taken: u64,
}

/// All items were taken, and the ring is closed.
struct Over;

pub(crate) fn run<K: Kind>(round: &Round<K>, dice: Dice) {
    let (side, expected) = (round.sides.reader(), [0; WRITERS]);
    let mut reader = Reader { round, dice, side, expected, taken: 0 };
    let (mut retaken, mut panics) = (0, 0);
    let mut kept = None;
    loop {
        let Some(mut end) = kept.take().or_else(|| K::reader(&round.ring)) else {
            if round.drained.load(SeqCst) {
                break;
            }
            thread::yield_now();
            continue;
        };
        // The end is moved into the closure, so that a panic drops it.
        let worked = catch_unwind(AssertUnwindSafe(|| (reader.tenure(&mut end), end)));
        // Wakes the writers: the end may have made room before it stopped.
        reader.side.until(|| Some(()));
        match worked {
            Ok((Ok(()), end)) if reader.dice.below(2) == 0 => kept = Some(end),
            Ok((Ok(()), end)) => {
                drop(end);
                // The drop has published the end's position, so there may be more room: wakes the
                // writers.
                reader.side.until(|| Some(()));
                retaken += 1;
            }
            Ok((Err(Over), _)) => {
                // Tells the other readers that no items are left. One of them may sleep because it
                // got `Empty` while this one was popping: the drop of `reader.side` wakes all
                // threads, so it tries again.
                round.drained.store(true, SeqCst);
                break;
            }
            Err(panic) if panic.is::<Deliberate>() => panics += 1,
            Err(panic) => resume_unwind(panic),
        }
    }
    let counts = Counts { retaken, panics, ..Counts::default() };
    round.counts.lock().unwrap_or_else(PoisonError::into_inner).add(counts);
}

impl<K: Kind> Reader<'_, K> {
    /// Runs some operations with one end.
    fn tenure(&mut self, end: &mut K::Reader) -> Result<(), Over> {
        let round = self.round;
        // If there is one reader at a time, the next one continues exactly where this one stops.
        let mut handed_over = (K::READERS == 1)
            .then(|| round.expected.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(expected) = &handed_over {
            self.expected = **expected;
        }
        let panics = self.dice.below(16) == 0;
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
                // Wakes the writers, even if nothing was found: a pop that finds nothing publishes
                // the reader's position, and so the room that earlier pops have made.
                self.side.until(|| Some(()));
                match found {
                    Ok(()) => {}
                    Err(PopError::Closed) => return Err(Over),
                    Err(PopError::Empty) => self.wait(end)?,
                }
            }
            Ok(())
        }));
        if let Some(expected) = &mut handed_over {
            **expected = self.expected;
        }
        worked.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn pop_many(&mut self, end: &mut K::Reader, panics: bool) -> Result<(), PopError> {
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

    /// Sleeps until there is an item, or the end.
    fn wait(&mut self, end: &mut K::Reader) -> Result<(), Over> {
        let found = self.side.until(|| match end.try_pop() {
            Ok(item) => Some(Ok(item)),
            Err(PopError::Empty) => None,
            Err(PopError::Closed) => Some(Err(Over)),
        });
        found.map(|item| self.accept(item))
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
