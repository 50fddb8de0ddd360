//! Actors on one thread: a message to one, awake or asleep, and a question and its answer.
//!
//! A [`Library`] is a column. All of them run the same loops, with the same state behind each
//! actor, from a task of the actors' own runtime.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use futures_util::future::join_all;
use futures_util::task::AtomicWaker;
use tokio::runtime::Builder;

use crate::ends::CAPACITY;
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, Tally};

/// A library of actors, or what a program uses in its place. Its actors run on tokio.
pub(crate) trait Library: 'static {
    /// The name of its columns.
    const NAME: &'static str;

    /// The set in which actors are spawned.
    type World: Send + Sync + 'static;

    /// The address of an actor that counts.
    type Counter: Clone + Send + 'static;

    /// A set of actors, inside a runtime of tokio.
    fn world() -> Self::World;

    /// Starts an actor that counts.
    fn spawn(world: &Self::World, plan: Plan)
    -> impl Future<Output = Option<Self::Counter>> + Send;
}

/// Sends numbers, for which no reply is awaited.
pub(crate) trait Tells: Library {
    /// False if the actor has ended.
    fn tell(counter: &mut Self::Counter, number: u64) -> impl Future<Output = bool> + Send;
}

/// Sends numbers and waits for each to be returned.
pub(crate) trait Asks: Library {
    fn ask(counter: &mut Self::Counter, number: u64) -> impl Future<Output = Option<u64>> + Send;
}

/// What the actors of a round have handled. One task waits for it.
#[derive(Debug, Default)]
struct Report {
    /// Actors that have not handled the messages that are waited for.
    missing: AtomicUsize,
    waker: AtomicWaker,
    /// The messages of all actors that have ended.
    found: Mutex<Tally>,
}

impl Report {
    /// Expects the next reports of this many actors.
    fn expect(&self, actors: usize) {
        self.missing.store(actors, Ordering::Relaxed);
    }

    /// Waits until all expected actors have reported.
    async fn completed(&self) {
        poll_fn(|context| {
            if self.missing.load(Ordering::Acquire) != 0 {
                self.waker.register(context.waker());
                if self.missing.load(Ordering::Acquire) != 0 {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The messages of all actors that have ended.
    fn found(&self) -> Tally {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the actors of a round are made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Messages that wait, where the library bounds them.
    pub(crate) capacity: usize,
    /// An actor reports each time it has handled this many.
    every: u64,
    report: Arc<Report>,
}

impl Plan {
    fn new(capacity: usize, every: usize, report: &Arc<Report>) -> Plan {
        Plan { capacity, every: every as u64, report: report.clone() }
    }

    pub(crate) fn counter(&self) -> Counting {
        let (every, report) = (self.every, self.report.clone());
        Counting { tally: Tally::default(), every, next: every, report }
    }
}

/// The state of an actor: it counts the numbers that it gets, which are their own positions.
#[derive(Debug)]
pub(crate) struct Counting {
    tally: Tally,
    every: u64,
    next: u64,
    report: Arc<Report>,
}

impl Counting {
    /// Handles a number, and returns it.
    #[inline]
    pub(crate) fn add(&mut self, number: u64) -> u64 {
        number.add(&mut self.tally);
        if self.tally.count == self.next {
            self.next += self.every;
            if self.report.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.report.waker.wake();
            }
        }
        number
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut found = self.report.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.count += self.tally.count;
        found.sum |= self.tally.sum;
    }
}

/// Runs `body` as a task of tokio, and returns its result. Actors that are left end with the
/// runtime.
fn run<T: Send + 'static>(
    name: &'static str,
    body: impl Future<Output = Option<T>> + Send + 'static,
) -> Result<T, Mismatch> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the process may make a runtime");
    let result = runtime.block_on(async { tokio::spawn(body).await });
    result.ok().flatten().ok_or_else(|| Mismatch::new(name, "an actor ended"))
}

/// One message after the other, from the first to the last that is handled.
pub(crate) fn awake<L: Tells>() -> Column {
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        report.expect(1);
        let (plan, shared) = (Plan::new(CAPACITY, count, &report), report.clone());
        let took = run(L::NAME, async move {
            let world = L::world();
            let mut counter = L::spawn(&world, plan).await?;
            let start = Instant::now();
            for number in 0..count as u64 {
                if !L::tell(&mut counter, number).await {
                    return None;
                }
            }
            shared.completed().await;
            Some(start.elapsed())
        })?;
        Mismatch::check(L::NAME, u64::expected(count), report.found())?;
        Ok(Round::Total(took))
    })
}

/// A message to each of sixteen sleeping actors, until all have handled it.
pub(crate) fn asleep<L: Tells>() -> Column {
    const SLEEPERS: usize = 16;
    /// Messages that may wait at each of them. One does.
    const CAPACITY: usize = 64;
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        let shared = report.clone();
        let rounds = count.div_ceil(SLEEPERS) as u64;
        let took = run(L::NAME, async move {
            let plan = Plan::new(CAPACITY, 1, &shared);
            let (world, mut counters) = (L::world(), Vec::new());
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
        })?;
        let expected = Tally { count: (rounds + 1) * SLEEPERS as u64, sum: 0 };
        Mismatch::check(L::NAME, expected, report.found())?;
        Ok(Round::Total(took.mul_f64(count as f64 / (rounds * SLEEPERS as u64) as f64)))
    })
}

/// From the first question to the last answer, with this many open at a time.
pub(crate) fn asked<L: Asks>(open: usize) -> Column {
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        // The answers say that the numbers were handled, so the actor never reports it.
        let plan = Plan::new(CAPACITY, usize::MAX, &report);
        let (tally, took) = run(L::NAME, async move {
            let world = L::world();
            let mut counters = vec![L::spawn(&world, plan).await?; open];
            let start = Instant::now();
            let mut tally = Tally::default();
            if let [counter] = &mut counters[..] {
                for number in 0..count as u64 {
                    L::ask(counter, number).await?.add(&mut tally);
                }
            } else {
                for first in (0..count as u64).step_by(open) {
                    let numbers = first..(first + open as u64).min(count as u64);
                    let asks = counters.iter_mut().zip(numbers);
                    let asks = asks.map(|(counter, number)| L::ask(counter, number));
                    for answer in join_all(asks).await {
                        answer?.add(&mut tally);
                    }
                }
            }
            Some((tally, start.elapsed()))
        })?;
        Mismatch::check(L::NAME, u64::expected(count), tally)?;
        Mismatch::check(L::NAME, u64::expected(count), report.found())?;
        Ok(Round::Total(took))
    })
}
