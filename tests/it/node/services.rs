//! Services that the tests of nodes share, and a pipeline of three of them.

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mycelium::subscribe::Received;
use mycelium::{
    Builder, Context, DeadLetter, Delivery, Message, Node, Result, Topology, message, service,
};

pub(crate) use crate::conserved::conserved;
pub(crate) use crate::running::{end, run, start};

/// Returns a source of `count` numbers, the squarer with `fault`, and a sink that sends the squares
/// to the receiver.
pub(crate) fn pipeline<F>(count: u64, fault: F) -> (Builder, Receiver<u64>)
where
    F: FnMut(&Received<Number>, bool) -> Result<()> + Send + Clone + 'static,
{
    let (sender, receiver) = channel();
    let builder = Node::builder("main")
        .topology(patient(&["Source", "Squarer", "Sink"]))
        .service(move || Source::of(count))
        .service(move || Squarer { fault: fault.clone() })
        .named_service("Sink", move || sink(&sender));
    (builder, receiver)
}

pub(crate) fn numbers(range: Range<u64>) -> Vec<Number> {
    range.map(|value| Number { value }).collect()
}

pub(crate) fn squares(count: u64) -> Vec<u64> {
    (0..count).map(|value| value * value).collect()
}

/// Returns a topology with fast and unlimited restarts of these services.
pub(crate) fn patient(services: &[&str]) -> Topology {
    let section = |name| format!("[service.{name}]\nmax_restarts = 1000\nbackoff = \"1us\"\n");
    let text: String = services.iter().map(section).collect();
    Topology::parse("patient.toml", &text).unwrap()
}

#[message(topic = "numbers", id = 1)]
#[derive(Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: u64,
}

#[message(topic = "squares", id = 2)]
#[derive(Debug, PartialEq)]
pub(crate) struct Square {
    pub(crate) value: u64,
}

/// Emits the numbers below `count`, and then ends or waits for the shutdown.
pub(crate) struct Source {
    pub(crate) count: u64,
    pub(crate) stays: bool,
}

impl Source {
    pub(crate) const fn of(count: u64) -> Source {
        Source { count, stays: false }
    }
}

/// A source that emits without end.
pub(crate) const ENDLESS: Source = Source::of(u64::MAX);

#[service(emits(Number))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0..self.count {
            ctx.emit(Number { value }).await?;
        }
        if self.stays {
            ctx.shutdown_requested().await;
        }
        Ok(())
    }
}

/// Emits numbers with pauses until the shutdown.
pub(crate) struct Ticker;

#[service(emits(Number))]
impl Ticker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0.. {
            ctx.emit(Number { value }).await?;
            ctx.sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    }
}

/// Squares numbers. Calls `fault` with each message before and after its emit.
pub(crate) struct Squarer<F> {
    pub(crate) fault: F,
}

#[service(send, reads(Number), emits(Square))]
impl<F: FnMut(&Received<Number>, bool) -> Result<()> + Send + 'static> Squarer<F> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            let Delivery::Msg(number) = delivery else { panic!("no gaps at a block subscription") };
            (self.fault)(&number, false)?;
            ctx.emit(Square { value: number.value * number.value }).await?;
            (self.fault)(&number, true)?;
        }
        Ok(())
    }
}

/// Converts its deliveries, and sends the results to the test.
pub(crate) struct Taker<M, T>(pub(crate) Sender<T>, pub(crate) fn(Delivery<M>) -> Option<T>);

#[service(send, reads(M))]
impl<M: Message, T: Send + Sync + 'static> Taker<M, T> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut deliveries = ctx.subscribe::<M>()?;
        while let Some(delivery) = deliveries.recv().await {
            (self.1)(delivery).map_or(Ok(()), |seen| self.0.send(seen))?;
        }
        Ok(())
    }
}

/// Returns a service that sends the numbers to the test.
pub(crate) fn taker(to: &Sender<u64>) -> Taker<Number, u64> {
    Taker(to.clone(), |number| Some(number.message().expect("no gaps").value))
}

/// Returns a service that sends the squares to the test.
pub(crate) fn sink(to: &Sender<u64>) -> Taker<Square, u64> {
    Taker(to.clone(), |square| square.message().map(|square| square.value))
}

/// Returns a service that sends the dead letters to the test.
pub(crate) fn undertaker(to: &Sender<DeadLetter>) -> Taker<DeadLetter, DeadLetter> {
    Taker(to.clone(), |letter| Some(letter.message().expect("no gaps")))
}

/// Ignores the shutdown.
pub(crate) struct Deaf;

#[service()]
impl Deaf {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        std::future::pending().await
    }
}
