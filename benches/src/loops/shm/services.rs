//! The services of the columns, and their messages: a client and an echo for round trips, a source
//! and a sink for messages one way.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use mycelium::{Context, Delivery, Result};
use mycelium_core::message;

use crate::loops::executor::services::{Found, Task};
use crate::sample::{Item, SAMPLES, Sample, Tally, samples};
use crate::stats::Times;

/// How long after the first answer both streams are surely in shared memory: they begin on the
/// socket.
const MOVES: Duration = Duration::from_millis(50);

/// After this time the first message is sent again, if it was not answered.
const AGAIN: Duration = Duration::from_millis(100);

/// Returns the next delivery of a subscription, or `None` if there is none within some time.
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

/// Waits until the first message is answered, and returns whether it was. An answer that is sent
/// before the other node knows the subscription, which observes, does not arrive; so this waits
/// until no other answer is in transit.
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

#[message(topic = "pings", id = 21)]
pub(super) struct Ping {
    words: [u64; 6],
}

#[message(topic = "pongs", id = 22)]
pub(super) struct Pong {
    words: [u64; 6],
}

/// Emits each number after the previous one has returned.
pub(super) struct Client(pub(super) Arc<Task>);

#[mycelium::service(reads(Pong), emits(Ping))]
impl Client {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut pongs = ctx.subscribe::<Pong>()?;
        let (mut times, mut right, mut number) = (Times::default(), true, 0);
        let (mut before, mut left, mut begun) = (Instant::now(), self.0.operations, false);
        loop {
            number += 1;
            ctx.emit(Ping { words: [number; 6] }).await?;
            if answered!(ctx, pongs, |pong| pong.words[0] == number) {
                break;
            }
        }
        let start = Instant::now();
        while left > 0 {
            if !begun && before.saturating_duration_since(start) >= MOVES {
                begun = true;
                before = Instant::now();
            }
            number += 1;
            ctx.emit(Ping { words: [number; 6] }).await?;
            let pong = loop {
                match pongs.recv().await {
                    // A late answer to one of the first pings.
                    Some(Delivery::Msg(pong)) if !begun && pong.words[0] < number => {}
                    Some(Delivery::Msg(pong)) => break Some(pong),
                    _ => break None,
                }
            };
            right &= pong.is_some_and(|pong| pong.words == [number; 6]);
            if !right {
                break;
            }
            let now = Instant::now();
            if begun {
                times.record(now - before);
                left -= 1;
            }
            before = now;
        }
        self.0.note(|found| (found.times, found.right, found.over) = (times, right, true));
        Ok(())
    }
}

/// Returns each message.
pub(super) struct Echo;

#[mycelium::service(reads(Ping), emits(Pong))]
impl Echo {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut pings = ctx.subscribe::<Ping>()?;
        while let Some(delivery) = pings.recv().await {
            if let Delivery::Msg(ping) = delivery {
                ctx.emit(Pong { words: ping.words }).await?;
            }
        }
        Ok(())
    }
}

/// A long message that uses the link of others.
#[message(topic = "floods", max = "64 MiB")]
pub(super) struct Flood {
    bytes: Vec<u8>,
}

/// Emits long messages until the measurement of others is over.
pub(super) struct Flooder(pub(super) Arc<Task>, pub(super) usize);

#[mycelium::service(emits(Flood))]
impl Flooder {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        while !self.0.found().over {
            // Nothing is written, so that only the link needs the core.
            let flood = ctx.reserve(Flood { bytes: Vec::new() }, self.1).await?;
            _ = flood.send();
        }
        Ok(())
    }
}

/// Takes long messages.
pub(super) struct Basin;

#[mycelium::service(reads(Flood))]
impl Basin {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut floods = ctx.subscribe::<Flood>()?;
        while floods.recv_view().await.is_some() {}
        Ok(())
    }
}

/// The flags of a sample that requests the tally. No other sample has them.
const ASKS: u32 = u32::MAX;

/// How many messages are sent before those that are timed.
const FIRST: usize = 512;

/// Emits messages, and notes the time until the last one was taken: `$emit` sends the one with this
/// number, and `$ask` a last one of each part, which requests the tally.
macro_rules! flow {
    ($ctx:ident, $task:expr, $expected:expr, $ask:expr, |$number:ident| $emit:expr) => {{
        let mut tallies = $ctx.subscribe::<Tally>()?;
        let mut found = Found::default();
        loop {
            $ask;
            if answered!($ctx, tallies, |taken| taken.count == 0) {
                break;
            }
        }
        let first = Instant::now();
        loop {
            let timed = first.elapsed() >= MOVES;
            let count = if timed { $task.operations } else { FIRST.min($task.operations) };
            let start = Instant::now();
            for $number in 0..count {
                $emit;
            }
            $ask;
            let taken = loop {
                match tallies.recv().await {
                    // A late answer to one of the first requests.
                    Some(Delivery::Msg(taken)) if !timed && taken.count == 0 => {}
                    other => break other,
                }
            };
            let Some(Delivery::Msg(taken)) = taken else { break };
            if timed {
                found.took = start.elapsed();
                found.right = *taken == $expected(count);
                break;
            }
        }
        $task.note(|noted| *noted = found);
        Ok(())
    }};
}

/// Emits samples.
pub(super) struct Source(pub(super) Arc<Task>);

#[mycelium::service(reads(Tally), emits(Sample))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let samples = samples();
        let ask = Sample { flags: ASKS, ..Sample::default() };
        flow!(ctx, self.0, Sample::expected, ctx.emit(ask).await?, |number| {
            ctx.emit(samples[number % SAMPLES]).await?
        })
    }
}

/// Adds up samples, and answers with the tally.
pub(super) struct Sink;

#[mycelium::service(reads(Sample), emits(Tally))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut samples = ctx.subscribe::<Sample>()?;
        let mut tally = Tally::default();
        while let Some(delivery) = samples.recv().await {
            let Delivery::Msg(sample) = delivery else { continue };
            if sample.flags == ASKS {
                ctx.emit(std::mem::take(&mut tally)).await?;
            } else {
                sample.add(&mut tally);
            }
        }
        Ok(())
    }
}

fn number_ends(bytes: &mut [u8], number: usize) {
    for place in [0, bytes.len() - 8] {
        bytes[place..][..8].copy_from_slice(&number.to_ne_bytes());
    }
}

/// Defines services that send lists of bytes. A ring has room for two of the longest messages, so
/// each length has a type of its own.
macro_rules! lists {
    ($($module:ident: $max:literal;)+) => {$(
        pub(super) mod $module {
            use std::pin::pin;
            use std::sync::Arc;
            use std::time::Instant;

            use futures_util::future::{Either, select};
            use mycelium::{Context, Delivery, Result};
            use mycelium_core::message;

            use crate::loops::executor::services::{Found, Task};
            use crate::loops::shm::services::{AGAIN, FIRST, MOVES, number_ends};
            use crate::sample::{Item, Tally};

            /// A list of bytes. Its first and its last eight are its number; an empty one requests
            /// the tally.
            #[message(topic = "blobs", id = 26, max = $max)]
            pub(crate) struct Blob {
                bytes: Vec<u8>,
            }

            /// Emits lists of this number of bytes.
            pub(crate) struct Filler(pub(crate) Arc<Task>, pub(crate) usize);

            #[mycelium::service(reads(Tally), emits(Blob))]
            impl Filler {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let [ask, mut blob] = [0, self.1].map(|size| Blob { bytes: vec![0; size] });
                    flow!(ctx, self.0, u64::expected, ctx.emit_ref(&ask).await?, |number| {
                        number_ends(&mut blob.bytes, number);
                        ctx.emit_ref(&blob).await?
                    })
                }
            }

            /// Writes lists of this number of bytes in place, as copies of one list.
            pub(crate) struct Writer(pub(crate) Arc<Task>, pub(crate) usize);

            #[mycelium::service(reads(Tally), emits(Blob))]
            impl Writer {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let (ask, mut bytes) = (Blob { bytes: Vec::new() }, vec![0; self.1]);
                    flow!(ctx, self.0, u64::expected, ctx.emit_ref(&ask).await?, |number| {
                        number_ends(&mut bytes, number);
                        let mut blob = ctx.reserve(Blob { bytes: Vec::new() }, bytes.len()).await?;
                        blob.bytes_mut().copy_from_slice(&bytes);
                        blob.send()?
                    })
                }
            }

            /// Adds up the numbers of lists, and answers with the tally.
            pub(crate) struct Drain;

            #[mycelium::service(reads(Blob), emits(Tally))]
            impl Drain {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let mut blobs = ctx.subscribe::<Blob>()?;
                    let mut tally = Tally::default();
                    while let Some(delivery) = blobs.recv_view().await {
                        let Delivery::Msg(blob) = delivery else { continue };
                        let bytes = blob.bytes();
                        if let Some((first, last)) = bytes.first_chunk().zip(bytes.last_chunk()) {
                            u64::from_ne_bytes(*first).add(&mut tally);
                            tally.sum |= u64::from_ne_bytes(*first) ^ u64::from_ne_bytes(*last);
                        } else {
                            ctx.emit(std::mem::take(&mut tally)).await?;
                        }
                    }
                    Ok(())
                }
            }
        }
    )+};
}

lists! {
    short: "256 KiB";
    long: "1025 KiB";
    longest: "16385 KiB";
}
