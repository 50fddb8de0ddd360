//! Nodes with services that read dead letters: they end when no message can become a dead letter
//! any more.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mycelium::counters::Reading;
use mycelium::error::StartError;
use mycelium::subscribe::TryRecv;
use mycelium::{Context, DeadLetter, Delivery, Error, Node, Result, Running, Topology, service};

use crate::node::services::Square;
use crate::nodes::TOPOLOGY;
use crate::numbers::{Number, Pair, Source, all_arrive};
use crate::running::{end, next, run, start, until, within};

/// Receives the words with which services report.
type Told = Sender<&'static str>;

/// Reports each dead letter, and the end of all of them.
struct Undertaker(Told);

#[service(reads(DeadLetter))]
impl Undertaker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut letters = ctx.subscribe::<DeadLetter>()?;
        while letters.recv().await.is_some() {
            self.0.send("letter")?;
        }
        self.0.send("the end")?;
        Ok(())
    }
}

/// Fails at each number.
struct Hapless;

#[service(reads(Number))]
impl Hapless {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        match numbers.recv().await {
            Some(_) => Err(Error::msg("not this one")),
            None => Ok(()),
        }
    }
}

/// Emits an alert for each dead letter.
struct Alarm;

#[service(reads(DeadLetter), emits(Square))]
impl Alarm {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut letters = ctx.subscribe::<DeadLetter>()?;
        while let Some(delivery) = letters.recv().await {
            let value = delivery.message().map_or(0, |letter| letter.sequence);
            ctx.emit(Square { value }).await?;
        }
        Ok(())
    }
}

/// Takes alerts. If it failed, they would become dead letters, too.
struct Pager(Told);

#[service(reads(Square))]
impl Pager {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut alerts = ctx.subscribe::<Square>()?;
        while let Some(delivery) = alerts.recv().await {
            assert!(matches!(delivery, Delivery::Msg(_)));
            self.0.send("alert")?;
        }
        self.0.send("the end")?;
        Ok(())
    }
}

fn quick() -> Topology {
    let text = "[service.Hapless]\nbackoff = \"1ms\"\nmax_restarts = 100\n";
    Topology::parse("letters.toml", text).unwrap()
}

#[tokio::test]
async fn a_dead_letter_reader_without_sources_ends_with_the_others() {
    let (sender, told) = channel();
    let letters = sender.clone();
    within(run(Node::builder("alone").service(move || Undertaker(letters.clone())))).await;
    assert!(told.try_iter().eq(["the end"]));
    let builder = Node::builder("source")
        .named_service("Counter", || Source { count: 3, stays: false })
        .service(move || Undertaker(sender.clone()));
    within(run(builder)).await;
    assert!(told.try_iter().eq(["the end"]));
}

#[tokio::test]
async fn messages_made_of_dead_letters_are_handled_to_the_end() {
    for by_shutdown in [false, true] {
        let (sender, told) = channel();
        let builder = Node::builder("main")
            .topology(quick())
            .named_service("Counter", move || Source { count: 2, stays: by_shutdown })
            .service(|| Hapless)
            .service(|| Alarm)
            .service(move || Pager(sender.clone()));
        let running = start(builder);
        let mut seen = vec![next(&told).await, next(&told).await];
        if by_shutdown {
            running.shutdown();
        }
        within(running.join()).await.unwrap();
        seen.extend(told.try_iter());
        assert_eq!(seen, ["alert", "alert", "the end"], "by shutdown: {by_shutdown}");
    }
}

/// Starts one of two nodes with the services of this file.
fn start_of(pair: &Pair, name: &str, told: &Told) -> Running {
    let (letters, alerts, own) = (told.clone(), told.clone(), told.clone());
    start(
        pair.builder(name, 20)
            .unwrap()
            .service(|| Alarm)
            .service(move || Undertaker(letters.clone()))
            .service(move || Pager(alerts.clone()))
            .service(move || Careful(own.clone())),
    )
}

/// Returns the file of two nodes, where `far` has one more service.
fn text() -> String {
    TOPOLOGY.replace("[\"Counter\"]", "[\"Counter\", \"Undertaker\"]")
}

#[tokio::test]
async fn a_reader_of_link_dead_letters_ends_when_all_is_delivered() {
    let (pair, received) = Pair::new("letters", text());
    let (sender, told) = channel();
    let far = start_of(&pair, "far", &sender);
    let early = tokio::time::timeout(Duration::from_millis(50), next(&told));
    assert!(early.await.is_err(), "the link may yet give something up");
    let near = start_of(&pair, "near", &sender);
    all_arrive([far, near], &received, 20).await;
    assert!(told.try_iter().eq(["the end"]));
}

#[tokio::test]
async fn a_dead_letter_reader_waits_no_longer_than_its_node() {
    let impatient = text().replace("[node.far]", "[node.far]\nshutdown = \"100ms\"");
    let (pair, _received) = Pair::new("letters-nobody", impatient);
    let (sender, told) = channel();
    let far = start_of(&pair, "far", &sender);
    let error = within(far.join()).await.unwrap_err();
    let StartError::Undelivered { left, .. } = error else { panic!("{error}") };
    assert_eq!(left, [("near".to_owned(), "numbers".to_owned(), 20)]);
    assert!(told.try_iter().eq(["the end"]));
}

/// Emits a number after each alert, until its topic ends.
struct Again;

#[service(reads(Square), emits(Number))]
impl Again {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut alerts = ctx.subscribe::<Square>()?;
        ctx.emit(Number { value: 0 }).await?;
        while alerts.recv().await.is_some() {
            ctx.emit(Number { value: 1 }).await?;
        }
        Ok(())
    }
}

/// Each service of the cycle waits for another, and one of them for dead letters, so only a
/// shutdown ends them.
#[tokio::test]
async fn a_circle_through_dead_letters_ends_at_a_shutdown() {
    let builder = Node::builder("main")
        .topology(quick())
        .service(|| Alarm)
        .service(|| Again)
        .service(|| Hapless);
    let running = start(builder);
    let letters = |line: &Reading| line.value("dead_letters");
    until(|| running.counters().iter().map(letters).sum::<u64>() >= 2).await;
    within(end(running)).await;
}

/// Publishes, and reads the dead letters of its links.
struct Careful(Told);

#[service(reads(DeadLetter), emits(Number))]
impl Careful {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut letters = ctx.subscribe::<DeadLetter>()?;
        for value in 0..20 {
            ctx.emit(Number { value }).await?;
        }
        ctx.confirmed().await;
        let is_open = !matches!(letters.try_recv(), TryRecv::Closed);
        self.0.send(if is_open { "open" } else { "closed" })?;
        Ok(())
    }
}

/// A link that carries messages from a reader of dead letters ends after that reader, and a
/// publisher that reads the dead letters of its own link keeps running.
#[tokio::test]
async fn readers_of_dead_letters_that_publish_end_after_the_other_services() {
    for (far, near, says) in [
        ("\"Counter\", \"Alarm\"", "\"Taker\", \"Pager\"", "the end"),
        ("\"Careful\"", "\"Taker\"", "open"),
    ] {
        let text = TOPOLOGY.replace("\"Counter\"", far).replace("\"Taker\"", near);
        let (pair, received) = Pair::new("letters-published", text);
        let (sender, told) = channel();
        let nodes = ["far", "near"].map(|name| start_of(&pair, name, &sender));
        all_arrive(nodes, &received, 20).await;
        assert!(told.try_iter().eq([says]), "{far}");
    }
}
