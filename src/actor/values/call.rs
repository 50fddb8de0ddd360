//! Why a call of an actor's method has no reply.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::Code;

use crate::error::ShuttingDown;
use crate::inbox::request::{Call, Failure, Taken, Unanswered};

/// Why a call of an actor's method has no reply. [`taken`](CallError::taken) says whether the actor
/// may have acted. The parameters of a call that is not taken are dropped.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
// For the same reason as `RequestError`.
#[repr(usize)]
pub enum CallError {
    /// The actor has ended. Not taken.
    Gone {
        /// The type and the method of the actor: `Bank.open`.
        call: &'static str,
        /// The actor: its name, or its type and number.
        actor: Arc<str>,
    },
    /// The mailbox was full, and is configured to reject calls then. Not taken.
    Refused {
        /// The type and the method of the actor.
        call: &'static str,
        /// The actor.
        actor: Arc<str>,
    },
    /// There was no reply in time.
    Deadline {
        /// The type and the method of the actor.
        call: &'static str,
        /// The actor.
        actor: Arc<str>,
        /// Whether the actor had taken the call.
        taken: Taken,
        /// How long the caller waited.
        within: Duration,
    },
    /// The method panicked or failed, or the actor was ended while it ran.
    HandlerFailed {
        /// The type and the method of the actor.
        call: &'static str,
        /// The actor.
        actor: Arc<str>,
    },
    /// The actors shut down. Not taken.
    ShuttingDown {
        /// The type and the method of the actor.
        call: &'static str,
        /// The actor.
        actor: Arc<str>,
    },
}

impl CallError {
    /// Returns whether the actor may have acted on the call.
    #[must_use]
    pub fn taken(&self) -> Taken {
        match self {
            CallError::Gone { .. } | CallError::Refused { .. } | CallError::ShuttingDown { .. } => {
                Taken::No
            }
            CallError::Deadline { taken, .. } => *taken,
            CallError::HandlerFailed { .. } => Taken::Yes,
        }
    }

    /// Returns the actor that was called: its name, or its type and number.
    #[must_use]
    pub fn actor(&self) -> &str {
        let (CallError::Gone { actor, .. }
        | CallError::Refused { actor, .. }
        | CallError::Deadline { actor, .. }
        | CallError::HandlerFailed { actor, .. }
        | CallError::ShuttingDown { actor, .. }) = self;
        actor
    }

    /// Returns the type and the method of the actor: `Bank.open`.
    #[must_use]
    pub fn call(&self) -> &'static str {
        let (CallError::Gone { call, .. }
        | CallError::Refused { call, .. }
        | CallError::Deadline { call, .. }
        | CallError::HandlerFailed { call, .. }
        | CallError::ShuttingDown { call, .. }) = self;
        call
    }

    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            CallError::Gone { .. } => Code::REQUEST_GONE,
            CallError::Refused { .. } => Code::REQUEST_REFUSED,
            CallError::Deadline { .. } => Code::REQUEST_DEADLINE,
            CallError::HandlerFailed { .. } => Code::REQUEST_FAILED,
            CallError::ShuttingDown { .. } => Code::SHUTTING_DOWN,
        }
    }
}

impl<C: Call> Unanswered<C> for CallError {
    fn new(failure: Failure, _: &C, within: Duration, actor: Option<Arc<str>>) -> CallError {
        let (call, actor) = (C::NAME, actor.unwrap_or_default());
        match failure {
            Failure::Dropped => CallError::HandlerFailed { call, actor },
            Failure::Gone => CallError::Gone { call, actor },
            Failure::Refused => CallError::Refused { call, actor },
            Failure::Late => CallError::Deadline { call, actor, taken: Taken::No, within },
            Failure::LateHeld => CallError::Deadline { call, actor, taken: Taken::Yes, within },
            Failure::ShuttingDown => CallError::ShuttingDown { call, actor },
            Failure::LateSent
            | Failure::Lost
            | Failure::Away
            | Failure::NotFound
            | Failure::Differs
            | Failure::DiffersSent
            | Failure::TooLong
            | Failure::ReplyTooLong => unreachable!("a call stays in its process"),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call `{}` of actor `{}` has no reply: ", self.call(), self.actor())?;
        match self {
            CallError::Gone { .. } => f.write_str("the actor has ended"),
            CallError::Refused { .. } => f.write_str("its mailbox is full"),
            CallError::Deadline { taken: Taken::No, within, .. } => {
                write!(f, "the actor has not taken it within {within:?}")
            }
            CallError::Deadline { within, .. } => {
                write!(f, "the actor has taken it, and has not replied within {within:?}")
            }
            CallError::HandlerFailed { .. } => f.write_str("the actor has taken it, and failed"),
            CallError::ShuttingDown { .. } => write!(f, "{ShuttingDown}"),
        }?;
        write!(f, " [{}]", self.code())
    }
}

/// Formats as `Display` does: `main` and `unwrap` print this.
impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        matches!(self, CallError::ShuttingDown { .. }).then_some(&ShuttingDown as _)
    }
}
