//! The messages and requests in a mailbox, the rule for a full mailbox, and the messages that are
//! left when an actor has ended.

use std::any::Any;
use std::fmt;

use mycelium_transports::local::TraceCell;

use crate::inbox::request::{Asked, Call, Queued};

/// A message or a request in the mailbox of an actor.
pub trait Mail: Send + 'static {
    /// Returns the content, for traces and counters.
    #[doc(hidden)]
    fn content(&self) -> MailContent<'_>;

    /// Ends an item that no handler gets. Returns the name and the content of dead mail: a message,
    /// or the parameters of a call for whose reply nobody waits.
    #[doc(hidden)]
    fn bury(&mut self) -> Option<(&'static str, &dyn Any)>;
}

/// The content of an item of a mailbox.
pub enum MailContent<'a> {
    /// A message, with the name of its type.
    Message(&'static str, &'a dyn Any),
    /// A request or a call.
    Request {
        /// The topic of the request, or the name of the call.
        name: &'static str,
        /// Its trace.
        trace: Option<&'a TraceCell>,
    },
}

/// What happens to a message when the mailbox of its actor is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// [`tell`](crate::actor::ActorRef::tell), calls and [`ask`](crate::actor::ActorRef::ask) wait
    /// for room; a call or a request is refused if the queue has one sender.
    #[default]
    Wait,
    /// `tell` fails with [`TellError::Full`](crate::actor::TellError::Full), a call with
    /// [`CallError::Refused`](crate::actor::CallError::Refused), and `ask` with
    /// `RequestError::Refused`.
    Refuse,
    /// `tell` and the `tell` of a call drop it, count it, and return `Ok`. Other calls and requests
    /// are refused.
    DropNewest,
}

/// A request or a call in a mailbox, with the parameters of a call. If it is dropped there, its
/// requester gets an error.
pub struct Ask<C: Call> {
    queued: Queued<C>,
    args: C::Args,
}

impl<C: Call> Ask<C> {
    pub(crate) fn new(queued: Queued<C>, args: C::Args) -> Ask<C> {
        Ask { queued, args }
    }

    /// Returns the content, for [`Mail::content`].
    #[doc(hidden)]
    #[must_use]
    pub fn content(&self) -> MailContent<'_> {
        MailContent::Request { name: C::NAME, trace: self.queued.trace() }
    }

    /// Ends the request, for [`Mail::bury`]. Returns the parameters of a call for whose reply
    /// nobody waits.
    #[doc(hidden)]
    pub fn bury(&mut self) -> Option<(&'static str, &dyn Any)> {
        self.queued.bury().then_some((C::NAME, &self.args as &dyn Any))
    }

    /// Takes the request if its requester is still waiting, or does not wait for the reply.
    #[doc(hidden)]
    #[inline]
    pub fn accept(self, number: usize) -> Option<(Asked<C>, C::Args)> {
        Some((self.queued.accept(number)?, self.args))
    }
}

impl<C: Call> fmt::Debug for Ask<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ask").field(&C::NAME).finish()
    }
}

/// A told message or call that was not handled, because its actor ended first.
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

    /// Returns the name of the message's type, or of the call.
    #[must_use]
    pub fn message_type(&self) -> &'static str {
        self.message_type
    }

    /// Returns the message if it is an `M`. That of a call is the tuple of its parameters.
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
