//! What readers get while all goes well.

use std::time::Duration;

use mycelium::{Context, Delivery, Node, Policy, Result, Topology, message, service};
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

/// A tick that was received.
#[message(topic = "echoes", id = 2)]
struct Echo {
    number: u64,
}

/// Sends each tick back.
struct Wall;

#[service(reads(Tick), emits(Echo))]
impl Wall {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            let number = match delivery {
                Delivery::Msg(tick) => tick.number,
                Delivery::Gap(_) => continue,
            };
            ctx.emit(Echo { number }).await?;
        }
        Ok(())
    }
}

/// Emits ticks, of which at most a hundred have not come back, until a million have.
struct Caller(tokio::sync::mpsc::Sender<u64>);

#[service(reads(Echo), emits(Tick))]
impl Caller {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut echoes = ctx.subscribe::<Echo>()?;
        let (mut sent, mut back, mut next) = (0, 0, 0);
        while back < ROUNDS {
            while sent < next + 100 {
                ctx.emit(Tick { number: sent }).await?;
                sent += 1;
            }
            tokio::select! {
                delivery = echoes.recv() => match delivery {
                    Some(Delivery::Msg(echo)) => {
                        assert!(echo.number >= next, "{} after {next}", echo.number);
                        (back, next) = (back + 1, echo.number + 1);
                    }
                    Some(Delivery::Gap(gap)) => panic!("{gap}"),
                    None => return Ok(()),
                },
                // The other node was not there.
                () = tokio::time::sleep(Duration::from_secs(1)) => next = sent,
            }
        }
        let _ = self.0.send(back).await;
        Ok(())
    }
}

const ROUNDS: u64 = 1_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_messages_are_answered_where_they_are_received() {
    let at = free();
    let wall = Node::builder("wall").service(|| Wall);
    let wall = wall.subscription("Wall", "ticks", Policy::DropOldest);
    let wall = wall.transport(listening(at), &["echoes"], &["ticks"]).build().unwrap();
    let wall = wall.start(Tokio::current().unwrap()).unwrap();
    let (back, mut all_back) = tokio::sync::mpsc::channel(1);
    let caller = Node::builder("caller").service(move || Caller(back.clone()));
    let caller = caller.subscription("Caller", "echoes", Policy::DropOldest);
    let caller = caller.transport(connecting(at), &["ticks"], &["echoes"]).build().unwrap();
    let caller = caller.start(Tokio::current().unwrap()).unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(120), all_back.recv()).await;
    assert_eq!(waited.unwrap(), Some(ROUNDS));
    end(caller).await;
    end(wall).await;
}
