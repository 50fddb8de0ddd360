//! The reading end of a topic.

mod look;

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::doorbell::announce;
use mycelium_core::message::{Message, Words};
use mycelium_core::ring::broadcast::Look;
use mycelium_core::wait::{Patience, Wait};

use super::delivery::{Delivery, TryRecv, Undelivered};
use super::state::{Edge, LastCall, SubscriberState};
use super::task_budget::{DeferredWakes, TaskBudget, UntaskedBudget};
use super::{Policy, Topic};
use crate::counters::EdgeValue;
use crate::sync::Ordering;
use look::Seen;

/// So often a message whose handling failed is delivered: once, and once again.
const DELIVERIES: u32 = 2;

/// Receives the messages of one topic from all its publishers. Dropping it unsubscribes.
///
/// A message from a gating subscription is *in hand* from its delivery to the next receive or [`done`]; only then does
/// the publisher get its slot back.
///
/// [`done`]: Subscription::done
pub struct Subscription<M: Message> {
    topic: Arc<Topic>,
    subscriber: Arc<SubscriberState>,
    edges: Vec<Edge>,
    /// The version of the subscriber's incoming edges that were taken in.
    edges_version: usize,
    /// The edge whose turn it is, and for how many messages it has been.
    turn: usize,
    burst: u32,
    in_flight: Option<InFlight>,
    /// An observer's message that was copied out together with a gap, and comes after it. Without it, a reader that is
    /// always slower would be told of gaps only.
    after_gap: Option<AfterGap<M>>,
    /// What comes next, between two lines of one receive.
    seen: Option<Delivery<M>>,
    budget: Option<Arc<TaskBudget>>,
    untasked: UntaskedBudget,
    patience: Patience,
    /// The places of all edges when the present wait began.
    waits_at: usize,
    message: PhantomData<M>,
}

/// The message that the reader works at.
#[derive(Clone, Copy)]
struct InFlight {
    edge: usize,
    /// How often its handling failed.
    failures: u32,
    /// It is to be delivered again.
    again: bool,
}

/// A message that waits behind a gap.
struct AfterGap<M> {
    edge: usize,
    message: M,
    sequence: u64,
}

impl<M: Message> Subscription<M> {
    pub(super) fn new(topic: Arc<Topic>, subscriber: Arc<SubscriberState>) -> Self {
        Subscription {
            topic,
            subscriber,
            edges: Vec::new(),
            edges_version: 0,
            turn: 0,
            burst: 0,
            in_flight: None,
            after_gap: None,
            seen: None,
            budget: None,
            untasked: UntaskedBudget::default(),
            patience: Patience::default(),
            waits_at: 0,
            message: PhantomData,
        }
    }

    /// How `recv` waits from now on; at first it is [`Wait::Park`].
    pub fn set_wait_strategy(&mut self, wait: Wait) {
        self.patience = Patience::new(wait);
    }

    /// From now on this subscription's work counts in a task's budget, whose poller flushes it with the returned
    /// flusher.
    pub fn attach(&mut self, budget: &Arc<TaskBudget>) -> DeferredWakes {
        self.budget = Some(budget.clone());
        DeferredWakes::of_subscription(self.subscriber.clone())
    }

    /// The next message or gap; `None` once every publisher has ended and all that they sent was received.
    ///
    /// Cancelling loses nothing: a message is taken only when this returns it.
    pub async fn recv(&mut self) -> Option<Delivery<M>> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// As [`recv`](Subscription::recv), for hand-written futures.
    // As `next_as_usual`.
    #[inline(always)]
    pub fn poll_recv(&mut self, context: &Context<'_>) -> Poll<Option<Delivery<M>>> {
        let is_exhausted = match &self.budget {
            Some(budget) => budget.is_exhausted(context),
            None => self.untasked.is_exhausted(context),
        };
        if is_exhausted {
            return Poll::Pending;
        }
        self.settle();
        if let Some(received) = self.next_as_usual() {
            return Poll::Ready(Some(Delivery::Msg(received)));
        }
        match self.look_or_park(context) {
            Seen::Something => Poll::Ready(self.seen.take()),
            Seen::Nothing => Poll::Pending,
            Seen::End => Poll::Ready(None),
        }
    }

    /// As [`recv`](Subscription::recv), but never waits.
    #[inline(always)]
    pub fn try_recv(&mut self) -> TryRecv<M> {
        self.settle();
        if let Some(received) = self.next_as_usual() {
            return TryRecv::Delivery(Delivery::Msg(received));
        }
        match self.look() {
            Seen::Something => self.seen.take().map_or(TryRecv::Empty, TryRecv::Delivery),
            Seen::Nothing => TryRecv::Empty,
            Seen::End => TryRecv::Closed,
        }
    }

    /// The message in hand is done with, before the next receive.
    pub fn done(&mut self) {
        self.settle();
    }

    /// The reader failed. A message in hand is delivered once more at the next receive; if it failed before, it is
    /// given up and returned.
    pub fn fail(&mut self) -> Option<Undelivered> {
        // One that waits for its second delivery was in nobody's hand.
        let mut in_flight = self.in_flight.filter(|in_flight| !in_flight.again)?;
        in_flight.failures += 1;
        in_flight.again = in_flight.failures < DELIVERIES;
        self.in_flight = Some(in_flight);
        if in_flight.again {
            return None;
        }
        let edge = &mut self.edges[in_flight.edge];
        let mut words = M::Words::ZERO;
        let Look::Message { sequence, length } = edge.consumer.look(words.as_mut()) else {
            return None;
        };
        let bytes = words.as_ref().iter().flat_map(|word| word.to_ne_bytes());
        let undelivered = Undelivered {
            topic: edge.publisher.topic.clone(),
            reader: self.subscriber.name.clone(),
            type_id: M::ID,
            publisher: edge.publisher.name.clone(),
            epoch: edge.publisher.epoch,
            sequence: edge.sequence(sequence),
            payload: bytes.take(length).collect(),
        };
        self.pass(in_flight.edge, EdgeValue::DeadLettered);
        Some(undelivered)
    }

    /// How many messages wait for this reader, the one in hand included.
    #[must_use]
    pub fn depth(&self) -> usize {
        let incoming = self.subscriber.incoming.lock();
        let edges = self.edges.iter().chain(incoming.iter());
        let in_rings: usize = edges.map(|edge| edge.consumer.depth()).sum();
        in_rings + usize::from(self.after_gap.is_some())
    }

    /// What happens when it is slower than a publisher.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.subscriber.policy
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// A handle that can end this subscription once it is empty.
    #[must_use]
    pub fn finisher(&self) -> Finisher {
        Finisher(self.subscriber.clone())
    }
}

impl<M: Message> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.topic.remove_subscriber(&self.subscriber);
        self.add_edges();
        // What it leaves behind is counted, too; the publishers count what comes after as unheard, or for others.
        if let Some(AfterGap { edge, .. }) = self.after_gap.take() {
            self.edges[edge].line.add(EdgeValue::Left, 1);
        }
        let in_flight =
            self.in_flight.take().map(|in_flight| self.edges[in_flight.edge].publisher.clone());
        while !self.edges.is_empty() {
            let edge = &self.edges[0];
            let depth = edge.consumer.depth();
            edge.line.add(EdgeValue::Left, depth as u64);
            let in_flight = in_flight.as_ref().is_some_and(|it| Arc::ptr_eq(it, &edge.publisher));
            self.remove_edge(0, in_flight);
        }
        // A publisher may know the subscriber a little longer.
        self.subscriber.bell.forget();
    }
}

impl<M: Message> fmt::Debug for Subscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic.name())
            .field("name", &self.subscriber.name)
            .field("policy", &self.subscriber.policy)
            .finish_non_exhaustive()
    }
}

/// Ends a subscription from outside.
#[derive(Clone, Debug)]
pub struct Finisher(Arc<SubscriberState>);

impl Finisher {
    /// From now on the subscription is closed, whatever waits for it: a message in hand is its last.
    pub fn finish_now(&self) {
        self.0.last_call.store(LastCall::Now as u8, Ordering::Release);
        // Whoever looks only at what comes next looks further then.
        self.0.incoming.change(|_| ());
        announce();
        self.0.bell.ring();
    }

    /// From now on the subscription is closed whenever it is empty, though publishers are left.
    pub fn finish_when_empty(&self) {
        self.0.last_call.fetch_max(LastCall::WhenEmpty as u8, Ordering::Release);
        announce();
        self.0.bell.ring();
    }
}
