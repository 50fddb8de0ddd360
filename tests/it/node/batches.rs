//! Batches of services: what a shutdown and a failure leave of them.

use std::sync::mpsc::{Sender, channel};

use mycelium::{
    Context, DeadLetter, Delivery, Error, Node, Policy, Refusal, Result, Topology, message, service,
};

use super::services::{conserved, run};

#[message(topic = "readings", id = 41)]
#[derive(Debug, PartialEq)]
struct Reading {
    value: u64,
}

fn readings(range: std::ops::Range<u64>) -> Vec<Reading> {
    range.map(|value| Reading { value }).collect()
}

/// Emits this number of readings, seven at a time.
struct Source(u64);

#[service(emits(Reading as out))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for first in (0..self.0).step_by(7) {
            let batch = readings(first..(first + 7).min(self.0));
            ctx.emit_batch_on(Self::out, &batch).await?;
        }
        Ok(())
    }
}

/// Receives batches of up to ten. A batch with reading 13 fails.
struct Store(Sender<(usize, u64, bool)>);

#[service(reads(Reading))]
impl Store {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut readings = ctx.subscribe::<Reading>()?;
        let mut batch = Vec::new();
        while readings.recv_many(&mut batch, 10).await > 0 {
            let count = batch.len();
            let is_unlucky = |delivery: &Delivery<Reading>| matches!(delivery, Delivery::Msg(reading) if reading.value == 13);
            if batch.iter().any(is_unlucky) {
                batch.clear();
                return Err(Error::msg("unlucky"));
            }
            for delivery in batch.drain(..) {
                let Delivery::Msg(reading) = delivery else { panic!("{delivery:?}") };
                self.0.send((count, reading.value, reading.redelivered()))?;
            }
        }
        Ok(())
    }
}

/// Counts dead letters.
struct Letters(Sender<u64>);

#[service(reads(DeadLetter))]
impl Letters {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut letters = ctx.subscribe::<DeadLetter>()?;
        while let Some(delivery) = letters.recv().await {
            self.0.send(delivery.message().map_or(99, |letter| letter.sequence))?;
        }
        Ok(())
    }
}

fn topology() -> Topology {
    let text = "[topic.readings]\ncapacity = 64\n[service.Store]\nbackoff = \"1ms\"\n\
                [service.Source.ports]\nout = \"readings\"";
    Topology::parse("test.toml", text).unwrap()
}

#[tokio::test]
async fn a_batch_that_fails_comes_one_by_one_and_only_its_poison_is_a_dead_letter() {
    let ((sender, stored), (taken, letters)) = (channel(), channel());
    let builder = Node::builder("main").topology(topology());
    let builder = builder.service(|| Source(1000)).service(move || Store(sender.clone()));
    let report = run(builder.service(move || Letters(taken.clone()))).await;
    let stored: Vec<_> = stored.try_iter().collect();
    let values: Vec<u64> = stored.iter().map(|(_, value, _)| *value).collect();
    assert_eq!(values, (0..1000).filter(|value| *value != 13).collect::<Vec<_>>());
    assert!(stored.iter().any(|(count, ..)| *count == 10), "batches are full");
    // The second batch had 10 to 19.
    let again: Vec<_> = stored.iter().filter(|(.., again)| *again).collect();
    assert!(again.iter().all(|(count, ..)| *count == 1), "one at a time: {again:?}");
    assert!(again.len() < 10 && again.iter().all(|(_, value, _)| value.abs_diff(13) < 10));
    assert_eq!(letters.try_iter().collect::<Vec<_>>(), [13]);
    conserved(&report.counters);
}

#[tokio::test]
async fn a_shutdown_says_how_much_of_a_batch_was_sent() {
    struct Once(Sender<(usize, Refusal)>);
    #[service(emits(Reading))]
    impl Once {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let batch = readings(0..100);
            let mut emit = ctx.emit_batch(&batch);
            assert_eq!(emit.sent(), 0);
            let error = (&mut emit).await.unwrap_err();
            assert_eq!(emit.sent(), error.sent);
            self.0.send((error.sent, error.refusal.clone()))?;
            let again = ctx.emit_batch(&batch).await.unwrap_err();
            self.0.send((again.sent, again.refusal.clone()))?;
            // A service that returns it has ended well.
            Err(error.into())
        }
    }
    let (sender, ends) = channel();
    let node = Node::builder("main")
        .topology(Topology::parse("t", "[topic.readings]\ncapacity = 64").unwrap());
    let node = node.service(move || Once(sender.clone())).build().unwrap();
    let mut reader = node.subscribe::<Reading>("reader", Policy::Block).unwrap();
    let running = node.start(mycelium_tokio::Tokio::current().unwrap()).unwrap();
    let (mut all, mut batch) = (Vec::new(), Vec::new());
    while all.len() < 10 {
        reader.recv_many(&mut batch, 10 - all.len()).await;
        all.extend(batch.drain(..).filter_map(Delivery::message));
    }
    running.shutdown();
    // It has no room for the rest before the reader continues.
    let first = loop {
        match ends.try_recv() {
            Ok(first) => break first,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    while reader.recv_many(&mut batch, 100).await > 0 {
        all.extend(batch.drain(..).filter_map(Delivery::message));
    }
    let report = running.join().await.unwrap();
    assert_eq!(first.1, Refusal::ShuttingDown);
    assert_eq!(ends.try_recv(), Ok((0, Refusal::ShuttingDown)));
    assert!((64..100).contains(&first.0), "{first:?}");
    assert_eq!(all, readings(0..first.0 as u64), "exactly the prefix was sent");
    conserved(&report.counters);
}
