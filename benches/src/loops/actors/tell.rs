//! A message to an actor, until it is handled. Awake: one after the other, while there is room.
//! Asleep: the actor's task waits when each message is sent.

use std::hint::spin_loop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::library::{Tells, Threads};
use super::measure::{Spent, allocated, timed};
use super::place::Place;
use super::state::{Plan, Report};
use crate::affinity::Cores;
use crate::allocations;
use crate::ends::CAPACITY;
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, Tally};
use crate::stats::Times;

/// Actors that sleep at the same time on one thread.
const SLEEPERS: usize = 16;
/// Messages that may wait at each of them. One does.
const SLEEPERS_CAPACITY: usize = 64;
/// A thread that has handled its last message sleeps by the end of this time.
const SLEEPS: Duration = Duration::from_micros(30);

/// From the first message to the last that is handled.
pub(crate) fn awake<L: Tells>(place: Place) -> Column {
    timed(L::NAME, move |count| stream::<L>(&place, count))
}

/// The allocations of a message on one thread.
pub(crate) fn spent<L: Tells>() -> Column {
    let place = Place::Together(Threads::One);
    allocated(L::NAME, "allocations of a tell", move |count| stream::<L>(&place, count))
}

fn stream<L: Tells>(place: &Place, count: usize) -> Result<Spent, Mismatch> {
    let report = Arc::new(Report::default());
    report.expect(1);
    let plan = Plan::new(CAPACITY, count, &report);
    let shared = report.clone();
    let spent = place.run::<L, _, _>(plan, move |mut counter| async move {
        let (before, start) = (allocations::count(), Instant::now());
        for number in 0..count as u64 {
            if !L::tell(&mut counter, number).await {
                return None;
            }
        }
        shared.completed().await;
        let round = Round::Total(start.elapsed());
        Some(Spent { round, allocations: allocations::count().wrapping_sub(before) })
    });
    let spent = spent.flatten().ok_or_else(|| Mismatch::new(L::NAME, "an actor ended"))?;
    Mismatch::check(L::NAME, u64::expected(count), report.found())?;
    Ok(spent)
}

/// A message to each of sixteen sleeping actors of the same thread, until all have handled it.
pub(crate) fn asleep<L: Tells>() -> Column {
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        let shared = report.clone();
        let rounds = count.div_ceil(SLEEPERS) as u64;
        let ran = L::run(Threads::One, move |world| async move {
            let plan = Plan::new(SLEEPERS_CAPACITY, 1, &shared);
            let mut counters = Vec::new();
            for _ in 0..SLEEPERS {
                counters.push(L::spawn(&world, plan.clone()).await?);
            }
            let mut start = Instant::now();
            for round in 0..=rounds {
                if round == 1 {
                    // In round 0 the actors started.
                    start = Instant::now();
                }
                shared.expect(SLEEPERS);
                for counter in &mut counters {
                    if !L::tell(counter, round).await {
                        return None;
                    }
                }
                shared.completed().await;
            }
            Some(start.elapsed())
        });
        let took = ran.flatten().ok_or_else(|| Mismatch::new(L::NAME, "an actor ended"))?;
        let expected = Tally { count: (rounds + 1) * SLEEPERS as u64, sum: 0 };
        Mismatch::check(L::NAME, expected, report.found())?;
        Ok(Round::Total(took.mul_f64(count as f64 / (rounds * SLEEPERS as u64) as f64)))
    })
}

/// A message to an actor of another thread, which sleeps. The caller spins until it is handled.
pub(crate) fn asleep_apart<L: Tells>(cores: Cores) -> Column {
    let place = Place::Apart(cores);
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        let plan = Plan::new(SLEEPERS_CAPACITY, 1, &report);
        let shared = report.clone();
        let times = place.run::<L, _, _>(plan, move |mut counter| async move {
            let mut times = Times::default();
            for number in 0..count as u64 {
                let handled = Instant::now();
                while handled.elapsed() < SLEEPS {
                    spin_loop();
                }
                shared.expect(1);
                let start = Instant::now();
                if !L::tell(&mut counter, number).await {
                    return None;
                }
                while !shared.complete() {
                    spin_loop();
                }
                times.record(start.elapsed());
            }
            Some(times)
        });
        let times = times.flatten().ok_or_else(|| Mismatch::new(L::NAME, "an actor ended"))?;
        Mismatch::check(L::NAME, u64::expected(count), report.found())?;
        Ok(Round::Each(times))
    })
}
