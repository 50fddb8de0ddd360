//! The fast handlers of a topic: how they are added, and how its publishers get them.

use std::error::Error;
use std::sync::Arc;

use mycelium_core::message::Message;
use mycelium_core::ring::broadcast::Producer;

use super::Topic;
use super::fast_handler::{FastHandler, Handled, HandlerWatch};
use crate::local::ring::shared::Ring;
use crate::local::values::{Schema, TopicError};
use crate::sync::lock;

impl Topic {
    /// Adds a fast handler: a function that publishers of this process that join from now on call
    /// with each message, in the call or poll that publishes it. The handler runs once, when the
    /// message has a slot, before any reader can see it. Handlers run in the order in which they
    /// were added.
    ///
    /// If one returns an error or panics, those after it do not run, the message is not sent, and
    /// the publisher returns it with [`Refusal::FastHandler`](crate::local::Refusal::FastHandler).
    /// The next message gets its slot and its sequence. A handler that publishes to this topic
    /// itself, directly or through handlers of other topics, is refused
    /// ([`HandlerFailure::Reentered`](crate::local::HandlerFailure::Reentered)).
    ///
    /// Messages of publishers in other processes were published there: no handler runs here.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::counters::Region;
    /// # use mycelium_transports::local::{Policy, Schema, Topic, TopicError};
    /// # #[message(topic = "orders", id = 1)]
    /// # struct Order {
    /// #     size: u64,
    /// # }
    /// let topic = Topic::new("orders", Schema::of::<Order>(), 4, Region::new(16))?;
    /// topic.add_fast_handler("limit", |order: &Order| match order.size {
    ///     0..=100 => Ok(()),
    ///     size => Err(format!("{size} exceeds 100").into()),
    /// })?;
    /// let mut publisher = topic.publisher::<Order>("writer", 1)?;
    /// publisher.try_emit(Order { size: 100 }).expect("it is within the limit");
    /// let error = publisher.try_emit(Order { size: 101 }).unwrap_err();
    /// assert_eq!(error.message.size, 101);
    /// assert_eq!(
    ///     error.to_string(),
    ///     "fast handler `limit` of topic `orders` refused the message: 101 exceeds 100 [M0224]"
    /// );
    /// assert_eq!(publisher.sent(), 1);
    /// # Ok::<(), TopicError>(())
    /// ```
    ///
    /// # Errors
    /// If the topic carries another message type.
    pub fn add_fast_handler<M: Message>(
        &self,
        name: &str,
        handler: impl Fn(&M) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Result<(), TopicError> {
        self.check_schema(Schema::of::<M>())?;
        lock(&self.fast_handlers).push(FastHandler::new(name, handler));
        Ok(())
    }

    /// Whether the topic has a fast handler.
    #[must_use]
    pub fn has_fast_handlers(&self) -> bool {
        !lock(&self.fast_handlers).is_empty()
    }

    /// Sets the watch that sees the topic's fast handlers while they run. Only the first one
    /// counts.
    pub fn watch_fast_handlers(&self, watch: Arc<dyn HandlerWatch>) {
        let _ = self.handler_watch.set(watch);
    }

    /// Returns the fast handlers of a new publisher of this process, with its end of the ring;
    /// `None` if the topic has none.
    pub(in crate::local) fn handled(
        &self,
        producer: &mut Option<Producer<Ring>>,
    ) -> Option<Box<Handled>> {
        Handled::new(lock(&self.fast_handlers).clone(), &self.handler_watch, producer)
    }
}
