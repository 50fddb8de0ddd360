//! The services of the columns, and their messages: a client and an echo for round trips, a source
//! and a sink for messages one way.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use mycelium::{Context, Delivery, Result};
use mycelium_core::message;

use crate::sample::{SAMPLES, Sample, Tally, samples};
use crate::stats::Times;

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
}

/// The work of a round, and what it found.
#[derive(Debug)]
pub(super) struct Task {
    operations: usize,
    found: Mutex<Found>,
}

impl Task {
    pub(super) fn new(operations: usize) -> Arc<Task> {
        Arc::new(Task { operations, found: Mutex::default() })
    }

    /// What the round found.
    pub(super) fn take(&self) -> Found {
        std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, found: Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
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
                let (mut before, mut left) = (Instant::now(), self.0.operations);
                loop {
                    number += 1;
                    ctx.emit($ping { words: [number; $words] }).await?;
                    if answered!(ctx, pongs, |pong| pong.words[0] == number) {
                        break;
                    }
                }
                let start = Instant::now();
                while left > 0 {
                    number += 1;
                    ctx.emit($ping { words: [number; $words] }).await?;
                    let Some(Delivery::Msg(pong)) = pongs.recv().await else {
                        right = false;
                        break;
                    };
                    right &= pong.words == [number; $words];
                    let now = Instant::now();
                    if now - start >= MOVES {
                        times.record(now - before);
                        left -= 1;
                    }
                    before = now;
                }
                self.0.note(Found { took: Duration::ZERO, times, right });
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

/// Samples before those that are timed.
const FIRST: usize = 512;

#[mycelium::service(reads(Taken), emits(Sample))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut tallies = ctx.subscribe::<Taken>()?;
        let samples = samples();
        // A last sample of each part requests the tally.
        let ask = Sample { flags: u32::MAX, ..Sample::default() };
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
            let start = Instant::now();
            for number in 0..count {
                ctx.emit(samples[number % SAMPLES]).await?;
            }
            ctx.emit(ask).await?;
            let Some(Delivery::Msg(taken)) = tallies.recv().await else { break };
            if timed {
                let tally = Tally { count: taken.count, sum: taken.sum };
                found.took = start.elapsed();
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
            if sample.flags == u32::MAX {
                let Tally { count, sum } = std::mem::take(&mut tally);
                ctx.emit(Taken { count, sum }).await?;
            } else {
                tally.add(&sample);
            }
        }
        Ok(())
    }
}
