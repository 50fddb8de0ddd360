//! Actors: a message to an actor that is awake or asleep, a question and its answer, a start and an
//! end, and a ring of actors.
//!
//! A [`Library`] is a column. All of them run the same loops, with the same state behind each
//! actor, from a task of the actors' own runtime.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::task::AtomicWaker;
use tokio::runtime::Builder;

use crate::ends::CAPACITY;
use crate::harness::{Column, Mismatch, Round};
use crate::machine::affinity::Cores;
use crate::sample::{Item, Tally};

/// A library of actors, or the means that a program uses in its place: the set in which actors are
/// spawned, which is made inside a runtime of tokio.
pub(crate) trait Library: Default + Send + Sync + 'static {
    /// The name of its columns.
    const NAME: &'static str;

    /// The address of an actor.
    type Address: Clone + Send + 'static;

    /// Starts an actor.
    fn spawn(&self, plan: Plan) -> impl Future<Output = Option<Self::Address>> + Send;

    /// Requests the end of an actor. `actor` is its last address.
    fn stop(actor: Self::Address) -> impl Future<Output = ()> + Send;

    /// Runs `body` as a task of tokio, and returns its result. Actors that are left over end with
    /// the runtime.
    fn run<T: Send + 'static>(
        place: &Place,
        body: impl Future<Output = Option<T>> + Send + 'static,
    ) -> Option<T> {
        let runtime = match place {
            Place::One => Builder::new_current_thread().enable_all().build(),
            Place::Workers(cores) => {
                let (cores, started) = (cores.clone(), AtomicUsize::new(0));
                let pin = move || cores.pin_in_turn(started.fetch_add(1, Ordering::Relaxed));
                let mut builder = Builder::new_multi_thread();
                builder.worker_threads(2).on_thread_start(pin).enable_all().build()
            }
        };
        let runtime = runtime.expect("the process may make a runtime");
        runtime.block_on(async { tokio::spawn(body).await }).ok().flatten()
    }
}

/// Sends numbers, for which no reply is awaited.
pub(crate) trait Tells: Library {
    /// Sends a number. Returns false if the actor has ended.
    fn tell(actor: &mut Self::Address, number: u64) -> impl Future<Output = bool> + Send;

    /// Sends a number if there is room. Returns false if the actor has ended, or has no room.
    fn try_tell(actor: &mut Self::Address, number: u64) -> bool;
}

/// Sends numbers and waits for each to be returned.
pub(crate) trait Asks: Library {
    fn ask(actor: &mut Self::Address, number: u64) -> impl Future<Output = Option<u64>> + Send;
}

/// How many messages may wait at an actor that gets only few.
const FEW: usize = 16;

/// The number of messages that the actors of a round have handled. One task waits for it.
#[derive(Debug, Default)]
struct Report {
    /// The number of actors that have not handled their messages; `completed` waits for them.
    missing: AtomicUsize,
    /// The number of actors whose state is not dropped yet.
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

    /// Subtracts one from `count`.
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

/// Passes a number on; false if that was refused.
type Pass = Box<dyn FnMut(u64) -> bool + Send>;

/// How an actor is made.
#[derive(Clone)]
pub(crate) struct Plan {
    /// How many messages may wait, if the library has a limit.
    pub(crate) capacity: usize,
    /// An actor reports each time it has handled this many.
    every: u64,
    report: Arc<Report>,
    /// Only in a ring: makes the function that passes a number on.
    next: Option<Arc<dyn Fn() -> Pass + Send + Sync>>,
}

impl Plan {
    fn new(capacity: usize, every: usize, report: &Arc<Report>) -> Plan {
        Plan { capacity, every: every as u64, report: report.clone(), next: None }
    }

    /// Creates the plan of an actor in a ring: it passes each number to the actor that `next` holds
    /// when it first has one to pass.
    fn passing<L: Tells>(mut self, next: Next<L::Address>) -> Plan {
        self.next = Some(Arc::new(move || {
            let (next, mut known) = (next.clone(), None);
            Box::new(move |token| {
                if known.is_none() {
                    known.clone_from(&next.lock().unwrap_or_else(PoisonError::into_inner));
                }
                known.as_mut().is_some_and(|next| L::try_tell(next, token))
            })
        }));
        self
    }

    pub(crate) fn state(&self) -> State {
        let (every, report) = (self.every, self.report.clone());
        report.living.fetch_add(1, Ordering::Relaxed);
        let pass = self.next.as_ref().map(|make| make());
        State { tally: Tally::default(), every, next: every, report, pass }
    }
}

/// The next actor that gets the token: the first one starts after the last one.
type Next<A> = Arc<Mutex<Option<A>>>;

/// The state of an actor. It counts the numbers that it gets: they are their own positions, or the
/// hops that a token has left.
pub(crate) struct State {
    tally: Tally,
    every: u64,
    next: u64,
    report: Arc<Report>,
    pass: Option<Pass>,
}

impl State {
    /// Handles a number, and returns it.
    #[inline]
    pub(crate) fn handle(&mut self, number: u64) -> u64 {
        if let Some(pass) = &mut self.pass {
            // If the token is refused, the round ends with too few hops.
            let passed = number > 0 && pass(number - 1);
            self.tally.count += 1;
            if !passed {
                self.report.less(&self.report.missing);
            }
            return number;
        }
        number.add(&mut self.tally);
        if self.tally.count == self.next {
            self.next += self.every;
            self.report.less(&self.report.missing);
        }
        number
    }
}

impl Drop for State {
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
    /// One thread, with everything on it.
    One,
    /// Two workers of a runtime, each on a core, that take each other's tasks.
    Workers(Cores),
}

/// Runs `body` where the library runs its actors.
fn run<L: Library, T: Send + 'static>(
    place: &Place,
    body: impl Future<Output = Option<T>> + Send + 'static,
) -> Result<T, Mismatch> {
    L::run(place, body).ok_or_else(|| Mismatch::new(L::NAME, "an actor ended"))
}

/// Creates a column of `work`, which returns how long it took, and checks the messages that its
/// actors handled.
fn handled<L: Library, W>(place: Place, work: impl Fn(Arc<Report>, usize) -> W + 'static) -> Column
where
    W: Future<Output = Option<Duration>> + Send + 'static,
{
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        let took = run::<L, _>(&place, work(report.clone(), count))?;
        Mismatch::check(L::NAME, u64::expected(count), report.found())?;
        Ok(Round::Total(took))
    })
}

/// Measures one message after the other, from the first to the last that is handled.
pub(crate) fn awake<L: Tells>(place: Place) -> Column {
    handled::<L, _>(place, |report, count| async move {
        report.expect(1);
        let world = L::default();
        let mut actor = world.spawn(Plan::new(CAPACITY, count, &report)).await?;
        let start = Instant::now();
        for number in 0..count as u64 {
            if !L::tell(&mut actor, number).await {
                return None;
            }
        }
        report.completed().await;
        Some(start.elapsed())
    })
}

/// Measures a message to each of sixteen sleeping actors, until all have handled it.
pub(crate) fn asleep<L: Tells>() -> Column {
    const SLEEPERS: usize = 16;
    /// How many messages may wait at each actor. Only one does.
    const CAPACITY: usize = 64;
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        let shared = report.clone();
        let rounds = count.div_ceil(SLEEPERS) as u64;
        let took = run::<L, _>(&Place::One, async move {
            let plan = Plan::new(CAPACITY, 1, &shared);
            let (world, mut actors) = (L::default(), Vec::new());
            for _ in 0..SLEEPERS {
                actors.push(world.spawn(plan.clone()).await?);
            }
            let mut start = Instant::now();
            for round in 0..=rounds {
                if round == 1 {
                    // Round 0 is not timed: the actors start in it.
                    start = Instant::now();
                }
                shared.expect(SLEEPERS);
                for actor in &mut actors {
                    if !L::tell(actor, round).await {
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

/// Measures from the first question to the last answer, with this many open at a time.
pub(crate) fn asked<L: Asks>(place: Place, open: usize) -> Column {
    Column::new(L::NAME, move |count| {
        let report = Arc::new(Report::default());
        // The answers say that the numbers were handled, so the actor never reports it.
        let plan = Plan::new(CAPACITY, usize::MAX, &report);
        let (tally, took) = run::<L, _>(&place, async move {
            let world = L::default();
            let mut actors = vec![world.spawn(plan).await?; open];
            let start = Instant::now();
            let mut tally = Tally::default();
            if let [actor] = &mut actors[..] {
                for number in 0..count as u64 {
                    L::ask(actor, number).await?.add(&mut tally);
                }
            } else {
                for first in (0..count as u64).step_by(open) {
                    let numbers = first..(first + open as u64).min(count as u64);
                    let asks = actors.iter_mut().zip(numbers);
                    let asks = asks.map(|(actor, number)| L::ask(actor, number));
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

/// Measures actors that start, handle a message and end; one after the other, each until its state
/// is dropped.
pub(crate) fn lives<L: Tells>() -> Column {
    handled::<L, _>(Place::One, |report, count| async move {
        let plan = Plan::new(FEW, 1, &report);
        let (world, start) = (L::default(), Instant::now());
        for _ in 0..count {
            report.expect(1);
            let mut actor = world.spawn(plan.clone()).await?;
            if !L::tell(&mut actor, 0).await {
                return None;
            }
            report.completed().await;
            L::stop(actor).await;
            report.zero(&report.living).await;
        }
        Some(start.elapsed())
    })
}

/// Measures a token that goes around a ring of this number of actors.
pub(crate) fn ring<L: Tells>(place: Place, actors: usize) -> Column {
    handled::<L, _>(place, move |report, hops| async move {
        report.expect(1);
        let plan = Plan::new(FEW, usize::MAX, &report);
        let (world, first) = (L::default(), Next::<L::Address>::default());
        let mut actor = world.spawn(plan.clone().passing::<L>(first.clone())).await?;
        for _ in 1..actors {
            let next = Arc::new(Mutex::new(Some(actor)));
            actor = world.spawn(plan.clone().passing::<L>(next)).await?;
        }
        *first.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor.clone());
        let start = Instant::now();
        // The token's last hop has the number 0.
        if !L::try_tell(&mut actor, hops as u64 - 1) {
            return None;
        }
        report.completed().await;
        Some(start.elapsed())
    })
}
