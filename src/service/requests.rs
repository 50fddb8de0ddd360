//! The requests that a service sends, and those that it answers.

use std::sync::Arc;

use mycelium_core::Request;

use super::{Context, Service};
use crate::request::{Answers, Asks, MailboxState, PendingReply, Requester, Requests};

impl<S: Service> Context<S> {
    /// Requests: sends `request` to a service that answers it, in this node or in another, and
    /// waits for the reply. The request is in its mailbox when this returns, if that has room;
    /// otherwise the future waits for room.
    ///
    /// The future borrows nothing: several requests can be open at a time, and the service can emit
    /// meanwhile. [`PendingReply::within`] gives it a deadline. If it is dropped before it is
    /// ready, the request is cancelled. A request is never sent twice.
    ///
    /// # Errors
    /// [`RequestError`](crate::RequestError), which says whether a service may have acted on the
    /// request.
    ///
    /// ```
    /// use mycelium::{Context, Node, Result, message, service};
    ///
    /// #[message(topic = "price-requests", id = 1, reply = Price)]
    /// struct PriceRequest {
    ///     pool: u64,
    /// }
    ///
    /// #[message(topic = "prices", id = 2)]
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
    /// struct Trader;
    ///
    /// #[service(requests(PriceRequest))]
    /// impl Trader {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let price = ctx.request(PriceRequest { pool: 7 }).await?;
    ///         assert_eq!(price.value, 700);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let node = Node::builder("main").service(|| Oracle).service(|| Trader).build()?;
    /// // The trader ends, and then the oracle: nobody requests any more.
    /// node.run(mycelium_tokio::Tokio::current()?).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request<Q: Request>(&mut self, request: Q) -> PendingReply<Q>
    where
        S: Asks<Q>,
    {
        let is_refused = self.is_ending();
        let requester = S::requester(&mut self.outputs);
        match is_refused {
            true => requester.refuse(request, &self.waits.executor),
            false => requester.send(request, &self.waits.executor),
        }
    }

    /// Another requester of a request type that this service declares, for a child task or another
    /// thread.
    pub fn requester<Q: Request>(&mut self) -> Requester<Q>
    where
        S: Asks<Q>,
    {
        S::requester(&mut self.outputs).child(&self.waits.executor)
    }

    /// The requests that this service answers. They wait in the mailbox of their topic from before
    /// any service runs, and while this service is restarted. Each call returns another handle to
    /// the same mailbox: child tasks that take from one each share the work.
    ///
    /// ```
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "price-requests", id = 1, reply = Price)]
    /// # struct PriceRequest { pool: u64 }
    /// # #[message(topic = "prices", id = 2)]
    /// # struct Price { value: u64 }
    /// # struct Oracle;
    /// # async fn look_up(pool: u64) -> u64 { pool }
    /// #[service(answers(PriceRequest))]
    /// impl Oracle {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut requests = ctx.requests::<PriceRequest>();
    ///         while let Some(request) = requests.recv().await {
    ///             // Slow answers do not hold up the next request.
    ///             ctx.spawn(async move {
    ///                 let value = look_up(request.pool).await;
    ///                 request.reply(Price { value });
    ///             });
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn requests<Q: Request>(&self) -> Requests<Q>
    where
        S: Answers<Q>,
    {
        S::answering(&self.inputs).requests()
    }

    /// The state of the mailbox of requests that this service answers.
    pub(crate) fn mailbox<Q: Request>(&self) -> Arc<MailboxState>
    where
        S: Answers<Q>,
    {
        S::answering(&self.inputs).mailbox()
    }
}
