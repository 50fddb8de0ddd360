//! What services, topics and members cost in a node with many of them that come and go.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod actors;

use std::cell::Cell;

use mycelium::{Context, Delivery, Node, Policy, Result, Running, Topology, service};
use mycelium_tokio::Tokio;
use mycelium_transports::counters::Region;
use mycelium_transports::local::{LatestByKey, Schema, Topic};

use crate::bytes;
use crate::messages::Order;
use crate::support::idle_services;

thread_local! {
    /// How many services have begun to wait for their first message.
    static WAITING: Cell<usize> = const { Cell::new(0) };
}

/// Waits for messages of one topic.
struct Waiting;

#[service(reads(Order as input))]
impl Waiting {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe_on(Self::input)?;
        WAITING.set(WAITING.get() + 1);
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}

idle_services! { Source(emits(Order as output)); }

/// Returns a node with `services` services; each waits for the messages of one of `topics` topics.
fn many(services: usize, topics: usize) -> Node {
    let topology = Topology::parse(
        "scale.toml",
        "[node.main]\nmemory = \"1024 MiB\"\n[topic.t0]\ncapacity = 8",
    )
    .unwrap();
    let mut builder = Node::builder("main").topology(topology);
    for topic in 0..topics {
        let name = format!("source-{topic}");
        builder =
            builder.named_service(&name, || Source).bind(&name, "output", &format!("t{topic}"));
    }
    for number in 0..services {
        let (name, topic) = (format!("waiting-{number}"), format!("t{}", number % topics));
        builder = builder.named_service(&name, || Waiting).bind(&name, "input", &topic);
    }
    builder.build().unwrap()
}

/// Starts the node, and returns once all of its services wait.
async fn start(node: Node, services: usize) -> Running {
    WAITING.set(0);
    let running = node.start(Tokio::current().unwrap()).unwrap();
    while WAITING.get() < services {
        tokio::task::yield_now().await;
    }
    running
}

/// Returns how many bytes a node with this number of services takes, apart from its rings.
async fn bytes_of(services: usize) -> isize {
    let before = bytes();
    let node = many(services, 10);
    let rings = node.memory().cast_signed();
    let running = start(node, services).await;
    let took = bytes() - before - rings;
    running.shutdown();
    running.join().await.unwrap();
    took
}

#[tokio::test]
async fn a_waiting_service_is_small() {
    // The first node of a process makes allocations that stay.
    bytes_of(10).await;
    let (few, many) = (bytes_of(100).await, bytes_of(1_100).await);
    let each = (many - few) / 1_000;
    // This includes the service's place in the tree of supervisors.
    assert!(each <= 4352, "a waiting service takes {each} bytes beside its rings");
}

/// The time grows linearly with the number of services; if it were quadratic, this would take
/// minutes.
#[tokio::test]
async fn many_services_and_topics_start_and_end() {
    for (services, topics) in [(10_000, 1_000), (5_000, 1)] {
        let running = start(many(services, topics), services).await;
        running.shutdown();
        let report = running.join().await.unwrap();
        assert_eq!(report.services.len(), services + topics);
        assert!(report.services.iter().all(|service| service.starts == 1));
        let readers = report.counters.iter().filter(|line| !line.label("reader").is_empty());
        assert_eq!(readers.count(), services);
    }
}

/// Emits a message, and ends.
struct Brief;

#[service(emits(Order))]
impl Brief {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(ctx.emit(Order { number: 1 }).await?)
    }
}

/// Counts messages until all publishers have ended.
struct Counter;

#[service(reads(Order))]
impl Counter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Order>()?;
        let mut count = 0;
        while let Some(delivery) = ticks.recv().await {
            count += delivery.message().map_or(0, |tick| tick.number);
        }
        assert_eq!(count, PUBLISHERS as u64);
        Ok(())
    }
}

const PUBLISHERS: usize = 5_000;

#[tokio::test]
async fn many_services_publish_one_topic() {
    let topology = Topology::parse("scale.toml", "[topic.orders]\ncapacity = 2").unwrap();
    let builder = Node::builder("main").topology(topology).service(|| Counter);
    let names = (0..PUBLISHERS).map(|number| format!("brief-{number}"));
    let builder = names.fold(builder, |builder, name| builder.named_service(&name, || Brief));
    let running = builder.build().unwrap().start(Tokio::current().unwrap()).unwrap();
    let report = running.join().await.unwrap();
    assert_eq!(report.services.len(), PUBLISHERS + 1);
    assert!(report.services.iter().all(|service| service.errors == 0 && service.panics == 0));
}

/// A publisher and a subscription join and leave a running node repeatedly, while others stay.
/// Memory and counters do not grow.
#[tokio::test]
async fn members_that_come_and_go_leave_nothing() {
    const ROUNDS: usize = 15_000;
    let running = start(many(2, 1), 2).await;
    let mut staying = running.subscribe_to::<Order>("t0", "staying", Policy::Block).unwrap();
    let (mut settled, mut lines) = (0, 0);
    for round in 0..ROUNDS + 2_000 {
        if round == 2_000 {
            // The counters of some members that have left stay readable, so their number settles
            // later.
            (settled, lines) = (bytes(), running.counters().len());
        }
        let policy = [Policy::Block, Policy::DropOldest][round % 2];
        let mut subscription = running.subscribe_to::<Order>("t0", "guest", policy).unwrap();
        let mut publisher = running.publisher_to::<Order>("t0", "guest").unwrap();
        publisher.emit(Order { number: 7 }).await.unwrap();
        // One of the two leaves first, with or without its message taken.
        if round % 3 == 0 {
            drop(publisher);
        }
        if round % 5 != 0 {
            assert!(matches!(subscription.recv().await, Some(Delivery::Msg(_))));
        }
        drop(subscription);
        assert!(matches!(staying.recv().await, Some(Delivery::Msg(_))));
        // The services of the node take their messages, too.
        tokio::task::yield_now().await;
    }
    let kept = bytes() - settled;
    assert!(kept.abs() < 64 << 10, "{kept} bytes more after {ROUNDS} joins of two members");
    assert_eq!(running.counters().len(), lines);
    running.shutdown();
    drop(staying);
    running.join().await.unwrap();
}

/// The node's limit `memory` includes the planned bytes of a table of keys.
#[test]
fn a_table_of_keys_takes_the_planned_memory() {
    let topic = Topic::new("ticks", Schema::of::<Order>(), 2, Region::new(16)).unwrap();
    let subscribe = |policy: Policy| {
        let before = bytes();
        let subscription = topic.subscribe::<Order>("reader", policy).unwrap();
        let after = bytes();
        drop(subscription);
        after - before
    };
    for keys in [1, 100, 900, 1000, 5000, 100_000] {
        let by_key = LatestByKey::of::<Order>("number", keys.try_into().unwrap()).unwrap();
        let taken = subscribe(Policy::LatestByKey(by_key)) - subscribe(Policy::Latest);
        let planned = by_key.table_bytes(&Schema::of::<Order>()).unwrap().cast_signed();
        let is_near = taken <= planned + 1024 && planned <= 2 * taken;
        assert!(is_near, "{keys} keys take {taken} bytes, planned {planned}");
    }
}
