//! Defects of the earlier system that a node does not have. The name of each test begins with the
//! id of its defect.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mycelium::{Builder, Context, Delivery, Policy, Result, Topology, message, service};
use mycelium_tokio::Tokio;

use crate::node::services::{Number, Source, Square};
use crate::running::{Says, end, main_with, start};
use crate::support::idle_services;

/// Returns a node with a source of numbers below `count`, and these settings.
fn counting(text: &str, count: u64) -> Builder {
    main_with(text).service(move || Source::of(count))
}

#[message(topic = "others", id = 1)]
pub(crate) struct Other {
    first: u32,
    second: u32,
}

idle_services! {
    OtherSource(emits(Other));
}

#[test]
fn l11_two_types_of_one_id_are_refused_by_name() {
    let error = counting("", 1).service(|| OtherSource).build().unwrap_err();
    error.says(
        "messages `it::node::services::Number` and `it::defects::Other` both have id 1: give one of \
         them another id (`#[message(id = ..)]`), or none [M0003]",
    );
}

/// Emits many numbers for each square.
struct Chatty;

#[service(emits(Number, Square))]
impl Chatty {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for square in 0..10 {
            ctx.emit(Square { value: square }).await?;
            for value in 0..1_000 {
                ctx.emit(Number { value }).await?;
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn l12_a_busy_topic_drops_no_message_of_another_one() {
    let text = "[topic.numbers]\ncapacity = 16\n[topic.squares]\ncapacity = 16\n";
    let node = main_with(text).service(|| Chatty).build().unwrap();
    let mut numbers = node.subscribe::<Number>("numbers", Policy::DropOldest).unwrap();
    let mut squares = node.subscribe::<Square>("squares", Policy::DropOldest).unwrap();
    node.run(Tokio::current().unwrap()).await.unwrap();
    assert!(matches!(numbers.recv().await, Some(Delivery::Gap(_))));
    for value in 0..10 {
        let square = squares.recv().await.and_then(Delivery::message);
        assert_eq!(square, Some(Square { value }));
    }
}

#[tokio::test]
async fn l13_after_a_gap_messages_arrive_again_and_each_publisher_has_its_own_sequences() {
    let node = counting("[topic.numbers]\ncapacity = 8", 100)
        .named_service("Second", || Source::of(50))
        .build()
        .unwrap();
    let mut numbers = node.subscribe::<Number>("slow", Policy::DropOldest).unwrap();
    node.run(Tokio::current().unwrap()).await.unwrap();
    let (mut missed, mut received) = (0, 0);
    while let Some(delivery) = numbers.recv().await {
        match delivery {
            Delivery::Gap(gap) => missed += gap.count,
            Delivery::Msg(number) => {
                assert_eq!(number.sequence(), number.value);
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
    let node = main_with(text).service(move || Hourly(runs.clone())).service(move || {
        made += 1;
        Panics(made - 1)
    });
    let running = start(node);
    // Three times as many failures as the limit allows, but not within its window.
    tokio::time::sleep(Duration::from_secs(10 * 3_700)).await;
    end(running).await;
    assert!(counted.try_iter().count() >= 10);
}

#[test]
fn a8_an_impossible_capacity_is_an_error_with_its_place() {
    for capacity in ["0", "1", "3", "-8", "9223372036854775807"] {
        let text = format!("[topic.numbers]\ncapacity = {capacity}\n");
        Topology::parse("a8.toml", &text).unwrap_err().begins("a8.toml:2:12: invalid capacity");
    }
}
