//! Nodes in which stand-ins run in place of services: they emit bytes, and discard what the
//! services would read.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "describe", feature = "metrics", feature = "topology"))]

use futures_util::future::BoxFuture;
use mycelium::overview::Description;
use mycelium::untyped::{Emits, MessageType, StandIn};
use mycelium::{Builder, Context, Delivery, Message, Node, Result, Topology, message, service};
use mycelium_core::Descriptor;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::running::{start, within};
use crate::support::{Directory, idle_services};

#[message(topic = "ticks", id = 1, pad)]
#[derive(Debug, PartialEq)]
pub(crate) struct Tick {
    price: u64,
    is_last: bool,
}

#[message(topic = "orders", id = 2)]
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    venue: String,
    limits: Vec<u64>,
}

#[message(topic = "acks", id = 3)]
pub(crate) struct Ack {
    price: u64,
}

#[message(topic = "asks", id = 4, reply = Ack)]
pub(crate) struct Ask {
    price: u64,
}

idle_services! { Feed(emits(Tick, Order), reads(Ack)); }

struct Keeper(Option<UnboundedSender<String>>);

#[service(reads(Tick, Order))]
impl Keeper {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let Some(sender) = &self.0 else { return Ok(()) };
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            match delivery {
                Delivery::Msg(tick) => {
                    let _ = sender.send(format!("{}", tick.price));
                    if tick.is_last {
                        break;
                    }
                }
                Delivery::Gap(gap) => _ = sender.send(format!("{gap}")),
            }
        }
        let mut orders = ctx.subscribe::<Order>()?;
        while let Some(delivery) = orders.recv().await {
            let order =
                delivery.message().map(|order| format!("{} {:?}", order.venue, order.limits));
            let _ = sender.send(order.unwrap_or_default());
        }
        Ok(())
    }
}

/// Emits more messages than the ring has room for, and ends after `Feed`.
struct Acker;

#[service(reads(Tick), emits(Ack))]
impl Acker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for price in 0..100 {
            ctx.emit(Ack { price }).await?;
        }
        let mut ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}

/// Emits these messages on these topics.
struct Plays(Vec<(&'static str, Vec<u8>)>);

impl StandIn for Plays {
    fn run<'a>(&'a mut self, mut emits: Emits<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            for (topic, bytes) in &self.0 {
                let of_topic = |it: (&str, &str)| it == ("Feed", *topic);
                let place = emits.publishers().position(of_topic).unwrap();
                emits.emit(place, bytes).await?;
            }
            Ok(())
        })
    }
}

const TOPOLOGY: &str = r#"
[node.feed]
services = ["Feed"]
[node.keeper]
services = ["Keeper", "Acker"]
[topic.acks]
capacity = 4
[subscription."Acker.ticks"]
policy = "drop-oldest"
"#;

fn description() -> Description {
    let all = Node::builder("any").service(|| Feed).service(|| Keeper(None));
    all.service(|| Acker).describe()
}

fn stand_in(topology: &Topology, messages: Vec<(&'static str, Vec<u8>)>) -> Builder {
    let description = description();
    let programs = [("feed", &description), ("keeper", &description)];
    let mut messages = Some(messages);
    let make = |_: &str| -> Box<dyn StandIn> { Box::new(Plays(messages.take().unwrap())) };
    Builder::stand_in("feed", topology.clone(), &programs, make).unwrap()
}

fn bytes<M: Message>(message: &M) -> Vec<u8> {
    let mut bytes = vec![0; mycelium_core::message::encoded_len(message).unwrap()];
    mycelium_core::message::encode_exact(message, &mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_in_emits_bytes_and_takes_what_its_service_would_read() {
    for transport in ["shm", "unix"] {
        let directory = Directory::new("stand-in");
        let text = format!("{TOPOLOGY}[link.default]\ntransport = \"{transport}\"\n");
        let topology = Topology::parse("t.toml", &text).unwrap().in_directory(&directory.0);
        let tick = |price| ("ticks", bytes(&Tick::new(price, price == 99)));
        let order = |venue: &str, limits| Order { venue: venue.to_owned(), limits };
        let mut messages: Vec<_> = (0..100).map(tick).collect();
        messages.push(("orders", bytes(&order("here", vec![1, 2]))));
        messages.push(("orders", bytes(&order("", vec![]))));
        let feed = start(stand_in(&topology, messages));
        let (sender, mut received) = unbounded_channel();
        let keeper = Node::builder("keeper").topology(topology).service(|| Feed).service(|| Acker);
        let keeper = start(keeper.service(move || Keeper(Some(sender.clone()))));
        let mut expected: Vec<_> = (0..100).map(|price| price.to_string()).collect();
        expected.extend(["here [1, 2]".to_owned(), " []".to_owned()]);
        for expected in expected {
            assert_eq!(within(received.recv()).await.unwrap(), expected);
        }
        within(feed.join()).await.unwrap();
        within(keeper.join()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_fail_the_service() {
    let directory = Directory::new("stand-in-invalid");
    for (topic, bytes, expected) in [
        ("ticks", vec![0; 15], "topic `ticks`: a message of 15 bytes, and its layout has 16"),
        ("ticks", vec![0; 17], "topic `ticks`: a message of 17 bytes, and its layout has 16"),
        ("orders", vec![255; 16], "topic `orders`: "),
        ("orders", vec![0; 1 << 20], "topic `orders`: "),
    ] {
        // Nothing reads here, so that the node ends.
        let alone = Topology::parse("t.toml", "[node.feed]\nservices = [\"Feed\"]\n").unwrap();
        let feed = start(stand_in(&alone.in_directory(&directory.0), vec![(topic, bytes)]));
        let ended = within(feed.join()).await;
        let text = format!("{ended:?}");
        assert!(text.contains(expected), "{text}");
    }
}

/// Ends with the difference of a recorded type.
struct Compares;

impl StandIn for Compares {
    fn run<'a>(&'a mut self, emits: Emits<'a>) -> BoxFuture<'a, Result<()>> {
        let form = |descriptor: &Descriptor| {
            let mut form = vec![0; descriptor.canonical(0, &mut []).1];
            let _ = descriptor.canonical(0, &mut form);
            form
        };
        let same = MessageType { id: 1, form: form(Tick::DESCRIPTOR) };
        assert_eq!(emits.mismatch(0, &same), None);
        let other = MessageType { id: 1, form: form(Ack::DESCRIPTOR) };
        let mismatch = emits.mismatch(0, &other).unwrap();
        Box::pin(async move { Err(mycelium::Error::msg(mismatch.to_string()).permanent()) })
    }
}

#[tokio::test]
async fn another_type_of_a_recording_differs_in_a_field() {
    let directory = Directory::new("stand-in-type");
    let alone = Topology::parse("t.toml", "[node.feed]\nservices = [\"Feed\"]\n").unwrap();
    let description = description();
    let make = |_: &str| -> Box<dyn StandIn> { Box::new(Compares) };
    let alone = alone.in_directory(&directory.0);
    let feed = Builder::stand_in("feed", alone, &[("feed", &description)], make).unwrap();
    let text = within(start(feed).join()).await.unwrap_err().to_string();
    assert!(text.contains("16 bytes, digest"), "{text}");
    assert!(text.contains("`is_last`") && text.contains("8 bytes, digest"), "{text}");
}

#[test]
fn a_service_that_answers_has_no_stand_in() {
    struct Answerer;

    #[service(answers(Ask))]
    impl Answerer {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            ctx.shutdown_requested().await;
            Ok(())
        }
    }

    let description = Node::builder("any").service(|| Answerer).describe();
    let of = [("any", &description)];
    let make = |_: &str| -> Box<dyn StandIn> { Box::new(Plays(Vec::new())) };
    let error = Builder::stand_in("any", Topology::default(), &of, make).unwrap_err();
    assert!(error.to_string().contains("service `Answerer` answers requests"), "{error}");
    let error = Builder::stand_in("other", Topology::default(), &of, make).unwrap_err();
    assert!(error.to_string().contains("no program is known for node `other`"), "{error}");
}
