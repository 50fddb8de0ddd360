//! The part of the context that emits: on the topics of message types, by named ports, by further
//! publishers, and the wait for confirmations.

use std::future::poll_fn;
use std::task::Poll;

use mycelium_core::Message;
use mycelium_transports::local::{EmitError, Publisher, Refusal};

use super::{Context, Service};
use crate::emit::Emit;
use crate::error::{PublisherError, ShuttingDown};
use crate::log;
use crate::port::{EmitsOn, EmittedBy, Output};

impl<S: Service> Context<S> {
    /// Publishes a message to all subscriptions of its topic. Waits while a `block` subscription is
    /// full.
    ///
    /// Messages of one service on one topic arrive in the order of their emits. If the future is
    /// dropped before it completes, the message was not sent. In a tight loop it yields to the
    /// executor from time to time.
    ///
    /// # Errors
    /// With the message, if a `reject` subscription is full, or the node shuts down and the service
    /// has no subscriptions. So `ctx.emit(message).await?` ends a source at a shutdown, and it has
    /// ended well; all messages that were sent before are delivered. To send a last message during
    /// a shutdown, keep a [`publisher`](Context::publisher).
    #[inline]
    pub fn emit<M: EmittedBy<S>>(&mut self, message: M) -> M::Emit<'_> {
        let is_refused = self.is_ending();
        Emit::new(M::publisher(&mut self.outputs), &mut self.waits, message, is_refused).into()
    }

    /// As [`emit`](Context::emit), by a named port: `#[service(emits(Swap as out))]` and
    /// `ctx.emit_on(Self::out, swap).await?`. The topology or [`Builder::bind`](crate::Builder::bind)
    /// chooses the topic of the port.
    ///
    /// # Errors
    /// As [`emit`](Context::emit).
    #[inline]
    pub fn emit_on<M: Message, const PORT: usize>(
        &mut self,
        port: Output<S, M, PORT>,
        message: M,
    ) -> Emit<'_, M>
    where
        S: EmitsOn<M, PORT>,
    {
        let (_, is_refused) = (port, self.is_ending());
        Emit::new(S::publisher(&mut self.outputs), &mut self.waits, message, is_refused)
    }

    /// Like [`emit`](Context::emit), but never waits.
    ///
    /// # Errors
    /// With the message, if a `block` or `reject` subscription is full, or as
    /// [`emit`](Context::emit) at a shutdown.
    #[inline]
    pub fn try_emit<M: EmittedBy<S>>(&mut self, message: M) -> Result<(), EmitError<M>> {
        let is_refused = self.is_ending();
        try_emit(M::publisher(&mut self.outputs), message, is_refused)
    }

    /// As [`try_emit`](Context::try_emit), by a named port.
    ///
    /// # Errors
    /// As [`try_emit`](Context::try_emit).
    #[inline]
    pub fn try_emit_on<M: Message, const PORT: usize>(
        &mut self,
        port: Output<S, M, PORT>,
        message: M,
    ) -> Result<(), EmitError<M>>
    where
        S: EmitsOn<M, PORT>,
    {
        let (_, is_refused) = (port, self.is_ending());
        try_emit(S::publisher(&mut self.outputs), message, is_refused)
    }

    /// Whether the service should end: the node shuts down, and the service has no subscriptions
    /// that it could still drain.
    #[inline]
    fn is_ending(&self) -> bool {
        S::IS_SOURCE && self.waits.is_shutting_down()
    }

    /// Waits until every gating reader, in this node and in others, has finished with all messages
    /// that this service has emitted, or has ended permanently. A service that then saves its state
    /// and position, before its next receive, loses nothing if its process is killed: its emitted
    /// messages are confirmed, and the message that it works on is redelivered.
    ///
    /// Dropping the future loses nothing. It waits while a reader is disconnected or works on a
    /// message. A wait of more than a second is logged, like that of an [`emit`](Context::emit).
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
            waits.watch(context, |service| {
                log::warn!(
                    service,
                    topic = &*topic,
                    messages,
                    "the service waits in `confirmed` until readers have finished its messages"
                );
            });
            Poll::Pending
        })
        .await;
    }

    /// The number of this service's messages that the slowest gating reader has not finished with.
    /// Messages for readers in other nodes count until they are confirmed.
    pub fn queue_depth<M: EmittedBy<S>>(&mut self) -> usize {
        M::publisher(&mut self.outputs).depth()
    }

    /// As [`queue_depth`](Context::queue_depth), of a named port.
    pub fn queue_depth_on<M: Message, const PORT: usize>(
        &mut self,
        port: Output<S, M, PORT>,
    ) -> usize
    where
        S: EmitsOn<M, PORT>,
    {
        let _ = port;
        S::publisher(&mut self.outputs).depth()
    }

    /// Another publisher of a topic that this service emits to, for a child task or another thread.
    /// Its messages keep their order among themselves, but not with those of the service. It also
    /// sends during a shutdown, until the service's run ends.
    ///
    /// # Errors
    /// If the topic cannot take another publisher, or the node shuts down and the service has no
    /// subscriptions.
    pub fn publisher<M: EmittedBy<S>>(&mut self) -> Result<Publisher<M>, PublisherError> {
        let topic = M::publisher(&mut self.outputs).topic().clone();
        self.another_publisher(&topic)
    }

    /// As [`publisher`](Context::publisher), of a named port.
    ///
    /// # Errors
    /// As [`publisher`](Context::publisher).
    pub fn publisher_on<M: Message, const PORT: usize>(
        &mut self,
        port: Output<S, M, PORT>,
    ) -> Result<Publisher<M>, PublisherError>
    where
        S: EmitsOn<M, PORT>,
    {
        let _ = port;
        let topic = S::publisher(&mut self.outputs).topic().clone();
        self.another_publisher(&topic)
    }

    fn another_publisher<M: Message>(
        &mut self,
        topic: &str,
    ) -> Result<Publisher<M>, PublisherError> {
        if self.is_ending() {
            return Err(ShuttingDown.into());
        }
        self.publishers += 1;
        let name = format!("{}+{}", self.name(), self.publishers);
        Ok(self.waits.shared.topics.outside_publisher(topic, &name)?)
    }
}

#[inline]
fn try_emit<M: Message>(
    publisher: &mut Publisher<M>,
    message: M,
    is_refused: bool,
) -> Result<(), EmitError<M>> {
    if is_refused {
        return Err(EmitError::new(publisher.topic().clone(), message, Refusal::ShuttingDown));
    }
    publisher.try_emit(message)
}
