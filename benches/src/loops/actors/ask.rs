//! A number to an actor, which returns it: one at a time, or many open at once.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::library::{Asks, Threads};
use super::measure::{Spent, allocated, timed};
use super::place::Place;
use super::state::{Plan, Report};
use crate::allocations;
use crate::ends::CAPACITY;
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, Tally};

/// From the first question to the last answer.
pub(crate) fn trips<L: Asks>(place: Place, open: usize) -> Column {
    timed(L::NAME, move |count| asked::<L>(&place, count, open))
}

/// The allocations of a question and its answer on one thread, one at a time.
pub(crate) fn spent<L: Asks>() -> Column {
    let place = Place::Together(Threads::One);
    allocated(L::NAME, "allocations of an ask", move |count| asked::<L>(&place, count, 1))
}

fn asked<L: Asks>(place: &Place, count: usize, open: usize) -> Result<Spent, Mismatch> {
    let report = Arc::new(Report::default());
    // The answers say that the numbers were handled, so the actor never reports it.
    let plan = Plan::new(CAPACITY, usize::MAX, &report);
    let asked = place.run::<L, _, _>(plan, move |counter| async move {
        let mut counters = vec![counter; open];
        let (before, start) = (allocations::count(), Instant::now());
        let mut tally = Tally::default();
        if let [counter] = &mut counters[..] {
            for number in 0..count as u64 {
                L::ask(counter, number).await?.add(&mut tally);
            }
        } else {
            for first in (0..count as u64).step_by(open) {
                let numbers = first..(first + open as u64).min(count as u64);
                let asks = counters.iter_mut().zip(numbers);
                for answer in join_all(asks.map(|(counter, number)| L::ask(counter, number))).await
                {
                    answer?.add(&mut tally);
                }
            }
        }
        let round = Round::Total(start.elapsed());
        Some((tally, Spent { round, allocations: allocations::count().wrapping_sub(before) }))
    });
    let asked = asked.flatten().ok_or_else(|| Mismatch::new(L::NAME, "an actor ended"))?;
    let (tally, spent) = asked;
    Mismatch::check(L::NAME, u64::expected(count), tally)?;
    Mismatch::check(L::NAME, u64::expected(count), report.found())?;
    Ok(spent)
}
