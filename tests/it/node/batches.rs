//! Batches of services: what remains of a batch at a shutdown.

use std::sync::mpsc::{Sender, channel};

use mycelium::emit::Refusal;
use mycelium::{Context, Delivery, Policy, Result, service};

use super::services::{Number, conserved, numbers};
use crate::running::{main_with, next};

#[tokio::test]
async fn a_shutdown_says_how_much_of_a_batch_was_sent() {
    struct Once(Sender<(usize, Refusal)>);
    #[service(emits(Number))]
    impl Once {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let batch = numbers(0..100);
            let mut emit = ctx.emit_batch(&batch);
            assert_eq!(emit.sent(), 0);
            let error = (&mut emit).await.unwrap_err();
            assert_eq!(emit.sent(), error.sent);
            self.0.send((error.sent, error.refusal.clone()))?;
            let again = ctx.emit_batch(&batch).await.unwrap_err();
            self.0.send((again.sent, again.refusal.clone()))?;
            // A service that returns this error has ended well.
            Err(error.into())
        }
    }
    let (sender, ends) = channel();
    let node = main_with("[topic.numbers]\ncapacity = 64").service(move || Once(sender.clone()));
    let node = node.build().unwrap();
    let mut reader = node.subscribe::<Number>("reader", Policy::Block).unwrap();
    let running = node.start(mycelium_tokio::Tokio::current().unwrap()).unwrap();
    let (mut all, mut batch) = (Vec::new(), Vec::new());
    while all.len() < 10 {
        reader.recv_many(&mut batch, 10 - all.len()).await;
        all.extend(batch.drain(..).filter_map(Delivery::message));
    }
    running.shutdown();
    // The ring has no room for the rest until the reader continues.
    let first = next(&ends).await;
    while reader.recv_many(&mut batch, 100).await > 0 {
        all.extend(batch.drain(..).filter_map(Delivery::message));
    }
    let report = running.join().await.unwrap();
    assert_eq!(first.1, Refusal::ShuttingDown);
    assert_eq!(ends.try_recv(), Ok((0, Refusal::ShuttingDown)));
    assert!((64..100).contains(&first.0), "{first:?}");
    assert_eq!(all, numbers(0..first.0 as u64), "exactly the prefix was sent");
    conserved(&report.counters);
}
