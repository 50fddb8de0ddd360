//! What happens when a subscription is slower than a publisher.

/// What happens when a subscription is slower than a publisher. The order of the policies is the
/// order of their demands on publishers, the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Policy {
    /// Backpressure: `emit` waits. No message is lost.
    #[default]
    Block,
    /// Backpressure: `emit` fails at once and returns the message. No accepted message is lost.
    Reject,
    /// The publisher overwrites the oldest messages. The reader learns the exact number of
    /// messages that it missed.
    DropOldest,
    /// Each receive skips to the newest message. The reader learns how many were skipped.
    Latest,
}

// Each match of this file names all policies, so a new one does not compile until each is answered.
impl Policy {
    /// All policies, the strictest first.
    ///
    /// ```
    /// use mycelium_transports::local::Policy;
    ///
    /// let names: Vec<_> = Policy::all().map(Policy::name).collect();
    /// assert_eq!(names, ["block", "reject", "drop-oldest", "latest"]);
    /// ```
    pub fn all() -> impl Iterator<Item = Policy> {
        std::iter::successors(Some(Policy::Block), |policy| match policy {
            Policy::Block => Some(Policy::Reject),
            Policy::Reject => Some(Policy::DropOldest),
            Policy::DropOldest => Some(Policy::Latest),
            Policy::Latest => None,
        })
    }

    /// Its name in a topology file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::Block => "block",
            Policy::Reject => "reject",
            Policy::DropOldest => "drop-oldest",
            Policy::Latest => "latest",
        }
    }

    /// Whether publishers keep their messages until such a reader has taken them.
    #[must_use]
    pub fn is_gating(self) -> bool {
        match self {
            Policy::Block | Policy::Reject => true,
            Policy::DropOldest | Policy::Latest => false,
        }
    }

    /// Whether `emit` fails at once when such a reader's ring is full.
    pub(crate) fn rejects(self) -> bool {
        match self {
            Policy::Reject => true,
            Policy::Block | Policy::DropOldest | Policy::Latest => false,
        }
    }

    /// Whether such a reader skips to the newest message at each receive.
    #[inline]
    pub(crate) fn skips(self) -> bool {
        match self {
            Policy::Latest => true,
            Policy::Block | Policy::Reject | Policy::DropOldest => false,
        }
    }
}
