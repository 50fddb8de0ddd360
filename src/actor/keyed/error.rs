//! The error of telling a message to a keyed actor.

use std::fmt;

use mycelium_core::Code;

use crate::actor::values::SpawnActorError;

/// Why a message was not told to the actor of a key. The error gives the message back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyedTellError<M> {
    /// The mailbox of the actor is full.
    Full(M),
    /// The key has no living actor, and none could be spawned.
    NotSpawned {
        /// The message.
        message: M,
        /// The reason.
        error: SpawnActorError,
    },
}

impl<M> KeyedTellError<M> {
    /// Returns the message.
    pub fn into_message(self) -> M {
        match self {
            KeyedTellError::Full(message) | KeyedTellError::NotSpawned { message, .. } => message,
        }
    }

    /// Returns the code with which the text of the error ends.
    pub fn code(&self) -> Code {
        match self {
            KeyedTellError::Full(_) => Code::ACTOR_FULL,
            KeyedTellError::NotSpawned { error, .. } => error.code(),
        }
    }
}

impl<M> fmt::Display for KeyedTellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyedTellError::Full(_) => {
                let code = self.code();
                write!(f, "the message was not told: the mailbox of the actor is full [{code}]")
            }
            KeyedTellError::NotSpawned { error, .. } => {
                write!(f, "the message was not told: {error}")
            }
        }
    }
}

/// Formats as `Display` does: `main` and `unwrap` print this.
impl<M> fmt::Debug for KeyedTellError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<M> std::error::Error for KeyedTellError<M> {}
