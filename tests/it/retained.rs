//! Topics that retain messages: what late readers of a node get, and topologies that cannot.
#![cfg(feature = "topology")]

use mycelium::{Context, Delivery, Node, Policy, Result, Topology, message, service};
use tokio::sync::oneshot;

use crate::running::{Says, start, within};

#[message(topic = "quotes")]
#[derive(Debug, PartialEq)]
struct Quote {
    symbol: String,
    price: u64,
}

/// Emits some quotes, and then waits for the shutdown.
struct Feed(Option<oneshot::Sender<[bool; 3]>>);

#[service(emits(Quote))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for (symbol, price) in [("old", 1), ("one", 2), ("two", 3), ("one", 4)] {
            ctx.emit(Quote { symbol: symbol.to_owned(), price }).await?;
        }
        let forgotten = ["old", "old", "none"].map(|key| ctx.forget::<Quote>(key));
        if let Some(done) = self.0.take() {
            done.send(forgotten).unwrap();
        }
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// Returns what a reader gets that joins after all quotes were sent, and what was forgotten.
async fn late(retain: &str) -> (Vec<(u64, bool)>, [bool; 3]) {
    let topology = format!("[topic.quotes]\nretain = {retain}\n");
    let (sender, done) = oneshot::channel();
    let mut sender = Some(sender);
    let node = Node::builder("main").topology(Topology::parse("t.toml", &topology).unwrap());
    let running = start(node.service(move || Feed(sender.take())));
    let forgotten = within(done).await.unwrap();
    let mut reader = running.subscribe::<Quote>("late", Policy::Block).unwrap();
    let mut publisher = running.publisher::<Quote>("live").unwrap();
    within(publisher.emit(Quote { symbol: "live".to_owned(), price: 5 })).await.unwrap();
    let mut found = Vec::new();
    while found.last().is_none_or(|(price, _)| *price < 5) {
        let Some(Delivery::Msg(quote)) = within(reader.recv()).await else { panic!("a gap") };
        found.push((quote.price, quote.retained()));
    }
    drop((reader, publisher));
    running.shutdown();
    within(running.join()).await.unwrap();
    (found, forgotten)
}

#[tokio::test]
async fn a_late_reader_gets_what_is_retained() {
    let by_key = |more: &str| format!("{{ key = \"symbol\"{more} }}");
    let (found, forgotten) = late(&by_key("")).await;
    assert_eq!(found, [(3, true), (4, true), (5, false)]);
    assert_eq!(forgotten, [true, false, false]);
    let (found, forgotten) = late(&by_key(", keys = 2, when_full = \"forget-oldest\"")).await;
    assert_eq!(found, [(3, true), (4, true), (5, false)]);
    assert_eq!(forgotten, [false; 3]);
    let (found, forgotten) = late("2").await;
    assert_eq!((found, forgotten), (vec![(3, true), (4, true), (5, false)], [false; 3]));
}

#[cfg(feature = "describe")]
#[test]
fn an_overview_has_what_is_retained() {
    use mycelium::overview::NodeProgram;

    let topology = "[node.main]\nservices = [\"Feed\"]\n[topic.quotes]\nretain = 3\n";
    let topology = Topology::parse("t.toml", topology).unwrap();
    let description = Node::builder("main").service(|| Feed(None)).describe();
    let program = NodeProgram { node: "main", program: "./a", description: &description };
    let overview = topology.overview(&[program]).unwrap();
    let retained = overview.topics[0].rings[0].retained.as_ref().unwrap();
    let head = 3 * size_of::<usize>();
    assert_eq!((retained.most, retained.bytes), (3, 3 * ((64 << 10) + head)));
}

/// A service that may not send a message with one key more.
struct Full;

#[service(emits(Quote))]
impl Full {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Quote { symbol: "one".to_owned(), price: 1 }).await?;
        let error = ctx.emit(Quote { symbol: "two".to_owned(), price: 2 }).await.unwrap_err();
        error.to_string().as_str().says(
            "topic `quotes` retains a message for each of 1 keys, and the message has a new one: \
             raise the number of keys, let it forget the oldest, or forget a key [M0230]",
        );
        assert!(ctx.forget::<Quote>("one"));
        ctx.emit(error.message).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_message_with_one_key_more_is_refused() {
    let topology = "[topic.quotes]\nretain = { key = \"symbol\", keys = 1 }\n";
    let topology = Topology::parse("t.toml", topology).unwrap();
    let running = start(Node::builder("main").topology(topology).service(|| Full));
    within(running.join()).await.unwrap();
}

struct Reader;

#[service(reads(Quote))]
impl Reader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        Ok(())
    }
}

#[test]
fn what_cannot_be_retained() {
    let error_in = |name: &str, topology: &str| {
        let topology = Topology::parse("t.toml", topology).unwrap();
        let node = Node::builder(name).topology(topology).service(|| Feed(None));
        node.service(|| Reader).build().unwrap_err().to_string()
    };
    let error = |topology: &str| error_in("main", topology);
    error("[topic.quotes]\nretain = { key = \"symbl\" }")
        .as_str()
        .mentions("t.toml:2:10: unknown field `symbl` of `Quote`: expected one of: symbol, price");
    error("[node.main]\nmemory = \"8 MiB\"\n[topic.quotes]\nretain = 1000").as_str().mentions(
        "topic `quotes` takes most: lower its `capacity`, `arena` or `retain`, or raise `memory`",
    );
    let apart = "[node.main]\nservices = [\"Feed\"]\n[node.other]\nservices = [\"Reader\"]\n";
    let apart = format!("{apart}[topic.quotes]\nretain = 1");
    error_in("other", &apart).as_str().mentions("is in node `other` and in node `main`");
    error(&apart).as_str().says(
        "t.toml:6:10: topic `quotes` retains messages, and is in node `main` and in node `other`: \
         messages are retained for readers of one process, so place all services of the topic in \
         one node, or remove `retain` [M0124]",
    );
}
