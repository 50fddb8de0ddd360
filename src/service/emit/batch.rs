//! The future of an emit of many messages: [`EmitBatch`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use mycelium_core::Message;
use mycelium_transports::local::{BatchError, Publisher, Refusal};

use super::Waits;
use super::emitter::{Emitter, Progress};

/// The future of [`Context::emit_batch`](crate::Context::emit_batch). If it is dropped before it is
/// ready, the messages that were [sent](EmitBatch::sent) stay sent, and the others are not sent.
#[must_use = "messages are sent only when this is awaited: `ctx.emit_batch(&messages).await?`"]
pub struct EmitBatch<'c, M: Message> {
    publisher: &'c mut Publisher<M>,
    waits: &'c mut Waits,
    messages: &'c [M],
    sent: usize,
    progress: Progress,
}

impl<'c, M: Message> Emitter<'c, M> {
    /// Publishes messages in their order, as [`Context::emit_batch`](crate::Context::emit_batch)
    /// does.
    ///
    /// # Errors
    /// Same as [`Context::emit_batch`](crate::Context::emit_batch).
    #[inline]
    pub fn emit_batch(self, messages: &'c [M]) -> EmitBatch<'c, M> {
        let Emitter { publisher, waits, progress } = self;
        EmitBatch { publisher, waits, messages, sent: 0, progress }
    }
}

impl<M: Message> EmitBatch<'_, M> {
    /// Returns how many messages were sent so far, counted from the first one.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent
    }

    #[cold]
    #[inline(never)]
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BatchError>> {
        match self.progress {
            Progress::Refused if self.waits.yields() => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Progress::Refused => return self.refused(),
            Progress::New => {
                self.progress = Progress::Waiting;
                self.waits.begin();
            }
            Progress::Waiting => {}
        }
        if self.waits.poll_shutdown(context).is_ready() {
            return self.refused();
        }
        let EmitBatch { publisher, waits, .. } = self;
        waits.watch_room(context, "emit_batch", publisher.topic(), || publisher.blocked_by());
        Poll::Pending
    }

    fn refused(&self) -> Poll<Result<(), BatchError>> {
        let topic = self.publisher.topic().clone();
        Poll::Ready(Err(BatchError::new(topic, self.sent, Refusal::ShuttingDown)))
    }
}

/// Nothing in the future is pinned.
impl<M: Message> Unpin for EmitBatch<'_, M> {}

impl<M: Message> Future for EmitBatch<'_, M> {
    type Output = Result<(), BatchError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.progress != Progress::Refused {
            let EmitBatch { publisher, messages, sent, .. } = this;
            let before = *sent;
            if let Poll::Ready(result) = publisher.poll_emit_batch(context, messages, sent) {
                return Poll::Ready(result);
            }
            if this.sent != before {
                // Some messages were sent, so the wait for room begins anew.
                this.waits.begin();
            }
        }
        this.wait(context)
    }
}

impl<M: Message> fmt::Debug for EmitBatch<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topic, messages) = (self.publisher.topic(), self.messages.len());
        let mut f = f.debug_struct("EmitBatch");
        f.field("topic", topic).field("messages", &messages).field("sent", &self.sent).finish()
    }
}
