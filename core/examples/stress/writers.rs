//! A writer of a round.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use mycelium_core::ring::{Producer, PushError};

use crate::dice::Dice;
use crate::item::{Item, note};
use crate::kinds::Kind;
use crate::round::{Counts, Deliberate, Idle, Round, Side};
use crate::watchdog;

struct Writer<'a, K: Kind> {
    round: &'a Round<K>,
    index: usize,
    dice: Dice,
    idle: Idle,
    /// The number of the next item, and of the last.
    next: u64,
    last: u64,
    counts: Counts,
}

/// The ring was closed.
struct Over;

pub(crate) fn run<K: Kind>(round: &Round<K>, index: usize, items: u64, mut dice: Dice) {
    let idle = Idle::of(&mut dice);
    let counts = Counts::default();
    let mut writer = Writer { round, index, dice, idle, next: 0, last: items, counts };
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
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let worked = writer.tenure(&mut end);
            (worked, end)
        }));
        round.notify(Side::Readers);
        match worked {
            Ok((Ok(()), end)) if writer.dice.once_in(2) => kept = Some(end),
            Ok((Ok(()), _)) => writer.counts.retaken += 1,
            Ok((Err(Over), _)) => break,
            Err(panic) if panic.is::<Deliberate>() => writer.counts.panics += 1,
            Err(panic) => resume_unwind(panic),
        }
    }
    drop(kept);
    round.counts.lock().unwrap_or_else(PoisonError::into_inner).add(writer.counts);
}

impl<K: Kind> Writer<'_, K> {
    /// Some operations with one end.
    fn tenure(&mut self, end: &mut K::Writer<Item>) -> Result<(), Over> {
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
            self.round.notify(Side::Readers);
        }
        Ok(())
    }

    fn push(&mut self, end: &mut K::Writer<Item>) -> Result<(), Over> {
        let mut item = Item::new(self.index, self.next, false);
        loop {
            item = match end.try_push(item) {
                Ok(()) => break,
                Err(PushError::Full(item)) => item,
                Err(PushError::Closed(mut item)) => {
                    item.ghost = true;
                    return Err(Over);
                }
            };
            if !self.round.asleep {
                self.idle.wait();
                continue;
            }
            self.counts.sleeps += 1;
            // The second check may push it, or be refused again.
            let mut kept = Some(item);
            self.round.sleep(Side::Writers, self.index, || {
                match kept.take().map(|item| end.try_push(item)) {
                    Some(Err(PushError::Full(item))) => {
                        kept = Some(item);
                        None
                    }
                    Some(Err(PushError::Closed(item))) => {
                        kept = Some(item);
                        Some(())
                    }
                    Some(Ok(())) | None => Some(()),
                }
            });
            match kept {
                Some(refused) => item = refused,
                None => break,
            }
        }
        self.pushed(1);
        Ok(())
    }

    /// A grant that is committed, perhaps with slots to spare.
    fn push_many(&mut self, end: &mut K::Writer<Item>) -> Result<(), Over> {
        let (count, filled) = self.slots();
        let mut numbers = self.next..(self.next + filled as u64).min(self.last);
        let index = self.index;
        let next = || numbers.next().map(|number| Item::new(index, number, false));
        let pushed = K::fill(end, count, next, true);
        self.pushed(pushed as u64);
        // There may have been too little room.
        if pushed == 0 { self.push(end) } else { Ok(()) }
    }

    fn abort(&mut self, end: &mut K::Writer<Item>) {
        let (count, filled) = self.slots();
        let mut left = filled;
        let (index, number) = (self.index, self.next);
        K::fill(end, count, || take_one(&mut left).then(|| Item::new(index, number, true)), false);
        self.counts.aborted += u64::from(left < filled);
    }

    /// Panics while it holds a grant, if there is room for one.
    fn panic(&mut self, end: &mut K::Writer<Item>) {
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
