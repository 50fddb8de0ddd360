//! The metrics endpoint of a running node.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mycelium::execution::Execution;
use mycelium::{Context, Node, Policy, Result, Running, Topology, service};
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;
use tokio::sync::Notify;

use super::services::{
    Idle, Listener, Organ, Tone, address, builder, get, is_free, own_address, scrape, until,
};
use crate::executors::on_each_executor;
use crate::running::{Says, end, start};
use crate::support::Directory;

async fn on(executor: impl Executor) {
    let executor: Arc<dyn Executor> = Arc::new(executor);
    let (builder, heard) = builder();
    let builder = builder.listen_metrics(own_address(2));
    let running = builder.build().unwrap().start(executor.clone()).unwrap();
    let address = address(&running);
    until(&*executor, "messages", || heard.load(Ordering::SeqCst) > 1000).await;
    // The client has its own thread, because it would block an executor with one thread.
    let before = std::thread::spawn(move || {
        assert_eq!(get(address, "/live"), Ok("ready\n".to_owned()));
        assert_eq!(get(address, "/ready"), Ok("ready\n".to_owned()));
        scrape(address)
    });
    until(&*executor, "a scrape", || before.is_finished()).await;
    let before = before.join().unwrap();
    let of = |name: &str| before.get(name).copied().unwrap_or_else(|| panic!("no {name}"));
    let organ = "node=\"hall\",topic=\"tones\",publisher=\"Organ\"";
    assert!(of(&format!("mycelium_messages_sent_total{{{organ}}}")) > 900.0);
    assert_eq!(of(&format!("mycelium_ring_capacity{{{organ}}}")), 1024.0);
    let labels = format!("{organ},reader=\"Listener\"");
    assert!(of(&format!("mycelium_messages_received_total{{{labels}}}")) > 0.0);
    assert!(of(&format!("mycelium_subscription_depth{{{labels}}}")) <= 2048.0);
    assert!(of("tones_heard_total{node=\"hall\",service=\"Listener\"}") > 0.0);
    assert!(of("numbers_bucket{node=\"hall\",service=\"Listener\",le=\"+Inf\"}") > 0.0);
    assert_eq!(of("mycelium_service_starts_total{node=\"hall\",service=\"Organ\"}"), 1.0);
    assert_eq!(of("mycelium_health{node=\"hall\",state=\"ready\"}"), 1.0);
    // An open connection does not delay the end of the node.
    let mut open = TcpStream::connect(address).unwrap();
    end(running).await;
    assert!(is_free(address), "the address is free");
    open.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(open.read(&mut [0; 8]).unwrap_or(0), 0, "the connection is closed");
}

#[test]
fn a_node_is_scraped_on_each_executor_and_leaves_nothing_behind() {
    on_each_executor(async |executor, _| on(executor).await);
}

/// A node is not ready before it is connected to its peer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_is_the_health_of_the_node() {
    let text = "[node.hall]\nservices = [\"Organ\"]\n[node.street]\nservices = [\"Listener\"]";
    let directory = Directory::new("telemetry");
    let node = |name: &str| {
        let topology = Topology::parse("test.toml", text).unwrap().in_directory(&directory.0);
        let listener = || Listener(Arc::default());
        let builder = Node::builder(name).topology(topology).service(|| Organ).service(listener);
        builder.listen_metrics("[::1]:0".parse().unwrap()).build().unwrap()
    };
    let executor = Tokio::current().unwrap();
    let street = node("street").start(executor.clone()).unwrap();
    assert_eq!(ready(&street), Err(503));
    let hall = node("hall").start(executor.clone()).unwrap();
    until(&executor, "both are ready", || ready(&street).is_ok() && ready(&hall).is_ok()).await;
    let scraped = tokio::task::block_in_place(|| scrape(address(&hall)));
    let links = "node=\"hall\",peer=\"street\",role=\"publisher\"";
    assert_eq!(scraped[&format!("mycelium_link_connections_total{{{links}}}")], 1.0);
    assert!(scraped[&format!("mycelium_link_sent_bytes_total{{{links}}}")] > 0.0);
    assert!(scraped[&format!("mycelium_link_batches_sent_total{{{links}}}")] > 0.0);
    end(hall).await;
    end(street).await;
}

fn ready(running: &Running) -> Result<String, u16> {
    let address = address(running);
    tokio::task::block_in_place(|| get(address, "/ready"))
}

/// A draining node gets no new work, but is still alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_is_alive_and_not_ready() {
    /// Ends when the test has seen that the node is draining.
    struct Draining(Arc<Notify>);
    #[service()]
    impl Draining {
        async fn run(&mut self, ctx: &mut Context<Self>) -> mycelium::Result<()> {
            ctx.shutdown_requested().await;
            self.0.notified().await;
            Ok(())
        }
    }
    let seen = Arc::<Notify>::default();
    let of_service = seen.clone();
    let node = Node::builder("hall")
        .service(move || Draining(of_service.clone()))
        .listen_metrics("127.0.0.1:0".parse().unwrap());
    let executor = Tokio::current().unwrap();
    let running = start(node);
    until(&executor, "the node is ready", || ready(&running).is_ok()).await;
    running.shutdown();
    until(&executor, "the node drains", || ready(&running) == Err(503)).await;
    let address = address(&running);
    assert_eq!(tokio::task::block_in_place(|| get(address, "/live")), Ok("stopped\n".to_owned()));
    seen.notify_one();
    running.join().await.unwrap();
}

/// Members that come and go: their counts stay in the sums after their lines are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sums_of_a_topic_are_exact_after_thousands_of_short_lived_members() {
    let node = Node::builder("hall").listen_metrics("127.0.0.1:0".parse().unwrap());
    let running = start(node.service(|| Idle));
    let address = address(&running);
    let (mut sent, mut before) = (0, BTreeMap::<String, f64>::new());
    for number in 0..4_000 {
        let mut tones = running.subscribe::<Tone>(&format!("r{number}"), Policy::Block).unwrap();
        let mut publisher = running.publisher::<Tone>(&format!("p{number}")).unwrap();
        let count = 1 + number % 3;
        for number in 0..count {
            publisher.emit(Tone { number }).await.unwrap();
        }
        // The last one that it gets is in flight when it ends, and the rest is unread.
        for _ in 0..count.min(2) {
            assert!(tones.recv().await.is_some());
        }
        sent += count;
        drop((publisher, tones));
        if number % 500 != 499 {
            continue;
        }
        let scraped = tokio::task::spawn_blocking(move || scrape(address)).await.unwrap();
        let sum = |what: &str| {
            let start = format!("mycelium_messages_{what}_total{{");
            let of_name = scraped.iter().filter(|(name, _)| name.starts_with(&start));
            let values = of_name.map(|(labels, value)| {
                labels.mentions("topic=\"tones\"");
                *value as u64
            });
            values.sum::<u64>()
        };
        let (received, dropped) = (sum("received"), sum("dropped"));
        assert_eq!(sum("sent"), sent);
        assert!(received > 0 && received + dropped == sent, "{received} + {dropped} of {sent}");
        for (name, last) in &before {
            let grows = !name.contains("_total{") || scraped[name] >= *last;
            assert!(grows, "{name} from {last} to {:?}", scraped.get(name));
        }
        before = scraped;
    }
    end(running).await;
}

/// The endpoint has its own thread: while a service blocks the executor's thread, metrics are still
/// served, and `/live` reports that the service hangs.
#[test]
fn metrics_are_served_while_the_executor_hangs() {
    struct Blocks(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);
    #[service()]
    impl Blocks {
        async fn run(&mut self, _ctx: &mut Context<Self>) -> mycelium::Result<()> {
            Ok(self.0.lock().unwrap().recv()?)
        }
    }
    let (let_go, receiver) = std::sync::mpsc::channel();
    let mut receiver = Some(receiver);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let node = Node::builder("hall")
        .service(move || Blocks(std::sync::Mutex::new(receiver.take().unwrap())))
        .execution("Blocks", Execution::shared())
        .watchdog(Duration::from_millis(20))
        .listen_metrics("127.0.0.1:0".parse().unwrap());
    let running =
        runtime.block_on(async { node.build().unwrap().start(Tokio::current().unwrap()) });
    let running = running.unwrap();
    let address = address(&running);
    let client = std::thread::spawn(move || {
        // The watchdog has noticed the hanging service.
        while get(address, "/live") != Err(503) {
            std::thread::yield_now();
        }
        let scraped = scrape(address);
        let_go.send(()).unwrap();
        scraped
    });
    runtime.block_on(running.join()).unwrap();
    let scraped = client.join().unwrap();
    let of_service = "mycelium_service_health{node=\"hall\",service=\"Blocks\",state=\"degraded\"}";
    assert_eq!(scraped[of_service], 1.0);
    assert_eq!(scraped["mycelium_service_long_polls_total{node=\"hall\",service=\"Blocks\"}"], 1.0);
}
