//! The port through which a service emits: [`Emitter`].

use std::fmt;

use mycelium_core::Message;
use mycelium_transports::local::{EmitError, Publisher, Refusal};

use super::{Emit, EmitRef, Progress, Waits};
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
        EmitRef { emitter: self, message }
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
