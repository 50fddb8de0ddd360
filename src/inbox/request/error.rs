//! Why a request has no reply.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::{Code, Message, Request, to_bytes};

use super::call::{Call, Failure, Unanswered, is_too_long};
use crate::error::ShuttingDown;

/// Whether a service had taken a request that got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// No service has taken the request, and none will.
    No,
    /// A service took the request, and may have acted on it.
    Yes,
    /// The request was sent to another node, which may or may not have taken it.
    Unknown,
}

/// Why another node cannot answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The actor does not answer requests of this topic: it has another type.
    Request,
    /// The other node has another layout of the request, or of the reply.
    Layout,
    /// The actor's mailbox allows only one sender.
    OneSender,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mismatch::Request => {
                "the actor does not offer this request to other processes: its method needs \
                 `#[remote]`"
            }
            Mismatch::Layout => "the node that answers has another layout of it, or of its reply",
            Mismatch::OneSender => "the mailbox of the actor has one sender, in its own node",
        })
    }
}

/// Why a request has no reply. [`taken`](RequestError::taken) says whether a service may have acted
/// on the request. For a request to an actor, [`actor`](RequestError::actor) names the actor.
///
/// ```
/// use mycelium::requests::{RequestError, Taken};
/// use mycelium::{Context, Result, message, service};
///
/// #[message(topic = "orders", id = 1, reply = Receipt)]
/// struct Order {
///     id: u64,
/// }
///
/// #[message(topic = "receipts", id = 2)]
/// struct Receipt {
///     id: u64,
/// }
///
/// struct Desk;
///
/// #[service(requests(Order))]
/// impl Desk {
///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
///         match ctx.request(Order { id: 7 }).await {
///             Ok(receipt) => ctx.info("done", receipt.id),
///             // Safe to try again.
///             Err(error) if error.taken() == Taken::No => ctx.warn("not done", error),
///             Err(RequestError::HandlerFailed { .. }) => ctx.error("perhaps done", ()),
///             Err(error) => return Err(error.into()),
///         }
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
// The tag takes a whole word: the bytes beside a smaller one are copied with each reply, by loads
// that wait for two stores. The layout is not part of the interface.
#[repr(usize)]
pub enum RequestError<Q: Request> {
    /// No service answers this topic, or the services that answered it have ended, or the actor has
    /// ended. Not taken.
    Gone {
        /// The actor that the request was sent to; `None` for a service.
        actor: Option<Arc<str>>,
    },
    /// No actor of the other node has the name, and none had it recently. Not taken.
    NotFound {
        /// The actor that the request was sent to.
        actor: Option<Arc<str>>,
    },
    /// The mailbox was full, and is configured to reject requests then. Not taken.
    Refused {
        /// The request.
        request: Q,
        /// The actor that the request was sent to; `None` for a service.
        actor: Option<Arc<str>>,
    },
    /// There was no reply in time.
    Deadline {
        /// Whether a service had taken the request.
        taken: Taken,
        /// How long the requester waited.
        within: Duration,
        /// The actor that the request was sent to; `None` for a service.
        actor: Option<Arc<str>>,
    },
    /// The service that took the request panicked, failed, ended, or dropped it without a reply.
    HandlerFailed {
        /// The actor that the request was sent to; `None` for a service.
        actor: Option<Arc<str>>,
    },
    /// The answering node was not connected at the deadline; or the request was sent, has no
    /// deadline, and the connection has been lost for a second; or another process of the node has
    /// connected since the request was sent.
    Unreachable {
        /// Whether a service had taken the request.
        taken: Taken,
        /// The actor that the request was sent to; `None` for a service.
        actor: Option<Arc<str>>,
    },
    /// The service or the actor of another node cannot answer this request.
    Mismatch {
        /// The reason.
        mismatch: Mismatch,
        /// Whether a service had taken the request: unknown if it was sent before the layouts were
        /// compared.
        taken: Taken,
        /// The actor that the request was sent to; `None` for a service.
        actor: Option<Arc<str>>,
    },
    /// The request or the reply has more bytes than its type allows (`#[message(.., max = "..")]`),
    /// or is a type of serde that cannot be encoded.
    TooLong {
        /// The name of the message's type.
        message: &'static str,
        /// The most bytes.
        most: usize,
        /// Whether a service had taken the request: it has if the reply is too long.
        taken: Taken,
        /// The actor that the request was sent to; `None` for a service.
        actor: Option<Arc<str>>,
    },
    /// The node shuts down: the requesting service should end, or the answering services have
    /// ended. Not taken.
    ShuttingDown,
}

impl<Q: Request> RequestError<Q> {
    fn too_long<M: Message>(taken: Taken, actor: Option<Arc<str>>) -> RequestError<Q> {
        RequestError::TooLong { message: M::DESCRIPTOR.name, most: M::MAX, taken, actor }
    }

    /// Returns whether a service may have acted on the request.
    #[must_use]
    pub fn taken(&self) -> Taken {
        match self {
            RequestError::Gone { .. }
            | RequestError::NotFound { .. }
            | RequestError::Refused { .. }
            | RequestError::ShuttingDown => Taken::No,
            RequestError::Deadline { taken, .. }
            | RequestError::Mismatch { taken, .. }
            | RequestError::Unreachable { taken, .. }
            | RequestError::TooLong { taken, .. } => *taken,
            RequestError::HandlerFailed { .. } => Taken::Yes,
        }
    }

    /// Returns the actor that the request was sent to: its name, or its type and number, or its
    /// address in another node. `None` for a service, and during a shutdown.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        match self {
            RequestError::Gone { actor }
            | RequestError::NotFound { actor }
            | RequestError::Refused { actor, .. }
            | RequestError::Deadline { actor, .. }
            | RequestError::HandlerFailed { actor }
            | RequestError::Unreachable { actor, .. }
            | RequestError::Mismatch { actor, .. }
            | RequestError::TooLong { actor, .. } => actor.as_deref(),
            RequestError::ShuttingDown => None,
        }
    }

    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            RequestError::Gone { .. } => Code::REQUEST_GONE,
            RequestError::NotFound { .. } => Code::REQUEST_NOT_FOUND,
            RequestError::Refused { .. } => Code::REQUEST_REFUSED,
            RequestError::Deadline { .. } => Code::REQUEST_DEADLINE,
            RequestError::HandlerFailed { .. } => Code::REQUEST_FAILED,
            RequestError::Unreachable { .. } => Code::REQUEST_UNREACHABLE,
            RequestError::Mismatch { .. } => Code::REQUEST_MISMATCH,
            RequestError::TooLong { .. } => Code::MESSAGE_TOO_LONG,
            RequestError::ShuttingDown => Code::SHUTTING_DOWN,
        }
    }

    /// Returns the reason that is sent to a requester in another node.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            RequestError::Gone { .. } | RequestError::Mismatch { .. } => Failure::Gone,
            RequestError::NotFound { .. } => Failure::NotFound,
            RequestError::Refused { .. } => Failure::Refused,
            RequestError::Deadline { taken: Taken::No, .. } => Failure::Late,
            RequestError::Deadline { taken: Taken::Yes, .. } => Failure::LateHeld,
            RequestError::Deadline { .. } => Failure::LateSent,
            RequestError::HandlerFailed { .. } => Failure::Dropped,
            RequestError::Unreachable { .. } => Failure::Lost,
            RequestError::TooLong { taken: Taken::No, .. } => Failure::TooLong,
            RequestError::TooLong { .. } => Failure::ReplyTooLong,
            RequestError::ShuttingDown => Failure::ShuttingDown,
        }
    }
}

impl<Q: Request> Unanswered<Q> for RequestError<Q> {
    fn new(
        failure: Failure,
        request: &Q,
        within: Duration,
        actor: Option<Arc<str>>,
    ) -> RequestError<Q> {
        let deadline = |taken, actor| RequestError::Deadline { taken, within, actor };
        let mismatch = Mismatch::Layout;
        let differs = |taken, actor| RequestError::Mismatch { mismatch, taken, actor };
        match failure {
            Failure::Dropped => RequestError::HandlerFailed { actor },
            Failure::Gone => RequestError::Gone { actor },
            Failure::Refused => RequestError::Refused { request: request.clone(), actor },
            Failure::Late => deadline(Taken::No, actor),
            Failure::LateHeld => deadline(Taken::Yes, actor),
            Failure::LateSent => deadline(Taken::Unknown, actor),
            Failure::ShuttingDown => RequestError::ShuttingDown,
            Failure::Lost => RequestError::Unreachable { taken: Taken::Unknown, actor },
            Failure::Away => RequestError::Unreachable { taken: Taken::No, actor },
            Failure::NotFound => RequestError::NotFound { actor },
            Failure::Differs => differs(Taken::No, actor),
            Failure::DiffersSent => differs(Taken::Unknown, actor),
            Failure::TooLong => RequestError::too_long::<Q>(Taken::No, actor),
            Failure::ReplyTooLong => RequestError::too_long::<Q::Reply>(Taken::Yes, actor),
        }
    }
}

impl<Q: Request> Call for Q {
    type Args = ();
    type Reply = <Q as Request>::Reply;
    type Error = RequestError<Q>;
    const NAME: &'static str = Q::TOPIC;

    #[inline]
    fn is_too_long(reply: &Self::Reply) -> bool {
        is_too_long(reply)
    }
}

/// Errors are equal if their texts are equal. Returned requests are compared by their bytes; a
/// request that serde encodes may have other bytes each time.
impl<Q: Request> PartialEq for RequestError<Q> {
    fn eq(&self, other: &RequestError<Q>) -> bool {
        let request = |error: &RequestError<Q>| match error {
            RequestError::Refused { request, .. } => to_bytes(request).ok(),
            _ => None,
        };
        request(self) == request(other)
            && self.taken() == other.taken()
            && self.to_string() == other.to_string()
    }
}

impl<Q: Request> Eq for RequestError<Q> {}

impl<Q: Request> fmt::Display for RequestError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request `{}`", Q::TOPIC)?;
        if let Some(actor) = self.actor() {
            write!(f, " to actor `{actor}`")?;
        }
        f.write_str(" has no reply: ")?;
        match self {
            RequestError::Gone { actor: None } => f.write_str("no service or actor answers it"),
            RequestError::Gone { actor: Some(_) } => f.write_str("the actor has ended"),
            RequestError::NotFound { .. } => f.write_str("no actor has the name"),
            RequestError::Refused { .. } => f.write_str("its mailbox is full"),
            RequestError::Deadline { taken: Taken::No, within, .. } => {
                write!(f, "no service or actor has taken it within {within:?}")
            }
            RequestError::Deadline { taken: Taken::Yes, within, .. } => {
                write!(f, "the service or actor that took it has not replied within {within:?}")
            }
            RequestError::Deadline { taken: Taken::Unknown, within, .. } => {
                write!(f, "the node that answers has not replied within {within:?}")
            }
            RequestError::HandlerFailed { .. } => {
                f.write_str("the service or actor that took it failed, or dropped it")
            }
            RequestError::Unreachable { taken: Taken::No, .. } => {
                f.write_str("the node that answers is not connected")
            }
            RequestError::Unreachable { .. } => {
                f.write_str("the connection with the node that answers was lost")
            }
            RequestError::Mismatch { mismatch, .. } => write!(f, "{mismatch}"),
            RequestError::TooLong { message, most, .. } => {
                write!(f, "`{message}` cannot be encoded in {most} bytes, its limit")
            }
            RequestError::ShuttingDown => write!(f, "{ShuttingDown}"),
        }?;
        write!(f, " [{}]", self.code())
    }
}

/// Formats as `Display` does: `main` and `unwrap` print this.
impl<Q: Request> fmt::Debug for RequestError<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<Q: Request> std::error::Error for RequestError<Q> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        matches!(self, RequestError::ShuttingDown).then_some(&ShuttingDown as _)
    }
}
