//! `routes!`: direct calls of handlers, without a node and in services.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod in_services;
mod instructions;

use std::fmt::Debug;

use mycelium::route::{AsyncHandler, Handler, Out};
use mycelium::{Error, Result, routes};

#[derive(Debug, PartialEq)]
struct Tick(u64);

#[derive(Debug)]
struct Fill(u64);

/// Adds each number to `seen`, and fails at 13.
#[derive(Debug, Default)]
struct Strategy {
    seen: Vec<u64>,
}

impl Handler<Tick> for Strategy {
    fn handle(&mut self, tick: &Tick, _: &mut Out<'_>) -> Result<()> {
        self.seen.push(tick.0);
        if tick.0 == 13 { Err(Error::msg("unlucky")) } else { Ok(()) }
    }
}

/// Counts its calls, and fails above a limit.
#[derive(Debug)]
struct OrderLimit<C> {
    most: C,
    calls: u32,
}

impl<C: PartialOrd<u64>> Handler<Tick> for OrderLimit<C> {
    fn handle(&mut self, tick: &Tick, _: &mut Out<'_>) -> Result<()> {
        self.calls += 1;
        if self.most < tick.0 { Err(Error::msg("above the limit").permanent()) } else { Ok(()) }
    }
}

impl<C> Handler<Fill> for OrderLimit<C> {
    fn handle(&mut self, fill: &Fill, _: &mut Out<'_>) -> Result<()> {
        self.calls += fill.0 as u32;
        Ok(())
    }
}

/// Waits once before it handles a message.
#[derive(Debug, Default)]
struct Journal(Vec<u64>);

impl AsyncHandler<Tick> for Journal {
    async fn handle(&mut self, tick: &Tick, _: &mut Out<'_>) -> Result<()> {
        tokio::task::yield_now().await;
        self.0.push(tick.0);
        Ok(())
    }
}

routes! {
    /// Routes of two message types, one of which goes to both handlers.
    #[derive(Debug)]
    pub(crate) Fast: {
        Tick => [Strategy, OrderLimit<u64>],
        Fill => [OrderLimit<u64>],
    }
}

#[test]
fn handlers_run_in_the_listed_order_and_the_first_error_stops() {
    let mut fast = Fast::new(Strategy::default(), OrderLimit { most: 20, calls: 0 });
    fast.route(&Tick(7)).unwrap();
    fast.route(&Fill(100)).unwrap();
    assert_eq!(fast.route(&Tick(13)).unwrap_err().to_string(), "unlucky");
    assert_eq!(fast.order_limit().calls, 101, "it is after the one that failed");
    let error = fast.route(&Tick(21)).unwrap_err();
    assert!(error.is_permanent(), "the error itself is returned");
    assert_eq!((fast.order_limit().calls, &*fast.strategy().seen), (102, &[7, 13, 21][..]));
    fast.strategy_mut().seen.clear();
    fast.order_limit_mut().most = 21;
    fast.route_to(&Tick(21), &mut Out::none()).unwrap();
    let (strategy, limit) = fast.into_parts();
    assert_eq!((strategy.seen, limit.calls), (vec![21], 103));
}

routes! {
    /// Routes with type parameters, named fields, and a handler that waits.
    Slow<C: PartialOrd<u64> + Debug>: {
        Tick => [OrderLimit<C> as entry, OrderLimit<u64> as exit, async Journal],
        Fill => [OrderLimit<C> as entry],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn async_handlers_wait_in_their_turn_on_any_thread() {
    let limit = |most| OrderLimit { most, calls: 0 };
    let mut slow = Slow::new(limit(20), limit(10), Journal::default());
    // The future is `Send` because all handlers are.
    let slow = tokio::spawn(async move {
        slow.route_async(&Tick(7)).await.unwrap();
        slow.route_async(&Fill(3)).await.unwrap();
        slow.route(&Fill(3)).unwrap();
        slow.route_async(&Tick(11)).await.unwrap_err();
        // The future is dropped at its first wait, before it has called the last handler.
        let tick = Tick(8);
        let mut dropped = Box::pin(slow.route_async(&tick));
        std::future::poll_fn(|context| {
            assert!(dropped.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(dropped);
        slow
    });
    let slow = slow.await.unwrap();
    assert_eq!((slow.entry().calls, slow.exit().calls), (3 + 6, 3));
    assert_eq!(slow.journal().0, [7]);
}

/// Routes with other visibilities and names.
mod inner {
    use super::*;

    #[derive(Default)]
    pub(super) struct Match(pub(super) u64);

    impl Handler<u64> for Match {
        fn handle(&mut self, number: &u64, _: &mut Out<'_>) -> Result<()> {
            self.0 += number;
            Ok(())
        }
    }

    routes! {
        pub(super) Keyword: { u64 => [Match] }
    }
}

#[test]
fn a_name_may_be_a_keyword() {
    let mut keyword = inner::Keyword::new(inner::Match::default());
    keyword.route(&7).unwrap();
    assert_eq!(keyword.r#match().0, 7);
}
