//! The reading end of a topic.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use mycelium_core::doorbell::announce;
use mycelium_core::message::{Message, Words, from_words, valid_words};
use mycelium_core::ring::broadcast::Look;
use mycelium_core::wait::{Looked, Patience, Wait};

use super::delivery::{Delivery, Gap, GapReason, Received, Time, TryRecv, Undelivered};
use super::outlet::{Feed, Inlet};
use super::pulse::{Alone, Flusher, Pulse};
use super::{Policy, Topic};

const TAKEN: usize = 1;
const OVERWRITTEN: usize = 2;
const SKIPPED: usize = 3;
const DEAD_LETTERED: usize = 4;
const REDELIVERED: usize = 5;
const LEFT: usize = 6;

/// So many messages of one publisher in a row while others have some, too.
const BURST: u32 = 32;
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
    patience: Patience,
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

/// What a look at all feeds came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Something,
    Nothing,
    End,
}

/// What one feed had when it was its turn.
enum Turn<M> {
    Delivery(Delivery<M>),
    Nothing,
    /// Its publisher has ended, and everything was received.
    Over,
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
            patience: Patience::default(),
            waits_at: 0,
            message: PhantomData,
        }
    }

    /// How `recv` waits from now on; at first it is [`Wait::Park`].
    pub fn wait_by(&mut self, wait: Wait) {
        self.patience = Patience::new(wait);
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
        let Look::Message { sequence, length } = feed.consumer.look(words.as_mut()) else {
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
        self.pass(in_hand.feed, DEAD_LETTERED);
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

    /// Lets the message in hand go, unless it is to be delivered again.
    #[inline]
    fn settle(&mut self) {
        if let Some(in_hand) = self.in_hand
            && !in_hand.again
        {
            self.pass(in_hand.feed, TAKEN);
        }
    }

    /// Moves past the message in hand and counts it as `count`.
    #[inline]
    fn pass(&mut self, index: usize, count: usize) {
        self.in_hand = None;
        let feed = &mut self.feeds[index];
        feed.consumer.advance();
        feed.line.add(count, 1);
        if self.pulse.as_ref().is_none_or(|pulse| pulse.beat()) {
            self.ring_rooms();
        }
    }

    #[inline(never)]
    fn ring_rooms(&self) {
        announce();
        self.feeds.iter().for_each(|feed| feed.outlet.room.ring());
    }

    /// The next message of the feed whose turn it is, which is what there is most often. `None` says nothing:
    /// [`look`](Self::look) then.
    // In one piece with its caller, and with no other way to what it returns, the message goes from the slot to its place
    // through registers.
    #[inline(always)]
    fn next_as_usual(&mut self) -> Option<Received<M>> {
        let is_usual = self.is_usual();
        let feed = self.feeds.get_mut(self.turn).filter(|_| is_usual)?;
        let mut words = M::Words::ZERO;
        let (sequence, _) = feed.consumer.glance(words.as_mut())?;
        if feed.may_miss() {
            return None;
        }
        let (sequence, message) = (feed.sequence(sequence), valid_words::<M>(words)?);
        self.burst += 1;
        Some(self.hand_out(self.turn, message, sequence))
    }

    /// Whether what comes next is what the feed has whose turn it is.
    #[inline(always)]
    fn is_usual(&self) -> bool {
        self.in_hand.is_none()
            && self.after_gap.is_none()
            && self.burst + 1 < BURST
            && self.taken_in == self.inlet.incoming.version()
            && self.inlet.policy != Policy::Latest
    }

    /// As `look`, after [`next_as_usual`](Self::next_as_usual), and has the waker called if there was nothing.
    #[inline(never)]
    fn look_or_park(&mut self, context: &Context<'_>) -> Seen {
        let seen = self.look_if_stirred();
        if seen != Seen::Nothing {
            return seen;
        }
        if self.patience.wait() != Wait::Park {
            match self.look_again() {
                Looked::Found(seen) => return seen,
                Looked::Again => {
                    context.waker().wake_by_ref();
                    return Seen::Nothing;
                }
                Looked::Park => {}
            }
        }
        self.inlet.bell.park(context.waker());
        let seen = self.look_if_stirred();
        if seen != Seen::Nothing {
            self.inlet.bell.unpark();
        }
        seen
    }

    /// Looks as often as its policy says, before it sleeps.
    fn look_again(&mut self) -> Looked<Seen> {
        // Told here from the wait before, so that a receive that need not wait has nothing to do with this.
        let places = self.feeds.iter().map(|feed| feed.consumer.cursor());
        let place = places.fold(self.feeds.len(), usize::wrapping_add);
        if place != self.waits_at {
            self.waits_at = place;
            self.patience.renew();
        }
        let most = self.pulse.as_ref().map_or(Wait::LOOKS, |pulse| pulse.looks());
        let mut patience = self.patience;
        let looked = patience
            .look(most, || Some(self.look_if_stirred()).filter(|seen| *seen != Seen::Nothing));
        self.patience = patience;
        looked
    }

    /// As `look`. Most often there is one feed, and it has nothing or the next message, which is cheaper to see.
    #[inline(always)]
    fn look_if_stirred(&mut self) -> Seen {
        if let [feed] = self.feeds.as_slice()
            && feed.consumer.is_waiting()
            && !feed.may_miss()
            && self.is_usual()
            && !self.inlet.last_call.load(Ordering::Acquire)
        {
            return Seen::Nothing;
        }
        if let Some(received) = self.next_as_usual() {
            self.seen = Some(Delivery::Msg(received));
            return Seen::Something;
        }
        self.look()
    }

    /// Looks at everything there is, and puts what comes next where `seen` is.
    #[inline(never)]
    fn look(&mut self) -> Seen {
        match self.next() {
            TryRecv::Delivery(delivery) => {
                self.seen = Some(delivery);
                Seen::Something
            }
            TryRecv::Empty => Seen::Nothing,
            TryRecv::Closed => Seen::End,
        }
    }

    fn next(&mut self) -> TryRecv<M> {
        // First of all, so that whatever came before the last call is seen below.
        let last_call = self.inlet.last_call.load(Ordering::Acquire);
        if self.taken_in != self.inlet.incoming.version() {
            self.take_in();
        }
        if let Some(in_hand) = self.in_hand
            && let Turn::Delivery(delivery) = self.deliver(in_hand.feed)
        {
            return TryRecv::Delivery(delivery);
        }
        if let Some(AfterGap { feed, message, sequence }) = self.after_gap.take() {
            self.feeds[feed].line.add(TAKEN, 1);
            let received = Received { message, sequence, time: Time::First };
            return TryRecv::Delivery(Delivery::Msg(received));
        }
        let mut idle = 0;
        while idle < self.feeds.len() {
            if self.turn >= self.feeds.len() {
                self.turn = 0;
            }
            match self.deliver(self.turn) {
                Turn::Delivery(delivery) => {
                    self.burst += 1;
                    if self.burst >= BURST {
                        self.pass_turn();
                    }
                    return TryRecv::Delivery(delivery);
                }
                Turn::Nothing => {
                    self.pass_turn();
                    idle += 1;
                }
                Turn::Over => self.retire(self.turn),
            }
        }
        let over = self.feeds.is_empty() && !self.topic.holds.is_held();
        if self.feeds.is_empty() && self.taken_in != self.inlet.incoming.version() {
            // A publisher came before the last one ended.
            return self.next();
        }
        if over && (self.taken_in > 0 || self.topic.holds.was_held()) || last_call {
            return TryRecv::Closed;
        }
        TryRecv::Empty
    }

    /// What one feed has, if anything.
    fn deliver(&mut self, index: usize) -> Turn<M> {
        let policy = self.inlet.policy;
        let feed = &mut self.feeds[index];
        if policy == Policy::Latest {
            let skipped = feed.consumer.skip_to_latest();
            if skipped > 0 {
                return Turn::Delivery(self.gap(index, skipped as u64, GapReason::Skipped));
            }
        }
        let mut words = M::Words::ZERO;
        let look = feed.consumer.look(words.as_mut());
        if !matches!(look, Look::Gap { .. })
            && let Some((missed, reason)) = feed.missed()
        {
            return Turn::Delivery(self.gap(index, missed, reason));
        }
        match look {
            Look::Message { sequence, .. } => match from_words::<M>(&words) {
                Ok(message) => {
                    let sequence = feed.sequence(sequence);
                    Turn::Delivery(Delivery::Msg(self.hand_out(index, message, sequence)))
                }
                Err(_) => {
                    self.in_hand = None;
                    feed.consumer.advance();
                    Turn::Delivery(self.gap(index, 1, GapReason::Undecodable))
                }
            },
            Look::Gap { missed } => {
                Turn::Delivery(self.gap(index, missed as u64, GapReason::Overwritten))
            }
            Look::Empty => Turn::Nothing,
            Look::Closed if feed.outlet.is_lost() && !std::mem::replace(&mut feed.told, true) => {
                Turn::Delivery(self.gap(index, 0, GapReason::Disconnected))
            }
            Look::Closed => Turn::Over,
        }
    }

    #[inline]
    fn hand_out(&mut self, index: usize, message: M, sequence: u64) -> Received<M> {
        let mut time = Time::First;
        if self.inlet.policy.is_gating() {
            let failures = self.in_hand.map_or(0, |in_hand| in_hand.failures);
            if failures > 0 {
                time = Time::Again;
                self.feeds[index].line.add(REDELIVERED, 1);
            }
            self.in_hand = Some(InHand { feed: index, failures, again: false });
        } else {
            // Nobody waits for an observer, so what it has may be gone at any time: it is done with it at once.
            self.pass(index, TAKEN);
        }
        Received { message, sequence, time }
    }

    #[cold]
    #[inline(never)]
    fn gap(&mut self, index: usize, mut count: u64, reason: GapReason) -> Delivery<M> {
        let feed = &mut self.feeds[index];
        let exact = count > 0;
        // What the ring passed over may have been missing from before.
        let mut add = |more: u64, feed: &mut Feed| {
            count += more + feed.missed().map_or(0, |(missed, _)| missed);
        };
        add(0, feed);
        let mut words = M::Words::ZERO;
        if !self.inlet.policy.is_gating() {
            match feed.consumer.look(words.as_mut()) {
                Look::Message { sequence, .. } => {
                    add(0, feed);
                    if let Ok(message) = from_words::<M>(&words) {
                        feed.consumer.advance();
                        let sequence = feed.sequence(sequence);
                        self.after_gap = Some(AfterGap { feed: index, message, sequence });
                    }
                }
                // The publisher has been faster once more.
                Look::Gap { missed } => add(missed as u64, feed),
                Look::Empty | Look::Closed => {}
            }
        }
        let value = match reason {
            GapReason::Overwritten | GapReason::Disconnected => OVERWRITTEN,
            GapReason::Skipped => SKIPPED,
            GapReason::Undecodable => DEAD_LETTERED,
        };
        feed.line.add(value, count);
        let (publisher, epoch) = (feed.outlet.name.clone(), feed.outlet.epoch);
        let gap = Gap { count, exact, reason, publisher, epoch };
        Delivery::Gap(gap)
    }

    fn pass_turn(&mut self) {
        self.turn += 1;
        self.burst = 0;
    }

    fn retire(&mut self, index: usize) {
        let feed = self.feeds.swap_remove(index);
        self.inlet.forget(feed);
    }

    #[cold]
    fn take_in(&mut self) {
        let mut incoming = self.inlet.incoming.lock();
        self.taken_in = self.inlet.incoming.version();
        self.feeds.append(&mut incoming);
    }
}

impl<M: Message> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.topic.retire_inlet(&self.inlet);
        self.take_in();
        // What it leaves behind is counted, too; the publishers count what comes after as unheard, or for others.
        if let Some(AfterGap { feed, .. }) = self.after_gap.take() {
            self.feeds[feed].line.add(LEFT, 1);
        }
        while !self.feeds.is_empty() {
            let feed = &self.feeds[0];
            feed.line.add(LEFT, feed.consumer.depth() as u64);
            self.retire(0);
        }
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
    /// From now on the subscription is closed whenever it is empty, though publishers are left.
    pub fn finish_when_empty(&self) {
        self.0.last_call.store(true, Ordering::Release);
        announce();
        self.0.bell.ring();
    }
}
