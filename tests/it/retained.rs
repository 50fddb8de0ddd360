//! Topics that retain messages: what late readers of a node get, and topologies that cannot.
#![cfg(feature = "topology")]

use mycelium::{Context, Delivery, Node, Policy, Result, Topology, message, service};
use mycelium_tokio::Tokio;
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

#[message(topic = "images", max = "64 MiB")]
struct Image {
    pixels: Vec<u8>,
}

struct Camera;

#[service(emits(Image))]
impl Camera {
    async fn run(&mut self, _: &mut Context<Self>) -> Result<()> {
        unreachable!("there is no memory for it")
    }
}

#[tokio::test]
async fn more_than_memory_can_hold_is_an_error_of_the_start() {
    let topology = "[node.main]\nmemory = \"2097152 GiB\"\n[topic.images]\nretain = 16777216\n";
    let topology = Topology::parse("t.toml", topology).unwrap();
    let node = Node::builder("main").topology(topology).service(|| Camera).build().unwrap();
    let error = node.start(Tokio::current().unwrap()).unwrap_err();
    error.to_string().as_str().says(
        "t.toml:4:10: topic `images`: no memory for the 16777216 messages that each publisher \
         retains, 1125900309495808 bytes: lower `retain` [M0203]",
    );
}

#[test]
fn what_cannot_be_retained() {
    let error = |topology: &str| {
        let topology = Topology::parse("t.toml", topology).unwrap();
        let node = Node::builder("main").topology(topology).service(|| Feed(None));
        node.build().unwrap_err().to_string()
    };
    error("[topic.quotes]\nretain = { key = \"symbl\" }")
        .as_str()
        .mentions("t.toml:2:10: unknown field `symbl` of `Quote`: expected one of: symbol, price");
    error("[node.main]\nmemory = \"8 MiB\"\n[topic.quotes]\nretain = 1000").as_str().mentions(
        "topic `quotes` takes most: lower its `capacity`, `arena` or `retain`, or raise `memory`",
    );
}

/// Nodes whose readers are in another process of the topology, and start again.
#[cfg(all(target_os = "linux", feature = "metrics"))]
mod nodes {
    use std::time::Duration;

    use mycelium::Running;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::loopback::host;
    use crate::running::end;
    use crate::support::{Directory, TRANSPORTS, idle_services};

    /// The price of a quote, and whether it was retained.
    type Seen = (u64, bool);

    macro_rules! reader {
        (|$it:ident| $check:expr) => {
            pub(super) struct Reader(pub(super) UnboundedSender<Seen>);

            #[service(reads(Quote))]
            impl Reader {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let mut quotes = ctx.subscribe::<Quote>()?;
                    while let Some(delivery) = quotes.recv().await {
                        let Delivery::Msg($it) = delivery else { panic!("{delivery:?}") };
                        assert!($check);
                        self.0.send(($it.price, $it.retained()))?;
                    }
                    Ok(())
                }
            }
        };
    }

    mod grown {
        use super::*;

        /// A quote of a later version.
        #[message(topic = "quotes")]
        #[derive(Debug, PartialEq)]
        pub(crate) struct Quote {
            symbol: String,
            pub(crate) price: u64,
            #[message(default = 7)]
            pub(crate) size: u32,
        }

        idle_services! { Feed(emits(Quote)); }
        reader!(|quote| quote.size == 7);
    }

    reader!(|quote| !quote.symbol.is_empty());

    fn topology(transport: &str, retain: &str, directory: &Directory) -> Topology {
        let host = host();
        let text = format!(
            r#"
[node.far]
services = ["Feed"]
address = "{host}:7400"
[node.near]
services = ["Reader"]
address = "{host}:7401"
[link.default]
transport = "{transport}"
trust = "network"
retry = "1ms"
max_retry = "20ms"
[topic.quotes]
retain = {retain}
"#
        );
        Topology::parse("t.toml", &text).unwrap().in_directory(&directory.0)
    }

    fn node(
        name: &str,
        topology: &Topology,
        is_new: bool,
        sender: UnboundedSender<Seen>,
    ) -> Running {
        let builder = Node::builder(name).topology(topology.clone());
        start(match is_new {
            true => builder.service(|| grown::Feed).service(move || grown::Reader(sender.clone())),
            false => builder.service(|| Feed(None)).service(move || Reader(sender.clone())),
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_of_other_nodes_get_what_is_retained() {
        for transport in TRANSPORTS.iter().chain(&["tcp"]) {
            let directory = Directory::new(&format!("retained-{transport}"));
            let topology = topology(transport, "{ key = \"symbol\" }", &directory);
            let (sender, mut seen) = unbounded_channel();
            let far = node("far", &topology, false, sender.clone());
            let mut next = async || within(seen.recv()).await.unwrap();
            // The topology names the first reader, so all messages are kept for it.
            let near = node("near", &topology, false, sender.clone());
            for price in 1..=4 {
                assert_eq!(next().await, (price, false), "{transport}");
            }
            let mut later = near.subscribe::<Quote>("later", Policy::Block).unwrap();
            for price in [3, 4] {
                let Some(Delivery::Msg(quote)) = within(later.recv()).await else { panic!() };
                assert_eq!((quote.price, quote.retained()), (price, true), "{transport}");
            }
            drop(later);
            end(near).await;
            for is_new in [false, true] {
                let near = node("near", &topology, is_new, sender.clone());
                assert_eq!([next().await, next().await], [(3, true), (4, true)], "{transport}");
                end(near).await;
            }
            // What the next start of the publisher retains, replaces this.
            end(far).await;
            let near = node("near", &topology, false, sender.clone());
            let far = node("far", &topology, false, sender.clone());
            for price in 1..=4 {
                assert_eq!(next().await, (price, false), "{transport}");
            }
            end(near).await;
            end(far).await;
        }
    }

    /// 10,000 readers join and leave while a publisher sends.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_that_join_under_load_miss_nothing_and_get_nothing_twice() {
        let transports: Vec<_> = TRANSPORTS.iter().chain(&["tcp"]).collect();
        for transport in &transports {
            let directory = Directory::new(&format!("joining-{transport}"));
            let topology = topology(transport, "8", &directory);
            let (sender, _seen) = unbounded_channel();
            let far = node("far", &topology, false, sender.clone());
            let near = node("near", &topology, false, sender);
            let mut publisher = far.publisher::<Quote>("load").unwrap();
            let (stop, mut is_over) = oneshot::channel::<()>();
            let sending = tokio::spawn(async move {
                let mut sent = 0;
                while is_over.try_recv().is_err() {
                    let quote = Quote { symbol: "load".repeat(1 + sent % 20), price: sent as u64 };
                    publisher.emit(quote).await.unwrap();
                    sent += 1;
                    if sent % 32 == 0 {
                        tokio::time::sleep(Duration::from_micros(200)).await;
                    }
                }
                publisher.sent()
            });
            for round in 0..10_000 / transports.len() {
                let policy = [Policy::Block, Policy::DropOldest][round % 2];
                let mut reader = near.subscribe::<Quote>("late", policy).unwrap();
                let (mut next, mut is_live) = (None, false);
                for _ in 0..round % 12 {
                    match within(reader.recv()).await.unwrap() {
                        Delivery::Msg(quote) if quote.symbol.starts_with("load") => {
                            assert!(!quote.retained() || !is_live, "{transport}, {round}");
                            assert_eq!(quote.price, next.unwrap_or(quote.price), "{round}");
                            (next, is_live) = (Some(quote.price + 1), !quote.retained());
                        }
                        Delivery::Msg(_) => {}
                        Delivery::Gap(gap) => {
                            assert!(policy == Policy::DropOldest && gap.exact(), "{gap}");
                            next = next.map(|next| next + gap.count);
                        }
                    }
                }
            }
            stop.send(()).unwrap();
            assert!(within(sending).await.unwrap() > 1000);
            end(far).await;
            end(near).await;
        }
    }
}
