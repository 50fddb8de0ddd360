//! There and back: one thread sends an item and waits for it to come back, another one sends back what it gets.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::affinity::Cores;
use crate::ends::{Bare, Ends, Pop, Push, Task};
use crate::harness::{Column, Mismatch};
use crate::item::Item;
use crate::loops::latency::Timed;
use crate::report::{Quartiles, histogram};
use crate::rivals::raw;
use crate::sample::Tally;
use crate::threads;
use crate::wait::{PATIENCE, SpinWait, WaitStrategy};

/// A column with a way there and one back.
pub(crate) struct Trip<P, Q> {
    there: Ends<Bare<P>, Bare<Q>>,
    back: Ends<Bare<P>, Bare<Q>>,
    wait: WaitStrategy,
    cores: Cores,
}

/// What a number there and back takes on one line each way, in nanoseconds: the median of a few short rounds.
pub(crate) fn raw(cores: &Cores) -> f64 {
    const TRIPS: usize = 2_000;
    let wait = cores.sweep().first().copied().unwrap_or(WaitStrategy::Yield);
    let mut trip = Trip::new(raw::line, wait, cores);
    // The first round wakes the other core.
    let rounds = (0..8).filter_map(|_| trip.round(TRIPS).ok()).skip(1);
    Quartiles::of(rounds.map(|took| took.as_secs_f64() * 1e9 / TRIPS as f64)).median
}

impl<P: Push, Q: Pop<Item = P::Item>> Trip<P, Q> {
    pub(crate) fn new(
        ends: impl Fn() -> Ends<P, Q>,
        wait: WaitStrategy,
        cores: &Cores,
    ) -> Trip<P, Q> {
        Trip { there: ends().bare(), back: ends().bare(), wait, cores: cores.clone() }
    }

    /// Makes so many trips, and calls `each` after every one.
    fn run(&mut self, trips: usize, each: impl FnMut()) -> Result<Duration, Mismatch> {
        let Trip { there, back, wait, cores } = self;
        let patience = || SpinWait::new(*wait, PATIENCE);
        let (send, answer) = (patience(), patience());
        let ((took, tally), ()) = threads::both(
            cores,
            || {
                let start = Instant::now();
                let tally = there.sender.poll(|sender| {
                    back.receiver.poll(|receiver| send_all(sender, receiver, trips, send, each))
                });
                (start.elapsed(), tally)
            },
            || {
                there.receiver.poll(|receiver| {
                    back.sender.poll(|sender| answer_all(receiver, sender, trips, answer));
                });
            },
        );
        Mismatch::check(there.name, P::Item::expected(trips), tally)?;
        Ok(took)
    }
}

#[inline(never)]
fn send_all<P: Push>(
    sender: &mut P,
    receiver: &mut impl Pop<Item = P::Item>,
    trips: usize,
    mut patience: SpinWait,
    mut each: impl FnMut(),
) -> Tally {
    let mut supply = P::Item::supply();
    let mut tally = Tally::default();
    for number in 0..trips {
        let item = P::Item::nth(&mut supply, number);
        let Some(answer) =
            send(sender, item, &mut patience).and_then(|()| receive(receiver, &mut patience))
        else {
            break;
        };
        answer.add(&mut tally);
        each();
    }
    tally
}

#[inline(never)]
fn answer_all<P: Push>(
    receiver: &mut impl Pop<Item = P::Item>,
    sender: &mut P,
    trips: usize,
    mut patience: SpinWait,
) {
    for _ in 0..trips {
        let item = receive(receiver, &mut patience);
        if item.and_then(|item| send(sender, &item, &mut patience)).is_none() {
            return;
        }
    }
}

/// Waits for room; `None` if there is never any.
#[inline]
fn send<P: Push>(sender: &mut P, item: &P::Item, patience: &mut SpinWait) -> Option<()> {
    while !sender.push(item) {
        if !patience.wait() {
            return None;
        }
    }
    Some(())
}

/// Waits for an item; `None` if none ever comes.
#[inline]
fn receive<Q: Pop>(receiver: &mut Q, patience: &mut SpinWait) -> Option<Q::Item> {
    loop {
        let item = receiver.pop(|item| *item);
        if item.is_some() || !patience.wait() {
            return item;
        }
    }
}

impl<P: Push, Q: Pop<Item = P::Item>> Column for Trip<P, Q> {
    fn name(&self) -> &'static str {
        self.there.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        self.run(operations, || {})
    }
}

impl<P: Push, Q: Pop<Item = P::Item>> Timed for Trip<P, Q> {
    fn name(&self) -> &'static str {
        self.there.name
    }

    fn times(&mut self, operations: usize) -> Result<Histogram<u64>, Mismatch> {
        let mut times = histogram();
        let mut before = Instant::now();
        let mut first = true;
        self.run(operations, || {
            let now = Instant::now();
            // The first trip began when the other thread was there, which nobody noted.
            if !std::mem::take(&mut first) {
                // Fails only where the histogram does not grow, and this one does.
                let _ = times.record((now - before).as_nanos() as u64);
            }
            before = now;
        })?;
        Ok(times)
    }
}
