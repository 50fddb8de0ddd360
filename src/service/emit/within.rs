//! An emit with a deadline: [`EmitWithin`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mycelium_core::Message;
use mycelium_transports::local::{EmitError, Refusal};

use super::emitter::{Emit, Emitter, Given, Progress};

/// The future of [`Emit::within`]. If it is dropped before it is ready, the message was not sent.
#[must_use = "a message is sent only when this is awaited: `ctx.emit(message).within(time).await?`"]
pub struct EmitWithin<'c, M: Message, Held: Given<M> = M> {
    emit: Emit<'c, M, Held>,
    duration: Duration,
    /// When the wait ends; `None` until a poll has to wait.
    ends_at: Option<Duration>,
}

impl<'c, M: Message, Held: Given<M>> Emit<'c, M, Held> {
    /// Limits the wait of the emit to `duration`. A duration of zero does not wait; unlike
    /// [`try_emit`](crate::Context::try_emit), the emit then finds all available room.
    ///
    /// The time begins with the first poll. If the future is dropped before it is ready, the
    /// message was not sent.
    ///
    /// # Errors
    /// [`EmitError`] with the message: [`Refusal::Deadline`] if there was no room in time, or a
    /// refusal of [`emit`](crate::Context::emit).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use mycelium::emit::Refusal;
    /// use mycelium::{Context, Result, message, service};
    ///
    /// #[message(topic = "frames", id = 1)]
    /// struct Frame {
    ///     number: u64,
    /// }
    ///
    /// struct Camera;
    ///
    /// #[service(emits(Frame))]
    /// impl Camera {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         for number in 0.. {
    ///             match ctx.emit(Frame { number }).within(Duration::from_millis(5)).await {
    ///                 Ok(()) => {}
    ///                 Err(error) if matches!(error.refusal, Refusal::Deadline { .. }) => {
    ///                     ctx.warn("a frame was dropped", error.message.number);
    ///                 }
    ///                 Err(error) => return Err(error.into()),
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn within(self, duration: Duration) -> EmitWithin<'c, M, Held> {
        EmitWithin { emit: self, duration, ends_at: None }
    }
}

/// Nothing in the future is pinned.
impl<M: Message, Held: Given<M>> Unpin for EmitWithin<'_, M, Held> {}

impl<M: Message, Held: Given<M>> Future for EmitWithin<'_, M, Held> {
    type Output = Result<(), EmitError<Held::Returned>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let poll = match this.emit.emitter.poll_sent(context, this.emit.message.borrow()) {
            Poll::Pending => {
                let emitter = &mut this.emit.emitter;
                emitter.poll_deadline(context, this.duration, &mut this.ends_at).map(Err)
            }
            poll => poll,
        };
        match poll {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(refusal)) => Poll::Ready(Err(this.emit.refused(refusal))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<M: Message> Emitter<'_, M> {
    /// Returns the refusal of a wait that was pending now, once it has lasted for `duration`.
    /// `ends_at`: `None` until the wait has begun.
    #[cold]
    #[inline(never)]
    pub(super) fn poll_deadline(
        &mut self,
        context: &mut Context<'_>,
        duration: Duration,
        ends_at: &mut Option<Duration>,
    ) -> Poll<Refusal> {
        let now = || self.waits.executor.now();
        let end = *ends_at.get_or_insert_with(|| now().saturating_add(duration));
        // If the task only had to yield, the emit has not yet tried to send the message.
        let has_tried = self.progress == Progress::Waiting;
        if !has_tried || self.waits.poll_deadline(context, end).is_pending() {
            return Poll::Pending;
        }
        let by = self.publisher.blocked_by();
        let by = by.unwrap_or_else(|| "a reader that joins or leaves right now".into());
        Poll::Ready(Refusal::Deadline { by, within: duration })
    }
}

impl<M: Message, Held: Given<M>> fmt::Debug for EmitWithin<'_, M, Held> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (emit, within) = (&self.emit, &self.duration);
        f.debug_struct("EmitWithin").field("emit", emit).field("within", within).finish()
    }
}
