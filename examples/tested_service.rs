//! A service with its tests: `cargo test --example tested_service`.
//!
//! The detector reports each jump of a price, and each minute without a tick. The tests below need
//! no executor, no thread and no waiting. `docs/testing-your-services.md` is the guide.
#![expect(clippy::print_stdout, reason = "this is a command-line program")]

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium::{Context, Delivery, Error, Node, Result, message, service};

const MINUTE: Duration = Duration::from_secs(60);

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: i64,
}

/// The price has changed by more than the limit.
#[message(topic = "signals", id = 2)]
#[derive(Debug, PartialEq)]
struct Signal {
    change: i64,
}

/// No tick has come for a minute.
#[message(topic = "silences", id = 3)]
#[derive(Debug, PartialEq)]
struct Silence {
    since_seconds: u64,
}

struct Detector {
    limit: i64,
    last: Option<i64>,
}

impl Detector {
    fn new(limit: i64) -> Detector {
        Detector { limit, last: None }
    }
}

#[service(reads(Tick), emits(Signal, Silence))]
impl Detector {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        let mut last_tick = ctx.now();
        loop {
            let received = match select(pin!(ticks.recv()), pin!(ctx.sleep(MINUTE))).await {
                Either::Left((received, _)) => received,
                Either::Right((Ok(()), _)) => {
                    let since_seconds = (ctx.now() - last_tick).as_secs();
                    ctx.emit(Silence { since_seconds }).await?;
                    continue;
                }
                // The node shuts down, but ticks may be left: waits for the next one.
                Either::Right((Err(_), received)) => received.await,
            };
            let tick = match received {
                Some(Delivery::Msg(tick)) => tick,
                Some(Delivery::Gap(_)) => continue,
                None => return Ok(()),
            };
            if tick.price <= 0 {
                return Err(Error::msg(format!("{} is not a price", tick.price)));
            }
            last_tick = ctx.now();
            let change = tick.price - self.last.replace(tick.price).unwrap_or(tick.price);
            if change.abs() > self.limit {
                ctx.emit(Signal { change }).await?;
            }
        }
    }
}

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for price in [100, 102, 110, 109, 90] {
            ctx.emit(Tick { price }).await?;
        }
        Ok(())
    }
}

struct Printer;

#[service(reads(Signal))]
impl Printer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut signals = ctx.subscribe::<Signal>()?;
        while let Some(delivery) = signals.recv().await {
            if let Delivery::Msg(signal) = delivery {
                println!("the price has changed by {}", signal.change);
            }
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let node = Node::builder("main").service(|| Feed).service(|| Detector::new(5));
    mycelium::run(node.service(|| Printer))
}

#[cfg(test)]
mod tests {
    use mycelium::DeadLetter;
    use mycelium::testing::ServiceTest;

    use super::*;

    #[test]
    fn a_jump_is_a_signal() {
        let mut test = ServiceTest::new(|| Detector::new(5));
        test.send(Tick { price: 100 });
        test.send(Tick { price: 110 });
        assert_eq!(test.receive::<Signal>(), Some(Signal { change: 10 }));
        test.send(Tick { price: 111 });
        assert_eq!(test.receive::<Signal>(), None);
        test.finish().unwrap();
    }

    #[test]
    fn a_minute_without_ticks_is_a_silence() {
        let mut test = ServiceTest::new(|| Detector::new(5));
        test.advance(MINUTE / 2);
        test.send(Tick { price: 100 });
        test.advance(MINUTE - Duration::from_nanos(1));
        assert_eq!(test.receive::<Silence>(), None);
        test.advance(Duration::from_nanos(1));
        assert_eq!(test.receive::<Silence>(), Some(Silence { since_seconds: 60 }));
        test.finish().unwrap();
    }

    #[test]
    fn a_wrong_price_becomes_a_dead_letter_and_the_detector_goes_on() {
        let mut test = ServiceTest::new(|| Detector::new(5)).supervised();
        test.send_all([100, 0, 110].map(|price| Tick { price }));
        // Advances the time beyond the pauses before the restarts.
        test.advance(MINUTE / 2);
        let failures = test.failures();
        assert_eq!(failures.len(), 2, "each message has two chances");
        assert_eq!(failures[0].error, "0 is not a price");
        assert_eq!(test.expect::<DeadLetter>().topic.as_str(), "ticks");
        assert_eq!(test.expect::<Signal>(), Signal { change: 10 });
        test.finish().unwrap();
    }

    #[test]
    fn the_detector_follows_the_feed() {
        let node = Node::builder("main").service(|| Feed).service(|| Detector::new(5));
        let mut test = ServiceTest::of(node);
        let changes = test.receive_all::<Signal>();
        assert_eq!(changes, [8, -19].map(|change| Signal { change }));
        let report = test.finish().unwrap();
        assert!(report.services.iter().all(|service| service.errors == 0));
    }
}
