//! A service's view of slow readers: how full its rings are. It can wait for room, or until all its
//! sent messages are confirmed.

use std::future::poll_fn;
use std::task::Poll;

use mycelium_core::Message;

use super::{Context, Service};
use crate::error::ShuttingDown;
use crate::service::emit::emitter::Emitter;
use crate::service::port::EmittedBy;

impl<S: Service> Context<S> {
    /// Returns the number of this service's messages that the slowest gating reader has not
    /// finished. Messages for readers in other nodes count until they are confirmed.
    pub fn queue_depth<M: EmittedBy<S>>(&mut self) -> usize {
        self.emitter::<M>().queue_depth()
    }

    /// Returns the number of slots of this service's ring: `emit` waits for a gating reader when
    /// [`queue_depth`](Context::queue_depth) has reached it.
    pub fn capacity<M: EmittedBy<S>>(&mut self) -> usize {
        self.emitter::<M>().capacity()
    }

    /// Returns whether readers are so slow that `emit` will soon wait. True from when
    /// [`queue_depth`](Context::queue_depth) reaches the topic's threshold (by default 80 % of the
    /// capacity, `backpressure_threshold` in the topology) until it has fallen to three quarters of
    /// the threshold (60 %). Readers that drop messages do not count.
    ///
    /// Use it to reduce the rate of the service meanwhile, as below, or to emit larger batches:
    ///
    /// ```
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "readings", id = 1)]
    /// # struct Reading { value: u64 }
    /// # struct Sensor;
    /// # impl Sensor { async fn next(&mut self) -> Option<u64> { None } }
    /// #[service(emits(Reading))]
    /// impl Sensor {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut number = 0;
    ///         while let Some(value) = self.next().await {
    ///             number += 1;
    ///             if number % 10 == 0 || !ctx.backpressure_threshold_exceeded::<Reading>() {
    ///                 ctx.emit(Reading { value }).await?;
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn backpressure_threshold_exceeded<M: EmittedBy<S>>(&mut self) -> bool {
        self.emitter::<M>().backpressure_threshold_exceeded()
    }

    /// Waits while the threshold
    /// [is exceeded](Context::backpressure_threshold_exceeded).
    ///
    /// Dropping the future loses nothing. A wait of more than a second is logged, as a wait of
    /// [`emit`](Context::emit) is.
    ///
    /// # Errors
    /// [`ShuttingDown`] if the node shuts down and the service has no subscriptions, even if the
    /// threshold is not exceeded.
    pub async fn until_below<M: EmittedBy<S>>(&mut self) -> Result<(), ShuttingDown> {
        self.emitter::<M>().until_below().await
    }

    /// Waits until every gating reader, in this node and in others, has finished all messages that
    /// this service has emitted, or has ended permanently. A service that then saves its state and
    /// position before its next receive loses nothing if its process is killed: its emitted
    /// messages are confirmed, and the message in flight is redelivered.
    ///
    /// Dropping the future loses nothing. Also waits while a reader is disconnected or works on a
    /// message. A wait of more than a second is logged, as a wait of [`emit`](Context::emit) is.
    ///
    /// ```
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "orders", id = 1)]
    /// # struct Order { id: u64 }
    /// # #[message(topic = "trades", id = 2)]
    /// # struct Trade { id: u64 }
    /// # struct Exchange;
    /// # impl Exchange { fn write_down(&mut self, _: u64) {} }
    /// #[service(reads(Order), emits(Trade))]
    /// impl Exchange {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut orders = ctx.subscribe::<Order>()?;
    ///         while let Some(delivery) = orders.recv().await {
    ///             let Some(order) = delivery.message() else { continue };
    ///             ctx.emit(Trade { id: order.id }).await?;
    ///             // The order is in flight until the next receive.
    ///             ctx.confirmed().await;
    ///             self.write_down(order.id);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub async fn confirmed(&mut self) {
        let Context { outputs, waits, .. } = self;
        waits.begin();
        poll_fn(|context| {
            let mut open = None;
            S::each_output(outputs, &mut |publisher| {
                if publisher.poll_confirmed(context).is_pending() {
                    open = Some(publisher.unconfirmed());
                }
            });
            let Some((topic, messages)) = open else { return Poll::Ready(()) };
            waits.watch_readers(context, "confirmed", &topic, messages);
            Poll::Pending
        })
        .await;
    }
}

impl<M: Message> Emitter<'_, M> {
    /// Returns [`Context::queue_depth`] of this port.
    #[must_use]
    pub fn queue_depth(self) -> usize {
        self.publisher.depth()
    }

    /// Returns [`Context::capacity`] of this port.
    #[must_use]
    pub fn capacity(self) -> usize {
        self.publisher.capacity()
    }

    /// Returns [`Context::backpressure_threshold_exceeded`] of this port.
    #[must_use]
    pub fn backpressure_threshold_exceeded(self) -> bool {
        self.publisher.backpressure_threshold_exceeded()
    }

    /// Waits while the threshold is exceeded, as [`Context::until_below`] does.
    ///
    /// # Errors
    /// Same as [`Context::until_below`].
    pub async fn until_below(self) -> Result<(), ShuttingDown> {
        let Emitter { publisher, waits, .. } = self;
        waits.begin();
        poll_fn(|context| {
            // Polls the shutdown first, so that a source that waits only here ends, too.
            if waits.poll_shutdown(context).is_ready() {
                return Poll::Ready(Err(ShuttingDown));
            }
            if publisher.poll_until_below(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let (topic, messages) = (publisher.topic(), publisher.depth());
            waits.watch_readers(context, "until_below", topic, messages);
            Poll::Pending
        })
        .await
    }
}
