//! The methods of the builder that add fast handlers.

use mycelium_core::Message;

use super::Builder;
#[cfg(doc)]
use crate::Node;
use crate::error::Result;

impl Builder {
    /// Adds a fast handler: a function that runs with each message of a topic that this node
    /// publishes, in the poll of its publisher, before any reader can see the message. It runs once
    /// for each message, after the message has got a slot in the ring. If it returns an error or
    /// panics, the message is not sent: the emit returns it with [`Refusal::FastHandler`], and the
    /// next message gets its slot and its sequence.
    ///
    /// Handlers of a topic run in the order in which they were added; after the first error the
    /// remaining ones do not run. They run for services, their child tasks and [publishers
    /// outside](Node::publisher), each on its own thread: so a handler must not wait, and its
    /// shared state needs a lock or atomics. The [watchdog](Builder::watchdog) reports a handler
    /// that runs too long. No handler runs for a message from another node.
    ///
    /// ```
    /// use mycelium::emit::Refusal;
    /// use mycelium::{Context, Error, Node, Result, message, service};
    ///
    /// #[message(topic = "orders", id = 1)]
    /// struct Order {
    ///     size: u64,
    /// }
    ///
    /// struct Trader;
    ///
    /// #[service(emits(Order))]
    /// impl Trader {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         ctx.emit(Order { size: 100 }).await?;
    ///         match ctx.emit(Order { size: 101 }).await {
    ///             Err(error) if matches!(error.refusal, Refusal::FastHandler { .. }) => {
    ///                 ctx.warn("too large", error.message.size);
    ///                 Ok(())
    ///             }
    ///             result => Ok(result?),
    ///         }
    ///     }
    /// }
    ///
    /// let node = Node::builder("main")
    ///     .service(|| Trader)
    ///     .fast_handler("limit", |order: &Order| match order.size {
    ///         0..=100 => Ok(()),
    ///         size => Err(Error::msg(format!("{size} exceeds 100"))),
    ///     })
    ///     .build()?;
    /// # Ok::<(), mycelium::error::BuildError>(())
    /// ```
    ///
    /// [`Refusal::FastHandler`]: crate::emit::Refusal::FastHandler
    #[must_use]
    pub fn fast_handler<M: Message>(
        self,
        name: &str,
        handler: impl Fn(&M) -> Result<()> + Send + Sync + 'static,
    ) -> Builder {
        self.fast_handler_of(M::TOPIC, name, handler)
    }

    /// Adds a handler as [`fast_handler`](Builder::fast_handler) does, for the topic `topic`, to
    /// which ports are bound.
    #[must_use]
    pub fn fast_handler_of<M: Message>(
        mut self,
        topic: &str,
        name: &str,
        handler: impl Fn(&M) -> Result<()> + Send + Sync + 'static,
    ) -> Builder {
        self.fast_handlers.add(topic, name, handler);
        self
    }
}
