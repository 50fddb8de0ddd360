//! The observed nodes. A node takes commands from standard input, and answers on standard output.

use std::io::{BufRead, Write};
use std::sync::{Mutex, PoisonError};

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use mycelium::fields::{FixedStr, FixedVec, I128, U256};
use mycelium::{Context, Delivery, Node, Result, Topology, message, service};
use mycelium_smol::Smol;

pub(crate) const NODE: &str = "MYCELIUM_TAP_NODE";
pub(crate) const TOPOLOGY: &str = "MYCELIUM_TAP_TOPOLOGY";

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

impl AllTypes {
    pub(crate) fn new() -> AllTypes {
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
}

/// Emits as standard input commands.
struct Source(UnboundedReceiver<String>);

#[service(emits(Swap, AllTypes))]
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
                _ => ctx.emit(AllTypes::new()).await?,
            }
            say(&format!("emitted {number}"));
        }
    }
}

/// Reads all swaps.
struct Store;

#[service(reads(Swap))]
impl Store {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut swaps = ctx.subscribe::<Swap>()?;
        let mut count = 0;
        while let Some(delivery) = swaps.recv().await {
            count += u64::from(matches!(delivery, Delivery::Msg(_)));
        }
        say(&format!("stored {count}"));
        Ok(())
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    // If the test has ended, nobody reads this.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Runs the node that a variable names; returns if there is none.
pub(crate) fn enter() {
    let Ok(name) = std::env::var(NODE) else { return };
    let file = std::env::var(TOPOLOGY).unwrap();
    mycelium_smol::run(2, |smol| run(smol, name, file)).unwrap();
    std::process::exit(0);
}

async fn run(smol: Smol, name: String, file: String) {
    let (service, commands) = unbounded();
    let commands = Mutex::new(Some(commands));
    let topology = Topology::load(file).unwrap();
    let source = move || {
        let mut commands = commands.lock().unwrap_or_else(PoisonError::into_inner);
        Source(commands.take().unwrap())
    };
    let node = Node::builder(&name).topology(topology).service(source).service(|| Store).build();
    let running = node.unwrap().start(smol).unwrap();
    say("node runs");
    let (lines, mut asked) = unbounded();
    std::thread::spawn(move || read(&lines, &service));
    while asked.next().await.is_some() {
        let counters = running.counters();
        let waited: u64 = counters.iter().map(|line| line.value("waited")).sum();
        say(&format!("waited {waited}"));
    }
    running.join().await.unwrap();
}

/// Passes commands on: `counters` to the main task, all others to the service. The service ends
/// with standard input.
fn read(lines: &UnboundedSender<()>, service: &UnboundedSender<String>) {
    for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
        let sent = match &*line {
            "counters" => lines.unbounded_send(()).is_ok(),
            _ => service.unbounded_send(line).is_ok(),
        };
        if !sent {
            return;
        }
    }
}
