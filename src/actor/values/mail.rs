//! The messages and requests in a mailbox, the rule for a full mailbox, and the messages that are
//! left when an actor has ended.

use std::any::Any;
use std::fmt;

use mycelium_core::Request;
use mycelium_transports::local::TraceCell;

use crate::inbox::request::{Asked, Queued};

/// A message or a request in the mailbox of an actor.
pub trait Mail: Send + 'static {
    /// Returns the content, for dead mail and traces.
    #[doc(hidden)]
    fn content(&self) -> MailContent<'_>;
}

/// The content of an item of a mailbox.
pub enum MailContent<'a> {
    /// A message, with the name of its type.
    Message(&'static str, &'a dyn Any),
    /// The topic and the trace of a request.
    Request(&'static str, Option<&'a TraceCell>),
}

/// What happens to a message when the mailbox of its actor is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// [`tell`](crate::actor::ActorRef::tell) and [`ask`](crate::actor::ActorRef::ask) wait for
    /// room.
    #[default]
    Wait,
    /// `tell` fails with [`TellError::Full`](crate::actor::TellError::Full), and `ask` with
    /// `RequestError::Refused`.
    Refuse,
    /// `tell` drops the message, counts it, and returns `Ok`. A request is refused.
    DropNewest,
}

/// A request in a mailbox. If it is dropped there, its requester gets an error.
pub struct Ask<Q: Request>(Queued<Q>);

impl<Q: Request> Ask<Q> {
    pub(crate) fn new(queued: Queued<Q>) -> Ask<Q> {
        Ask(queued)
    }

    /// Returns the content, for [`Mail::content`].
    #[doc(hidden)]
    #[must_use]
    pub fn content(&self) -> MailContent<'_> {
        MailContent::Request(Q::TOPIC, self.0.trace())
    }

    /// Takes the request if its requester is still waiting.
    #[doc(hidden)]
    pub fn accept(self, number: usize) -> Option<Asked<Q>> {
        self.0.accept(number)
    }
}

impl<Q: Request> fmt::Debug for Ask<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ask").field(&Q::TOPIC).finish()
    }
}

/// A told message that was not handled, because its actor ended first.
#[derive(Clone, Copy)]
pub struct DeadMail<'a> {
    pub(crate) actor: &'a str,
    pub(crate) message_type: &'static str,
    pub(crate) message: &'a dyn Any,
}

impl DeadMail<'_> {
    /// Returns the label of the actor: see [`ActorRef::label`](crate::actor::ActorRef::label).
    #[must_use]
    pub fn actor(&self) -> &str {
        self.actor
    }

    /// Returns the name of the message's type.
    #[must_use]
    pub fn message_type(&self) -> &'static str {
        self.message_type
    }

    /// Returns the message if it is an `M`.
    #[must_use]
    pub fn message<M: 'static>(&self) -> Option<&M> {
        self.message.downcast_ref()
    }
}

impl fmt::Debug for DeadMail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeadMail { actor, message_type, .. } = self;
        f.debug_struct("DeadMail").field("actor", actor).field("message", message_type).finish()
    }
}
