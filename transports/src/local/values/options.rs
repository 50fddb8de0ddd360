//! How a subscription reads: its policy, and where it starts.

use super::policy::Policy;

/// How a subscription reads. A [`Policy`] alone is enough:
///
/// ```
/// use mycelium_transports::local::{Policy, Start, SubscribeOptions};
///
/// let next: SubscribeOptions = Policy::DropOldest.into();
/// assert_eq!(next.start, Start::Next);
/// let oldest = SubscribeOptions::new(Policy::DropOldest, Start::OldestRetained);
/// assert_eq!(oldest.policy, next.policy);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// What happens when the subscription is slower than a publisher.
    pub policy: Policy,
    /// Where it begins with publishers that exist already.
    pub start: Start,
}

impl SubscribeOptions {
    /// Creates options with this policy and this start.
    #[must_use]
    pub const fn new(policy: Policy, start: Start) -> SubscribeOptions {
        SubscribeOptions { policy, start }
    }
}

impl From<Policy> for SubscribeOptions {
    fn from(policy: Policy) -> SubscribeOptions {
        SubscribeOptions::new(policy, Start::default())
    }
}

/// Where a subscription begins with publishers that exist already. From later publishers it gets
/// all messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// The first message whose emit began after the subscription was made.
    #[default]
    Next,
    /// The oldest message that is still in the publisher's ring. Until the publisher next checks
    /// for room, at the latest after one more lap of its ring, it may overwrite messages before a
    /// `block` or `reject` subscription has taken them: the reader gets a gap then.
    OldestRetained,
}

impl Start {
    /// Returns both starts.
    pub fn all() -> impl Iterator<Item = Start> {
        std::iter::successors(Some(Start::Next), |start| match start {
            Start::Next => Some(Start::OldestRetained),
            Start::OldestRetained => None,
        })
    }

    /// Returns the name of this start in a topology file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Start::Next => "next",
            Start::OldestRetained => "oldest-retained",
        }
    }
}
