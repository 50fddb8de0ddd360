//! What a service may do wrong at its end, and during a shutdown: fail, and leave messages.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use futures_util::FutureExt;
use mycelium::{
    Context, DeadLetter, Error, Node, Result, ShuttingDown, StartError, Subscription, Topology,
    service,
};

use crate::node::services::{Number, Source, Undertaker, patient, run, start};

/// Fails at its first runs, as many as this, when the node shuts down.
struct Fails(u32);

#[service(reads(Number))]
impl Fails {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        if self.0 > 0 {
            self.0 -= 1;
            return Err(Error::msg("no luck"));
        }
        let mut numbers = ctx.subscribe::<Number>()?;
        while numbers.recv().await.is_some() {}
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn during_a_shutdown_a_failure_is_followed_by_a_short_pause() {
    let text = "[service.Fails]\nbackoff = \"1h\"\nmax_backoff = \"1h\"\n";
    let builder = Node::builder("main").topology(Topology::parse("t.toml", text).unwrap());
    let running = start(builder.service(|| Fails(3)));
    running.shutdown();
    let begin = tokio::time::Instant::now();
    running.join().await.unwrap();
    // The clock is virtual.
    assert_eq!(begin.elapsed(), Duration::from_millis(300));
}

/// Fails at the first number, and keeps the second one until the dead letter of the first was read.
struct Waits(Receiver<DeadLetter>);

#[service(reads(Number))]
impl Waits {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            match delivery.message() {
                Some(Number { value: 0 }) => return Err(Error::msg("cannot handle this")),
                _ => {
                    for _ in 0..10_000 {
                        ctx.yield_now().await;
                    }
                    self.0.try_recv().map_err(|error| Error::from(error).permanent())?;
                }
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_dead_letter_is_written_while_its_service_still_runs() {
    let (sender, letters) = channel();
    let mut waits = Some(Waits(letters));
    let builder = Node::builder("main").topology(patient(&["Waits"]));
    let builder = builder.service(|| Source { count: 2 });
    let builder = builder.service(move || waits.take().expect("one instance"));
    run(builder.service(move || Undertaker(sender.clone()))).await;
}

/// Fails once with the error of another node that shuts down.
struct Confused(bool);

#[service()]
impl Confused {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        if std::mem::take(&mut self.0) {
            return Err(ShuttingDown.into());
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_error_of_a_shutdown_is_a_failure_while_the_node_runs() {
    let builder = Node::builder("main").topology(patient(&["Confused"]));
    let report = run(builder.service(|| Confused(true))).await;
    assert_eq!((report.services[0].starts, report.services[0].errors), (2, 1));
}

/// Ignores the shutdown.
struct Silent;

#[service(emits(Number))]
impl Silent {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        std::future::pending().await
    }
}

/// Gives its subscription away.
struct Lends(Sender<Subscription<Number>>);

#[service(reads(Number))]
impl Lends {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        self.0.send(ctx.subscribe::<Number>()?).expect("the test takes it");
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_was_given_away_ends_at_the_deadline() {
    let (sender, lent) = channel();
    let builder = Node::builder("main").service(|| Silent);
    let running = start(builder.service(move || Lends(sender.clone())));
    let _outside = running.publisher::<Number>("outside").unwrap();
    let mut numbers = loop {
        match lent.try_recv() {
            Ok(numbers) => break numbers,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    running.shutdown();
    let error = running.join().await.unwrap_err();
    assert!(matches!(error, StartError::Abandoned { .. }), "{error}");
    assert!(matches!(numbers.recv().now_or_never(), Some(None)));
}
