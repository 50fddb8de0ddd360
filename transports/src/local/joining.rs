//! Subscriptions that join a publisher in another process that retains values.
//!
//! Such a subscription has a place in the publisher's ring at once, but it does not read there yet:
//! the subscription *holds* its edge back. The link fetches the values from the publisher's process,
//! and [releases](Joiner::release) the edge behind another one with the values. The publisher's
//! process reads its slots after the subscription has joined, as for one of its own.

use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;

use super::retained::Values;
use super::ring::roster::Numbered;
use super::state::{Edge, PublisherState, SubscriberState};
use super::topic::Topic;
use crate::sync::lock;

/// The subscriptions that wait for the values of a publisher in another process.
#[derive(Debug, Default)]
pub(crate) struct Joiners {
    waiting: Mutex<Waiting>,
    /// What earlier subscriptions have had of the publisher.
    known: Option<Known>,
}

#[derive(Debug, Default)]
struct Waiting {
    joiners: Vec<Joiner>,
    /// The link's task.
    waker: Option<Waker>,
    /// The link fetches no values any more.
    has_ended: bool,
}

/// An earlier stream of the same publisher, which was lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The sequence after its last message.
    pub(crate) next: u64,
    /// Subscriptions with lower numbers have had its messages.
    pub(crate) number: u64,
}

/// A subscription that waits.
#[derive(Debug)]
pub(crate) struct Joiner {
    subscriber: Arc<SubscriberState>,
    /// The publisher of the edge that is held back.
    publisher: Weak<PublisherState>,
    /// The subscription has had the messages before this sequence.
    from: u64,
    /// The sequence of its first message in the ring.
    pub(crate) before: u64,
}

impl Joiners {
    pub(crate) fn new(known: Option<Known>) -> Joiners {
        Joiners { waiting: Mutex::default(), known }
    }

    /// Holds the edge of a subscription back. Once the link has ended, the subscription gets it at
    /// once.
    pub(crate) fn add(&self, subscriber: &Arc<SubscriberState>, edge: Edge) {
        let mut waiting = lock(&self.waiting);
        if waiting.has_ended || !subscriber.gets_retained() {
            drop(waiting);
            return subscriber.send_edge(edge);
        }
        let known = self.known.filter(|known| subscriber.number() < known.number);
        waiting.joiners.push(Joiner {
            subscriber: subscriber.clone(),
            publisher: Arc::downgrade(&edge.publisher),
            from: known.map_or(0, |known| known.next),
            before: edge.joined_at(),
        });
        subscriber.hold(edge);
        let waker = waiting.waker.take();
        drop(waiting);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Registers a waker for subscriptions that join.
    pub(crate) fn park(&self, waker: &Waker) {
        lock(&self.waiting).waker = Some(waker.clone());
    }

    /// Takes the subscriptions that wait.
    pub(crate) fn take(&self) -> Vec<Joiner> {
        std::mem::take(&mut lock(&self.waiting).joiners)
    }

    /// Whether no subscription waits.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.waiting).joiners.is_empty()
    }

    /// Adds subscriptions again that were taken, because the connection was lost.
    pub(crate) fn put_back(&self, joiners: Vec<Joiner>) {
        lock(&self.waiting).joiners.extend(joiners);
    }

    /// Ends the waiting, also that of later subscriptions: they get no values.
    pub(crate) fn end(&self, topic: &Topic) {
        let mut waiting = lock(&self.waiting);
        (waiting.has_ended, waiting.waker) = (true, None);
        let joiners = std::mem::take(&mut waiting.joiners);
        drop(waiting);
        joiners.into_iter().for_each(|joiner| joiner.release(topic, &Values::default()));
    }
}

impl Joiner {
    /// Gives the subscription its edge, behind another one with those of the values that it has not
    /// had. If memory cannot hold them, it gets none of them.
    pub(crate) fn release(self, topic: &Topic, values: &Values) {
        let is_new = |sequence: u64| (self.from..self.before).contains(&sequence);
        let values: Vec<_> = values.0.iter().filter(|value| is_new(value.sequence)).collect();
        let subscriber = &self.subscriber;
        subscriber.release(&self.publisher, |edge| {
            edge.begin_after(&values, subscriber, topic.schema()).ok().flatten()
        });
    }
}
