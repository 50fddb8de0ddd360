//! What happens when a subscription is slower than a publisher.

use std::fmt;
use std::num::NonZeroU32;

use super::key::LatestByKey;

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
    /// The subscription has a ring of its own. If that ring is full, new messages are dropped. The
    /// reader learns the exact number of messages that it missed.
    DropNewest,
    /// The publisher overwrites the oldest messages. The reader learns the exact number of
    /// messages that it missed.
    DropOldest,
    /// Each receive skips to the newest message. The reader learns how many were skipped.
    Latest,
    /// Keeps the newest message of each key, for a limited number of keys. The reader learns how
    /// many messages were replaced by newer ones.
    LatestByKey(LatestByKey),
    /// The reader gets one message in this many: those whose sequence is a multiple of this number.
    /// The others are counted as sampled out. If the reader is too slow even for these, the
    /// publisher overwrites the oldest messages, as for [`DropOldest`](Policy::DropOldest).
    Sample(NonZeroU32),
}

// Each `match` in this file names all policies, so a new policy does not compile until each
// question is answered for it.
impl Policy {
    /// Returns one policy of each [name](Policy::name), the strictest first.
    ///
    /// ```
    /// use mycelium_transports::local::Policy;
    ///
    /// let names: Vec<_> = Policy::all().map(Policy::name).collect();
    /// assert_eq!(names, ["block", "reject", "drop-newest", "drop-oldest", "latest", "sample"]);
    /// ```
    pub fn all() -> impl Iterator<Item = Policy> {
        std::iter::successors(Some(Policy::Block), |policy| match policy {
            Policy::Block => Some(Policy::Reject),
            Policy::Reject => Some(Policy::DropNewest),
            Policy::DropNewest => Some(Policy::DropOldest),
            Policy::DropOldest => Some(Policy::Latest),
            Policy::Latest | Policy::LatestByKey(_) => Some(Policy::Sample(HALF)),
            Policy::Sample(_) => None,
        })
    }

    /// Returns the policy's name in a topology file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::Block => "block",
            Policy::Reject => "reject",
            Policy::DropNewest => "drop-newest",
            Policy::DropOldest => "drop-oldest",
            Policy::Latest | Policy::LatestByKey(_) => "latest",
            Policy::Sample(_) => "sample",
        }
    }

    /// Whether publishers keep their messages until such a reader has taken them.
    #[must_use]
    pub fn is_gating(self) -> bool {
        match self {
            Policy::Block | Policy::Reject => true,
            Policy::DropNewest
            | Policy::DropOldest
            | Policy::Latest
            | Policy::LatestByKey(_)
            | Policy::Sample(_) => false,
        }
    }

    /// Whether a ring keeps the messages of such a reader until it has taken them: the publisher's
    /// ring, or one of its own. Such a reader has an entry in the publisher's ring.
    #[must_use]
    #[inline]
    pub fn keeps(self) -> bool {
        match self {
            Policy::Block | Policy::Reject | Policy::DropNewest => true,
            Policy::DropOldest | Policy::Latest | Policy::LatestByKey(_) | Policy::Sample(_) => {
                false
            }
        }
    }

    /// Whether `emit` fails at once when such a reader's ring is full.
    pub(crate) fn rejects(self) -> bool {
        match self {
            Policy::Reject => true,
            Policy::Block
            | Policy::DropNewest
            | Policy::DropOldest
            | Policy::Latest
            | Policy::LatestByKey(_)
            | Policy::Sample(_) => false,
        }
    }

    /// Whether such a reader skips to the newest message at each receive.
    #[inline]
    pub(crate) fn skips(self) -> bool {
        match self {
            Policy::Latest => true,
            Policy::Block
            | Policy::Reject
            | Policy::DropNewest
            | Policy::DropOldest
            | Policy::LatestByKey(_)
            | Policy::Sample(_) => false,
        }
    }

    /// Returns the key by which such a reader gets the newest messages, if it has one.
    pub(crate) fn by_key(self) -> Option<LatestByKey> {
        match self {
            Policy::LatestByKey(by_key) => Some(by_key),
            Policy::Block
            | Policy::Reject
            | Policy::DropNewest
            | Policy::DropOldest
            | Policy::Latest
            | Policy::Sample(_) => None,
        }
    }

    /// Returns the number `n` if such a reader gets one message in `n`, and not all.
    #[inline]
    pub(crate) fn every(self) -> Option<NonZeroU32> {
        match self {
            Policy::Sample(every) => Some(every),
            Policy::Block
            | Policy::Reject
            | Policy::DropNewest
            | Policy::DropOldest
            | Policy::Latest
            | Policy::LatestByKey(_) => None,
        }
    }

    /// Whether such a reader does not read all messages of a ring in their order.
    #[inline]
    pub(crate) fn selects(self) -> bool {
        match self {
            Policy::Latest | Policy::LatestByKey(_) | Policy::Sample(_) => true,
            Policy::Block | Policy::Reject | Policy::DropNewest | Policy::DropOldest => false,
        }
    }
}

/// One message in two.
const HALF: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// Written as in a topology file, with the settings of the policy.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::LatestByKey(by_key) => write!(f, "latest of {} keys", by_key.keys()),
            Policy::Sample(every) => write!(f, "sample(1/{every})"),
            Policy::Block
            | Policy::Reject
            | Policy::DropNewest
            | Policy::DropOldest
            | Policy::Latest => f.write_str(self.name()),
        }
    }
}
