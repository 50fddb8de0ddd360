//! A service that emits numbers and one that receives them, for tests with two nodes.

use std::sync::mpsc::Sender;

use mycelium::{Context, Delivery, Result, message, service};

pub(crate) use crate::running::within;

#[message(topic = "numbers", id = 1)]
pub(crate) struct Number {
    pub(crate) value: u64,
}

/// Emits `count` numbers, and then ends or waits for the shutdown.
pub(crate) struct Counter {
    pub(crate) count: u64,
    pub(crate) stays: bool,
}

#[service(emits(Number))]
impl Counter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0..self.count {
            ctx.emit(Number { value }).await?;
        }
        if self.stays {
            ctx.shutdown_requested().await;
        }
        Ok(())
    }
}

/// Sends all received numbers to a channel.
pub(crate) struct Taker(pub(crate) Sender<u64>);

#[service(reads(Number))]
impl Taker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            match delivery {
                Delivery::Msg(number) => self.0.send(number.value)?,
                Delivery::Gap(gap) => panic!("{gap}"),
            }
        }
        Ok(())
    }
}
