//! Requests and replies: one service requests, another one answers.
//!
//! A request waits in the *mailbox* of its topic (`mailbox`), a bounded queue. The services that
//! answer the topic take it from there (`responder`). Request and reply share a *slot* (`slot`),
//! which belongs to the requester (`requester`) and is reused, so that requests allocate nothing
//! once the node is warm. If the topic is answered in another node, two services of `remote` carry
//! the request there. Slots and futures carry each [`Call`] (`call`): requests, and calls of the
//! methods of actors. The *line* of a requester or service is its line of counters.

mod call;
mod error;
mod mailbox;
mod requester;
mod responder;
mod slot;
mod state;
mod traces;

pub use call::Call;
pub(crate) use call::Failure;
#[cfg(feature = "actors")]
pub(crate) use call::{Unanswered, is_too_long};
pub use error::{Mismatch, RequestError, Taken};
pub(crate) use mailbox::{AnyMailbox, Mailbox, Mailboxes, Queued};
pub use requester::{PendingReply, Requester};
pub(crate) use requester::{Progress, Role, Sent, closed};
pub use responder::{Answering, Asked, Requests};
pub(crate) use slot::Origin;
pub use slot::SlotPool;
pub(crate) use state::{MailboxState, Responders};
