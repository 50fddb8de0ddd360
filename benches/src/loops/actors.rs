//! Actors: a message to one, awake or asleep, a question and its answer, a start and an end, and a
//! ring.
//!
//! A [`Library`] is a column. All of them run the same loops, with the same state behind each
//! actor, from a task of the actors' own runtime.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::Poll;
use std::time::Instant;

use futures_util::future::join_all;
use futures_util::task::AtomicWaker;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::affinity::Cores;
use crate::ends::CAPACITY;
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, Tally};
use crate::threads;

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

    /// Requests the end of an actor. No other address of it is left.
    fn stop(counter: Self::Counter) -> impl Future<Output = ()> + Send;
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

/// Sends a token around a ring: the number of hops that are left.
pub(crate) trait Rings: Library + Sized {
    /// The address of an actor of the ring.
    type Link: Clone + Send + 'static;

    /// Starts an actor of the ring.
    fn join(world: &Self::World, plan: HopPlan<Self>) -> Option<Self::Link>;

    /// False if the actor has ended, or has no room.
    fn pass(link: &mut Self::Link, token: u64) -> bool;
}

/// Messages that may wait at an actor that is started for few.
pub(crate) const FEW: usize = 16;

/// What the actors of a round have handled. One task waits for it.
#[derive(Debug, Default)]
struct Report {
    /// Actors that have not handled the messages that are waited for.
    missing: AtomicUsize,
    /// Actors whose state lives.
    living: AtomicUsize,
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
        self.zero(&self.missing).await;
    }

    /// One less of `count`.
    fn less(&self, count: &AtomicUsize) {
        if count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waker.wake();
        }
    }

    async fn zero(&self, count: &AtomicUsize) {
        poll_fn(|context| {
            if count.load(Ordering::Acquire) != 0 {
                self.waker.register(context.waker());
                if count.load(Ordering::Acquire) != 0 {
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
        report.living.fetch_add(1, Ordering::Relaxed);
        Counting { tally: Tally::default(), every, next: every, report }
    }
}

/// How an actor of the ring is made.
pub(crate) struct HopPlan<L: Rings> {
    next: Next<L::Link>,
    plan: Plan,
}

impl<L: Rings> HopPlan<L> {
    pub(crate) fn hop(&self) -> Hop<L> {
        Hop { next: self.next.clone(), known: None, counting: self.plan.counter() }
    }
}

/// The actor that gets the token next: the first one starts after the last one.
type Next<A> = Arc<Mutex<Option<A>>>;

/// The state of an actor of the ring.
pub(crate) struct Hop<L: Rings> {
    next: Next<L::Link>,
    known: Option<L::Link>,
    counting: Counting,
}

impl<L: Rings> Hop<L> {
    /// Passes the token on. If that is refused, the round ends with too few hops.
    pub(crate) fn hop(&mut self, token: u64) {
        if self.known.is_none() {
            self.known = self.next.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        let passed = token > 0 && self.known.as_mut().is_some_and(|next| L::pass(next, token - 1));
        self.counting.tally.count += 1;
        if !passed {
            self.counting.report.less(&self.counting.report.missing);
        }
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
            self.report.less(&self.report.missing);
        }
        number
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut found = self.report.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.count += self.tally.count;
        found.sum |= self.tally.sum;
        drop(found);
        self.report.less(&self.report.living);
    }
}

/// The threads of the caller and of the actors.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// One, with everything on it.
    One,
    /// Two workers of a runtime, each on a core, that take each other's tasks.
    Workers(Cores),
    /// Each in a runtime of one thread, on a core.
    Apart(Cores),
}

/// Runs `body` as a task of tokio, and returns its result. Actors that are left end with the
/// runtime.
fn run<T: Send + 'static>(
    name: &'static str,
    place: &Place,
    body: impl Future<Output = Option<T>> + Send + 'static,
) -> Result<T, Mismatch> {
    let runtime = match place {
        Place::One | Place::Apart(_) => Builder::new_current_thread().enable_all().build(),
        Place::Workers(cores) => {
            let (cores, started) = (cores.clone(), AtomicUsize::new(0));
            let pin = move || cores.pin_in_turn(started.fetch_add(1, Ordering::Relaxed));
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(2).on_thread_start(pin).enable_all().build()
        }
    };
    let runtime = runtime.expect("the process may make a runtime");
    let result = runtime.block_on(async { tokio::spawn(body).await });
    result.ok().flatten().ok_or_else(|| Mismatch::new(name, "an actor ended"))
}

/// Runs `body` with the address of an actor, and returns its result.
fn run_beside<L: Library, T: Send + 'static, F: Future<Output = Option<T>> + Send + 'static>(
    place: &Place,
    plan: Plan,
    body: impl FnOnce(L::Counter) -> F + Send + 'static,
) -> Result<T, Mismatch> {
    let Place::Apart(cores) = place else {
        return run(L::NAME, place, async move {
            let world = L::world();
            body(L::spawn(&world, plan).await?).await
        });
    };
    let (give, given) = mpsc::channel();
    let (end, ended) = oneshot::channel::<()>();
    let (result, _) = threads::both(
        cores,
        move || {
            let result = run(L::NAME, place, async move { body(given.recv().ok()?).await });
            let _ = end.send(());
            result
        },
        move || {
            run(L::NAME, place, async move {
                let world = L::world();
                // If the caller has failed, the channel is closed.
                let _ = give.send(L::spawn(&world, plan).await?);
                let _ = ended.await;
                Some(())
            })
        },
    );
    result
}

/// One message after the other, from the first to the last that is handled.
pub(crate) fn awake<L: Tells>(place: Place) -> Column {
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        report.expect(1);
        let (plan, shared) = (Plan::new(CAPACITY, count, &report), report.clone());
        let took = run_beside::<L, _, _>(&place, plan, move |mut counter| async move {
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
        let took = run(L::NAME, &Place::One, async move {
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
pub(crate) fn asked<L: Asks>(place: Place, open: usize) -> Column {
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        // The answers say that the numbers were handled, so the actor never reports it.
        let plan = Plan::new(CAPACITY, usize::MAX, &report);
        let (tally, took) = run_beside::<L, _, _>(&place, plan, move |counter| async move {
            let mut counters = vec![counter; open];
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

/// An actor starts, handles a message and ends; one after the other, each until its state is
/// dropped.
pub(crate) fn lives<L: Tells>() -> Column {
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        let (plan, shared) = (Plan::new(FEW, 1, &report), report.clone());
        let took = run(L::NAME, &Place::One, async move {
            let (world, start) = (L::world(), Instant::now());
            for _ in 0..count {
                shared.expect(1);
                let mut counter = L::spawn(&world, plan.clone()).await?;
                if !L::tell(&mut counter, 0).await {
                    return None;
                }
                shared.completed().await;
                L::stop(counter).await;
                shared.zero(&shared.living).await;
            }
            Some(start.elapsed())
        })?;
        Mismatch::check(L::NAME, Tally { count: count as u64, sum: 0 }, report.found())?;
        Ok(Round::Total(took))
    })
}

/// A token around a ring of this number of actors.
pub(crate) fn ring<L: Rings>(place: Place, actors: usize) -> Column {
    Column::new(L::NAME, move |hops| {
        let report = Arc::new(Report::default());
        report.expect(1);
        let (plan, shared) = (Plan::new(FEW, usize::MAX, &report), report.clone());
        let took = run(L::NAME, &place, async move {
            let (world, first) = (L::world(), Next::<L::Link>::default());
            let mut link = L::join(&world, HopPlan { next: first.clone(), plan: plan.clone() })?;
            for _ in 1..actors {
                let next = Arc::new(Mutex::new(Some(link)));
                link = L::join(&world, HopPlan { next, plan: plan.clone() })?;
            }
            *first.lock().unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
            let start = Instant::now();
            // The token's last hop is that of number 0.
            if !L::pass(&mut link, hops as u64 - 1) {
                return None;
            }
            shared.completed().await;
            Some(start.elapsed())
        })?;
        Mismatch::check(L::NAME, Tally { count: hops as u64, sum: 0 }, report.found())?;
        Ok(Round::Total(took))
    })
}
