//! Two nodes of one topology, joined by a link, in one process.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod killed;
mod letters;

use std::time::Duration;

use mycelium::error::StartError;
use mycelium::observe::Report;
use mycelium::{Context, Result, Running, service};
use mycelium_transports::counters::Kind;

use crate::node::services::Ticker;
use crate::numbers::{NONE, Number, Pair, all_arrive};
use crate::running::{end, of_links, start, sum, until, within};

/// Publishes one message, and then ignores the shutdown. The patient one waits until the message is
/// confirmed, the other one for ever.
struct Once {
    is_patient: bool,
}

#[service(emits(Number))]
impl Once {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Number { value: 1 }).await?;
        if self.is_patient {
            ctx.confirmed().await;
            return Ok(());
        }
        std::future::pending().await
    }
}

/// Takes a tenth of a second for each number, also during a shutdown.
struct Steady;

#[service(reads(Number))]
impl Steady {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while numbers.recv().await.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

pub(crate) const TOPOLOGY: &str = r#"
[node.far]
services = ["Counter"]
[node.near]
services = ["Taker"]
[topic.numbers]
capacity = 16
[link.default]
retry = "1ms"
max_retry = "20ms"
"#;

/// Starts a node with any of the services of this file.
fn start_of(pair: &Pair, name: &str, count: u64) -> Running {
    start(
        pair.builder(name, count)
            .unwrap()
            .named_service("Deaf", || Once { is_patient: false })
            .named_service("Patient", || Once { is_patient: true })
            .service(|| Ticker)
            .service(|| Steady),
    )
}

#[tokio::test]
async fn l6_either_node_may_start_first_and_the_end_reaches_the_other() {
    for [first, second] in [["far", "near"], ["near", "far"]] {
        let (pair, received) = Pair::new(&format!("order-{first}"), TOPOLOGY);
        let first = pair.start(first, 10_000);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let second = pair.start(second, 10_000);
        all_arrive([first, second], &received, 10_000).await;
        assert!(!pair.directory.0.join("far.sock").exists(), "nothing is left behind");
    }
}

/// During a shutdown, a publisher's node waits beyond its deadline as long as messages are
/// confirmed.
#[tokio::test]
async fn a_slow_reader_is_waited_for_while_it_makes_progress() {
    let text = TOPOLOGY
        .replace("[\"Counter\"]", "[\"Counter\"]\nshutdown = \"2s\"")
        .replace("[\"Taker\"]", "[\"Steady\"]");
    let (pair, _received) = Pair::new("slow", text);
    let nodes = ["far", "near"].map(|name| start_of(&pair, name, 30));
    for node in nodes {
        within(node.join()).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_of_another_user_is_rejected() {
    let own = rustix::process::geteuid().as_raw();
    let impatient = TOPOLOGY.replace("[\"Counter\"]", "[\"Stays\"]\nshutdown = \"100ms\"");
    let text = |user| impatient.replace("[\"Taker\"]", &format!("[\"Taker\"]\nowner = {user}"));
    for (user, welcome) in [(own + 1, false), (own, true)] {
        let (pair, _received) = Pair::new("user", text(user));
        let [far, near] = ["far", "near"].map(|name| pair.start(name, 1));
        if welcome {
            within(far.ready()).await.unwrap();
        }
        let turned_away = || of_links(&far, "rejected_peers");
        until(|| welcome || turned_away() > 0).await;
        assert_eq!(turned_away() > 0, !welcome);
        near.shutdown();
        far.shutdown();
        _ = within(near.join()).await;
        _ = within(far.join()).await;
    }
}

/// The publisher may end by the shutdown before any other part of its node learns of the shutdown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_ends_by_the_shutdown_may_come_back() {
    let text = TOPOLOGY.replace("[\"Counter\"]", "[\"Ticker\"]");
    let (pair, received) = Pair::new("ticks", text);
    let start = |name| start_of(&pair, name, NONE);
    let near = start("near");
    for _ in 0..20 {
        let far = start("far");
        // Messages of the previous run arrive before this one.
        until(|| received.try_recv() == Ok(0)).await;
        within(end(far)).await;
    }
    within(end(near)).await;
}

#[tokio::test]
async fn undelivered_messages_of_an_abandoned_service_are_named() {
    for name in ["Deaf", "Patient"] {
        let service = format!("[\"{name}\"]\nshutdown = \"100ms\"");
        let text = TOPOLOGY.replace("[\"Counter\"]", &service);
        let (pair, _received) = Pair::new(&format!("abandoned-{name}"), text);
        let far = start_of(&pair, "far", NONE);
        until(|| far.counters().iter().any(|line| line.value("sent") > 0)).await;
        far.shutdown();
        let error = within(far.join()).await.unwrap_err();
        let text = "not delivered within 100ms: 1 message of `numbers` to `near`; \
                    abandoned at the shutdown deadline: ";
        assert_eq!(error.to_string(), format!("{text}{name} [M0062]"));
        let StartError::Undelivered { left, abandoned, .. } = error else { panic!("{error}") };
        assert_eq!(left, [("near".to_owned(), "numbers".to_owned(), 1)]);
        assert_eq!(abandoned, [name]);
    }
}

/// Takes this many messages, and ends with the last one in flight.
struct Few(u64);

#[service(reads(Number))]
impl Few {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        for _ in 0..self.0 {
            numbers.recv().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn both_sides_of_a_link_count_the_same_as_taken() {
    for (few, count) in [(1, 1), (10, 10), (10, 100), (100, 100)] {
        let text = TOPOLOGY.replace("\"Taker\"", "\"Few\"");
        let (pair, _received) = Pair::new(&format!("few-{few}-{count}"), text);
        let start = |name| start(pair.builder(name, count).unwrap().service(move || Few(few)));
        let (far, near) = (start("far"), start("near"));
        let near = within(near.join()).await.unwrap();
        let far = within(far.join()).await.unwrap();
        let of = |report: &Report, value: &str| sum(&report.counters, Kind::Edge, value);
        let taken = [&far, &near].map(|report| of(report, "taken"));
        assert_eq!(taken, [few, few], "of {count}: {:?}, {:?}", far.counters, near.counters);
        assert_eq!(of(&near, "redelivered") + of(&far, "unknown"), 0);
        if few == count {
            assert_eq!(of(&far, "left") + of(&near, "left"), 0);
        }
    }
}

/// The services and the links of a node share one deadline.
#[tokio::test(start_paused = true)]
async fn a_shutdown_has_one_deadline() {
    let deaf = TOPOLOGY.replace("[\"Counter\"]", "[\"Deaf\"]\nshutdown = \"1s\"");
    let (pair, _received) = Pair::new("deadline", deaf);
    let running = start_of(&pair, "far", NONE);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let asked = tokio::time::Instant::now();
    running.shutdown();
    let ended = running.join().await;
    let took = asked.elapsed();
    assert!(took < Duration::from_millis(1600), "{took:?}: {ended:?}");
}

/// The reader has taken only some of the messages at half of its deadline.
#[tokio::test(start_paused = true)]
async fn a_reader_with_many_messages_of_another_node_ends_before_the_deadline() {
    let text = TOPOLOGY.replace("\"Counter\"", "\"Stays\"").replace("\"Taker\"", "\"Steady\"");
    let (pair, _received) = Pair::new("steady", text);
    let [far, near] = ["far", "near"].map(|name| start_of(&pair, name, 1_000));
    let taken = || {
        let counters = near.counters();
        let mut feeds = counters.iter().filter(|line| line.label("reader") == "Steady");
        feeds.any(|line| line.value("taken") > 0)
    };
    while !taken() {
        // Paused time moves only when all tasks wait.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    near.shutdown();
    near.join().await.unwrap();
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_ready_ends_when_the_node_never_will_be() {
    let (pair, _received) = Pair::new("never", TOPOLOGY);
    let running = pair.start("near", NONE);
    running.shutdown();
    _ = within(running.ready()).await;
}
