//! The measured services, written as a user would write them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mycelium::{Context, Delivery, Node, Result, Topology};
use mycelium_core::message;

use crate::sample::{Item, Tally};
use crate::stats::Times;

/// The results of the services of a round.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Found>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    start: Option<Instant>,
    pub(crate) took: Duration,
    pub(crate) tally: Tally,
    pub(crate) times: Times,
}

impl Board {
    fn note(&self, write: impl FnOnce(&mut Found)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn found(&self) -> Found {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Throws this number of numbers.
struct Thrower {
    count: usize,
    board: Arc<Board>,
}

#[mycelium::service(emits(Throw))]
impl Thrower {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        self.board.note(|found| found.start = Some(Instant::now()));
        for number in 0..self.count as u64 {
            ctx.emit(Throw { number }).await?;
        }
        Ok(())
    }
}

/// Adds numbers up.
struct Handler {
    count: usize,
    board: Arc<Board>,
}

#[mycelium::service(reads(Throw))]
impl Handler {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut throws, mut tally) = (ctx.subscribe::<Throw>()?, Tally::default());
        while let Some(delivery) = throws.recv().await {
            if let Delivery::Msg(throw) = delivery {
                throw.number.add(&mut tally);
                if tally.count == self.count as u64 {
                    let end = Instant::now();
                    self.board.note(|found| {
                        found.took = found.start.map_or(Duration::ZERO, |start| end - start);
                    });
                }
            }
        }
        self.board.note(|found| found.tally = tally);
        Ok(())
    }
}

/// A node with a thrower and a handler.
pub(crate) fn stream(count: usize, board: &Arc<Board>) -> Node {
    let [thrower, handler] = [board.clone(), board.clone()];
    Node::builder("bench")
        .service(move || Thrower { count, board: thrower.clone() })
        .service(move || Handler { count, board: handler.clone() })
        .build()
        .expect(FITS)
}

#[message(topic = "throws", id = 11)]
struct Throw {
    number: u64,
}

#[message(topic = "returns", id = 12)]
struct Return {
    number: u64,
}

/// Throws each number after the previous one has returned.
struct Asker {
    trips: usize,
    /// Time each trip, and not only all of them.
    each: bool,
    board: Arc<Board>,
}

#[mycelium::service(reads(Return), emits(Throw))]
impl Asker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut returns = ctx.subscribe::<Return>()?;
        let (mut tally, mut times) = (Tally::default(), Times::default());
        let start = Instant::now();
        let mut before = start;
        for number in 0..self.trips as u64 {
            ctx.emit(Throw { number }).await?;
            let Some(Delivery::Msg(back)) = returns.recv().await else { break };
            back.number.add(&mut tally);
            if self.each {
                let now = Instant::now();
                times.record(now - before);
                before = now;
            }
        }
        let took = start.elapsed();
        self.board.note(|found| {
            (found.took, found.tally, found.times) = (took, tally, times);
        });
        Ok(())
    }
}

/// Returns each number that it receives.
struct Answerer;

#[mycelium::service(reads(Throw), emits(Return))]
impl Answerer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut throws = ctx.subscribe::<Throw>()?;
        while let Some(delivery) = throws.recv().await {
            if let Delivery::Msg(throw) = delivery {
                ctx.emit(Return { number: throw.number }).await?;
            }
        }
        Ok(())
    }
}

pub(crate) const ASKER: &str = "Asker";
pub(crate) const ANSWERER: &str = "Answerer";

/// A builder of a node with this number of round trips, each timed or all together.
pub(crate) fn trips(trips: usize, each: bool, board: &Arc<Board>) -> mycelium::Builder {
    // A node refuses two services that can block each other, so one of the topics drops: no number is
    // lost, because only one is in flight.
    let topology = "[subscription.\"Asker.returns\"]\npolicy = \"drop-oldest\"";
    let (topology, board) = (Topology::parse("bench", topology).expect(FITS), board.clone());
    Node::builder("bench")
        .topology(topology)
        .service(move || Asker { trips, each, board: board.clone() })
        .service(|| Answerer)
}

/// Records how late it is at fixed times, by its own clock, without ever sleeping.
struct Metronome {
    beats: usize,
    board: Arc<Board>,
}

/// The time between two beats.
const BEAT: Duration = Duration::from_micros(10);

#[mycelium::service]
impl Metronome {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut times = Times::default();
        let start = Instant::now();
        for number in 1..=self.beats as u32 {
            let due = BEAT * number;
            let mut now = start.elapsed();
            while now < due {
                ctx.yield_now().await;
                now = start.elapsed();
            }
            times.record(now - due);
        }
        self.board.note(|found| {
            (found.tally.count, found.times) = (self.beats as u64, times);
        });
        Ok(())
    }
}

pub(crate) const METRONOME: &str = "Metronome";

/// A builder of a node with a metronome.
pub(crate) fn metronome(beats: usize, board: &Arc<Board>) -> mycelium::Builder {
    let board = board.clone();
    Node::builder("bench").service(move || Metronome { beats, board: board.clone() })
}

/// A node of two services that wait for each other's first message.
pub(crate) fn waiting() -> Node {
    let topology = "[subscription.\"Second.returns\"]\npolicy = \"drop-oldest\"";
    let topology = Topology::parse("bench", topology).expect(FITS);
    Node::builder("bench")
        .topology(topology)
        .named_service("First", || Answerer)
        .named_service("Second", || Waiter)
        .build()
        .expect(FITS)
}

/// Waits for a number that is never sent.
struct Waiter;

#[mycelium::service(reads(Return), emits(Throw))]
impl Waiter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut returns = ctx.subscribe::<Return>()?;
        while returns.recv().await.is_some() {}
        Ok(())
    }
}

pub(crate) const FITS: &str = "services that fit together";
