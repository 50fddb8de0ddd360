//! Requests in tests: the test makes requests to a service, or answers the requests of a service.

use std::task::{Context, Poll, Waker};

use mycelium_core::Request;
use mycelium_transports::local::Schema;

use super::ServiceTest;
use crate::inbox::request::{Asked, RequestError};
use crate::shared::probe::TEST;

impl ServiceTest {
    /// Sends a request to the service that answers it, and [runs](ServiceTest::run) the services.
    /// `None` if all wait and there is no outcome yet; the request is then cancelled.
    ///
    /// # Panics
    /// If no service answers it, or as [`run`](ServiceTest::run).
    ///
    /// ```
    /// use mycelium::testing::ServiceTest;
    /// use mycelium::{Context, Result, message, service};
    ///
    /// #[message(topic = "price-requests", id = 1, reply = Price)]
    /// struct PriceRequest {
    ///     pool: u64,
    /// }
    ///
    /// #[message(topic = "prices", id = 2)]
    /// #[derive(Debug, PartialEq)]
    /// struct Price {
    ///     value: u64,
    /// }
    ///
    /// struct Oracle;
    ///
    /// #[service(answers(PriceRequest))]
    /// impl Oracle {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut requests = ctx.requests::<PriceRequest>();
    ///         while let Some(request) = requests.recv().await {
    ///             request.reply_with(|request| Price { value: request.pool * 100 });
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut test = ServiceTest::new(|| Oracle);
    /// assert_eq!(test.request(PriceRequest { pool: 7 }), Some(Ok(Price { value: 700 })));
    /// test.finish().unwrap();
    /// ```
    #[track_caller]
    pub fn request<Q: Request>(&mut self, request: Q) -> Option<Result<Q::Reply, RequestError<Q>>> {
        assert!(
            !self.node.plan.readers(Q::TOPIC).is_empty(),
            "the test requests `{}`, but no service of this test answers it",
            Schema::of::<Q>().name()
        );
        let mut requester = match self.running.requester::<Q>(TEST) {
            Ok(requester) => requester,
            Err(error) => panic!("the test cannot request: {error}"),
        };
        let mut reply = requester.request(request);
        // If the mailbox has no room, the request is sent after a service has run.
        for runs in 0..3 {
            let polled = reply.poll_outcome(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(result) = polled {
                return Some(reply.finish(result));
            }
            if runs < 2 {
                self.run();
            }
        }
        None
    }

    /// Returns the next request that a service made and that no service of this test answers. Its
    /// reply reaches the service when the services [run](ServiceTest::run) next. `None` if all
    /// wait.
    ///
    /// # Panics
    /// If no service requests it, or a service of this test answers it, or as
    /// [`run`](ServiceTest::run).
    ///
    /// ```
    /// use mycelium::testing::ServiceTest;
    /// use mycelium::{Context, Result, message, service};
    ///
    /// #[message(topic = "price-requests", id = 1, reply = Price)]
    /// struct PriceRequest {
    ///     pool: u64,
    /// }
    ///
    /// #[message(topic = "prices", id = 2)]
    /// #[derive(Debug, PartialEq)]
    /// struct Price {
    ///     value: u64,
    /// }
    ///
    /// struct Trader;
    ///
    /// #[service(requests(PriceRequest), emits(Price))]
    /// impl Trader {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let price = ctx.request(PriceRequest { pool: 7 }).await?;
    ///         ctx.emit(price).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut test = ServiceTest::new(|| Trader);
    /// let asked = test.asked::<PriceRequest>().expect("the trader requests a price");
    /// assert_eq!(asked.pool, 7);
    /// asked.reply(Price { value: 700 });
    /// assert_eq!(test.receive::<Price>(), Some(Price { value: 700 }));
    /// test.finish().unwrap();
    /// ```
    #[track_caller]
    pub fn asked<Q: Request>(&mut self) -> Option<Asked<Q>> {
        self.run();
        let taken = self.probe.with_requests::<Q, _>(|requests| {
            let mut context = Context::from_waker(Waker::noop());
            match requests.poll_recv(&mut context) {
                Poll::Ready(asked) => asked,
                // The first poll may be pending only to yield.
                Poll::Pending => match requests.poll_recv(&mut context) {
                    Poll::Ready(asked) => asked,
                    Poll::Pending => None,
                },
            }
        });
        match taken {
            Some(asked) => asked,
            None => panic!(
                "the test answers `{}`, but no service of this test requests it, or one answers it",
                Schema::of::<Q>().name()
            ),
        }
    }
}
