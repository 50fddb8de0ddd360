//! What readers get while all goes well.

use std::time::Duration;

use mycelium::{Context, Node, Result, Topology, service};
use mycelium_tokio::Tokio;
use mycelium_zenoh::Zenoh;

use crate::support::{connecting, listening};
use crate::ticks::{Found, Reader, Tick, Ticking, end, free, reading};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tick_arrives_to_the_last_one() {
    let (found, at) = (Found::default(), free());
    let there = reading(&found, listening(at));
    let clock = Ticking::start(connecting(at));
    found.more(500).await;
    let sent = clock.end().await;
    found.until(|found| found.next.load(std::sync::atomic::Ordering::Relaxed) == sent).await;
    assert!(found.is_whole(), "{found:?}");
    assert_eq!(found.inexact.load(std::sync::atomic::Ordering::Relaxed), 0);
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_may_come_and_go() {
    let at = free();
    let clock = Ticking::start(listening(at));
    for _ in 0..5 {
        let found = Found::default();
        let there = reading(&found, connecting(at));
        found.more(20).await;
        end(there).await;
        assert!(found.is_whole(), "{found:?}");
    }
    clock.end().await;
}

/// Emits as fast as it can.
struct Flood;

#[service(emits(Tick))]
impl Flood {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0.. {
            ctx.emit(Tick { number }).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_by_the_topology_is_received_or_missed() {
    let (found, at) = (Found::default(), free());
    let directory = std::env::temp_dir().join(format!("mycelium-zenoh-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let node = |name: &str, zenoh: &Zenoh| {
        let config = format!("{name}.json5");
        std::fs::write(directory.join(&config), zenoh.to_string()).unwrap();
        let text = format!(
            "[node.main]\nservices = [\"Flood\"]\nshutdown = \"2s\"\n[node.there]\nservices = [\"Reader\"]\n\
             [engine.zenoh]\nconfig = \"{config}\"\n[topic.ticks]\ntransport = \"zenoh\"\n\
             [subscription.\"Reader.ticks\"]\npolicy = \"drop-oldest\"\n"
        );
        let file = directory.join("t.toml");
        let topology = Topology::parse(file.display().to_string(), &text).unwrap();
        let found = found.clone();
        let node = Node::builder(name).topology(topology).service(|| Flood);
        let node = node.service(move || Reader(found.clone())).engine::<Zenoh>();
        node.build().unwrap().start(Tokio::current().unwrap()).unwrap()
    };
    let main = node("main", &listening(at));
    let there = node("there", &connecting(at));
    found.more(100_000).await;
    // A second reader ends while the flood goes on.
    let other = Found::default();
    let late = reading(&other, connecting(at));
    other.more(10_000).await;
    end(late).await;
    main.shutdown();
    let _ = main.join().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    found.until(Found::is_whole).await;
    end(there).await;
    std::fs::remove_dir_all(&directory).unwrap();
}
