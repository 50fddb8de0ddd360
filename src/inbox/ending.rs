//! How the node ends, at a shutdown, the subscriptions and mailboxes of its services.

use std::sync::Arc;

use mycelium_transports::local::Finisher;

use crate::inbox::request::AnyMailbox;

/// The handle by which the node ends a subscription or a mailbox.
pub(crate) enum Ending {
    Subscription(Finisher),
    Mailbox(Arc<dyn AnyMailbox>),
}

impl Ending {
    /// Whether the subscription or mailbox can end before its senders: a request that is sent
    /// afterwards is refused, and a message was allowed to be lost.
    pub(crate) fn can_end_first(&self) -> bool {
        match self {
            Ending::Subscription(finisher) => !finisher.policy().is_gating(),
            Ending::Mailbox(_) => true,
        }
    }

    /// Ends a subscription in this way. A mailbox closes, whatever the way: its requests never come
    /// from another node.
    pub(crate) fn finish(&self, how: fn(&Finisher)) {
        match self {
            Ending::Subscription(finisher) => how(finisher),
            Ending::Mailbox(mailbox) => mailbox.close(),
        }
    }
}
