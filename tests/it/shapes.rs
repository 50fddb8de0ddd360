//! Messages of any shape, and without fields, through services, requests and actors, in one process
//! and over each carrier.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "actors", feature = "topology"))]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mycelium::requests::{RequestError, Taken};
use mycelium::{Context, Delivery, Node, Result, Running, Topology, actor, message, service};
use mycelium_tokio::Tokio;

use crate::running::within;
use crate::support::Directory;

#[message(topic = "orders", max = "4 MiB")]
#[derive(Debug, PartialEq)]
struct Order {
    id: u64,
    venue: String,
    note: Option<String>,
    legs: Vec<Leg>,
    kind: Kind,
    tags: BTreeMap<String, u32>,
    picture: Vec<u8>,
}

#[message]
#[derive(Debug, PartialEq)]
struct Leg {
    price: i64,
    venues: Vec<String>,
}

#[message]
#[derive(Debug, PartialEq)]
enum Kind {
    Market,
    Limit { cents: i64 },
    Iceberg(u32, String),
}

/// Returns the order with this number. Each 500th has 200 KB, and the last one 2 MiB.
fn order(id: u64) -> Order {
    let number = id as usize;
    Order {
        id,
        venue: "Uniswap é".repeat(number % 9),
        note: number.is_multiple_of(2).then(|| "a note".repeat(number % 50)),
        legs: (0..number % 4)
            .map(|leg| Leg { price: -(leg as i64), venues: vec!["a".repeat(leg); leg] })
            .collect(),
        kind: match number % 3 {
            0 => Kind::Market,
            1 => Kind::Limit { cents: -7 },
            _ => Kind::Iceberg(7, "hidden".to_owned()),
        },
        tags: (0..number % 3).map(|tag| (format!("tag {tag}"), tag as u32)).collect(),
        picture: vec![
            id as u8;
            match number {
                2_999 => 2 << 20,
                _ if number % 500 == 499 => 200_000,
                _ => number % 60,
            }
        ],
    }
}

const ORDERS: u64 = 3_000;

/// What another crate would have.
mod foreign {
    use std::collections::HashMap;

    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(super) struct Quote<T> {
        pub(super) id: u64,
        pub(super) prices: HashMap<String, T>,
        pub(super) kind: Kind,
    }

    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(super) enum Kind {
        Plain,
        Nested(Option<Box<Kind>>),
        Named { name: String, picture: Vec<u8> },
    }
}

/// A type of serde.
#[message(topic = "quotes", codec = "postcard", schema = 1, max = "1 MiB")]
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Quote(foreign::Quote<i64>);

#[message(topic = "offers", codec = "postcard", schema = 1, reply = Sold)]
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Offer(HashMap<String, u8>);

#[message(topic = "sales", codec = "postcard", schema = 1)]
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Sold {
    No,
    Yes(BTreeMap<String, f32>),
}

/// Returns the quote with this number. Each 100th has 200 KB.
fn quote(id: u64) -> Quote {
    let number = id as usize;
    let prices = (0..number % 5).map(|price| (format!("price {price}"), -(price as i64)));
    let kind = match number % 3 {
        _ if number % 100 == 99 => {
            foreign::Kind::Named { name: "large".to_owned(), picture: vec![id as u8; 200_000] }
        }
        0 => foreign::Kind::Plain,
        1 => foreign::Kind::Nested(Some(Box::new(foreign::Kind::Nested(None)))),
        _ => foreign::Kind::Named { name: "n".repeat(number % 90), picture: Vec::new() },
    };
    Quote(foreign::Quote { id, prices: prices.collect(), kind })
}

const QUOTES: u64 = 500;

fn offer(count: u8) -> Offer {
    Offer((0..count).map(|number| (format!("{number}"), number)).collect())
}

fn sold(Offer(offer): &Offer) -> Sold {
    match offer.len() {
        0 => Sold::No,
        count => Sold::Yes((0..count).map(|price| (format!("{price}"), price as f32)).collect()),
    }
}

#[message(topic = "searches", reply = Found)]
#[derive(Debug)]
struct Search {
    name: String,
    most: Option<u32>,
}

#[message(topic = "finds")]
#[derive(Debug, PartialEq)]
struct Found {
    names: Vec<String>,
    more: Option<Box<str>>,
}

#[message(topic = "signals")]
struct Signal;

#[message(topic = "questions", reply = Answer)]
struct Question {}

#[message(topic = "answers")]
struct Answer;

/// More than fit into the rings and the window of a link.
const SIGNALS: u64 = 20_000;

fn search(name: &str) -> Search {
    Search { name: name.to_owned(), most: Some(2) }
}

/// Returns what a search finds; a search for `everything` finds too much.
fn found(Search { name, most }: &Search) -> Found {
    let count = if name == "everything" { 70_000 } else { most.unwrap_or(1) };
    let names = (0..count).map(|number| format!("{name} {number}")).collect();
    Found { names, more: most.map(|_| "and more".into()) }
}

fn code<T: std::fmt::Debug>(result: Result<T, RequestError<Search>>) -> (String, Taken) {
    let error = result.unwrap_err();
    (error.code().to_string(), error.taken())
}

struct Trader;

#[service(emits(Order, Quote, Signal), requests(Search, Question, Offer))]
impl Trader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for id in (0..ORDERS).step_by(4) {
            ctx.emit(order(id)).await?;
            ctx.emit_ref(&order(id + 1)).await?;
            ctx.emit_batch(&[order(id + 2)]).await?;
            let Order { picture, .. } = order(id + 3);
            // Some bytes more, because a camera may deliver fewer.
            let mut last = ctx.reserve(order(id + 3), picture.len() + 9).await?;
            last.bytes_mut()[..picture.len()].copy_from_slice(&picture);
            last.truncate(picture.len());
            last.send()?;
        }
        for id in (0..QUOTES).step_by(2) {
            ctx.emit(quote(id)).await?;
            ctx.emit_ref(&quote(id + 1)).await?;
        }
        let reply = ctx.request(search("pool")).await?;
        assert_eq!(reply, found(&search("pool")));
        let long = "l".repeat(70_000);
        assert_eq!(code(ctx.request(search(&long)).await), ("M0355".to_owned(), Taken::No));
        assert_eq!(code(ctx.request(search("everything")).await), ("M0355".to_owned(), Taken::Yes));
        // The requester goes on.
        assert_eq!(ctx.request(search("a")).await?.names.len(), 2);
        for _ in 0..SIGNALS {
            ctx.emit(Signal).await?;
        }
        let Answer = ctx.request(Question {}).await?;
        for count in [0, 1, 200] {
            assert_eq!(ctx.request(offer(count)).await?, sold(&offer(count)));
        }
        Ok(())
    }
}

struct Book(Arc<AtomicU64>);

#[service(reads(Order, Quote), answers(Search))]
impl Book {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe::<Order>()?;
        while self.0.load(Ordering::Relaxed) < ORDERS {
            let id = self.0.fetch_add(1, Ordering::Relaxed);
            let expected = order(id);
            if id.is_multiple_of(2) {
                let Some(Delivery::Msg(order)) = orders.recv().await else { panic!() };
                assert_eq!(*order, expected);
                continue;
            }
            let Some(Delivery::Msg(order)) = orders.recv_view().await else { panic!() };
            assert_eq!((order.id(), order.venue()), (id, &*expected.venue));
            assert_eq!(order.note(), expected.note.as_deref());
            assert_eq!(order.picture(), expected.picture);
            let venues: usize = order.legs().map(|leg| leg.venues().count()).sum();
            assert_eq!(venues, expected.legs.iter().map(|leg| leg.venues.len()).sum::<usize>());
            match (order.kind(), &expected.kind) {
                (KindView::Market, Kind::Market) => {}
                (KindView::Limit { cents }, Kind::Limit { cents: other }) => {
                    assert_eq!(cents, *other);
                }
                (KindView::Iceberg(_, text), Kind::Iceberg(_, other)) => assert_eq!(text, other),
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
        let mut quotes = ctx.subscribe::<Quote>()?;
        for id in 0..QUOTES {
            if id.is_multiple_of(2) {
                let Some(Delivery::Msg(found)) = quotes.recv().await else { panic!() };
                assert_eq!(*found, quote(id));
                continue;
            }
            let Some(Delivery::Msg(found)) = quotes.recv_view().await else { panic!() };
            assert_eq!((found.0.id, &*found), (id, &quote(id)));
        }
        let mut searches = ctx.requests::<Search>();
        while let Some(search) = searches.recv().await {
            search.reply_with(found);
        }
        Ok(())
    }
}

/// Counts the signals, which have no fields.
struct Counter(Arc<AtomicU64>);

#[service(reads(Signal), answers(Question, Offer))]
impl Counter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut signals = ctx.subscribe::<Signal>()?;
        while self.0.load(Ordering::Relaxed) < SIGNALS {
            assert!(matches!(signals.recv().await, Some(Delivery::Msg(_))), "no gap");
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        let mut questions = ctx.requests::<Question>();
        let Some(question) = questions.recv().await else { panic!() };
        question.reply(Answer);
        let mut offers = ctx.requests::<Offer>();
        while let Some(offer) = offers.recv().await {
            offer.reply_with(sold);
        }
        Ok(())
    }
}

/// Runs the services in these nodes.
async fn run(name: &str, nodes: &[&str], more: &str) {
    let directory = Directory::new(&format!("shapes-{name}"));
    let (read, counted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let text = format!(
        "[node.far]\nservices = [\"Trader\"]\n[node.near]\nservices = [\"Book\", \"Counter\"]\n{more}"
    );
    let start = |node: &&str| -> Running {
        let (read, counted) = (read.clone(), counted.clone());
        let builder = Node::builder(node).service(|| Trader);
        let builder = builder.service(move || Book(read.clone()));
        let builder = builder.service(move || Counter(counted.clone()));
        let builder = match nodes {
            [_] => builder,
            _ => {
                let topology = Topology::parse("t.toml", &text).unwrap();
                builder.topology(topology.in_directory(&directory.0))
            }
        };
        builder.build().unwrap().start(Tokio::current().unwrap()).unwrap()
    };
    for node in nodes.iter().map(start).collect::<Vec<_>>() {
        within(node.join()).await.unwrap();
    }
    let arrived = (read.load(Ordering::Relaxed), counted.load(Ordering::Relaxed));
    assert_eq!(arrived, (ORDERS, SIGNALS), "{name}");
}

#[tokio::test]
async fn services_exchange_messages_of_any_shape() {
    run("process", &["main"], "").await;
    run("memory", &["near", "far"], "").await;
    run("unix", &["near", "far"], "[link.default]\ntransport = \"unix\"\n").await;
}

#[derive(Default)]
struct Library;

#[actor]
impl Library {
    #[remote]
    fn search(&mut self, search: Search) -> Found {
        found(&search)
    }
}

#[tokio::test]
async fn actors_of_other_nodes_answer_messages_of_any_shape() {
    for transport in ["shm", "unix"] {
        let directory = Directory::new(&format!("shapes-actors-{transport}"));
        let text = format!(
            "[node.far]\nservices = []\nactors_for = [\"near\"]\n[node.near]\nservices = []\n\
             [link.default]\ntransport = \"{transport}\"\n"
        );
        let topology = Topology::parse("t.toml", &text).unwrap().in_directory(&directory.0);
        let start = |node| crate::running::start(Node::builder(node).topology(topology.clone()));
        let (far, near) = (start("far"), start("near"));
        let _library = far.actors().actor(Library::default).name("library").spawn().unwrap();
        let mut library = near.actors().remote::<Library>("far/library").unwrap();
        for name in ["a", "b", "ein Name"] {
            assert_eq!(library.ask(search(name)).await.unwrap(), found(&search(name)));
        }
        assert_eq!(code(library.ask(search("everything")).await), ("M0355".to_owned(), Taken::Yes));
        assert_eq!(
            code(library.ask(search(&"l".repeat(70_000))).await),
            ("M0355".to_owned(), Taken::No)
        );
        assert_eq!(library.ask(search("c")).await.unwrap(), found(&search("c")));
        crate::running::end(near).await;
        crate::running::end(far).await;
    }
}
