//! What readers get while all goes well.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mycelium::{Context, Node, Result, Topology, service};
use mycelium_nats::Nats;
use mycelium_tokio::Tokio;

use crate::server::Server;
use crate::ticks::{Found, Reader, Tick, Ticking, end, reading};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tick_arrives_from_the_first_to_the_last() {
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let there = reading(&found, Nats::server(&server.url()));
    let clock = Ticking::start(Nats::server(&server.url()));
    found.more(500).await;
    let sent = clock.end().await;
    found.until(|found| found.next.load(Ordering::Relaxed) == sent).await;
    assert_eq!(found.messages(), sent);
    assert_eq!(found.inexact.load(Ordering::Relaxed), 0);
    end(there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_may_come_and_go() {
    let Some(server) = Server::start().await else { return };
    let clock = Ticking::start(Nats::server(&server.url()));
    for _ in 0..5 {
        let found = Found::default();
        let there = reading(&found, Nats::server(&server.url()));
        found.more(20).await;
        end(there).await;
        assert!(found.is_whole(), "{found:?}");
    }
    clock.end().await;
}

/// Emits as fast as it can.
pub(crate) struct Flood;

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
    let Some(server) = Server::start().await else { return };
    let found = Found::default();
    let config = server.directory().join("context.json");
    std::fs::write(&config, format!("{{ \"url\": \"{}\" }}", server.url())).unwrap();
    let node = |name: &str| {
        let text = "[node.main]\nservices = [\"Flood\"]\nshutdown = \"2s\"\n\
             [node.there]\nservices = [\"Reader\"]\n\
             [engine.nats]\nconfig = \"context.json\"\n[topic.ticks]\ntransport = \"nats\"\n\
             [subscription.\"Reader.ticks\"]\npolicy = \"drop-oldest\"\n";
        let file = server.directory().join("t.toml");
        let topology = Topology::parse(file.display().to_string(), text).unwrap();
        let found = found.clone();
        let node = Node::builder(name).topology(topology).service(|| Flood);
        let node = node.service(move || Reader(found.clone())).engine::<Nats>();
        node.build().unwrap().start(Tokio::current().unwrap()).unwrap()
    };
    let (there, main) = (node("there"), node("main"));
    found.more(100_000).await;
    // A second reader ends while the flood goes on.
    let other = Found::default();
    let late = reading(&other, Nats::server(&server.url()));
    other.more(10_000).await;
    end(late).await;
    main.shutdown();
    let _ = main.join().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    found.until(Found::is_whole).await;
    end(there).await;
}
