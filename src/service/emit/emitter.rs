//! A port by which a service emits: [`Emitter`].

use std::fmt;

use mycelium_core::Message;
use mycelium_transports::local::{EmitError, Publisher, Refusal};

use super::batch::EmitBatch;
use super::{Emit, Waits};
use crate::error::{PublisherError, ShuttingDown};

/// A named port of a service, to emit by it: [`Context::on`](crate::Context::on). The methods of
/// the [`Context`](crate::Context) with these names emit on the topic of the message's type.
#[must_use = "nothing is sent by a port alone: `ctx.on(Self::out).emit(message).await?`"]
pub struct Emitter<'c, M: Message> {
    pub(crate) publisher: &'c mut Publisher<M>,
    pub(crate) waits: &'c mut Waits,
    /// Whether each emit is refused, because the service should end.
    is_refused: bool,
}

impl<'c, M: Message> Emitter<'c, M> {
    #[inline]
    pub(crate) fn new(
        publisher: &'c mut Publisher<M>,
        waits: &'c mut Waits,
        is_refused: bool,
    ) -> Emitter<'c, M> {
        Emitter { publisher, waits, is_refused }
    }

    /// Publishes a message, as [`Context::emit`](crate::Context::emit) does.
    ///
    /// # Errors
    /// As [`Context::emit`](crate::Context::emit).
    #[inline]
    pub fn emit(self, message: M) -> Emit<'c, M> {
        Emit::new(self.publisher, self.waits, message, self.is_refused)
    }

    /// Publishes messages in their order, as [`Context::emit_batch`](crate::Context::emit_batch)
    /// does.
    ///
    /// # Errors
    /// As [`Context::emit_batch`](crate::Context::emit_batch).
    #[inline]
    pub fn emit_batch(self, messages: &'c [M]) -> EmitBatch<'c, M> {
        EmitBatch::new(self.publisher, self.waits, messages, self.is_refused)
    }

    /// Publishes a message, but never waits, as [`Context::try_emit`](crate::Context::try_emit).
    ///
    /// # Errors
    /// As [`Context::try_emit`](crate::Context::try_emit).
    #[inline]
    pub fn try_emit(self, message: M) -> Result<(), EmitError<M>> {
        if self.is_refused {
            return self.refused(&message);
        }
        self.publisher.try_emit(message)
    }

    #[cold]
    #[inline(never)]
    fn refused(self, message: &M) -> Result<(), EmitError<M>> {
        Err(EmitError::new(self.publisher.topic().clone(), *message, Refusal::ShuttingDown))
    }

    /// Makes another publisher of the port, as [`Context::publisher`](crate::Context::publisher)
    /// does.
    ///
    /// # Errors
    /// As [`Context::publisher`](crate::Context::publisher).
    pub fn publisher(self) -> Result<Publisher<M>, PublisherError> {
        if self.is_refused {
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
