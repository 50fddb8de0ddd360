//! The health of running nodes.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::observe::{Event, Health, HealthCause, HealthState};
use mycelium::subscribe::OnStall;
use mycelium::{Context, Node, Result, Running, Topology, service};
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;
use tokio::runtime::Runtime;

use crate::node::services::{Number, Source, Ticker};
use crate::running::{Says, end, main_with, until_on};
use crate::support::Directory;

/// Waits until the health of a node is as expected.
async fn until(executor: &dyn Executor, running: &Running, expected: impl Fn(&Health) -> bool) {
    let what = || format!("{:?}", running.health());
    until_on(executor, what, || expected(&running.health())).await;
}

/// Fails once for each message on the channel, so that the test chooses the moment.
struct Fails(Arc<Mutex<Receiver<()>>>);

#[service()]
impl Fails {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        loop {
            ctx.sleep(Duration::from_millis(1)).await?;
            if self.0.lock().unwrap().try_recv().is_ok() {
                return Err(std::io::Error::other("no luck").into());
            }
        }
    }
}

#[tokio::test]
async fn a_failing_service_backs_off() {
    let (fail, receiver) = channel();
    let receiver = Arc::new(Mutex::new(receiver));
    // The changes of health in words, and a fold of all events, as a user could write it.
    let diary = Arc::<Mutex<(Vec<String>, Health)>>::default();
    let own = diary.clone();
    let text = "[service.Fails]\nmax_restarts = 100\nbackoff = \"50ms\"\nmax_backoff = \"50ms\"";
    let node = main_with(text).service(move || Fails(receiver.clone())).observe(move |event| {
        let (words, health) = &mut *own.lock().unwrap();
        health.apply(event);
        if let Event::HealthChanged { service, before, now } = event {
            words.push(format!("{}: {before} to {now}", service.unwrap_or("node")));
        }
    });
    let executor = Tokio::current().unwrap();
    let running = node.build().unwrap().start(executor.clone()).unwrap();
    until(&executor, &running, Health::is_ready).await;
    fail.send(()).unwrap();
    until(&executor, &running, |health| health.node() == HealthState::BackingOff).await;
    let health = running.health();
    assert_eq!(health.service("Fails"), Some(HealthState::BackingOff));
    assert!(matches!(&*health.causes(), [HealthCause::BacksOff { service }] if service == "Fails"));
    assert!(!health.is_ready() && health.is_live());
    until(&executor, &running, Health::is_ready).await;
    end(running).await;
    let (words, health) = &*diary.lock().unwrap();
    let changes =
        ["starting to ready", "ready to backing-off", "backing-off to ready", "ready to stopped"];
    for name in ["Fails", "node"] {
        let of_name = words.iter().filter(|change| change.starts_with(name)).cloned();
        assert_eq!(of_name.collect::<Vec<_>>(), changes.map(|it| format!("{name}: {it}")));
    }
    assert_eq!(health.node(), HealthState::Stopped);
}

/// Takes one message, pauses, and takes the remaining ones.
struct Sleeper(Duration);

#[service(reads(Number))]
impl Sleeper {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        let _ = numbers.recv().await;
        let _ = ctx.sleep(self.0).await;
        while numbers.recv().await.is_some() {}
        Ok(())
    }
}

/// The publisher emits nothing while the reader is evicted.
#[tokio::test(start_paused = true)]
async fn an_evicted_reader_degrades_its_publisher_until_it_returns() {
    let node = main_with("[topic.numbers]\ncapacity = 8")
        .on_stall("numbers", OnStall::EvictAfter(Duration::from_secs(2)))
        // A few messages more than the ring has slots.
        .named_service("Brief", || Source { count: 12, stays: true })
        .service(|| Sleeper(Duration::from_secs(10)));
    let executor = Tokio::current().unwrap();
    let running = node.build().unwrap().start(executor.clone()).unwrap();
    let is_evicted = |cause: &HealthCause| matches!(cause, HealthCause::Evicted { .. });
    until(&executor, &running, |health| health.causes().iter().any(is_evicted)).await;
    let health = running.health();
    let evicted = health.causes().into_iter().find(is_evicted).unwrap();
    evicted.says("service `Brief`: reader `Sleeper` of topic `numbers` was evicted");
    assert_eq!(health.node(), HealthState::Degraded);
    until(&executor, &running, |health| health.node() == HealthState::Ready).await;
    end(running).await;
}

fn node_of(name: &str, directory: &Path) -> Node {
    let text = "[node.hall]\nservices = [\"Ticker\"]\n[node.street]\nservices = [\"Sleeper\"]";
    let topology = Topology::parse("test.toml", text).unwrap().in_directory(directory);
    let builder = Node::builder(name).topology(topology).service(|| Ticker);
    builder.service(|| Sleeper(Duration::ZERO)).build().unwrap()
}

/// Returns a node on its own runtime. Dropping the runtime ends the node like a kill of its
/// process.
fn hall(directory: &Path) -> (Runtime, Running) {
    let runtime = crate::running::threads(1);
    let node = node_of("hall", directory);
    let running = runtime.block_on(async { node.start(Tokio::current().unwrap()).unwrap() });
    (runtime, running)
}

#[test]
fn a_lost_link_degrades_the_node_that_is_left_until_it_is_back() {
    let directory = Directory::new("health");
    let runtime = Runtime::new().unwrap();
    let executor = runtime.block_on(async { Tokio::current().unwrap() });
    let street = node_of("street", &directory.0).start(executor.clone()).unwrap();
    assert_eq!(street.health().node(), HealthState::Starting);
    let wait = |state| runtime.block_on(until(&executor, &street, |health| health.node() == state));
    let (first, running) = hall(&directory.0);
    wait(HealthState::Ready);
    drop((first, running));
    wait(HealthState::Degraded);
    let causes = street.health().causes();
    let [HealthCause::Disconnected { peer, reads: true }] = &*causes else { panic!("{causes:?}") };
    assert_eq!(peer, "hall");
    let (second, running) = hall(&directory.0);
    wait(HealthState::Ready);
    // A peer that ends for good is not a lost peer.
    running.shutdown();
    second.block_on(running.join()).unwrap();
    assert_eq!(street.health().causes(), []);
    street.shutdown();
    runtime.block_on(street.join()).unwrap();
}
