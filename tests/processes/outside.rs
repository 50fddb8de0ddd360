//! The counters of a node as another process sees them, by the descriptors of this one.
#![cfg(all(feature = "metrics", target_os = "linux", target_pointer_width = "64"))]

use mycelium::counters::{Attached, CountersView, LineView};
use mycelium::{Context, Delivery, Execution, Node, Result, WaitStrategy, message, service};
use mycelium_tokio::Tokio;

#[message(topic = "numbers", id = 1)]
struct Number {
    value: u64,
}

struct Source;

#[service(emits(Number))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0..100 {
            ctx.emit(Number { value }).await?;
        }
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// Says when it has read all numbers.
struct Sink(Option<tokio::sync::oneshot::Sender<()>>);

#[service(reads(Number))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            let Delivery::Msg(number) = delivery else { panic!("nothing is missed") };
            if number.value == 99
                && let Some(done) = self.0.take()
            {
                let _ = done.send(());
            }
        }
        Ok(())
    }
}

fn line<'a>(view: &'a CountersView, kind: &str, key: &str, name: &str) -> &'a LineView {
    let mut lines = view.lines.iter();
    let found = lines.find(|line| line.kind.name == kind && line.label(key) == name);
    found.unwrap_or_else(|| panic!("{kind} {key}={name} in {view:#?}"))
}

/// The region of this process with a line for this node.
fn region(node: &str) -> Option<Attached> {
    let regions = Attached::of_process(std::process::id()).unwrap().regions;
    let of_node = |line: &LineView| line.kind.name == "node" && line.label("node") == node;
    regions
        .into_iter()
        .find_map(|mut region| region.read().unwrap().lines.iter().any(of_node).then_some(region))
}

#[tokio::test]
async fn a_node_says_what_it_is_and_how_its_services_wait() {
    let (sender, done) = tokio::sync::oneshot::channel();
    let mut sink = Some(Sink(Some(sender)));
    let node = Node::builder("seen-from-outside")
        .service(|| Source)
        .service(move || sink.take().expect("it never panics"))
        .execution("Sink", Execution::shared().wait(WaitStrategy::SpinThenPark(500)));
    let running = node.build().unwrap().start(Tokio::current().unwrap()).unwrap();
    running.ready().await.unwrap();
    done.await.unwrap();

    let mut region = region("seen-from-outside").expect("the region of the node");
    let view = region.read().unwrap();
    let node = line(&view, "node", "node", "seen-from-outside");
    assert_eq!(node.value("pid"), Some(u64::from(std::process::id())));
    assert_eq!(node.value("state"), Some(1), "it is ready");
    assert!(node.value("started_seconds") > Some(1_600_000_000));
    let spins =
        ["Source", "Sink"].map(|name| line(&view, "service", "service", name).value("spins"));
    assert_eq!(spins, [Some(0), Some(500)]);
    let publisher = line(&view, "publisher", "topic", "numbers");
    assert_eq!(publisher.value("sent"), Some(100));
    let (capacity, most) = (publisher.value("capacity"), publisher.value("high_water"));
    assert!(capacity.is_some_and(|it| it.is_power_of_two()) && most <= capacity);

    running.shutdown();
    running.join().await.unwrap();
    let view = region.read().unwrap();
    assert_eq!(line(&view, "node", "node", "seen-from-outside").value("state"), Some(4));
    assert_eq!(line(&view, "edge", "topic", "numbers").value("taken"), Some(100));
}
