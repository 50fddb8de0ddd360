//! The port through which a service emits: [`Emitter`]; and the future of a single emit, [`Emit`].

use std::borrow::Borrow;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use mycelium_core::Message;
use mycelium_transports::local::{EmitError, KeyValue, Publisher, Refusal};

use super::Waits;
use crate::error::{PublisherError, ShuttingDown};

/// A named port of a service for emits: [`Context::on`](crate::Context::on). The methods with the
/// same names of [`Context`](crate::Context) emit on the topic of the message's type.
#[must_use = "nothing is sent by a port alone: `ctx.on(Self::out).emit(message).await?`"]
pub struct Emitter<'c, M: Message> {
    pub(crate) publisher: &'c mut Publisher<M>,
    pub(crate) waits: &'c mut Waits,
    /// `Refused` if every emit is refused, because the service should end.
    pub(super) progress: Progress,
}

impl<'c, M: Message> Emitter<'c, M> {
    #[inline]
    pub(crate) fn new(
        publisher: &'c mut Publisher<M>,
        waits: &'c mut Waits,
        is_refused: bool,
    ) -> Emitter<'c, M> {
        let progress = if is_refused { Progress::Refused } else { Progress::New };
        Emitter { publisher, waits, progress }
    }

    /// Publishes a message, as [`Context::emit`](crate::Context::emit) does.
    ///
    /// # Errors
    /// Same as [`Context::emit`](crate::Context::emit).
    #[inline]
    pub fn emit(self, message: M) -> Emit<'c, M> {
        Emit { emitter: self, message }
    }

    /// Publishes a message that the caller keeps, as
    /// [`Context::emit_ref`](crate::Context::emit_ref) does.
    ///
    /// # Errors
    /// Same as [`Context::emit_ref`](crate::Context::emit_ref).
    #[inline]
    pub fn emit_ref(self, message: &'c M) -> EmitRef<'c, M> {
        Emit { emitter: self, message }
    }

    /// Publishes a message, but never waits, as [`Context::try_emit`](crate::Context::try_emit).
    ///
    /// # Errors
    /// Same as [`Context::try_emit`](crate::Context::try_emit).
    #[inline]
    pub fn try_emit(self, message: M) -> Result<(), EmitError<M>> {
        if self.progress == Progress::Refused {
            return self.refused(&message);
        }
        self.publisher.try_emit(message)
    }

    #[cold]
    #[inline(never)]
    fn refused(self, message: &M) -> Result<(), EmitError<M>> {
        Err(EmitError::new(self.publisher.topic().clone(), message.clone(), Refusal::ShuttingDown))
    }

    /// Forgets the message of a key that the port retains, as
    /// [`Context::forget`](crate::Context::forget) does.
    pub fn forget<'k>(self, key: impl Into<KeyValue<'k>>) -> bool {
        self.publisher.forget(key)
    }

    /// Creates another publisher of the port, as [`Context::publisher`](crate::Context::publisher)
    /// does.
    ///
    /// # Errors
    /// Same as [`Context::publisher`](crate::Context::publisher).
    pub fn publisher(self) -> Result<Publisher<M>, PublisherError> {
        if self.progress == Progress::Refused {
            return Err(ShuttingDown.into());
        }
        self.waits.another_publisher(self.publisher.topic())
    }
}

impl<M: Message> fmt::Debug for Emitter<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Emitter").field(self.publisher.topic()).finish()
    }
}

/// The future of [`Context::emit`](crate::Context::emit). If it is dropped before it is ready, the
/// message was not sent. It has the message, or a reference to it ([`EmitRef`]).
#[must_use = "a message is sent only when this is awaited: `ctx.emit(message).await?`"]
pub struct Emit<'c, M: Message, Held: Given<M> = M> {
    pub(super) emitter: Emitter<'c, M>,
    pub(super) message: Held,
}

/// The future of [`Context::emit_ref`](crate::Context::emit_ref). If it is dropped before it is
/// ready, the message was not sent.
pub type EmitRef<'c, M> = Emit<'c, M, &'c M>;

/// What an emit is given: a message, which its error has, or a reference, which the caller keeps.
pub trait Given<M>: Borrow<M> {
    /// What the error of the emit has.
    type Returned;

    /// Returns what the error of the emit has.
    #[doc(hidden)]
    fn returned(&self) -> Self::Returned;
}

impl<M: Message> Given<M> for M {
    type Returned = M;

    fn returned(&self) -> M {
        self.clone()
    }
}

impl<M: Message> Given<M> for &M {
    type Returned = ();

    fn returned(&self) {}
}

/// The progress of an emit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Progress {
    New,
    Waiting,
    /// The emit is refused, because the service should end.
    Refused,
}

impl<M: Message> Emitter<'_, M> {
    /// Polls the emit of a message; the error does not contain the message. Only the outermost
    /// frame creates the error with the message, so that the message is moved once.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn poll_sent(
        &mut self,
        context: &mut Context<'_>,
        message: &M,
    ) -> Poll<Result<(), Refusal>> {
        if self.progress == Progress::New {
            match self.publisher.poll_try_emit(context, message) {
                Poll::Ready(true) => return Poll::Ready(Ok(())),
                Poll::Ready(false) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        self.poll_slow(context, message)
    }

    #[cold]
    #[inline(never)]
    fn poll_slow(&mut self, context: &mut Context<'_>, message: &M) -> Poll<Result<(), Refusal>> {
        self.poll_room(context, "emit", |publisher, context| {
            publisher.poll_emit_ref(context, message)
        })
    }

    /// Polls what needs room in the publisher's ring, unless the service should end. Reports a long
    /// wait of `call`.
    pub(super) fn poll_room(
        &mut self,
        context: &mut Context<'_>,
        call: &str,
        poll: impl FnOnce(&mut Publisher<M>, &mut Context<'_>) -> Poll<Result<(), Refusal>>,
    ) -> Poll<Result<(), Refusal>> {
        let Emitter { publisher, waits, progress } = self;
        match progress {
            Progress::Refused if waits.yields() => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Progress::Refused => return Poll::Ready(Err(Refusal::ShuttingDown)),
            Progress::New => {
                *progress = Progress::Waiting;
                waits.begin();
            }
            Progress::Waiting => {}
        }
        let poll = poll(publisher, context);
        if poll.is_pending() {
            if waits.poll_shutdown(context).is_ready() {
                return Poll::Ready(Err(Refusal::ShuttingDown));
            }
            waits.watch_room(context, call, publisher.topic(), || publisher.blocked_by());
        }
        poll
    }
}

impl<M: Message, Held: Given<M>> Emit<'_, M, Held> {
    #[cold]
    #[inline(never)]
    pub(super) fn refused(&self, refusal: Refusal) -> EmitError<Held::Returned> {
        let topic = self.emitter.publisher.topic().clone();
        EmitError::new(topic, self.message.returned(), refusal)
    }
}

/// Nothing in the future is pinned.
impl<M: Message, Held: Given<M>> Unpin for Emit<'_, M, Held> {}

impl<M: Message, Held: Given<M>> Future for Emit<'_, M, Held> {
    type Output = Result<(), EmitError<Held::Returned>>;

    // Always inlined, so that the result of a message that was sent is no copy of a large error.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.emitter.poll_sent(context, this.message.borrow()) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(refusal)) => Poll::Ready(Err(this.refused(refusal))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<M: Message, Held: Given<M>> fmt::Debug for Emit<'_, M, Held> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Emitter { publisher, progress, .. } = &self.emitter;
        f.debug_struct("Emit")
            .field("topic", publisher.topic())
            .field("progress", progress)
            .finish()
    }
}
