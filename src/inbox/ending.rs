//! How the node ends the subscriptions and mailboxes of its services at a shutdown.

use std::sync::Arc;

use mycelium_transports::local::Finisher;

use crate::inbox::request::AnyMailbox;

/// The handle by which the node ends a subscription or a mailbox.
pub(crate) enum Ending {
    Subscription(Finisher),
    Mailbox(Arc<dyn AnyMailbox>),
}

impl Ending {
    /// Returns whether the node can end this before its senders: a mailbox refuses later requests,
    /// and a subscription that may lose messages can lose later ones.
    pub(crate) fn can_end_first(&self) -> bool {
        match self {
            Ending::Subscription(finisher) => !finisher.policy().is_gating(),
            Ending::Mailbox(_) => true,
        }
    }

    /// Ends a subscription by `how`. A mailbox always closes: its requests never come from another
    /// node.
    pub(crate) fn finish(&self, how: fn(&Finisher)) {
        match self {
            Ending::Subscription(finisher) => how(finisher),
            Ending::Mailbox(mailbox) => mailbox.close(),
        }
    }
}
