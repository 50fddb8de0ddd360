//! The services that are measured, as a user would write them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mycelium::{Context, Delivery, Node, Result, Topology};
use mycelium_core::message;

use crate::item::Item;
use crate::report::histogram;
use crate::sample::Tally;

/// What services found out, for whoever started them.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Found>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    start: Option<Instant>,
    pub(crate) took: Duration,
    pub(crate) tally: Tally,
    pub(crate) times: Option<Histogram<u64>>,
}

impl Board {
    fn note(&self, write: impl FnOnce(&mut Found)) {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn found(&self) -> Found {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Throws so many numbers.
struct Source {
    count: usize,
    board: Arc<Board>,
}

#[mycelium::service(emits(Throw))]
impl Source {
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

/// A node whose source throws so many numbers to its handler.
pub(crate) fn stream(count: usize, board: &Arc<Board>) -> Node {
    let [source, handler] = [board.clone(), board.clone()];
    Node::builder("bench")
        .service(move || Source { count, board: source.clone() })
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

/// Throws a number when the one before has come back.
struct Asker {
    trips: usize,
    /// Each trip is timed, and not only all of them.
    each: bool,
    board: Arc<Board>,
}

#[mycelium::service(reads(Return), emits(Throw))]
impl Asker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut returns = ctx.subscribe::<Return>()?;
        let (mut tally, mut times) = (Tally::default(), histogram());
        let start = Instant::now();
        let mut before = start;
        for number in 0..self.trips as u64 {
            ctx.emit(Throw { number }).await?;
            let Some(Delivery::Msg(back)) = returns.recv().await else { break };
            back.number.add(&mut tally);
            if self.each {
                let now = Instant::now();
                // Fails only where the histogram does not grow, and this one does.
                let _ = times.record((now - before).as_nanos() as u64);
                before = now;
            }
        }
        let took = start.elapsed();
        self.board.note(|found| {
            (found.took, found.tally, found.times) = (took, tally, Some(times));
        });
        Ok(())
    }
}

/// Throws back what it gets.
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

/// A builder for a node in which so many numbers go there and back, each of them timed or all together.
pub(crate) fn trips(trips: usize, each: bool, board: &Arc<Board>) -> mycelium::Builder {
    // Two that wait for each other in a circle are refused, and one number is on its way at a time.
    let topology = "[subscription.\"Asker.returns\"]\npolicy = \"drop-oldest\"";
    let (topology, board) = (Topology::parse("bench", topology).expect(FITS), board.clone());
    Node::builder("bench")
        .topology(topology)
        .service(move || Asker { trips, each, board: board.clone() })
        .service(|| Answerer)
}

/// Wakes by its own clock at fixed times, without ever sleeping, and notes how late it was.
struct Metronome {
    beats: usize,
    board: Arc<Board>,
}

/// So often is a beat due.
const BEAT: Duration = Duration::from_micros(10);

#[mycelium::service]
impl Metronome {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut times = histogram();
        let start = Instant::now();
        for number in 1..=self.beats as u32 {
            let due = BEAT * number;
            let mut now = start.elapsed();
            while now < due {
                ctx.yield_now().await;
                now = start.elapsed();
            }
            let _ = times.record((now - due).as_nanos() as u64);
        }
        self.board.note(|found| {
            (found.tally.count, found.times) = (self.beats as u64, Some(times));
        });
        Ok(())
    }
}

pub(crate) const METRONOME: &str = "Metronome";

/// A builder for a node with a metronome.
pub(crate) fn metronome(beats: usize, board: &Arc<Board>) -> mycelium::Builder {
    let board = board.clone();
    Node::builder("bench").service(move || Metronome { beats, board: board.clone() })
}

/// Two services that wait for each other's first word.
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

/// Waits for a number that is never thrown.
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
