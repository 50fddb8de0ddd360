//! The future of a message whose last list is written in place: [`Reserve`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mycelium_core::message::Tail;
use mycelium_transports::local::{EmitError, Publisher, Refusal, Reservation};

use super::emitter::{Emitter, Progress};

/// The future of [`Context::reserve`](crate::Context::reserve). If it is dropped, nothing was
/// reserved.
#[must_use = "room is reserved only when this is awaited: `ctx.reserve(message, len).await?`"]
pub struct Reserve<'c, M: Tail> {
    /// `None` once the future was ready.
    wait: Option<(Emitter<'c, M>, M)>,
    len: usize,
    /// The limit of the wait.
    within: Option<Duration>,
    /// When the wait ends; `None` until a poll has to wait.
    ends_at: Option<Duration>,
}

impl<'c, M: Tail> Emitter<'c, M> {
    /// Reserves room for a message whose last list is written in place, as
    /// [`Context::reserve`](crate::Context::reserve) does.
    ///
    /// # Errors
    /// Same as [`Context::reserve`](crate::Context::reserve).
    pub fn reserve(self, mut message: M, len: usize) -> Reserve<'c, M> {
        message.clear();
        Reserve { wait: Some((self, message)), len, within: None, ends_at: None }
    }
}

impl<'c, M: Tail> Reserve<'c, M> {
    /// Limits the wait for room, as [`Emit::within`](crate::emit::Emit::within) does.
    pub fn within(self, duration: Duration) -> Reserve<'c, M> {
        Reserve { within: Some(duration), ..self }
    }

    /// Waits for room, or for the end of the service or of the time. Reserves nothing.
    #[cold]
    #[inline(never)]
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let Some((emitter, message)) = &mut self.wait else { return Poll::Pending };
        let len = self.len;
        let poll = |publisher: &mut Publisher<M>, context: &mut Context<'_>| {
            publisher.poll_room(context, message, len)
        };
        match emitter.poll_room(context, "reserve", poll) {
            Poll::Pending => {
                let Some(within) = self.within else { return Poll::Pending };
                emitter.poll_deadline(context, within, &mut self.ends_at).map(Err)
            }
            poll => poll,
        }
    }

    fn take(&mut self) -> (Emitter<'c, M>, M) {
        self.wait.take().expect("polled after it was ready")
    }
}

/// Nothing in the future is pinned.
impl<M: Tail> Unpin for Reserve<'_, M> {}

impl<'c, M: Tail> Future for Reserve<'c, M> {
    type Output = Result<Reservation<'c, M>, EmitError<M>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some((emitter, message)) = &mut this.wait else { return Poll::Pending };
        // The frequent case moves no refusal: such a move would wait until all earlier stores have
        // left the core, and the message before has many.
        let has_room = emitter.progress == Progress::New
            && ready!(emitter.publisher.poll_has_room(context, message, this.len));
        if !has_room && let Err(refusal) = ready!(this.poll_room(context)) {
            let (emitter, message) = this.take();
            let topic = emitter.publisher.topic().clone();
            return Poll::Ready(Err(EmitError::new(topic, message, refusal)));
        }
        let (emitter, message) = this.take();
        Poll::Ready(emitter.publisher.try_reserve(message, this.len))
    }
}

impl<M: Tail> fmt::Debug for Reserve<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = self.wait.as_ref().map(|(emitter, _)| emitter.publisher.topic());
        f.debug_struct("Reserve").field("topic", &topic).field("len", &self.len).finish()
    }
}
