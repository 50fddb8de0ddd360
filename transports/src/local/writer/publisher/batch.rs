//! Many messages at once: one store of the writer's position and one count for all of them.

use std::future::poll_fn;
use std::task::{Context, Poll};

use mycelium_core::message::{Message, to_words};

use super::Publisher;
use crate::local::task_budget::FLUSH_EVERY;
use crate::local::values::{BatchError, Refusal};
use crate::local::writer::NotPushed;

/// How many messages are pushed at once. Readers are woken after each such push.
const AT_ONCE: usize = FLUSH_EVERY as usize;

impl<M: Message> Publisher<M> {
    /// Emits messages in their order; waits while a [`Policy::Block`](crate::local::Policy::Block)
    /// subscription needs the whole ring. It costs less than an emit for each of them.
    ///
    /// Cancelling: dropped before it completes, a prefix of the messages was sent, and the rest was
    /// not; [`poll_emit_batch`](Publisher::poll_emit_batch) says how many. Other messages of this
    /// publisher come before or after all of them.
    ///
    /// # Errors
    /// With the number of messages that were sent, if a
    /// [`Policy::Reject`](crate::local::Policy::Reject) subscription needs the whole ring.
    ///
    /// ```
    /// # use mycelium_core::message;
    /// # use mycelium_transports::counters::Region;
    /// # use mycelium_transports::local::{Policy, Refusal, Schema, Topic, TopicError};
    /// # #[message(topic = "ticks", id = 1)]
    /// # #[derive(Debug, PartialEq)]
    /// # struct Tick {
    /// #     price: u64,
    /// # }
    /// let topic = Topic::new("ticks", Schema::of::<Tick>(), 4, Region::new(16))?;
    /// let mut reader = topic.subscribe::<Tick>("reader", Policy::Block)?;
    /// let mut publisher = topic.publisher::<Tick>("writer", 1)?;
    /// let ticks = [1, 2, 3, 4, 5].map(|price| Tick { price });
    /// let error = publisher.try_emit_batch(&ticks).unwrap_err();
    /// assert_eq!(error.sent, 4);
    /// assert_eq!(error.refusal, Refusal::Full { by: "reader".into() });
    /// # Ok::<(), TopicError>(())
    /// ```
    pub async fn emit_batch(&mut self, messages: &[M]) -> Result<(), BatchError> {
        let mut sent = 0;
        poll_fn(|context| self.poll_emit_batch(context, messages, &mut sent)).await
    }

    /// As [`emit_batch`](Publisher::emit_batch), but never waits.
    ///
    /// # Errors
    /// With the number of messages that were sent, if a gating subscription needs the whole ring.
    #[inline]
    pub fn try_emit_batch(&mut self, messages: &[M]) -> Result<(), BatchError> {
        let mut sent = 0;
        while sent < messages.len() {
            sent += match self.push_some(&messages[sent..]) {
                Some(count) => count,
                None => match self.push_some_handled(&messages[sent..]) {
                    Ok(0) => match self.try_push(&messages[sent]) {
                        Ok(()) => 1,
                        Err(refusal) => return Err(self.batch_error(sent, refusal)),
                    },
                    Ok(count) => count,
                    Err((count, refusal)) => return Err(self.batch_error(sent + count, refusal)),
                },
            };
        }
        Ok(())
    }

    /// As [`emit_batch`](Publisher::emit_batch), for hand-written futures: `sent` is the number of
    /// messages that were sent so far, at first 0.
    ///
    /// # Errors
    /// As [`emit_batch`](Publisher::emit_batch).
    #[inline]
    pub fn poll_emit_batch(
        &mut self,
        context: &Context<'_>,
        messages: &[M],
        sent: &mut usize,
    ) -> Poll<Result<(), BatchError>> {
        while *sent < messages.len() {
            if self.writer.is_exhausted(context) {
                return Poll::Pending;
            }
            *sent += match self.push_some(&messages[*sent..]) {
                Some(count) => count,
                None => match self.push_some_handled(&messages[*sent..]) {
                    // `poll_push` waits for room, or finds room that the readers have not
                    // published.
                    Ok(0) => match self.poll_push(context, &messages[*sent]) {
                        Poll::Ready(Ok(())) => 1,
                        Poll::Ready(Err(why)) => {
                            return Poll::Ready(Err(self.batch_error(*sent, why)));
                        }
                        Poll::Pending => return Poll::Pending,
                    },
                    Ok(count) => count,
                    Err((count, refusal)) => {
                        *sent += count;
                        return Poll::Ready(Err(self.batch_error(*sent, refusal)));
                    }
                },
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the first messages, as many as there is room for, and returns how many: at least one.
    /// `None` if there is no room, or the topic has fast handlers.
    #[inline]
    fn push_some(&mut self, messages: &[M]) -> Option<usize> {
        let messages = &messages[..messages.len().min(AT_ONCE)];
        self.writer.push_all(size_of::<M>(), messages.iter().map(to_words))
    }

    /// As [`push_some`](Self::push_some), for a topic with fast handlers, which run with each
    /// message. Returns 0 if there is no room. Fails with the number of messages before the one
    /// that a handler did not accept.
    #[cold]
    #[inline(never)]
    fn push_some_handled(&mut self, messages: &[M]) -> Result<usize, (usize, Refusal)> {
        if !self.writer.has_fast_handlers() {
            return Ok(0);
        }
        let messages = &messages[..messages.len().min(AT_ONCE)];
        match self.writer.push_all_handled(size_of::<M>(), messages.iter().map(to_words)) {
            (count, None | Some(NotPushed::Full(_))) => Ok(count),
            (count, Some(NotPushed::Refused(refusal))) => Err((count, refusal)),
        }
    }

    #[cold]
    fn batch_error(&self, sent: usize, refusal: Refusal) -> BatchError {
        BatchError::new(self.topic().clone(), sent, refusal)
    }
}
