//! What a subscription has next: where it looks, and how long before it sleeps.

use std::task::Context;

use mycelium_core::doorbell::{announce, ring_each};
use mycelium_core::message::{Message, Words, from_words, valid_words};
use mycelium_core::ring::broadcast::Peek;
use mycelium_core::wait::{SpinResult, WaitStrategy};

use super::super::delivery::{Delivery, Gap, GapReason, Received, Time, TryRecv};
use super::super::outlet::{Feed, LastCall};
use super::{AfterGap, InHand, Subscription};
use crate::counters::FeedValue;
use crate::sync::Ordering;

/// So many messages of one publisher in a row while others have some, too.
const BURST: u32 = 32;

/// What a look at all feeds came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
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
    /// Lets the message in hand go, unless it is to be delivered again.
    #[inline]
    pub(super) fn settle(&mut self) {
        if let Some(in_hand) = self.in_hand
            && !in_hand.again
        {
            self.pass(in_hand.feed, FeedValue::Taken);
        }
    }

    /// Moves past the message in hand and counts it as `count`.
    #[inline]
    pub(super) fn pass(&mut self, index: usize, count: FeedValue) {
        self.in_hand = None;
        let feed = &mut self.feeds[index];
        feed.consumer.advance();
        feed.line.add(count, 1);
        if self.pulse.as_ref().is_none_or(|pulse| pulse.beat()) {
            self.ring_rooms();
        }
    }

    /// Tells the publishers now of what was taken, before the task's poll ends.
    #[inline(never)]
    fn ring_rooms(&self) {
        announce();
        ring_each(&self.feeds, |feed| feed.outlet.room.ring());
    }

    /// The next message of the feed whose turn it is, which is what there is most often. After `None`, call
    /// [`look`](Self::look): there may be a message all the same.
    // In one piece with its caller, and with no other way to what it returns, the message goes from the slot to its place
    // through registers.
    #[inline(always)]
    pub(super) fn next_as_usual(&mut self) -> Option<Received<M>> {
        let is_usual = self.is_usual();
        let feed = self.feeds.get_mut(self.turn).filter(|_| is_usual)?;
        let mut words = M::Words::ZERO;
        let sequence = feed.consumer.peek_exact(words.as_mut(), size_of::<M>())?;
        if feed.may_miss() {
            return None;
        }
        let (sequence, message) = (feed.sequence(sequence), valid_words::<M>(words)?);
        self.burst += 1;
        self.hold(self.turn, 0);
        Some(Received { message, sequence, time: Time::First })
    }

    /// Whether what comes next is what the feed has whose turn it is.
    #[inline(always)]
    fn is_usual(&self) -> bool {
        self.in_hand.is_none()
            && self.after_gap.is_none()
            // Among one there are no turns.
            && (self.burst + 1 < BURST || self.feeds.len() == 1)
            && self.taken_in == self.inlet.incoming.version()
            && !self.inlet.policy.skips()
    }

    /// As `look`, after [`next_as_usual`](Self::next_as_usual), and has the waker called if there was nothing.
    #[inline(never)]
    pub(super) fn look_or_park(&mut self, context: &Context<'_>) -> Seen {
        self.ask();
        let seen = self.look_if_stirred();
        if seen != Seen::Nothing {
            return seen;
        }
        if self.patience.strategy() != WaitStrategy::Park {
            match self.look_again() {
                SpinResult::Found(seen) => return seen,
                SpinResult::Again => {
                    context.waker().wake_by_ref();
                    return Seen::Nothing;
                }
                SpinResult::Park => {}
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
    fn look_again(&mut self) -> SpinResult<Seen> {
        // Told here from the wait before, so that a receive that need not wait has nothing to do with this.
        let places = self.feeds.iter().map(|feed| feed.consumer.cursor());
        let place = places.fold(self.feeds.len(), usize::wrapping_add);
        if place != self.waits_at {
            self.waits_at = place;
            self.patience.reset();
        }
        let most = self.pulse.as_ref().map_or(WaitStrategy::SPINS, |pulse| pulse.looks());
        let mut patience = self.patience;
        let looked = patience
            .spin(most, || Some(self.look_if_stirred()).filter(|seen| *seen != Seen::Nothing));
        self.patience = patience;
        looked
    }

    /// As `look`. Most often there is one feed, and it has nothing or the next message, which is cheaper to see.
    #[inline(always)]
    fn look_if_stirred(&mut self) -> Seen {
        let is_usual = self.is_usual() && self.inlet.last_call.load(Ordering::Acquire) == 0;
        if let [feed] = self.feeds.as_mut_slice()
            && is_usual
            && feed.consumer.is_waiting()
            && !feed.may_miss()
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
    pub(super) fn look(&mut self) -> Seen {
        self.ask();
        match self.next() {
            TryRecv::Delivery(delivery) => {
                self.seen = Some(delivery);
                Seen::Something
            }
            TryRecv::Empty => Seen::Nothing,
            TryRecv::Closed => Seen::End,
        }
    }

    /// Says, the first time, that it asks for messages: to whoever brings those of other processes.
    fn ask(&mut self) {
        if self.inlet.has_asked.load(Ordering::Relaxed) {
            return;
        }
        // Publishers may have come before this first receive.
        self.take_in();
        self.inlet.has_asked.store(true, Ordering::Release);
        announce();
        let remote = self.feeds.iter().filter(|feed| !feed.outlet.origin.is_local());
        ring_each(remote, |feed| feed.outlet.room.ring());
    }

    fn next(&mut self) -> TryRecv<M> {
        // First of all, so that whatever came before the last call is seen below.
        let last_call = self.inlet.last_call.load(Ordering::Acquire);
        if last_call == LastCall::Now as u8 {
            return TryRecv::Closed;
        }
        if self.taken_in != self.inlet.incoming.version() {
            self.take_in();
        }
        if let Some(in_hand) = self.in_hand
            && let Turn::Delivery(delivery) = self.deliver(in_hand.feed)
        {
            return TryRecv::Delivery(delivery);
        }
        if let Some(AfterGap { feed, message, sequence }) = self.after_gap.take() {
            self.feeds[feed].line.add(FeedValue::Taken, 1);
            self.feeds[feed].tell_of_place();
            let received = Received { message, sequence, time: self.time(feed, 0) };
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
                Turn::Over => self.retire(self.turn, false),
            }
        }
        let over = self.feeds.is_empty() && !self.topic.holds.is_held();
        if self.feeds.is_empty() && self.taken_in != self.inlet.incoming.version() {
            // A publisher came before the last one ended.
            return self.next();
        }
        if over && (self.taken_in > 0 || self.topic.holds.was_held()) || last_call > 0 {
            return TryRecv::Closed;
        }
        TryRecv::Empty
    }

    /// What one feed has, if anything.
    fn deliver(&mut self, index: usize) -> Turn<M> {
        let feed = &mut self.feeds[index];
        if self.inlet.policy.skips() {
            let skipped = feed.consumer.skip_to_latest();
            if skipped > 0 {
                return Turn::Delivery(self.gap(index, skipped as u64, GapReason::Skipped));
            }
        }
        let mut words = M::Words::ZERO;
        let look = feed.consumer.peek(words.as_mut());
        if !matches!(look, Peek::Gap { .. })
            && let Some((missed, reason)) = feed.missed()
        {
            return Turn::Delivery(self.gap(index, missed, reason));
        }
        match look {
            Peek::Message { sequence, .. } => match from_words::<M>(&words) {
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
            Peek::Gap { missed } => {
                Turn::Delivery(self.gap(index, missed as u64, GapReason::Overwritten))
            }
            Peek::Empty => Turn::Nothing,
            Peek::Closed if feed.outlet.is_lost() && !std::mem::replace(&mut feed.told, true) => {
                Turn::Delivery(self.gap(index, 0, GapReason::Disconnected))
            }
            Peek::Closed => Turn::Over,
        }
    }

    fn hand_out(&mut self, index: usize, message: M, sequence: u64) -> Received<M> {
        let failures = self.in_hand.map_or(0, |in_hand| in_hand.failures);
        let time = self.time(index, failures);
        if time == Time::Again {
            self.feeds[index].line.add(FeedValue::Redelivered, 1);
        }
        self.hold(index, failures);
        Received { message, sequence, time }
    }

    /// Whether a message of a feed was delivered before: to a run of the service that failed with it in hand, or to an
    /// earlier process.
    fn time(&self, index: usize, failures: u32) -> Time {
        if failures > 0 || self.feeds[index].comes_again() { Time::Again } else { Time::First }
    }

    /// Keeps the next message in hand. Nobody waits for an observer, so what it has may be gone at any time: it is done with
    /// it at once, and never has one in hand.
    #[inline(always)]
    fn hold(&mut self, index: usize, failures: u32) {
        if self.inlet.policy.is_gating() {
            self.in_hand = Some(InHand { feed: index, failures, again: false });
        } else {
            self.pass(index, FeedValue::Taken);
            self.feeds[index].show_place();
        }
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
            match feed.consumer.peek(words.as_mut()) {
                Peek::Message { sequence, .. } => {
                    add(0, feed);
                    if let Ok(message) = from_words::<M>(&words) {
                        feed.consumer.advance();
                        let sequence = feed.sequence(sequence);
                        self.after_gap = Some(AfterGap { feed: index, message, sequence });
                    }
                }
                // The publisher has been faster once more.
                Peek::Gap { missed } => add(missed as u64, feed),
                Peek::Empty | Peek::Closed => {}
            }
        }
        let value = match reason {
            GapReason::Overwritten | GapReason::Disconnected => FeedValue::Overwritten,
            GapReason::Skipped => FeedValue::Skipped,
            GapReason::Undecodable | GapReason::GivenUp => FeedValue::DeadLettered,
        };
        feed.line.add(value, count);
        if self.after_gap.is_none() {
            feed.tell_of_place();
        }
        let (publisher, epoch) = (feed.outlet.name.clone(), feed.outlet.epoch);
        let gap = Gap { count, exact, reason, publisher, epoch };
        Delivery::Gap(gap)
    }

    fn pass_turn(&mut self) {
        self.turn += 1;
        self.burst = 0;
    }

    /// Forgets a publisher. At a shutdown, whoever brings its messages from another process is still to hear how far this
    /// subscription has come.
    pub(super) fn retire(&mut self, index: usize, in_hand: bool) {
        let feed = self.feeds.swap_remove(index);
        if self.inlet.policy.is_gating() && !feed.outlet.origin.is_local() {
            feed.outlet.abandon(feed.consumer.cursor(), in_hand);
        }
        self.inlet.forget(feed);
    }

    #[cold]
    pub(super) fn take_in(&mut self) {
        let mut incoming = self.inlet.incoming.lock();
        self.taken_in = self.inlet.incoming.version();
        self.feeds.append(&mut incoming);
    }
}
