//! There and back: one thread sends a number and waits for it to come back, another one sends back what it gets.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::affinity::Cores;
use crate::ends::{Bare, Ends, Pop, Push, Task};
use crate::harness::{Column, Mismatch};
use crate::item::Item;
use crate::loops::latency::Timed;
use crate::report::histogram;
use crate::sample::Tally;
use crate::threads;
use crate::wait::{PATIENCE, Patience, Wait};

/// A column with a way there and one back.
pub(crate) struct Trip<P, Q> {
    there: Ends<Bare<P>, Bare<Q>>,
    back: Ends<Bare<P>, Bare<Q>>,
    wait: Wait,
    cores: Cores,
}

impl<P: Push<Item = u64>, Q: Pop<Item = u64>> Trip<P, Q> {
    pub(crate) fn new(ends: impl Fn() -> Ends<P, Q>, wait: Wait, cores: &Cores) -> Trip<P, Q> {
        Trip { there: ends().bare(), back: ends().bare(), wait, cores: cores.clone() }
    }

    /// Makes so many trips, and calls `each` after every one.
    fn run(&mut self, trips: usize, each: impl FnMut()) -> Result<Duration, Mismatch> {
        let Trip { there, back, wait, cores } = self;
        let patience = || Patience::new(*wait, PATIENCE);
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
        Mismatch::check(there.name, u64::expected(trips), tally)?;
        Ok(took)
    }
}

#[inline(never)]
fn send_all(
    sender: &mut impl Push<Item = u64>,
    receiver: &mut impl Pop<Item = u64>,
    trips: usize,
    mut patience: Patience,
    mut each: impl FnMut(),
) -> Tally {
    let mut tally = Tally::default();
    for number in 0..trips as u64 {
        let Some(answer) =
            send(sender, number, &mut patience).and_then(|()| receive(receiver, &mut patience))
        else {
            break;
        };
        answer.add(&mut tally);
        each();
    }
    tally
}

#[inline(never)]
fn answer_all(
    receiver: &mut impl Pop<Item = u64>,
    sender: &mut impl Push<Item = u64>,
    trips: usize,
    mut patience: Patience,
) {
    for _ in 0..trips {
        let number = receive(receiver, &mut patience);
        if number.and_then(|number| send(sender, number, &mut patience)).is_none() {
            return;
        }
    }
}

/// Waits for room; `None` if there is never any.
#[inline]
fn send(sender: &mut impl Push<Item = u64>, item: u64, patience: &mut Patience) -> Option<()> {
    while !sender.push(&item) {
        if !patience.wait() {
            return None;
        }
    }
    Some(())
}

/// Waits for an item; `None` if none ever comes.
#[inline]
fn receive(receiver: &mut impl Pop<Item = u64>, patience: &mut Patience) -> Option<u64> {
    loop {
        let item = receiver.pop(|item| *item);
        if item.is_some() || !patience.wait() {
            return item;
        }
    }
}

impl<P: Push<Item = u64>, Q: Pop<Item = u64>> Column for Trip<P, Q> {
    fn name(&self) -> &'static str {
        self.there.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        self.run(operations, || {})
    }
}

impl<P: Push<Item = u64>, Q: Pop<Item = u64>> Timed for Trip<P, Q> {
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
