//! Two nodes of one topology whose programs disagree about a message.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "topology"))]

use std::sync::{Arc, Mutex};

use mycelium::error::{LayoutMismatch, StartError};
use mycelium::{Context, Message, Node, Result, Running, Topology, message, service};

use crate::running::{of_links, start, within};
use crate::support::{Directory, idle_services};

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
    for (near_is_new, field, sizes) in [(true, "venue", [40, 24]), (false, "size", [24, 40])] {
        let directory = Directory::new("layouts");
        let far = node(&directory, "far", !near_is_new);
        fails(node(&directory, "near", near_is_new), field, sizes).await;
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

/// A message as a program of some version sees it: `None` for fields that it does not know.
type Seen = (u64, String, Option<Option<String>>, Option<u8>);

/// The programs of three versions, whose messages have more fields each time.
macro_rules! programs {
    ($($name:ident { $($field:ident: $ty:ty = $value:expr $(, $default:literal)?;)* } |$order:ident| $seen:expr;)*) => {$(
        mod $name {
            use mycelium::Delivery;

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

            pub(crate) struct Reader(pub(crate) Arc<Mutex<Vec<Seen>>>);

            #[service(reads(Order))]
            impl Reader {
                async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                    let mut orders = ctx.subscribe::<Order>()?;
                    while let Some(delivery) = orders.recv().await {
                        let Delivery::Msg($order) = delivery else { panic!("a gap") };
                        self.0.lock().unwrap().push($seen);
                    }
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

const ORDERS: u64 = 300;

/// The smallest rings that the topic may have.
const RINGS: &str = "[topic.orders]\ncapacity = 2\narena = \"2 MiB\"\n";

/// Returns the text of an order. Each 100th makes it nearly as long as it may be.
fn text(id: u64) -> String {
    "text ".repeat(if id % 100 == 99 { 209_690 } else { id as usize % 40 })
}

/// Runs a writer and a reader of these versions, from 0 on, and returns what the reader saw.
async fn read_by(reader: usize, writer: usize, transport: &str) -> Vec<Seen> {
    let directory = Directory::new(&format!("grown-{reader}-{writer}-{transport}"));
    let text = TOPOLOGY.replace("Counter", "Writer").replace("Taker", "Reader");
    let text = text.replace("shutdown = \"200ms\"\n", "");
    let text = format!("{text}transport = \"{transport}\"\n{RINGS}");
    let topology = Topology::parse("grown.toml", &text).unwrap().in_directory(&directory.0);
    let seen = Arc::new(Mutex::default());
    let node = |name, version| {
        let builder = Node::builder(name).topology(topology.clone());
        let seen = Arc::clone(&seen);
        start(match version {
            0 => builder.service(|| first::Writer).service(move || first::Reader(seen.clone())),
            1 => builder.service(|| second::Writer).service(move || second::Reader(seen.clone())),
            _ => builder.service(|| third::Writer).service(move || third::Reader(seen.clone())),
        })
    };
    for node in [node("far", writer), node("near", reader)] {
        within(node.join()).await.unwrap();
    }
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_three_versions_read_each_other() {
    for transport in crate::support::TRANSPORTS {
        for (reader, writer) in (0..9).map(|pair| (pair / 3, pair % 3)) {
            let seen = read_by(reader, writer, transport).await;
            let note = (writer > 0).then(|| "a note".to_owned());
            let flags = if writer > 1 { 9 } else { 7 };
            for (id, order) in (0..ORDERS).zip(&seen) {
                let (known, numbered) =
                    ((reader > 0).then(|| note.clone()), (reader > 1).then_some(flags));
                assert_eq!(*order, (id, text(id), known, numbered), "{writer} to {reader}");
            }
            assert_eq!(seen.len() as u64, ORDERS);
        }
    }
}
