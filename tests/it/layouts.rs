//! Two nodes of one topology whose programs disagree about a message.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "topology"))]

use std::sync::{Arc, Mutex};

use mycelium::error::{LayoutMismatch, StartError};
use mycelium::requests::Taken;
use mycelium::{Context, Message, Node, Result, Running, Topology, message, service};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::loopback::host;
use crate::running::{end, of_links, start, within};
use crate::support::{Directory, TRANSPORTS, idle_services};

mod old {
    use super::*;

    #[message(topic = "orders", id = 1)]
    pub(crate) struct Order {
        id: u64,
        price: u64,
        size: u64,
    }

    /// A type of serde.
    #[message(topic = "quotes", codec = "postcard")]
    #[derive(serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
    pub(crate) struct Quote {
        venue: String,
        prices: std::collections::HashMap<String, u64>,
    }

    idle_services! {
        Counter(emits(Order)); Taker(reads(Order));
        Quoter(emits(Quote)); Buyer(reads(Quote));
    }
}

mod new {
    use super::*;

    #[message(topic = "orders", id = 1)]
    pub(crate) struct Order {
        id: u64,
        price: u64,
        venue: u64,
        size: u64,
        flags: u64,
    }

    #[message(topic = "quotes", codec = "postcard")]
    #[derive(serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
    pub(crate) struct Quote {
        venue: String,
        prices: std::collections::HashMap<String, f64>,
    }

    idle_services! {
        Counter(emits(Order)); Taker(reads(Order));
        Quoter(emits(Quote)); Buyer(reads(Quote));
    }
}

const TOPOLOGY: &str = r#"
[node.far]
services = ["Counter"]
shutdown = "200ms"
[node.near]
services = ["Taker"]
[link.default]
retry = "1ms"
max_retry = "20ms"
"#;

/// Returns a node of the old program, or of the new one.
fn node(directory: &Directory, name: &str, is_new: bool) -> Running {
    let topology = Topology::parse("layouts.toml", TOPOLOGY).unwrap();
    let builder = Node::builder(name).topology(topology.in_directory(&directory.0));
    start(match is_new {
        true => builder.service(|| new::Counter).service(|| new::Taker),
        false => builder.service(|| old::Counter).service(|| old::Taker),
    })
}

/// Checks that the reader's node fails, and that its error names the difference of the layouts.
async fn fails(near: Running, field: &str, sizes: [usize; 2]) {
    let error = within(near.join()).await.unwrap_err();
    let StartError::Layout { node, peer, topic, services, mismatch } = &error else {
        panic!("{error}")
    };
    let named = (&**node, &**peer, &**topic, &**services);
    assert_eq!(named, ("near", "far", "orders", &["Taker".to_owned()][..]));
    let LayoutMismatch { size, peer_size, digest, peer_digest, first, .. } = &**mismatch;
    assert_eq!((*size, *peer_size), (sizes[0], Some(sizes[1] as u64)));
    let mut digests = [*digest, *peer_digest];
    digests.sort();
    let mut expected = [old::Order::DIGEST, new::Order::DIGEST];
    expected.sort();
    assert_eq!(digests, expected);
    assert_eq!(first.as_ref().map(|first| &*first.field), Some(field), "{error}");
    assert!(error.is_permanent());
    let text = error.to_string();
    for said in ["near", "far", "orders", "Taker", field, &old::Order::DIGEST.to_string()] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[tokio::test]
async fn a_layout_that_differs_fails_the_reader_whichever_side_is_older() {
    for (near_is_new, sizes) in [(true, [40, 24]), (false, [24, 40])] {
        let directory = Directory::new("layouts");
        let far = node(&directory, "far", !near_is_new);
        fails(node(&directory, "near", near_is_new), "venue", sizes).await;
        // The publisher's node runs until its shutdown, and counts one rejection, of its only link.
        assert_eq!(of_links(&far, "refused"), 1);
        far.shutdown();
        let left = within(far.join()).await;
        assert!(left.is_ok() || matches!(left, Err(StartError::Undelivered { .. })), "{left:?}");
    }
}

/// The layouts are alike, but their schemas are not.
#[tokio::test]
async fn a_schema_of_serde_that_differs_fails_the_reader() {
    let directory = Directory::new("schemas");
    let text = TOPOLOGY.replace("Counter", "Quoter").replace("Taker", "Buyer");
    let topology = Topology::parse("schemas.toml", &text).unwrap().in_directory(&directory.0);
    let far = Node::builder("far").topology(topology.clone());
    let far = start(far.service(|| old::Quoter).service(|| old::Buyer));
    let near = Node::builder("near").topology(topology);
    let near = start(near.service(|| new::Quoter).service(|| new::Buyer));
    let error = within(near.join()).await.unwrap_err();
    let StartError::Layout { topic, mismatch, .. } = &error else { panic!("{error}") };
    assert_eq!((&**topic, mismatch.size, mismatch.peer_size), ("quotes", 8, Some(8)));
    assert_eq!((mismatch.digest, mismatch.peer_digest), (new::Quote::DIGEST, old::Quote::DIGEST));
    let text = error.to_string();
    let said = "the message is `postcard Quote={venue:str,prices:[str:f64]}` here and \
                `postcard Quote={venue:str,prices:[str:u64]}` there";
    assert!(text.contains(said), "{text}");
    far.shutdown();
    let left = within(far.join()).await;
    assert!(left.is_ok() || matches!(left, Err(StartError::Undelivered { .. })), "{left:?}");
}

/// Programs whose requests, or the replies, are alike or differ.
macro_rules! askers {
    ($($name:ident: $request:ty => $reply:ty;)*) => {$(
        mod $name {
            use super::*;

            #[message(topic = "asks", reply = Told)]
            pub(crate) struct Ask {
                value: $request,
            }

            #[message(topic = "replies")]
            pub(crate) struct Told {
                value: $reply,
            }

            pub(crate) struct Desk;

            #[service(answers(Ask))]
            impl Desk {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let mut asks = ctx.requests::<Ask>();
                    while let Some(ask) = asks.recv().await {
                        let value = ask.value as $reply;
                        ask.reply(Told { value });
                    }
                    Ok(())
                }
            }

            pub(crate) struct Asker(pub(crate) UnboundedSender<Outcome>);

            #[service(requests(Ask))]
            impl Asker {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    while !ctx.is_shutting_down() {
                        let reply = ctx.request(Ask { value: 7 }).await;
                        let outcome = reply.map(|told| assert_eq!(told.value, 7));
                        self.0.send(outcome.map_err(|error| (error.to_string(), error.taken())))?;
                    }
                    Ok(())
                }
            }

            pub(crate) fn node(
                name: &str,
                topology: &Topology,
                [sent, of_mate]: [&UnboundedSender<Outcome>; 2],
            ) -> Running {
                let (sent, of_mate) = (sent.clone(), of_mate.clone());
                let node = Node::builder(name).topology(topology.clone()).service(|| Desk);
                let node = node.service(move || Asker(sent.clone()));
                start(node.named_service("Mate", move || Asker(of_mate.clone())))
            }
        }
    )*};
}

askers! {
    alike: u64 => u64;
    by_request: i64 => u64;
    by_reply: u64 => i64;
    by_both: i64 => i64;
}

type Outcome = Result<(), (String, Taken)>;

/// A requester with another layout has errors. Neither its node ends, nor the one that answers, which
/// answers others.
#[tokio::test]
async fn a_requester_whose_layout_differs_ends_no_node() {
    let text = r#"
[node.far]
services = ["Desk"]
[node.near]
services = ["Asker"]
[node.mate]
services = ["Mate"]
[link.default]
retry = "1ms"
max_retry = "20ms"
"#;
    for of_near in [by_request::node, by_reply::node, by_both::node] {
        let directory = Directory::new("asks");
        let topology = Topology::parse("asks.toml", text).unwrap().in_directory(&directory.0);
        let (sent, mut outcomes) = unbounded_channel();
        let (of_mate, mut replies) = unbounded_channel();
        let node = |name, of: fn(_, _, _) -> _| of(name, &topology, [&sent, &of_mate]);
        let nodes = [node("far", alike::node), node("mate", alike::node), node("near", of_near)];
        // The first one was perhaps sent before the layouts were compared.
        for expected in [None, Some(Taken::No)] {
            let (text, taken) = within(outcomes.recv()).await.unwrap().unwrap_err();
            assert_eq!(
                text,
                "request `asks` has no reply: the node that answers has another layout of it, or \
                 of its reply [M0255]"
            );
            assert!(expected.is_none_or(|expected| taken == expected), "{taken:?}");
        }
        while replies.try_recv().is_ok() {}
        for _ in 0..2 {
            assert_eq!(within(replies.recv()).await.unwrap(), Ok(()));
        }
        for node in nodes {
            end(node).await;
        }
    }
}

/// A message as a program of some version sees it: `None` for fields that it does not know.
type Seen = (u64, String, Option<Option<String>>, Option<u8>);

/// What the program of a reader has seen.
#[derive(Clone, Default)]
struct Log {
    orders: Arc<Mutex<Vec<Seen>>>,
    /// The replies of a service and of an actor. Their texts say how these have seen the request.
    replies: Arc<Mutex<Vec<Seen>>>,
    is_whole: Arc<Notify>,
}

/// The programs of three versions, whose messages have more fields each time.
macro_rules! programs {
    ($($name:ident { $($field:ident: $ty:ty = $value:expr $(, $default:literal)?;)* } |$order:ident| $seen:expr;)*) => {$(
        mod $name {
            use mycelium::{Delivery, actor};

            use super::*;

            #[message(topic = "orders", max = "1 MiB")]
            pub(crate) struct Order {
                id: u64,
                text: String,
                $(
                    $(#[message(default = $default)])?
                    $field: $ty,
                )*
            }

            #[message(topic = "asks", reply = Told, max = "4 KiB")]
            pub(crate) struct Ask {
                id: u64,
                text: String,
                $(
                    $(#[message(default = $default)])?
                    $field: $ty,
                )*
            }

            #[message(topic = "replies", max = "4 KiB")]
            pub(crate) struct Told {
                id: u64,
                text: String,
                $(
                    $(#[message(default = $default)])?
                    $field: $ty,
                )*
            }

            pub(crate) struct Writer;

            #[service(emits(Order))]
            impl Writer {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    for id in 0..ORDERS {
                        ctx.emit(Order { id, text: text(id), $($field: $value),* }).await?;
                    }
                    Ok(())
                }
            }

            /// Others have more fields, and so less room for a text.
            const IS_FIRST: bool = matches!(stringify!($name).as_bytes(), b"first");

            fn told($order: &Ask) -> Told {
                let seen: Seen = $seen;
                let text = match $order.id {
                    LONG_REQUEST if seen.1.len() == LONGEST => "as long as it may be".to_owned(),
                    LONG_REPLY if IS_FIRST => "r".repeat(LONGEST),
                    _ => format!("{seen:?}"),
                };
                Told { id: $order.id, text, $($field: $value),* }
            }

            pub(crate) struct Desk;

            #[service(answers(Ask))]
            impl Desk {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let _clerk = ctx.actors().actor(|| Clerk).name("clerk").spawn()?;
                    let mut asks = ctx.requests::<Ask>();
                    while let Some(asked) = asks.recv().await {
                        let told = told(&asked);
                        asked.reply(told);
                    }
                    Ok(())
                }
            }

            pub(crate) struct Clerk;

            #[actor]
            impl Clerk {
                #[remote]
                fn reply_to(&mut self, ask: Ask) -> Told {
                    told(&ask)
                }
            }

            pub(crate) struct Reader(pub(crate) Log);

            #[service(reads(Order), requests(Ask))]
            impl Reader {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let mut clerk = ctx.actors().remote::<Clerk>("far/clerk")?;
                    for id in 0..ASKS {
                        let ask = |id, text| Ask { id, text, $($field: $value),* };
                        let by_service = ctx.request(ask(id, asked(id, IS_FIRST))).await?;
                        let id = id + 2;
                        for $order in [by_service, clerk.ask(ask(id, text(id))).await?] {
                            self.0.replies.lock().unwrap().push($seen);
                        }
                    }
                    let mut orders = ctx.subscribe::<Order>()?;
                    while let Some(delivery) = orders.recv().await {
                        let Delivery::Msg($order) = delivery else { panic!("a gap") };
                        self.0.orders.lock().unwrap().push($seen);
                    }
                    self.0.is_whole.notify_one();
                    Ok(())
                }
            }
        }
    )*};
}

programs! {
    first {} |order| (order.id, order.text.clone(), None, None);
    second { note: Option<String> = Some("a note".to_owned()); }
        |order| (order.id, order.text.clone(), Some(order.note.clone()), None);
    third { note: Option<String> = Some("a note".to_owned()); flags: u8 = 9, 7; }
        |order| (order.id, order.text.clone(), Some(order.note.clone()), Some(order.flags));
}

/// A request, and a reply, of the first version that are as long as they may be.
const LONG_REQUEST: u64 = 0;
const LONG_REPLY: u64 = 1;
const LONGEST: usize = 4096 - 16;

fn asked(id: u64, is_first: bool) -> String {
    if is_first && id == LONG_REQUEST { "a".repeat(LONGEST) } else { text(id) }
}

const ORDERS: u64 = 300;
const ASKS: u64 = 20;

/// Returns the text of an order. Each 100th makes it nearly as long as it may be.
fn text(id: u64) -> String {
    "text ".repeat(if id % 100 == 99 { 209_690 } else { id as usize % 40 })
}

/// Runs a writer and a reader of these versions, from 0 on, and returns what the reader saw.
async fn read_by(reader: usize, writer: usize, transport: &str) -> Log {
    let directory = Directory::new(&format!("grown-{reader}-{writer}-{transport}"));
    let host = host();
    // The rings have room for two of the longest messages, or for 64 short ones.
    let text = format!(
        r#"
[node.far]
services = ["Writer", "Desk"]
actors_for = ["near"]
address = "{host}:7400"
[node.near]
services = ["Reader"]
address = "{host}:7401"
[link.default]
transport = "{transport}"
trust = "network"
retry = "1ms"
max_retry = "20ms"
window = "4 KiB"
[topic.orders]
capacity = 2
arena = "2 MiB"
"#
    );
    let topology = Topology::parse("grown.toml", &text).unwrap().in_directory(&directory.0);
    let log = Log::default();
    let node = |name, version| {
        macro_rules! of {
            ($version:ident) => {{
                let log = log.clone();
                let builder = Node::builder(name).topology(topology.clone());
                let builder = builder.service(|| $version::Writer).service(|| $version::Desk);
                builder.service(move || $version::Reader(log.clone()))
            }};
        }
        start(match version {
            0 => of!(first),
            1 => of!(second),
            _ => of!(third),
        })
    };
    let nodes = [node("far", writer), node("near", reader)];
    within(log.is_whole.notified()).await;
    for node in nodes {
        end(node).await;
    }
    log
}

/// Returns a message with this text of a writer of one version, as a reader of another sees it.
fn seen_by(reader: usize, writer: usize, id: u64, text: String) -> Seen {
    let note = (writer > 0).then(|| "a note".to_owned());
    let flags = if writer > 1 { 9 } else { 7 };
    (id, text, (reader > 0).then_some(note), (reader > 1).then_some(flags))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_three_versions_read_and_ask_each_other() {
    for transport in TRANSPORTS.iter().chain(&["tcp"]) {
        for (reader, writer) in (0..9).map(|pair| (pair / 3, pair % 3)) {
            let log = read_by(reader, writer, transport).await;
            let orders = log.orders.lock().unwrap();
            for (id, order) in (0..ORDERS).zip(&*orders) {
                assert_eq!(*order, seen_by(reader, writer, id, text(id)), "{writer} to {reader}");
            }
            assert_eq!(orders.len() as u64, ORDERS);
            let replies = log.replies.lock().unwrap();
            for (id, replies) in (0..ASKS).zip(replies.chunks(2)) {
                let request = seen_by(writer, reader, id, asked(id, reader == 0));
                let request = match id {
                    LONG_REQUEST if reader == 0 => "as long as it may be".to_owned(),
                    LONG_REPLY if writer == 0 => "r".repeat(LONGEST),
                    _ => format!("{request:?}"),
                };
                let reply = seen_by(reader, writer, id, request);
                let id = id + 2;
                let request = format!("{:?}", seen_by(writer, reader, id, text(id)));
                let by_actor = seen_by(reader, writer, id, request);
                assert_eq!(replies, [reply, by_actor], "{reader} asks {writer}");
            }
            assert_eq!(replies.len() as u64, 2 * ASKS);
        }
    }
}
