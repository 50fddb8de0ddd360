//! Defects of the earlier system that a node does not have. The name of each test begins with
//! the id of its defect.
#![cfg(all(feature = "metrics", feature = "topology"))]

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::{
    BuildError, Context, Delivery, GapReason, Node, Outcome, Policy, Result, Running, Topology,
    message, service,
};
use mycelium_tokio::Tokio;

#[message(topic = "ticks", id = 1)]
#[derive(Debug, PartialEq)]
struct Tick {
    number: u64,
}

#[message(topic = "trades", id = 2)]
struct Trade {
    number: u64,
}

/// Emits this many ticks.
struct Feed(u64);

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..self.0 {
            ctx.emit(Tick { number }).await?;
        }
        Ok(())
    }
}

fn topology(text: &str) -> Topology {
    Topology::parse("defects.toml", text).unwrap()
}

fn start(node: Node) -> Running {
    node.start(Tokio::current().unwrap()).unwrap()
}

#[tokio::test]
async fn l1_a_slow_reader_knows_the_number_of_missed_messages() {
    let node = Node::builder("main").topology(topology("[topic.ticks]\ncapacity = 16"));
    let node = node.service(|| Feed(1_000)).build().unwrap();
    let mut ticks = node.subscribe::<Tick>("slow", Policy::DropOldest).unwrap();
    start(node).join().await.unwrap();
    let Some(Delivery::Gap(gap)) = ticks.recv().await else { panic!("expected a gap") };
    assert_eq!((gap.count, gap.exact, gap.reason), (984, true, GapReason::Overwritten));
    let mut rest = Vec::new();
    while let Some(delivery) = ticks.recv().await {
        rest.push(delivery.message().unwrap().number);
    }
    assert!(rest.into_iter().eq(984..1_000));
}

#[tokio::test]
async fn l10_an_emit_without_a_reader_is_no_error_and_is_counted() {
    let node = Node::builder("main").service(|| Feed(5)).build().unwrap();
    let report = start(node).join().await.unwrap();
    assert_eq!(report.services[0].outcome, Outcome::Completed);
    let lines = report.counters.iter();
    let line = lines.into_iter().find(|line| line.kind == Kind::Publisher).unwrap();
    assert_eq!((line.value("sent"), line.value("no_subscribers")), (5, 5));
}

#[message(topic = "others", id = 1)]
struct Other {
    first: u32,
    second: u32,
}

struct OtherFeed;

#[service(emits(Other))]
impl OtherFeed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(ctx.emit(Other { first: 1, second: 2 }).await?)
    }
}

#[test]
fn l11_two_types_of_one_id_are_refused_by_name() {
    let node = Node::builder("main").service(|| Feed(1)).service(|| OtherFeed).build();
    let error = node.unwrap_err();
    assert!(matches!(error, BuildError::DuplicateId { id: 1, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "messages `it::defects::Tick` and `it::defects::Other` both have id 1: give one of them \
         another id (`#[message(id = ..)]`) [M0003]"
    );
}

/// Emits many ticks for each trade.
struct Chatty;

#[service(emits(Tick, Trade))]
impl Chatty {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..10 {
            ctx.emit(Trade { number }).await?;
            for tick in 0..1_000 {
                ctx.emit(Tick { number: tick }).await?;
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn l12_a_busy_topic_drops_no_message_of_another_one() {
    let text = "[topic.ticks]\ncapacity = 16\n[topic.trades]\ncapacity = 16\n";
    let node = Node::builder("main").topology(topology(text)).service(|| Chatty).build().unwrap();
    let mut ticks = node.subscribe::<Tick>("ticks", Policy::DropOldest).unwrap();
    let mut trades = node.subscribe::<Trade>("trades", Policy::DropOldest).unwrap();
    start(node).join().await.unwrap();
    assert!(matches!(ticks.recv().await, Some(Delivery::Gap(_))));
    for number in 0..10 {
        let trade = trades.recv().await.and_then(Delivery::message);
        assert_eq!(trade.map(|trade| trade.number), Some(number));
    }
}

#[tokio::test]
async fn l13_after_a_gap_messages_arrive_again_and_each_publisher_has_its_own_sequences() {
    let node = Node::builder("main").topology(topology("[topic.ticks]\ncapacity = 8"));
    let node = node.service(|| Feed(100)).named_service("Second", || Feed(50)).build().unwrap();
    let mut ticks = node.subscribe::<Tick>("slow", Policy::DropOldest).unwrap();
    start(node).join().await.unwrap();
    let (mut missed, mut received) = (0, 0);
    while let Some(delivery) = ticks.recv().await {
        match delivery {
            Delivery::Gap(gap) => missed += gap.count,
            Delivery::Msg(tick) => {
                assert_eq!(tick.sequence(), tick.number);
                received += 1;
            }
        }
    }
    assert_eq!((missed, received), (92 + 42, 16));
}

/// Fails once an hour.
struct Hourly(Sender<()>);

#[service()]
impl Hourly {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        self.0.send(())?;
        ctx.sleep(Duration::from_secs(3_600)).await?;
        Err(std::io::Error::other("each hour").into())
    }
}

#[tokio::test(start_paused = true)]
async fn h3_failures_that_are_long_ago_do_not_count_and_a_panic_is_survived() {
    struct Panics(u32);

    #[service()]
    impl Panics {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            assert!(self.0 > 0, "the first instance panics");
            ctx.shutdown_requested().await;
            Ok(())
        }
    }

    let (runs, counted) = channel();
    let mut made = 0;
    let text = "[service.Hourly]\nmax_restarts = 3\nrestart_window = \"1m\"\n";
    let node = Node::builder("main").topology(topology(text));
    let node = node.service(move || Hourly(runs.clone())).service(move || {
        made += 1;
        Panics(made - 1)
    });
    let running = start(node.build().unwrap());
    // More than three times the limit.
    tokio::time::sleep(Duration::from_secs(10 * 3_700)).await;
    running.shutdown();
    running.join().await.unwrap();
    assert!(counted.try_iter().count() >= 10);
}

#[test]
fn a8_an_impossible_capacity_is_an_error_with_its_place() {
    for capacity in ["0", "1", "3", "-8", "9223372036854775807"] {
        let text = format!("[topic.ticks]\ncapacity = {capacity}\n");
        let error = Topology::parse("a8.toml", &text).unwrap_err().to_string();
        assert!(error.starts_with("a8.toml:2:12: invalid capacity"), "{error}");
    }
}
