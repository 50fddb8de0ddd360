//! A node that takes commands from standard input, and answers on standard output.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use mycelium::fields::{FixedStr, FixedVec, I128, U256};
use mycelium::{Context, Delivery, Node, Result, Topology, message, service};
use mycelium_smol::Smol;

#[message(topic = "swaps", id = 1)]
pub(crate) struct Swap {
    pub(crate) number: u64,
    pub(crate) size: u64,
}

#[message]
#[repr(u8)]
pub(crate) enum Side {
    Buy = 1,
    Sell = 2,
}

#[message]
pub(crate) struct Order {
    pub(crate) account: u32,
    pub(crate) side: Side,
    pub(crate) open: bool,
    pub(crate) lots: i16,
}

/// A message with a field of each type.
#[message(topic = "all-types", id = 2)]
pub(crate) struct AllTypes {
    pub(crate) unsigned: u64,
    pub(crate) signed: i64,
    pub(crate) wide: f64,
    pub(crate) order: Order,
    pub(crate) medium: u32,
    pub(crate) below: i32,
    pub(crate) single: f32,
    pub(crate) short: u16,
    pub(crate) less: i16,
    pub(crate) byte: u8,
    pub(crate) tiny: i8,
    pub(crate) yes: bool,
    pub(crate) side: Side,
    pub(crate) pair: [u16; 2],
    pub(crate) text: FixedStr<14>,
    pub(crate) amounts: FixedVec<u128, 2>,
    pub(crate) debts: FixedVec<i128, 1>,
    pub(crate) paid: I128,
    pub(crate) price: U256,
    pub(crate) _pad: [u8; 4],
}

#[message(topic = "any-shape", id = 3, max = "1 MiB")]
pub(crate) struct AnyShape {
    pub(crate) initial: char,
    pub(crate) text: String,
    pub(crate) some: Option<u64>,
    pub(crate) none: Option<String>,
    pub(crate) age: Duration,
    pub(crate) from: IpAddr,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) shares: BTreeMap<String, (u8, f64)>,
    pub(crate) numbers: BTreeMap<u16, bool>,
    pub(crate) orders: Vec<Order>,
}

#[message]
pub(crate) enum Kind {
    Market,
    Limit { cents: i64 },
    Named(String),
    Iceberg(u32, Option<char>),
}

/// A type of serde.
#[message(topic = "of-serde", codec = "postcard")]
#[derive(serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
pub(crate) struct Quote {
    pub(crate) prices: HashMap<String, i64>,
    pub(crate) side: Option<Way>,
}

#[derive(Clone, serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
pub(crate) enum Way {
    Near,
    Far { hops: u8 },
}

/// One without a schema.
#[message(topic = "of-serde-alone", codec = "postcard", schema = 1)]
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Entry(pub(crate) HashMap<u8, String>);

/// Returns a message with a text of this length.
fn any_shape(length: usize) -> AnyShape {
    let kinds = vec![
        Kind::Market,
        Kind::Limit { cents: -5 },
        Kind::Named("n".into()),
        Kind::Iceberg(7, Some('i')),
    ];
    AnyShape {
        initial: 'ü',
        text: "\"".repeat(length),
        some: Some(u64::MAX),
        none: None,
        age: Duration::from_millis(1_500),
        from: [127, 0, 0, 1].into(),
        kinds,
        shares: [("a".into(), (1, 0.5)), ("b".into(), (2, 1.5))].into(),
        numbers: [(7, true)].into(),
        orders: vec![Order { account: 7, side: Side::Sell, open: true, lots: -3 }],
    }
}

fn all_types() -> AllTypes {
    AllTypes {
        unsigned: u64::MAX,
        signed: i64::MIN,
        wide: f64::NAN,
        order: Order { account: 7, side: Side::Sell, open: true, lots: -3 },
        medium: 4_000_000_000,
        below: -5,
        single: 1.5,
        short: 65_535,
        less: -32_768,
        byte: 255,
        tiny: -128,
        yes: false,
        side: Side::Buy,
        pair: [1, 2],
        text: FixedStr::try_from("a \"b\",\u{1b}c").unwrap(),
        amounts: FixedVec::from_slice(&[u128::MAX]).unwrap(),
        debts: FixedVec::from_slice(&[i128::MIN]).unwrap(),
        paid: I128::new(-36_690_000_000_000_000_000),
        price: U256::MAX,
        _pad: [9; 4],
    }
}

/// Emits as standard input commands.
struct Source(UnboundedReceiver<String>);

#[service(emits(Swap, AllTypes, AnyShape, Quote, Entry))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut number = 0;
        loop {
            let shutdown = Box::pin(ctx.shutdown_requested());
            let command = match select(self.0.next(), shutdown).await {
                Either::Left((Some(command), _)) => command,
                _ => return Ok(()),
            };
            match command.split_once(' ') {
                Some(("emit", count)) => {
                    for _ in 0..count.parse::<u64>()? {
                        ctx.emit(Swap { number, size: 10 * number }).await?;
                        number += 1;
                    }
                }
                Some(("serde", price)) => {
                    let prices = [("ETH".to_owned(), price.parse()?)].into();
                    ctx.emit(Quote { prices, side: Some(Way::Far { hops: 2 }) }).await?;
                    ctx.emit(Quote { prices: HashMap::new(), side: Some(Way::Near) }).await?;
                    ctx.emit(Entry([(7, "x".to_owned())].into())).await?;
                }
                Some(("any", length)) => ctx.emit(any_shape(length.parse()?)).await?,
                _ => ctx.emit(all_types()).await?,
            }
            say(&format!("emitted {number}"));
        }
    }
}

/// Reads all swaps. If it `stays`, it ends with the node.
pub(crate) struct Store {
    pub(crate) stays: bool,
}

#[service(reads(Swap))]
impl Store {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut swaps = ctx.subscribe::<Swap>()?;
        let mut count = 0;
        while let Some(delivery) = swaps.recv().await {
            count += u64::from(matches!(delivery, Delivery::Msg(_)));
        }
        say(&format!("stored {count}"));
        if self.stays {
            ctx.shutdown_requested().await;
        }
        Ok(())
    }
}

/// Returns the description of the node's program.
pub(crate) fn describe() -> String {
    let source = || Source(unbounded().1);
    Node::builder("feed").service(source).service(|| Store { stays: false }).describe().to_json()
}

/// Prints a line; libtest has already begun one, which is ended first.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout();
    // If the test has ended, nobody reads this.
    let _ = writeln!(out, "\n{line}").and_then(|()| out.flush());
}

/// Runs the node of a file. The service that gets the commands ends with standard input.
pub(crate) async fn run(smol: Smol, name: String, file: String) {
    let (sender, commands) = unbounded();
    let commands = Mutex::new(Some(commands));
    let topology = Topology::load(file).unwrap();
    let source = move || {
        let mut commands = commands.lock().unwrap_or_else(PoisonError::into_inner);
        Source(commands.take().unwrap())
    };
    let store = || Store { stays: false };
    let node = Node::builder(&name).topology(topology).service(source).service(store).build();
    let running = node.unwrap().start(smol).unwrap();
    say("node runs");
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(std::result::Result::ok);
        lines.for_each(|line| drop(sender.unbounded_send(line)));
    });
    running.join().await.unwrap();
}
