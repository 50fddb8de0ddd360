//! Accounts as actors, a service that moves money between them, and one that prints that.

use std::io::{Write, stdout};
use std::time::Duration;

use mycelium::{Builder, Context, Delivery, Node, Result, Topology, actor, message, service};

/// An account. Others call its methods through a reference; it handles one call after the other.
pub struct Account {
    pub cents: i64,
}

#[actor]
impl Account {
    /// Adds an amount, or takes it if it is negative. Returns what is there then; `None`, and
    /// nothing changes, if that would be less than nothing.
    pub fn book(&mut self, cents: i64) -> Option<i64> {
        let left = self.cents + cents;
        (left >= 0).then(|| {
            self.cents = left;
            left
        })
    }
}

/// What was moved, and what both accounts have then.
#[message(topic = "transfers")]
pub struct Transfer {
    pub cents: i64,
    pub from: i64,
    pub to: i64,
}

/// Moves an amount between two accounts, ten times a second.
pub struct Teller;

#[service(emits(Transfer))]
impl Teller {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut alice = ctx.actors().spawn(|| Account { cents: 100_00 })?;
        let mut bob = ctx.actors().spawn(|| Account { cents: 100_00 })?;
        let mut clock = ctx.interval(Duration::from_millis(100))?;
        loop {
            // An error after Ctrl-C: this service ends, and its readers when they have read all.
            clock.tick().await?;
            let cents = (ctx.random() % 20_00) as i64;
            let (from, to) = match ctx.random() % 2 {
                0 => (&mut alice, &mut bob),
                _ => (&mut bob, &mut alice),
            };
            let Some(left) = from.book(-cents).await? else { continue };
            if let Some(now) = to.book(cents).await? {
                ctx.emit(Transfer { cents, from: left, to: now }).await?;
            }
        }
    }
}

/// Prints transfers.
pub struct Printer;

#[service(reads(Transfer))]
impl Printer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut transfers = ctx.subscribe::<Transfer>()?;
        while let Some(delivery) = transfers.recv().await {
            let Delivery::Msg(transfer) = delivery else { continue };
            let Transfer { cents, from, to } = *transfer;
            let all = from + to;
            let line = format!("moved {cents:>4}: {from:>5} and {to:>5} left, {all} in all");
            if writeln!(stdout(), "{line}").is_err() {
                // Nobody reads the output any more.
                ctx.shutdown();
            }
        }
        Ok(())
    }
}

/// Returns a node with the services that the topology places in it.
pub fn node(name: &str, topology: Topology) -> Builder {
    Node::builder(name).topology(topology).service(|| Teller).service(|| Printer)
}
