//! A ring of actors, of which each passes a token to the next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::library::{Library, Threads};
use super::measure::{Spent, allocated, timed};
use super::state::{Counting, Report};
use crate::allocations;
use crate::harness::{Column, Mismatch, Round};
use crate::sample::Tally;

/// Messages that may wait at each actor. At most one does.
pub(crate) const CAPACITY: usize = 16;

/// Sends a token, the number of hops that are left.
pub(crate) trait Rings: Library {
    /// The address of an actor of the ring.
    type Link: Clone + Send + 'static;

    /// Starts an actor of the ring.
    fn join(
        world: &Self::World,
        plan: HopPlan<Self>,
    ) -> impl Future<Output = Option<Self::Link>> + Send
    where
        Self: Sized;

    /// False if the actor has ended, or has no room.
    fn pass(link: &mut Self::Link, token: u64) -> bool;
}

/// How an actor of the ring is made.
pub(crate) struct HopPlan<L: Rings> {
    next: Next<L::Link>,
    report: Arc<Report>,
}

impl<L: Rings> HopPlan<L> {
    pub(crate) fn hop(&self) -> Hop<L> {
        let counting = Counting::new(u64::MAX, self.report.clone());
        Hop { next: self.next.clone(), counting }
    }
}

/// The actor that gets the token next.
#[derive(Clone)]
enum Next<A> {
    Known(A),
    /// The first one, which starts after the last one.
    First(Arc<Mutex<Option<A>>>),
}

/// The state of an actor of the ring.
pub(crate) struct Hop<L: Rings> {
    next: Next<L::Link>,
    counting: Counting,
}

impl<L: Rings> Hop<L> {
    /// Passes the token on. If that is refused, the round ends with too few hops.
    pub(crate) fn hop(&mut self, token: u64) {
        let passed = token > 0 && self.next.get().is_some_and(|next| L::pass(next, token - 1));
        self.counting.count(!passed);
    }
}

impl<A: Clone> Next<A> {
    fn get(&mut self) -> Option<&mut A> {
        if let Next::First(first) = self {
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
            *self = Next::Known(first);
        }
        match self {
            Next::Known(next) => Some(next),
            Next::First(_) => None,
        }
    }
}

/// A token around a ring of this number of actors.
pub(crate) fn ring<L: Rings>(threads: Threads, actors: usize) -> Column {
    timed(L::NAME, move |hops| pass::<L>(threads.clone(), actors, hops))
}

/// The allocations of a hop.
pub(crate) fn spent<L: Rings>() -> Column {
    allocated(L::NAME, "allocations of a hop", |hops| pass::<L>(Threads::One, 16, hops))
}

fn pass<L: Rings>(threads: Threads, actors: usize, hops: usize) -> Result<Spent, Mismatch> {
    let report = Arc::new(Report::default());
    report.expect(1);
    let shared = report.clone();
    let spent = L::run(threads, move |world| async move {
        let first = Arc::new(Mutex::new(None));
        let mut next = Next::First(first.clone());
        let mut link = None;
        for _ in 0..actors {
            let plan = HopPlan::<L> { next, report: shared.clone() };
            let joined = L::join(&world, plan).await?;
            next = Next::Known(joined.clone());
            link = Some(joined);
        }
        let mut link = link?;
        *first.lock().unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
        let (before, start) = (allocations::count(), Instant::now());
        // The token's last hop is that of number 0.
        if !L::pass(&mut link, hops as u64 - 1) {
            return None;
        }
        shared.completed().await;
        let round = Round::Total(start.elapsed());
        Some(Spent { round, allocations: allocations::count().wrapping_sub(before) })
    });
    let spent = spent.flatten().ok_or_else(|| Mismatch::new(L::NAME, "the token was lost"))?;
    Mismatch::check(L::NAME, Tally { count: hops as u64, sum: 0 }, report.found())?;
    Ok(spent)
}
