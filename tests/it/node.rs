//! Nodes through their public interface: how services run and exchange messages, and which programs
//! are refused before anything runs. `node/faults.rs` tests services that fail,
//! `node/backpressure.rs` slow readers, `node/stall.rs` stalled readers, `node/batches.rs` batches,
//! `node/fast_handlers.rs` fast handlers, `node/cancelled.rs` futures that are dropped,
//! `node/shutdown.rs` shutdowns, `node/pauses.rs` shutdowns during pauses, `node/circles.rs` the
//! end of cycles, `node/requests.rs` requests and replies, `node/large.rs` messages of the largest
//! size, `node/mistakes.rs` settings that are refused.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

pub(crate) mod asks;
mod backpressure;
mod batches;
mod cancelled;
mod circles;
mod fast_handlers;
mod faults;
pub(crate) mod large;
mod mistakes;
mod pauses;
mod requests;
pub(crate) mod services;
mod shutdown;
mod stall;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mycelium::error::SubscribeError;
use mycelium::{Context, Node, Result, Subscription, message, service};
use mycelium_tokio::Tokio;
use tokio::sync::Notify;

use crate::running::{Says, until};
use crate::support::idle_services;
use services::{Number, Source, conserved, pipeline, run, squares, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_ends_when_its_source_has_on_many_threads() {
    for _ in 0..20 {
        let (builder, received) = pipeline(10_000, |_, _| Ok(()));
        let report = run(builder).await;
        assert_eq!(received.iter().collect::<Vec<_>>(), squares(10_000));
        conserved(&report.counters);
    }
}

#[tokio::test]
async fn the_run_ends_tasks_and_blocking_work_comes_back() {
    struct Parent(Sender<&'static str>);
    struct OnDrop(Sender<&'static str>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _ = self.0.send("task dropped");
        }
    }
    #[service()]
    impl Parent {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let guard = OnDrop(self.0.clone());
            let endless = ctx.spawn(async move {
                let _guard = guard;
                std::future::pending::<()>().await
            });
            assert_eq!(ctx.blocking(|| 6 * 7).await?, 42);
            assert!(ctx.blocking(|| panic!("in the blocking pool")).await.is_err());
            assert_eq!(ctx.spawn(async { 7 }).await?, 7);
            assert!(ctx.spawn(async { panic!("in a task") }).await.is_err());
            drop(endless);
            Ok(())
        }
    }
    let (sender, events) = channel();
    start(Node::builder("main").service(move || Parent(sender.clone()))).join().await.unwrap();
    until(|| events.try_recv() == Ok("task dropped")).await;
}

#[tokio::test]
async fn a_subscription_goes_on_where_its_handle_was_dropped() {
    struct Careless(Sender<u64>);
    #[service(reads(Number))]
    impl Careless {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            loop {
                let mut numbers = ctx.subscribe::<Number>()?;
                let taken = ctx.subscribe::<Number>();
                assert!(matches!(taken, Err(SubscribeError::Taken { .. })));
                match numbers.recv().await {
                    Some(delivery) => self.0.send(delivery.message().unwrap().value)?,
                    None => return Ok(()),
                }
            }
        }
    }
    let (sender, received) = channel();
    let builder =
        Node::builder("main").service(|| Source::of(50)).service(move || Careless(sender.clone()));
    run(builder).await;
    assert_eq!(received.iter().collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
}

/// When a service ends without an error, its message in flight counts as taken, wherever its
/// subscription is kept.
#[tokio::test]
async fn a_message_in_flight_at_a_good_end_is_not_left() {
    struct Reader(bool, Option<Subscription<Number>>);
    #[service(reads(Number))]
    impl Reader {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut numbers = ctx.subscribe::<Number>()?;
            numbers.recv().await;
            match self.0 {
                true => self.1 = Some(numbers),
                false => numbers.unsubscribe(),
            }
            Ok(())
        }
    }
    let builder = Node::builder("main")
        .service(|| Source::of(1))
        .named_service("Keeps", || Reader(true, None))
        .named_service("Leaves", || Reader(false, None));
    let report = run(builder).await;
    for reader in ["Keeps", "Leaves"] {
        let feed = report.counters.iter().find(|line| line.label("reader") == reader).unwrap();
        assert_eq!((feed.value("taken"), feed.value("left")), (1, 0), "{reader}");
    }
}

/// A service that a shutdown interrupts has not finished its message.
#[tokio::test]
async fn a_message_in_flight_when_a_shutdown_interrupts_its_service_is_left() {
    struct Reader(Arc<Notify>);
    #[service(reads(Number))]
    impl Reader {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut numbers = ctx.subscribe::<Number>()?;
            while numbers.recv().await.is_some() {
                self.0.notify_one();
                ctx.sleep(Duration::from_secs(3600)).await?;
            }
            Ok(())
        }
    }
    let has_begun = Arc::<Notify>::default();
    let begins = has_begun.clone();
    let node = Node::builder("main").service(|| Source::of(1));
    let node = node.service(move || Reader(begins.clone())).build().unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    has_begun.notified().await;
    running.shutdown();
    let report = running.join().await.unwrap();
    let feed = report.counters.iter().find(|line| line.label("reader") == "Reader").unwrap();
    assert_eq!((feed.value("taken"), feed.value("left")), (0, 1));
}

/// Two versions of a crate in one program give two types the same path. Here, types in two blocks
/// have the same path.
#[test]
fn one_message_of_two_versions_of_a_crate_is_refused_with_a_hint() {
    let builder = Node::builder("main");
    let builder = {
        #[message(topic = "ticks", id = 5)]
        pub(crate) struct Tick {
            price: u64,
        }
        idle_services! { Old(emits(Tick)); }
        builder.service(|| Old)
    };
    let builder = {
        #[message(topic = "ticks", id = 5)]
        pub(crate) struct Tick {
            price: u32,
        }
        idle_services! { New(reads(Tick)); }
        builder.service(|| New)
    };
    let path = "it::node::one_message_of_two_versions_of_a_crate_is_refused_with_a_hint::Tick";
    builder.build().unwrap_err().says(&format!(
        "messages `{path}` and `{path}` both have id 5: these are two types of one path, as if \
         crate `it` were there in two versions, which `cargo tree --duplicates` lists: use one of \
         them [M0003]"
    ));
}
