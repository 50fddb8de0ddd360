//! How the node ends what comes to a service, at a shutdown.

use std::sync::Arc;

use mycelium_transports::local::Finisher;

use crate::inbox::request::AnyMailbox;

/// The handle by which the node ends a subscription or a mailbox.
pub(crate) enum Ending {
    Subscription(Finisher),
    Mailbox(Arc<dyn AnyMailbox>),
}

impl Ending {
    /// Whether it can end before those that send to it: what they send afterwards is refused, or
    /// was allowed to be lost.
    pub(crate) fn can_end_first(&self) -> bool {
        match self {
            Ending::Subscription(finisher) => !finisher.policy().is_gating(),
            Ending::Mailbox(_) => true,
        }
    }

    /// It ends when the service has what was sent until now.
    pub(crate) fn finish_after_sent(&self) {
        match self {
            Ending::Subscription(finisher) => finisher.finish_after_sent(),
            Ending::Mailbox(mailbox) => mailbox.close(),
        }
    }

    /// It ends when it is empty.
    pub(crate) fn finish_when_empty(&self) {
        match self {
            Ending::Subscription(finisher) => finisher.finish_when_empty(),
            Ending::Mailbox(mailbox) => mailbox.close(),
        }
    }

    /// It ends now. A mailbox never comes from another node.
    pub(crate) fn finish_now(&self) {
        match self {
            Ending::Subscription(finisher) => finisher.finish_now(),
            Ending::Mailbox(mailbox) => mailbox.close(),
        }
    }
}
