//! An actor starts, handles a message and ends.

use std::sync::Arc;
use std::time::Instant;

use super::library::{Tells, Threads};
use super::measure::{Spent, allocated, timed};
use super::state::{Plan, Report};
use crate::allocations;
use crate::harness::{Column, Mismatch, Round};
use crate::sample::Tally;

/// Messages that may wait at each actor.
pub(super) const CAPACITY: usize = 16;

/// One actor after the other, each until its state is dropped.
pub(crate) fn lives<L: Tells>() -> Column {
    timed(L::NAME, live::<L>)
}

/// The allocations of an actor.
pub(crate) fn spent<L: Tells>() -> Column {
    allocated(L::NAME, "allocations of an actor", live::<L>)
}

fn live<L: Tells>(count: usize) -> Result<Spent, Mismatch> {
    let report = Arc::new(Report::default());
    let shared = report.clone();
    let spent = L::run(Threads::One, move |world| async move {
        let plan = Plan::new(CAPACITY, 1, &shared);
        let (before, start) = (allocations::count(), Instant::now());
        for _ in 0..count {
            shared.expect(1);
            let mut counter = L::spawn(&world, plan.clone()).await?;
            if !L::tell(&mut counter, 0).await {
                return None;
            }
            shared.completed().await;
            L::stop(counter).await;
            shared.gone().await;
        }
        let round = Round::Total(start.elapsed());
        Some(Spent { round, allocations: allocations::count().wrapping_sub(before) })
    });
    let spent = spent.flatten().ok_or_else(|| Mismatch::new(L::NAME, "an actor ended early"))?;
    Mismatch::check(L::NAME, Tally { count: count as u64, sum: 0 }, report.found())?;
    Ok(spent)
}
