//! A publisher that is faster than its reader, with each policy: each message is counted once, and
//! the memory of the process does not grow.
//!
//! `SECONDS=60 cargo test --release --test processes overload` runs each policy for a minute.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mycelium::counters::{Kind, Reading};
use mycelium::emit::Refusal;
use mycelium::{Context, Delivery, Node, Result, Topology, message, service};
use mycelium_tokio::Tokio;

use crate::alone;
use crate::support::number;

#[message(topic = "load", id = 1)]
struct Load {
    number: u64,
    key: u64,
    rest: [u64; 5],
}

/// Emits as fast as it can for this time.
struct Source(Duration);

#[service(emits(Load))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let end = ctx.now() + self.0;
        let mut number = 0;
        while ctx.now() < end {
            for _ in 0..100 {
                let load = Load { number, key: number % 50, rest: [number; 5] };
                match ctx.emit(load).await {
                    Ok(()) => number += 1,
                    Err(error) if matches!(error.refusal, Refusal::Rejected { .. }) => {
                        ctx.yield_now().await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

/// Takes a few messages whenever the source has emitted many.
struct Slow(Arc<AtomicU64>);

#[service(reads(Load))]
impl Slow {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut loads = ctx.subscribe::<Load>()?;
        let mut taken = 0;
        while let Some(delivery) = loads.recv().await {
            if let Delivery::Msg(load) = delivery {
                assert_eq!(load.rest, [load.number; 5]);
                taken += 1;
                if taken % 10 == 0 {
                    for _ in 0..3 {
                        ctx.yield_now().await;
                    }
                }
            }
        }
        self.0.store(taken, Ordering::Relaxed);
        Ok(())
    }
}

/// Returns the resident memory of this process in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Checks that each sent message was received or counted, exactly once.
fn conserved(policy: &str, counters: &[Reading], taken: u64) {
    let publisher = counters.iter().find(|line| line.kind == Kind::Publisher).unwrap();
    let edge = counters.iter().find(|line| line.kind == Kind::Edge).unwrap();
    let names = ["taken", "overwritten", "skipped", "dropped", "sampled", "left", "unknown"];
    let sum: u64 = names.iter().map(|name| edge.value(name)).sum();
    assert_eq!(publisher.value("sent"), sum, "{policy}: {edge:?}");
    assert_eq!(edge.value("taken"), taken, "{policy}");
    let keeps = policy == "block" || policy == "reject";
    assert_eq!(sum == taken, keeps, "{policy}: the reader was not slower than the source");
}

async fn overload(policy: &str, keys: &str, duration: Duration) {
    let text = format!(
        "[topic.load]\ncapacity = 64\n[subscription.\"Slow.load\"]\npolicy = \"{policy}\"\n{keys}"
    );
    let topology = Topology::parse("overload.toml", &text).unwrap();
    let taken = Arc::new(AtomicU64::new(0));
    let reader = taken.clone();
    let node = Node::builder("main")
        .topology(topology)
        .service(move || Source(duration))
        .service(move || Slow(reader.clone()))
        .build()
        .unwrap();
    let report = node.run(Tokio::current().unwrap()).await.unwrap();
    conserved(policy, &report.counters, taken.load(Ordering::Relaxed));
}

#[test]
fn under_overload_each_message_is_counted_once_and_memory_does_not_grow() {
    alone(
        "overload::under_overload_each_message_is_counted_once_and_memory_does_not_grow",
        all_policies,
    );
}

#[tokio::main(flavor = "current_thread")]
async fn all_policies() {
    let duration = number("SECONDS").map_or(Duration::from_millis(200), Duration::from_secs);
    for (policy, keys) in [
        ("block", ""),
        ("reject", ""),
        ("drop-newest", ""),
        ("drop-oldest", ""),
        ("latest", ""),
        ("latest", "key = \"key\"\nkeys = 20\n"),
        ("sample(1/10)", ""),
    ] {
        // The first run of each policy allocates what stays, such as the threads' own memory.
        overload(policy, keys, Duration::from_millis(50)).await;
        let before = resident();
        overload(policy, keys, duration).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < 1 << 20, "{policy} {keys}: {grown} bytes more after {duration:?}");
    }
}
