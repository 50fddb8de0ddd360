//! Deadlines of emits, and intervals, in a test's virtual time.

use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium::emit::Refusal;
use mycelium::error::StartError;
use mycelium::testing::ServiceTest;
use mycelium::{Context, Result, service};

use super::service_test::number;
use crate::node::services::Number;
use crate::running::{Says, main_with};

const SECOND: Duration = Duration::from_secs(1);

/// Emits with a deadline, and reports the result and its time.
struct Hasty(Sender<(u64, Duration, String)>);

#[service(emits(Number))]
impl Hasty {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for (value, within) in (0..).zip([0, 0, 0, 3, 2, 30].map(Duration::from_secs)) {
            let text = match ctx.emit(number(value)).within(within).await {
                Ok(()) => "sent".to_owned(),
                Err(error) => {
                    assert_eq!(error.message, number(value), "the message comes back");
                    assert!(
                        matches!(&error.refusal, Refusal::Deadline { within: end, .. } if *end == within)
                    );
                    error.to_string()
                }
            };
            self.0.send((value, ctx.now(), text))?;
        }
        ctx.shutdown_requested().await;
        // The emit is refused although it could wait for room.
        let refused = ctx.emit(number(9)).within(Duration::MAX).await.unwrap_err();
        assert_eq!(refused.refusal, Refusal::ShuttingDown);
        Err(refused.into())
    }
}

/// Reads nothing in its first ten seconds.
struct Late(Sender<u64>);

#[service(reads(Number))]
impl Late {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        let _ = ctx.sleep(10 * SECOND).await;
        while let Some(delivery) = numbers.recv().await {
            self.0.send(delivery.message().map_or(99, |number| number.value))?;
        }
        Ok(())
    }
}

#[test]
fn an_emit_waits_until_its_deadline() {
    let ((sender, got), (taken, received)) = (channel(), channel());
    let node = main_with("[topic.numbers]\ncapacity = 2");
    let node = node.service(move || Hasty(sender.clone())).service(move || Late(taken.clone()));
    let mut test = ServiceTest::of(node);
    let start = "topic `numbers` is full: subscription `Late` has not taken its messages within";
    let full = |within| format!("{start} {within} [M0222]");
    let sent = || "sent".to_owned();
    let reports = || got.try_iter().collect::<Vec<_>>();
    test.run();
    let (zero, refused) = (Duration::ZERO, full("0ns").replace("Late", "test"));
    assert_eq!(reports(), [(0, zero, sent()), (1, zero, sent()), (2, zero, refused)]);
    test.advance(2 * SECOND);
    assert_eq!(got.try_iter().count(), 0, "the deadline is after three seconds");
    test.advance(SECOND);
    assert_eq!(reports(), [(3, 3 * SECOND, full("3s"))]);
    test.advance(6 * SECOND);
    assert_eq!(reports(), [(4, 5 * SECOND, full("2s"))]);
    test.advance(SECOND);
    assert_eq!(reports(), [(5, 10 * SECOND, sent())]);
    test.finish().unwrap();
    // Refused messages were not sent.
    assert_eq!(received.try_iter().collect::<Vec<_>>(), [0, 1, 5]);
}

/// Ticks each second, and pauses for the given milliseconds between two ticks.
struct Ticker(Sender<(Duration, u64)>, Vec<u64>);

#[service()]
impl Ticker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut interval = ctx.interval(SECOND)?;
        // A tick that is dropped by `select` still comes in time at the next call.
        let early = ctx.sleep(SECOND / 2);
        assert!(matches!(select(pin!(interval.tick()), pin!(early)).await, Either::Right(_)));
        for pause in self.1.drain(..) {
            interval.tick().await?;
            self.0.send((ctx.now(), interval.skipped()))?;
            ctx.sleep(Duration::from_millis(pause)).await?;
        }
        loop {
            interval.tick().await?;
            self.0.send((ctx.now(), interval.skipped()))?;
        }
    }
}

#[test]
fn an_interval_does_not_drift_and_skips_missed_ticks() {
    let (sender, ticks) = channel();
    let mut test = ServiceTest::new(move || Ticker(sender.clone(), vec![300, 700, 2300, 500]));
    test.advance(9 * SECOND);
    let ticks: Vec<_> = ticks.try_iter().map(|(at, skipped)| (at.as_millis(), skipped)).collect();
    // After the long pause the tick of 4 s comes at once, and the tick of 5 s is skipped.
    assert_eq!(
        ticks,
        [(1000, 0), (2000, 0), (3000, 0), (5300, 1), (6000, 1), (7000, 1), (8000, 1), (9000, 1)]
    );
    // The tick fails at the shutdown, and with this error the service ends well.
    test.finish().unwrap();
}

#[test]
fn an_interval_of_zero_is_a_bug() {
    struct Zero;
    #[service()]
    impl Zero {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut interval = ctx.interval(Duration::ZERO)?;
            Ok(interval.tick().await?)
        }
    }
    let mut test = ServiceTest::new(|| Zero).supervised();
    let failures = test.failures();
    assert_eq!(failures.len(), 1, "the service is not restarted");
    let error = test.finish().unwrap_err();
    let StartError::ServiceFailed { error, .. } = error else { panic!("{error}") };
    error.says("invalid period of an interval: 0 s, expected more [M0228]");
}
