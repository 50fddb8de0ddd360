//! Requests and replies: one service requests, another one answers.
//!
//! A request waits in the *mailbox* of its topic (`mailbox`), a bounded queue. The services that
//! answer the topic take it from there (`responder`). Request and reply share a *slot* (`slot`),
//! which belongs to the requester (`requester`) and is reused, so that requests allocate nothing
//! once the node is warm. If the topic is answered in another node, two services of `remote` carry
//! the request there. The *line* of a requester or service is its line of counters.

mod error;
mod mailbox;
mod requester;
mod responder;
mod slot;
mod state;
mod traces;

pub use error::{Mismatch, RequestError, Taken};
pub(crate) use mailbox::{AnyMailbox, Mailbox, Mailboxes, Queued};
#[cfg(feature = "actors")]
pub(crate) use requester::is_too_long;
pub use requester::{PendingReply, Requester};
pub(crate) use requester::{Progress, Role, Sent, closed};
pub use responder::{Answering, Asked, Requests};
pub use slot::SlotPool;
pub(crate) use slot::{Failure, Origin};
pub(crate) use state::{MailboxState, Responders};
