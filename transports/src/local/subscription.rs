//! The reading end of a topic.

mod look;

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::doorbell::announce;
use mycelium_core::message::{Message, Words};
use mycelium_core::ring::broadcast::Peek;
use mycelium_core::wait::{SpinWait, WaitStrategy};

use super::delivery::{Delivery, TryRecv, Undelivered};
use super::outlet::{Feed, Inlet, LastCall};
use super::pulse::{Alone, Flusher, Pulse};
use super::{Policy, Topic};
use crate::counters::FeedValue;
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
    inlet: Arc<Inlet>,
    feeds: Vec<Feed>,
    /// The version of the inlet's incoming feeds that were taken in.
    taken_in: usize,
    /// The feed whose turn it is, and for how many messages it has been.
    turn: usize,
    burst: u32,
    in_hand: Option<InHand>,
    /// An observer's message that was copied out together with a gap, and comes after it. Without it, a reader that is
    /// always slower would be told of gaps only.
    after_gap: Option<AfterGap<M>>,
    /// What comes next, between two lines of one receive.
    seen: Option<Delivery<M>>,
    pulse: Option<Arc<Pulse>>,
    alone: Alone,
    patience: SpinWait,
    /// The places of all feeds when the present wait began.
    waits_at: usize,
    message: PhantomData<M>,
}

/// The message that the reader works at.
#[derive(Clone, Copy)]
struct InHand {
    feed: usize,
    /// How often its handling failed.
    failures: u32,
    /// It is to be delivered again.
    again: bool,
}

/// A message that waits behind a gap.
struct AfterGap<M> {
    feed: usize,
    message: M,
    sequence: u64,
}

impl<M: Message> Subscription<M> {
    pub(super) fn new(topic: Arc<Topic>, inlet: Arc<Inlet>) -> Self {
        Subscription {
            topic,
            inlet,
            feeds: Vec::new(),
            taken_in: 0,
            turn: 0,
            burst: 0,
            in_hand: None,
            after_gap: None,
            seen: None,
            pulse: None,
            alone: Alone::default(),
            patience: SpinWait::default(),
            waits_at: 0,
            message: PhantomData,
        }
    }

    /// How `recv` waits from now on; at first it is [`WaitStrategy::Park`].
    pub fn set_wait_strategy(&mut self, wait: WaitStrategy) {
        self.patience = SpinWait::new(wait);
    }

    /// From now on this subscription's work counts in a task's pulse, whose poller flushes it with the returned
    /// flusher.
    pub fn attach(&mut self, pulse: &Arc<Pulse>) -> Flusher {
        self.pulse = Some(pulse.clone());
        Flusher::of_subscription(self.inlet.clone())
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
        let is_spent = match &self.pulse {
            Some(pulse) => pulse.is_spent(context),
            None => self.alone.is_spent(context),
        };
        if is_spent {
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
        let mut in_hand = self.in_hand.filter(|in_hand| !in_hand.again)?;
        in_hand.failures += 1;
        in_hand.again = in_hand.failures < DELIVERIES;
        self.in_hand = Some(in_hand);
        if in_hand.again {
            return None;
        }
        let feed = &mut self.feeds[in_hand.feed];
        let mut words = M::Words::ZERO;
        let Peek::Message { sequence, length } = feed.consumer.peek(words.as_mut()) else {
            return None;
        };
        let bytes = words.as_ref().iter().flat_map(|word| word.to_ne_bytes());
        let undelivered = Undelivered {
            topic: feed.outlet.topic.clone(),
            reader: self.inlet.name.clone(),
            type_id: M::ID,
            publisher: feed.outlet.name.clone(),
            epoch: feed.outlet.epoch,
            sequence: feed.sequence(sequence),
            payload: bytes.take(length).collect(),
        };
        self.pass(in_hand.feed, FeedValue::DeadLettered);
        Some(undelivered)
    }

    /// How many messages wait for this reader, the one in hand included.
    #[must_use]
    pub fn depth(&self) -> usize {
        let incoming = self.inlet.incoming.lock();
        let feeds = self.feeds.iter().chain(incoming.iter());
        let in_rings: usize = feeds.map(|feed| feed.consumer.depth()).sum();
        in_rings + usize::from(self.after_gap.is_some())
    }

    /// What happens when it is slower than a publisher.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.inlet.policy
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// A handle that can end this subscription once it is empty.
    #[must_use]
    pub fn finisher(&self) -> Finisher {
        Finisher(self.inlet.clone())
    }
}

impl<M: Message> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.topic.retire_inlet(&self.inlet);
        self.take_in();
        // What it leaves behind is counted, too; the publishers count what comes after as unheard, or for others.
        if let Some(AfterGap { feed, .. }) = self.after_gap.take() {
            self.feeds[feed].line.add(FeedValue::Left, 1);
        }
        let in_hand = self.in_hand.take().map(|in_hand| self.feeds[in_hand.feed].outlet.clone());
        while !self.feeds.is_empty() {
            let feed = &self.feeds[0];
            let depth = feed.consumer.depth();
            feed.line.add(FeedValue::Left, depth as u64);
            let in_hand = in_hand.as_ref().is_some_and(|it| Arc::ptr_eq(it, &feed.outlet));
            self.retire(0, in_hand);
        }
        // A publisher may know the inlet a little longer.
        self.inlet.bell.forget();
    }
}

impl<M: Message> fmt::Debug for Subscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic.name())
            .field("name", &self.inlet.name)
            .field("policy", &self.inlet.policy)
            .finish_non_exhaustive()
    }
}

/// Ends a subscription from outside.
#[derive(Clone, Debug)]
pub struct Finisher(Arc<Inlet>);

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
