//! Round trips: one thread sends an item and waits until another thread has returned it.

use std::time::{Duration, Instant};

use crate::ends::{Bare, Ends, Pop, Push, Task};
use crate::harness::{Column, Mismatch, Round};
use crate::machine::affinity::Cores;
use crate::machine::threads;
use crate::raw;
use crate::sample::{Item, Tally};
use crate::stats::{Quartiles, Times};
use crate::wait::{DEADLINE, Idle, Retry};

/// A queue in each direction.
struct Trip<P, Q> {
    there: Ends<Bare<P>, Bare<Q>>,
    back: Ends<Bare<P>, Bare<Q>>,
    idle: Idle,
    cores: Cores,
}

/// Returns the round trip of a number by raw atomics, in nanoseconds: the median of a few short
/// rounds.
pub(crate) fn raw(cores: &Cores) -> f64 {
    const TRIPS: usize = 2_000;
    let idle = cores.sweep().first().copied().unwrap_or(Idle::Yield);
    let mut trip = Trip::new(raw::raw, idle, cores);
    // The first round wakes the other core.
    let rounds = (0..8).filter_map(|_| trip.run(TRIPS, || {}).ok()).skip(1);
    Quartiles::of(rounds.map(|took| took.as_secs_f64() * 1e9 / TRIPS as f64)).median
}

impl<P: Push, Q: Pop<Item = P::Item>> Trip<P, Q> {
    fn new(ends: impl Fn() -> Ends<P, Q>, idle: Idle, cores: &Cores) -> Trip<P, Q> {
        Trip { there: ends().bare(), back: ends().bare(), idle, cores: cores.clone() }
    }

    /// Makes this number of trips, and calls `each` after every one.
    fn run(&mut self, trips: usize, each: impl FnMut()) -> Result<Duration, Mismatch> {
        let Trip { there, back, idle, cores } = self;
        let [send, answer] = [(); 2].map(|()| Retry::new(*idle, DEADLINE));
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
    mut retry: Retry,
    mut each: impl FnMut(),
) -> Tally {
    let mut supply = P::Item::supply();
    let mut tally = Tally::default();
    for number in 0..trips {
        let item = P::Item::nth(&mut supply, number);
        let answer = send(sender, item, &mut retry).and_then(|()| receive(receiver, &mut retry));
        let Some(answer) = answer else { break };
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
    mut retry: Retry,
) {
    for _ in 0..trips {
        let item = receive(receiver, &mut retry);
        if item.and_then(|item| send(sender, &item, &mut retry)).is_none() {
            return;
        }
    }
}

/// Sends as soon as there is space. Returns `None` after the deadline.
#[inline]
fn send<P: Push>(sender: &mut P, item: &P::Item, retry: &mut Retry) -> Option<()> {
    while !sender.push(item) {
        if !retry.wait() {
            return None;
        }
    }
    Some(())
}

/// Waits for an item. Returns `None` after the deadline.
#[inline]
fn receive<Q: Pop>(receiver: &mut Q, retry: &mut Retry) -> Option<Q::Item> {
    loop {
        let item = receiver.pop(|item| *item);
        if item.is_some() || !retry.wait() {
            return item;
        }
    }
}

/// A column of round trips, each timed or all together.
pub(crate) fn trips<P, Q>(
    ends: impl Fn() -> Ends<P, Q>,
    idle: Idle,
    cores: &Cores,
    each: bool,
) -> Column
where
    P: Push + 'static,
    Q: Pop<Item = P::Item> + 'static,
{
    let mut trip = Trip::new(ends, idle, cores);
    Column::new(trip.there.name, move |operations| {
        if !each {
            return trip.run(operations, || {}).map(Round::Total);
        }
        let mut times = Times::default();
        // The start of the first trip is not timed: it includes the start of the other thread.
        let mut before = None;
        trip.run(operations, || {
            let now = Instant::now();
            before.replace(now).into_iter().for_each(|before| times.record(now - before));
        })?;
        Ok(Round::Each(times))
    })
}
