//! The reading end of a topic for readers in another process: one [`TapStream`] of bytes for
//! each publisher.

mod stream;

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use super::control::BusyGuard;
use crate::local::topic::Topic;
use crate::local::topic::membership::Membership;
use crate::local::values::{Policy, SubscribeOptions, TopicError};

pub use stream::{TapItem, TapStream};

/// Stands for the subscriptions of another process: it reads the messages of one topic as bytes,
/// one [stream](TapStream) for each publisher, and keeps them until they are confirmed. While it
/// exists, it blocks publishers as those subscriptions would. It does not read publishers of other
/// processes: what a feed publishes is not sent again.
///
/// The owner keeps a `T` with each stream.
pub struct Tap<T = ()> {
    streams: Vec<TapStream<T>>,
    membership: Membership,
    /// Makes the node wait for the tap; `None` for a tap that no [`Ends`](super::Ends) made.
    busy: Option<BusyGuard>,
}

impl Topic {
    /// Creates a tap for the reader `name` of another process. It starts as
    /// [`subscribe`](Topic::subscribe) does, with the next message or the oldest retained one. It
    /// reads the publishers' own rings, so every policy that does not hold publishers up becomes
    /// [`DropOldest`](Policy::DropOldest) here.
    ///
    /// # Errors
    /// If the topic has too many gating subscriptions.
    pub fn tap<T>(
        self: &Arc<Topic>,
        name: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Tap<T>, TopicError> {
        let mut options = options.into();
        if !options.policy.is_gating() {
            options.policy = Policy::DropOldest;
        }
        let membership = Membership::join(self, name, options, true)?;
        Ok(Tap { streams: Vec::new(), membership, busy: None })
    }
}

impl<T> Tap<T> {
    /// Makes the node wait for the tap, and learn which messages are confirmed and which are left.
    pub(super) fn known_to(mut self, node: BusyGuard) -> Self {
        if self.policy().is_gating() {
            node.control().add_tap(self.membership.topic.name(), &self.membership.state);
        }
        self.busy = Some(node);
        self
    }

    /// Returns one stream for each start of a publisher that may send, or has sent messages that
    /// are not confirmed. New streams since the last call are at the end.
    pub fn streams(&mut self) -> &mut Vec<TapStream<T>>
    where
        T: Default,
    {
        if self.membership.has_new_edges() {
            let edges = self.membership.new_edges().into_iter();
            let (membership, busy) = (&self.membership, &self.busy);
            let new = |edge| TapStream::new(edge, membership, busy.clone(), T::default());
            self.streams.extend(edges.map(new));
        }
        &mut self.streams
    }

    /// Returns the streams of the last call to [`streams`](Tap::streams).
    pub fn known_streams(&self) -> &[TapStream<T>] {
        &self.streams
    }

    /// Whether every publisher has ended and all of their messages are confirmed.
    pub fn is_over(&mut self) -> bool
    where
        T: Default,
    {
        self.streams().is_empty() && self.membership.had_edges()
    }

    /// Parks a waker until there is more to read. Read once more after this.
    pub fn park(&self, waker: &Waker) {
        self.membership.state.bell.park(waker);
    }

    /// Returns what happens when the reader is slower than a publisher.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.membership.state.policy
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.membership.topic
    }

    /// Returns the number of messages that are not confirmed and that the rings still have.
    pub fn held(&mut self) -> usize
    where
        T: Default,
    {
        self.streams().iter().map(TapStream::held).sum()
    }

    /// Returns the number of messages that are not confirmed.
    pub fn depth(&mut self) -> usize
    where
        T: Default,
    {
        self.streams().iter().map(TapStream::depth).sum()
    }
}

impl<T> Drop for Tap<T> {
    fn drop(&mut self) {
        let Membership { topic, state, .. } = &self.membership;
        topic.remove_subscriber(state);
        // Edges that were never read leave like the others.
        for edge in self.membership.new_edges() {
            drop(TapStream::new(edge, &self.membership, self.busy.clone(), ()));
        }
    }
}

impl<T> fmt::Debug for Tap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("topic", &self.topic().name())
            .field("reader", &self.membership.state.name)
            .field("policy", &self.policy())
            .finish_non_exhaustive()
    }
}
