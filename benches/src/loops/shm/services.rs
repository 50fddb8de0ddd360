//! The services of the columns, and their messages: a client and an echo for round trips, a source
//! and a sink for messages one way, a pacer and a listener for messages at their due times.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use mycelium::{Context, Delivery, Result};
use mycelium_core::message;
use rustix::time::{ClockId, clock_gettime};

use crate::allocations;
use crate::sample::{SAMPLES, Sample, Tally, samples};
use crate::stats::Times;
use crate::usage::Usage;

/// A stream begins on the socket; this long after the first answer both are in memory.
const MOVES: Duration = Duration::from_millis(50);

/// After this time the first message is sent again, if it was not answered.
const AGAIN: Duration = Duration::from_millis(100);

/// What a round found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) took: Duration,
    pub(super) times: Times,
    pub(super) right: bool,
    pub(super) spent: Spent,
}

/// What the timed part needed other than time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    /// Of all threads of both processes.
    pub(super) sleeps: u64,
    /// Of the thread that sends.
    pub(super) allocations: u64,
}

/// The work of a round, and what it found.
#[derive(Debug, Default)]
pub(super) struct Task {
    pub(super) operations: usize,
    /// Messages per second, if they are sent at their due times.
    pub(super) rate: u64,
    /// The other process, if sleeps count.
    pub(super) counts: Option<u32>,
    pub(super) found: Mutex<Found>,
}

impl Task {
    /// Begins the timed part.
    fn begin(&self) -> Begun {
        let processes = self.counts.iter().flat_map(|other| ["self".into(), other.to_string()]);
        let before = processes.map(|process| (Usage::of(&process), process)).collect();
        Begun { before, allocations: allocations::count() }
    }

    /// What the round found.
    pub(super) fn take(&self) -> Found {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, found: Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

/// The counts at the begin of the timed part.
struct Begun {
    before: Vec<(Usage, String)>,
    allocations: u64,
}

impl Begun {
    fn spent(&self) -> Spent {
        let allocations = allocations::count() - self.allocations;
        let sleeps = self.before.iter().map(|(before, process)| Usage::of(process).since(before).1);
        Spent { sleeps: sleeps.sum(), allocations }
    }
}

/// What a subscription has within some time.
macro_rules! heard {
    ($ctx:ident, $answers:ident) => {{
        let next = pin!($answers.recv());
        let pause = pin!($ctx.sleep(AGAIN));
        match select(next, pause).await {
            Either::Left((delivery, _)) => Some(delivery),
            Either::Right(_) => None,
        }
    }};
}

/// Whether the first message is answered. An answer that is sent before the other node knows the
/// subscription, which observes, does not arrive; then this waits until no other one is on its way.
macro_rules! answered {
    ($ctx:ident, $answers:ident, |$answer:ident| $is_right:expr) => {
        match heard!($ctx, $answers) {
            Some(Some(Delivery::Msg($answer))) if $is_right => true,
            Some(None) => return Ok(()),
            _ => {
                while let Some(Some(_)) = heard!($ctx, $answers) {}
                false
            }
        }
    };
}

/// A message of some words and its answer, a service that sends it and one that returns it.
macro_rules! trip {
    ($ping:ident, $pong:ident, $client:ident, $echo:ident, $words:literal, $there:tt,
        $back:tt, $id:tt, $next:tt) => {
        #[message(topic = $there, id = $id)]
        pub(super) struct $ping {
            words: [u64; $words],
        }

        #[message(topic = $back, id = $next)]
        pub(super) struct $pong {
            words: [u64; $words],
        }

        pub(super) struct $client(pub(super) Arc<Task>);

        #[mycelium::service(reads($pong), emits($ping))]
        impl $client {
            async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                let mut pongs = ctx.subscribe::<$pong>()?;
                let (mut times, mut right, mut number) = (Times::default(), true, 0);
                let (mut before, mut left, mut begun) = (Instant::now(), self.0.operations, None);
                loop {
                    number += 1;
                    ctx.emit($ping { words: [number; $words] }).await?;
                    if answered!(ctx, pongs, |pong| pong.words[0] == number) {
                        break;
                    }
                }
                let start = Instant::now();
                while left > 0 {
                    if begun.is_none() && before.saturating_duration_since(start) >= MOVES {
                        begun = Some(self.0.begin());
                        before = Instant::now();
                    }
                    number += 1;
                    ctx.emit($ping { words: [number; $words] }).await?;
                    let Some(Delivery::Msg(pong)) = pongs.recv().await else {
                        right = false;
                        break;
                    };
                    right &= pong.words == [number; $words];
                    let now = Instant::now();
                    if begun.is_some() {
                        times.record(now - before);
                        left -= 1;
                    }
                    before = now;
                }
                let spent = begun.map(|begun| begun.spent()).unwrap_or_default();
                self.0.note(Found { times, right, spent, ..Found::default() });
                Ok(())
            }
        }

        pub(super) struct $echo;

        #[mycelium::service(reads($ping), emits($pong))]
        impl $echo {
            async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                let mut pings = ctx.subscribe::<$ping>()?;
                while let Some(delivery) = pings.recv().await {
                    if let Delivery::Msg(ping) = delivery {
                        ctx.emit($pong { words: ping.words }).await?;
                    }
                }
                Ok(())
            }
        }
    };
}

trip!(Ping48, Pong48, Client48, Echo48, 6, "pings-48", "pongs-48", 21, 22);
trip!(Ping64, Pong64, Client64, Echo64, 8, "pings-64", "pongs-64", 23, 24);

/// Emits samples, and notes the time until the last one was taken.
pub(super) struct Source(pub(super) Arc<Task>);

#[message(topic = "tallies", id = 25)]
pub(super) struct Taken {
    count: u64,
    sum: u64,
}

/// The flags of a sample that requests the tally, which no other one has.
const ASKS: u32 = u32::MAX;
/// The flags of a sample that does not count.
const WARMS: u32 = u32::MAX - 1;

/// Samples before those that are timed.
const FIRST: usize = 512;

#[mycelium::service(reads(Taken), emits(Sample))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut tallies = ctx.subscribe::<Taken>()?;
        let samples = samples();
        // A last sample of each part requests the tally.
        let ask = Sample { flags: ASKS, ..Sample::default() };
        let mut found = Found::default();
        loop {
            ctx.emit(ask).await?;
            if answered!(ctx, tallies, |taken| taken.count == 0) {
                break;
            }
        }
        let first = Instant::now();
        loop {
            let timed = first.elapsed() >= MOVES;
            let count = if timed { self.0.operations } else { FIRST };
            let begun = timed.then(|| self.0.begin());
            let start = Instant::now();
            for number in 0..count {
                ctx.emit(samples[number % SAMPLES]).await?;
            }
            ctx.emit(ask).await?;
            let Some(Delivery::Msg(taken)) = tallies.recv().await else { break };
            if let Some(begun) = begun {
                let tally = Tally { count: taken.count, sum: taken.sum };
                (found.took, found.spent) = (start.elapsed(), begun.spent());
                found.right = tally == Tally::expected(count, Tally::add);
                break;
            }
        }
        self.0.note(found);
        Ok(())
    }
}

/// Adds up samples, and answers with the tally.
pub(super) struct Sink;

#[mycelium::service(reads(Sample), emits(Taken))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut samples = ctx.subscribe::<Sample>()?;
        let mut tally = Tally::default();
        while let Some(delivery) = samples.recv().await {
            let Delivery::Msg(sample) = delivery else { continue };
            if sample.flags == ASKS {
                let Tally { count, sum } = std::mem::take(&mut tally);
                ctx.emit(Taken { count, sum }).await?;
            } else {
                tally.add(&sample);
            }
        }
        Ok(())
    }
}

/// Nanoseconds of a clock that all processes share.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Emits each sample when it is due, or as soon after that as its ring has room. It never sleeps
/// before the last one: timers are a thousand times coarser than the time between two of them.
pub(super) struct Pacer(pub(super) Arc<Task>);

#[mycelium::service(reads(Taken), emits(Sample))]
impl Pacer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut tallies = ctx.subscribe::<Taken>()?;
        let samples = samples();
        loop {
            ctx.emit(Sample { flags: ASKS, ..Sample::default() }).await?;
            if answered!(ctx, tallies, |taken| taken.count == 0) {
                break;
            }
        }
        let first = Instant::now();
        while first.elapsed() < MOVES {
            ctx.emit(Sample { flags: WARMS, ..Sample::default() }).await?;
            ctx.yield_now().await;
        }
        let (start, every) = (now(), 1e9 / self.0.rate as f64);
        let mut time = start;
        for number in 0..self.0.operations {
            let due = start + (number as f64 * every) as u64;
            while time < due {
                ctx.yield_now().await;
                time = now();
            }
            ctx.emit(Sample { number: due, ..samples[number % SAMPLES] }).await?;
        }
        Ok(())
    }
}

/// Notes how late samples arrive.
pub(super) struct Listener(pub(super) Arc<Task>);

#[mycelium::service(reads(Sample), emits(Taken))]
impl Listener {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut samples = ctx.subscribe::<Sample>()?;
        let (mut tally, mut times) = (Tally::default(), Times::default());
        while let Some(delivery) = samples.recv().await {
            let Delivery::Msg(sample) = delivery else { continue };
            match sample.flags {
                ASKS => ctx.emit(Taken { count: 0, sum: 0 }).await?,
                WARMS => {}
                _ => {
                    tally.add_stamped(&sample);
                    times.record(Duration::from_nanos(now().saturating_sub(sample.number)));
                }
            }
        }
        let right = tally == Tally::expected(self.0.operations, Tally::add_stamped);
        self.0.note(Found { times, right, ..Found::default() });
        Ok(())
    }
}
