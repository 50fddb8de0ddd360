//! Handlers in a service: their publishers, and the loop that calls a handler for each message.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll};

use mycelium_core::Message;

use crate::error::{Result, ShuttingDown};
use crate::service::handlers::out::{Bus, Out};
use crate::service::handlers::routes::{AsyncHandler, Handler};
use crate::service::port::{AnyPublisher, Reads};
use crate::service::{Context, Service};
use mycelium_transports::local::Delivery;

impl<S: Service> Context<S> {
    /// Returns the [`Out`] with which [handlers](Handler) emit the messages that this service
    /// declares in `emits(..)`, on the topics of the messages' types.
    ///
    /// ```
    /// # use mycelium::route::{Handler, Out};
    /// # use mycelium::{Context, Result, message, routes, service};
    /// # #[message(topic = "ticks", id = 1)]
    /// # struct Tick { price: u64 }
    /// # #[message(topic = "orders", id = 2)]
    /// # struct Order { price: u64 }
    /// # #[derive(Default)]
    /// # struct Strategy;
    /// # impl Handler<Tick> for Strategy {
    /// #     fn handle(&mut self, tick: &Tick, out: &mut Out<'_>) -> Result<()> {
    /// #         Ok(out.try_emit(Order { price: tick.price })?)
    /// #     }
    /// # }
    /// routes! {
    ///     Fast: { Tick => [Strategy] }
    /// }
    ///
    /// struct Trader(Fast);
    ///
    /// #[service(reads(Tick), emits(Order))]
    /// impl Trader {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut ticks = ctx.subscribe::<Tick>()?;
    ///         while let Some(delivery) = ticks.recv().await {
    ///             let Some(tick) = delivery.message() else { continue };
    ///             // Waits for slow readers here, so that the handlers find room.
    ///             ctx.until_below::<Order>().await?;
    ///             self.0.route_to(&tick, &mut ctx.out())?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    #[inline]
    pub fn out(&mut self) -> Out<'_> {
        Out::to(self)
    }

    /// Subscribes to `M`, and calls a handler with each message until the subscription ends. So a
    /// struct that handles messages can run as a service. A gap is logged as a warning.
    ///
    /// Before each message, waits until none of the service's publishers exceeds its
    /// [threshold](Context::until_below), so that the handler has room for a message of each type.
    ///
    /// ```
    /// # use mycelium::route::{Handler, Out};
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "ticks", id = 1)]
    /// # struct Tick { price: u64 }
    /// # #[message(topic = "orders", id = 2)]
    /// # struct Order { price: u64 }
    /// struct Strategy;
    ///
    /// impl Handler<Tick> for Strategy {
    ///     fn handle(&mut self, tick: &Tick, out: &mut Out<'_>) -> Result<()> {
    ///         Ok(out.try_emit(Order { price: tick.price })?)
    ///     }
    /// }
    ///
    /// #[service(reads(Tick), emits(Order))]
    /// impl Strategy {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         ctx.handle::<Tick>(self).await
    ///     }
    /// }
    /// ```
    ///
    /// Returns the error of the handler if it fails; the message is then redelivered, as after any
    /// error of a service. Returns [`SubscribeError`](crate::error::SubscribeError) if the
    /// subscription is taken.
    pub async fn handle<M: Message>(&mut self, handler: &mut impl Handler<M>) -> Result<()>
    where
        S: Reads<M>,
    {
        let mut messages = self.subscribe::<M>()?;
        while let Some(delivery) = messages.recv().await {
            match delivery {
                Delivery::Msg(message) => {
                    self.until_outputs_below().await?;
                    handler.handle(&message, &mut self.out())?;
                }
                Delivery::Gap(gap) => self.warn("missed messages", gap),
            }
        }
        Ok(())
    }

    /// Calls a handler with each message as [`handle`](Context::handle) does, for an
    /// [`AsyncHandler`], which waits for room itself.
    ///
    /// # Errors
    /// Same as [`handle`](Context::handle).
    pub async fn handle_async<M: Message>(
        &mut self,
        handler: &mut impl AsyncHandler<M>,
    ) -> Result<()>
    where
        S: Reads<M>,
    {
        let mut messages = self.subscribe::<M>()?;
        while let Some(delivery) = messages.recv().await {
            match delivery {
                Delivery::Msg(message) => handler.handle(&message, &mut self.out()).await?,
                Delivery::Gap(gap) => self.warn("missed messages", gap),
            }
        }
        Ok(())
    }

    /// Waits until none of the service's publishers exceeds its threshold.
    async fn until_outputs_below(&mut self) -> Result<(), ShuttingDown> {
        let Context { outputs, waits, .. } = self;
        waits.begin();
        poll_fn(|context| {
            let mut slow = None;
            S::each_output(outputs, &mut |publisher| {
                if publisher.poll_until_below(context).is_pending() {
                    slow = Some(publisher.unconfirmed());
                }
            });
            let Some((topic, messages)) = slow else { return Poll::Ready(Ok(())) };
            if waits.poll_shutdown(context).is_ready() {
                return Poll::Ready(Err(ShuttingDown));
            }
            waits.watch_readers(context, "handle", &topic, messages);
            Poll::Pending
        })
        .await
    }
}

impl<S: Service> Bus for Context<S> {
    #[inline]
    fn each(&mut self, visit: &mut dyn FnMut(&mut dyn AnyPublisher)) {
        S::each_output(&mut self.outputs, visit);
    }

    #[inline]
    fn is_ending(&self) -> bool {
        Context::is_ending(self)
    }

    fn begin(&mut self) {
        self.waits.begin();
    }

    fn poll_wait(
        &mut self,
        context: &mut task::Context<'_>,
        topic: &str,
        reader: Option<&str>,
    ) -> Poll<()> {
        let polled = self.waits.poll_shutdown(context);
        if polled.is_pending() {
            self.waits.watch_room(context, "emit", topic, || reader.map(Arc::from));
        }
        polled
    }
}
