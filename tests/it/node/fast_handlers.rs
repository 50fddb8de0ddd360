//! Fast handlers of a node: they run in each publisher, and a refused message is returned.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::emit::{EmitError, HandlerFailure, Refusal};
use mycelium::observe::StartWarning;
use mycelium::{Context, Error, Node, Result, service};

use super::services::{Number, conserved, end, run, start, taker};
use crate::running::{Says, sum};

/// Refuses large numbers, and panics at 13.
fn limit(order: &Number) -> Result<()> {
    match order.value {
        13 => panic!("unlucky"),
        0..=100 => Ok(()),
        size => Err(Error::msg(format!("{size} exceeds 100"))),
    }
}

/// Emits with each method, and reports the result.
struct Trader(Sender<String>);

#[service(emits(Number))]
impl Trader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let say = |way: &str, error: &EmitError<Number>| {
            self.0.send(format!("{way} {}: {error}", error.message.value)).unwrap();
        };
        ctx.emit(Number { value: 1 }).await?;
        say("emit", &ctx.emit(Number { value: 101 }).await.unwrap_err());
        say("panic", &ctx.emit(Number { value: 13 }).await.unwrap_err());
        say("try_emit", &ctx.try_emit(Number { value: 102 }).unwrap_err());
        let within = ctx.emit(Number { value: 103 }).within(Duration::from_secs(9)).await;
        say("within", &within.unwrap_err());
        let batch = [2, 3, 104, 4].map(|value| Number { value });
        let error = ctx.emit_batch(&batch).await.unwrap_err();
        self.0.send(format!("batch: {error}"))?;
        let mut publisher = ctx.publisher::<Number>()?;
        let child = ctx.spawn(async move {
            publisher.emit(Number { value: 5 }).await.unwrap();
            publisher.emit(Number { value: 105 }).await.unwrap_err()
        });
        say("child", &child.await?);
        ctx.emit(Number { value: 6 }).await?;
        Ok(())
    }
}

#[tokio::test]
async fn each_way_to_emit_runs_the_handlers_once_and_gives_the_message_back() {
    let (says, said) = channel();
    let (journal, received) = channel();
    let ran = Arc::new(AtomicU64::new(0));
    let count = ran.clone();
    let node = Node::builder("main")
        .service(move || Trader(says.clone()))
        .service(move || taker(&journal))
        .fast_handler("count", move |_: &Number| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .fast_handler("limit", limit);
    let report = run(node).await;
    let refused = "fast handler `limit` of topic `numbers` refused the message:";
    assert_eq!(
        said.iter().collect::<Vec<_>>(),
        [
            format!("emit 101: {refused} 101 exceeds 100 [M0224]"),
            "panic 13: fast handler `limit` of topic `numbers` panicked: unlucky [M0225]"
                .to_owned(),
            format!("try_emit 102: {refused} 102 exceeds 100 [M0224]"),
            format!("within 103: {refused} 103 exceeds 100 [M0224]"),
            format!("batch: after 2 messages of a batch: {refused} 104 exceeds 100 [M0224]"),
            format!("child 105: {refused} 105 exceeds 100 [M0224]"),
        ]
    );
    let mut sizes: Vec<_> = received.iter().collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 3, 5, 6]);
    assert_eq!(ran.load(Ordering::Relaxed), 5 + 6, "once for each message that had a slot");
    conserved(&report.counters);
    assert_eq!(sum(&report.counters, Kind::Publisher, "handler_refused"), 6);
}

/// Returns the error of its emit.
struct Fails;

#[service(emits(Number as out))]
impl Fails {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(ctx.on(Self::out).emit(Number { value: 1 }).await?)
    }
}

/// `?` passes on the handler's error, with its property of being permanent.
#[tokio::test]
async fn a_permanent_error_of_a_handler_is_permanent_for_the_service() {
    let node = Node::builder("main").service(|| Fails).bind("Fails", "out", "orders.closed");
    let node = node.fast_handler_of("orders.closed", "closed", |_: &Number| {
        Err(Error::msg("the market is closed").permanent())
    });
    start(node)
        .join()
        .await
        .unwrap_err()
        .mentions("of topic `orders.closed` refused the message: the market is closed");
}

/// The publisher is outside the services, on a topic that no service publishes.
#[tokio::test]
async fn a_publisher_outside_runs_them_on_its_thread() {
    let (journal, received) = channel();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let threads = seen.clone();
    let node = Node::builder("main")
        .service(move || taker(&journal))
        .fast_handler("limit", limit)
        .fast_handler("thread", move |_: &Number| {
            threads.lock().unwrap().push(std::thread::current().id());
            Ok(())
        });
    let node = node.build().unwrap();
    let mut publisher = node.publisher::<Number>("outside").unwrap();
    let running = node.start(mycelium_tokio::Tokio::current().unwrap()).unwrap();
    assert_eq!(running.start_report().warnings, [], "it has a publisher");
    let other = std::thread::spawn(move || {
        publisher.try_emit(Number { value: 7 }).unwrap();
        let error = publisher.try_emit(Number { value: 107 }).unwrap_err();
        let Refusal::FastHandler { handler, failure } = &error.refusal else { panic!("{error}") };
        assert!(matches!(failure, HandlerFailure::Error(_)) && **handler == *"limit");
        std::thread::current().id()
    });
    let other = other.join().unwrap();
    assert_eq!(*seen.lock().unwrap(), [other]);
    end(running).await;
    assert_eq!(received.iter().collect::<Vec<_>>(), [7]);
}

#[tokio::test]
async fn a_handler_of_a_topic_that_nobody_publishes_is_warned_about() {
    let node = Node::builder("main").service(|| Trader(channel().0));
    let running = start(node.fast_handler_of("numbrs", "limit", limit));
    let warnings = running.start_report().warnings.clone();
    let unused = warnings.iter().find(|it| matches!(it, StartWarning::UnusedFastHandler { .. }));
    unused.unwrap().says(
        "fast handler `limit` never runs: no service publishes its topic `numbrs`: did you \
         mean `numbers`? Otherwise add one with `emits(Number)`, or call `Node::publisher_to`",
    );
    running.shutdown();
    let _ = running.join().await;
}
