//! The inputs of a service: messages by `subscription`, requests by the mailboxes of `request`, and
//! messages that a function gets before they are published (`fast_handler`). `ending` ends
//! subscriptions and mailboxes at a shutdown. This module depends on the plan, but not on running
//! services.

pub(crate) mod ending;
pub(crate) mod fast_handler;
pub(crate) mod request;
mod subscription;

pub(crate) use subscription::{AnyInbox, Takes};
pub use subscription::{Inbox, Subscription};
