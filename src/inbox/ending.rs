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

    /// Ends it once the service has received everything that was sent until now.
    pub(crate) fn finish_after_sent(&self) {
        match self {
            Ending::Subscription(finisher) => finisher.finish_after_sent(),
            Ending::Mailbox(mailbox) => mailbox.close(),
        }
    }

    /// Ends it once it is empty.
    pub(crate) fn finish_when_empty(&self) {
        match self {
            Ending::Subscription(finisher) => finisher.finish_when_empty(),
            Ending::Mailbox(mailbox) => mailbox.close(),
        }
    }

    /// Ends it now. A mailbox closes as above: its requests never come from another node.
    pub(crate) fn finish_now(&self) {
        match self {
            Ending::Subscription(finisher) => finisher.finish_now(),
            Ending::Mailbox(mailbox) => mailbox.close(),
        }
    }
}
