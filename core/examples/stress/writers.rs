//! A writer of a round.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use mycelium_core::ring::{Producer, PushError};

use crate::item::{Dice, Item, note};
use crate::kinds::Kind;
use crate::round::{Counts, Deliberate, Round};
use crate::sides::Side;
use crate::watchdog;

struct Writer<'a, K: Kind> {
    round: &'a Round<K>,
    index: usize,
    dice: Dice,
    side: Side<'a>,
    /// The number of the next item, and of the last.
    next: u64,
    last: u64,
    aborted: u64,
}

/// The ring was closed.
struct Over;

pub(crate) fn run<K: Kind>(round: &Round<K>, index: usize, items: u64, dice: Dice) {
    let side = round.sides.writer();
    let mut writer = Writer { round, index, dice, side, next: 0, last: items, aborted: 0 };
    let (mut retaken, mut panics) = (0, 0);
    let mut kept = None;
    while writer.next < writer.last {
        let Some(mut end) = kept.take().or_else(|| K::writer(&round.ring)) else {
            if round.closing.load(SeqCst) {
                break;
            }
            thread::yield_now();
            continue;
        };
        watchdog::step();
        // The end is moved into the closure, so that a panic drops it.
        let worked = catch_unwind(AssertUnwindSafe(|| (writer.tenure(&mut end), end)));
        // Wakes the readers: the end may have pushed items before it stopped.
        writer.side.until(|| Some(()));
        match worked {
            Ok((Ok(()), end)) if writer.dice.below(2) == 0 => kept = Some(end),
            Ok((Ok(()), _)) => retaken += 1,
            Ok((Err(Over), _)) => break,
            Err(panic) if panic.is::<Deliberate>() => panics += 1,
            Err(panic) => resume_unwind(panic),
        }
    }
    drop(kept);
    let counts = Counts { retaken, panics, aborted: writer.aborted, ..Counts::default() };
    round.counts.lock().unwrap_or_else(PoisonError::into_inner).add(counts);
}

impl<K: Kind> Writer<'_, K> {
    /// Runs some operations with one end.
    fn tenure(&mut self, end: &mut K::Writer) -> Result<(), Over> {
        for _ in 0..self.dice.below(200) {
            if self.next == self.last {
                break;
            }
            match self.dice.below(64) {
                0..32 => self.push(end)?,
                32..56 => self.push_many(end)?,
                56..62 => self.abort(end),
                62 => self.panic(end),
                _ => thread::sleep(Duration::from_micros(self.dice.below(50) as u64)),
            }
            self.side.until(|| Some(()));
        }
        Ok(())
    }

    fn push(&mut self, end: &mut K::Writer) -> Result<(), Over> {
        let mut item = Some(Item::new(self.index, self.next, false));
        let pushed = self.side.until(|| match end.try_push(item.take()?) {
            Ok(()) => Some(true),
            Err(PushError::Full(refused)) => {
                item = Some(refused);
                None
            }
            Err(PushError::Closed(mut refused)) => {
                refused.ghost = true;
                Some(false)
            }
        });
        if !pushed {
            return Err(Over);
        }
        self.pushed(1);
        Ok(())
    }

    /// Fills a grant and commits it, perhaps with slots to spare.
    fn push_many(&mut self, end: &mut K::Writer) -> Result<(), Over> {
        let (count, filled) = self.slots();
        let mut numbers = self.next..(self.next + filled as u64).min(self.last);
        let index = self.index;
        let next = || numbers.next().map(|number| Item::new(index, number, false));
        let pushed = K::fill(end, count, next, true);
        self.pushed(pushed as u64);
        // If nothing was pushed, there may have been too little room: push one item.
        if pushed == 0 { self.push(end) } else { Ok(()) }
    }

    fn abort(&mut self, end: &mut K::Writer) {
        let (count, filled) = self.slots();
        let mut left = filled;
        let (index, number) = (self.index, self.next);
        K::fill(end, count, || take_one(&mut left).then(|| Item::new(index, number, true)), false);
        self.aborted += u64::from(left < filled);
    }

    /// Panics while it holds a grant, if there is room for one.
    fn panic(&mut self, end: &mut K::Writer) {
        let (count, filled) = self.slots();
        let mut left = filled - 1;
        let (index, number) = (self.index, self.next);
        let next = || {
            if !take_one(&mut left) {
                resume_unwind(Box::new(Deliberate));
            }
            Some(Item::new(index, number, true))
        };
        K::fill(end, count, next, true);
        resume_unwind(Box::new(Deliberate));
    }

    /// How many slots to request, and how many of them to fill.
    fn slots(&mut self) -> (usize, usize) {
        let count = 1 + self.dice.below(self.round.capacity.min(40));
        (count, 1 + self.dice.below(count))
    }

    fn pushed(&mut self, count: u64) {
        for number in self.next..self.next + count {
            note(self.index, |books| books.pushed.add(number));
        }
        self.next += count;
        if self.next % 64 < count {
            watchdog::step();
        }
    }
}

fn take_one(left: &mut usize) -> bool {
    let any = *left > 0;
    *left -= usize::from(any);
    any
}
