//! The measured services, written as a user would write them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mycelium::{Context, Delivery, Node, Result, Topology};
use mycelium_core::message;

use crate::harness::Mismatch;
use crate::sample::{Item, Tally};
use crate::stats::Times;

/// The work of the services of a round, and what they found.
#[derive(Debug, Default)]
pub(crate) struct Task {
    pub(crate) operations: usize,
    found: Mutex<Found>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    start: Option<Instant>,
    pub(crate) took: Duration,
    pub(crate) tally: Tally,
    pub(crate) times: Times,
    /// Whether the services saw every message.
    pub(crate) right: bool,
    /// Whether the measurement is over.
    pub(crate) over: bool,
}

impl Task {
    pub(crate) fn of(operations: usize) -> Arc<Task> {
        Arc::new(Task { operations, ..Task::default() })
    }

    pub(crate) fn note(&self, write: impl FnOnce(&mut Found)) {
        write(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn found(&self) -> Found {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what the services found, if they saw every message.
    pub(crate) fn checked(&self, name: &'static str) -> std::result::Result<Found, Mismatch> {
        let found = self.found();
        Mismatch::check(name, u64::expected(self.operations), found.tally)?;
        Ok(found)
    }
}

/// Emits requests.
struct Source(Arc<Task>);

#[mycelium::service(emits(Request))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        self.0.note(|found| found.start = Some(Instant::now()));
        for number in 0..self.0.operations as u64 {
            ctx.emit(Request { number }).await?;
        }
        Ok(())
    }
}

/// Adds numbers up.
struct Handler(Arc<Task>);

#[mycelium::service(reads(Request))]
impl Handler {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut requests, mut tally) = (ctx.subscribe::<Request>()?, Tally::default());
        while let Some(delivery) = requests.recv().await {
            if let Delivery::Msg(request) = delivery {
                request.number.add(&mut tally);
                if tally.count == self.0.operations as u64 {
                    let end = Instant::now();
                    self.0.note(|found| {
                        found.took = found.start.map_or(Duration::ZERO, |start| end - start);
                    });
                }
            }
        }
        self.0.note(|found| found.tally = tally);
        Ok(())
    }
}

/// Creates a node with a source and a handler.
pub(crate) fn stream(task: &Arc<Task>) -> Node {
    let [source, handler] = [task.clone(), task.clone()];
    Node::builder("bench")
        .service(move || Source(source.clone()))
        .service(move || Handler(handler.clone()))
        .build()
        .expect(FITS)
}

#[message(topic = "requests", id = 11)]
struct Request {
    number: u64,
}

#[message(topic = "answers", id = 12)]
struct Answer {
    number: u64,
}

/// Emits each number after the previous one has returned.
struct Client {
    /// Whether to time each trip, and not only all of them.
    each: bool,
    task: Arc<Task>,
}

#[mycelium::service(reads(Answer), emits(Request))]
impl Client {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut answers = ctx.subscribe::<Answer>()?;
        let (mut tally, mut times) = (Tally::default(), Times::default());
        let start = Instant::now();
        let mut before = start;
        for number in 0..self.task.operations as u64 {
            ctx.emit(Request { number }).await?;
            let Some(Delivery::Msg(back)) = answers.recv().await else { break };
            back.number.add(&mut tally);
            if self.each {
                let now = Instant::now();
                times.record(now - before);
                before = now;
            }
        }
        let took = start.elapsed();
        self.task.note(|found| {
            (found.took, found.tally, found.times) = (took, tally, times);
        });
        Ok(())
    }
}

/// Returns each number that it receives.
struct Echo;

#[mycelium::service(reads(Request), emits(Answer))]
impl Echo {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.subscribe::<Request>()?;
        while let Some(delivery) = requests.recv().await {
            if let Delivery::Msg(request) = delivery {
                ctx.emit(Answer { number: request.number }).await?;
            }
        }
        Ok(())
    }
}

pub(crate) const CLIENT: &str = "Client";
pub(crate) const ECHO: &str = "Echo";

/// Creates a builder of a node for an echo and a reader of its answers.
fn answered(reader: &str) -> mycelium::Builder {
    // A node refuses two services that can block each other, so one of the topics drops messages.
    // No number is lost, because only one is in flight.
    let topology = format!("[subscription.\"{reader}.answers\"]\npolicy = \"drop-oldest\"");
    let topology = Topology::parse("bench", &topology).expect(FITS);
    Node::builder("bench").topology(topology)
}

/// Creates a builder of a node with round trips, each timed or all together.
pub(crate) fn trips(each: bool, task: &Arc<Task>) -> mycelium::Builder {
    let task = task.clone();
    answered(CLIENT).service(move || Client { each, task: task.clone() }).service(|| Echo)
}

pub(crate) const FITS: &str = "the services fit together";

/// Creates a node whose services wait.
pub(crate) fn waiting() -> Node {
    answered("Waiter").service(|| Echo).service(|| Waiter).build().expect(FITS)
}

/// Waits for a number that is never sent.
struct Waiter;

#[mycelium::service(reads(Answer), emits(Request))]
impl Waiter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut answers = ctx.subscribe::<Answer>()?;
        while answers.recv().await.is_some() {}
        Ok(())
    }
}
