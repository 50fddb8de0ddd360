//! What a subscription has next: where it looks, and how long before it sleeps.

use std::task::Context;

use mycelium_core::doorbell::{announce, ring_each};
use mycelium_core::message::{Message, Words, from_words, valid_words};
use mycelium_core::ring::broadcast::Look;
use mycelium_core::wait::{Looked, Wait};

use super::super::delivery::{Attempt, Delivery, Gap, GapReason, Received, TryRecv};
use super::super::state::{Edge, LastCall};
use super::{AfterGap, InFlight, Subscription};
use crate::counters::EdgeValue;
use crate::sync::Ordering;

/// So many messages of one publisher in a row while others have some, too.
const BURST: u32 = 32;

/// What a look at all edges came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Something,
    Nothing,
    End,
}

/// What one edge had when it was its turn.
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
        if let Some(in_flight) = self.in_flight
            && !in_flight.again
        {
            self.pass(in_flight.edge, EdgeValue::Taken);
        }
    }

    /// Moves past the message in hand and counts it as `count`.
    #[inline]
    pub(super) fn pass(&mut self, index: usize, count: EdgeValue) {
        self.in_flight = None;
        let edge = &mut self.edges[index];
        edge.consumer.advance();
        edge.line.add(count, 1);
        if self.budget.as_ref().is_none_or(|budget| budget.count_operation()) {
            self.ring_rooms();
        }
    }

    /// Tells the publishers now of what was taken, before the task's poll ends.
    #[inline(never)]
    fn ring_rooms(&self) {
        announce();
        ring_each(&self.edges, |edge| edge.publisher.room.ring());
    }

    /// The next message of the edge whose turn it is, which is what there is most often. After `None`, call
    /// [`look`](Self::look): there may be a message all the same.
    // In one piece with its caller, and with no other way to what it returns, the message goes from the slot to its place
    // through registers.
    #[inline(always)]
    pub(super) fn next_as_usual(&mut self) -> Option<Received<M>> {
        let is_usual = self.is_usual();
        let edge = self.edges.get_mut(self.turn).filter(|_| is_usual)?;
        let mut words = M::Words::ZERO;
        let sequence = edge.consumer.glance(words.as_mut(), size_of::<M>())?;
        if edge.may_miss() {
            return None;
        }
        let (sequence, message) = (edge.sequence(sequence), valid_words::<M>(words)?);
        self.burst += 1;
        self.hold(self.turn, 0);
        Some(Received { message, sequence, time: Attempt::First })
    }

    /// Whether what comes next is what the edge has whose turn it is.
    #[inline(always)]
    fn is_usual(&self) -> bool {
        self.in_flight.is_none()
            && self.after_gap.is_none()
            // Among one there are no turns.
            && (self.burst + 1 < BURST || self.edges.len() == 1)
            && self.edges_version == self.subscriber.incoming.version()
            && !self.subscriber.policy.skips()
    }

    /// As `look`, after [`next_as_usual`](Self::next_as_usual), and has the waker called if there was nothing.
    #[inline(never)]
    pub(super) fn look_or_park(&mut self, context: &Context<'_>) -> Seen {
        self.ask();
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
        self.subscriber.bell.park(context.waker());
        let seen = self.look_if_stirred();
        if seen != Seen::Nothing {
            self.subscriber.bell.unpark();
        }
        seen
    }

    /// Looks as often as its policy says, before it sleeps.
    fn look_again(&mut self) -> Looked<Seen> {
        // Told here from the wait before, so that a receive that need not wait has nothing to do with this.
        let places = self.edges.iter().map(|edge| edge.consumer.cursor());
        let place = places.fold(self.edges.len(), usize::wrapping_add);
        if place != self.waits_at {
            self.waits_at = place;
            self.patience.renew();
        }
        let most = self.budget.as_ref().map_or(Wait::LOOKS, |budget| budget.spins());
        let mut patience = self.patience;
        let looked = patience
            .look(most, || Some(self.look_if_stirred()).filter(|seen| *seen != Seen::Nothing));
        self.patience = patience;
        looked
    }

    /// As `look`. Most often there is one edge, and it has nothing or the next message, which is cheaper to see.
    #[inline(always)]
    fn look_if_stirred(&mut self) -> Seen {
        let is_usual = self.is_usual() && self.subscriber.last_call.load(Ordering::Acquire) == 0;
        if let [edge] = self.edges.as_mut_slice()
            && is_usual
            && edge.consumer.is_waiting()
            && !edge.may_miss()
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
        if self.subscriber.has_asked.load(Ordering::Relaxed) {
            return;
        }
        // Publishers may have come before this first receive.
        self.add_edges();
        self.subscriber.has_asked.store(true, Ordering::Release);
        announce();
        let remote = self.edges.iter().filter(|edge| !edge.publisher.origin.is_local());
        ring_each(remote, |edge| edge.publisher.room.ring());
    }

    fn next(&mut self) -> TryRecv<M> {
        // First of all, so that whatever came before the last call is seen below.
        let last_call = self.subscriber.last_call.load(Ordering::Acquire);
        if last_call == LastCall::Now as u8 {
            return TryRecv::Closed;
        }
        if self.edges_version != self.subscriber.incoming.version() {
            self.add_edges();
        }
        if let Some(in_flight) = self.in_flight
            && let Turn::Delivery(delivery) = self.deliver(in_flight.edge)
        {
            return TryRecv::Delivery(delivery);
        }
        if let Some(AfterGap { edge, message, sequence }) = self.after_gap.take() {
            self.edges[edge].line.add(EdgeValue::Taken, 1);
            self.edges[edge].notify_place();
            let received = Received { message, sequence, time: self.time(edge, 0) };
            return TryRecv::Delivery(Delivery::Msg(received));
        }
        let mut idle = 0;
        while idle < self.edges.len() {
            if self.turn >= self.edges.len() {
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
                Turn::Over => self.remove_edge(self.turn, false),
            }
        }
        let over = self.edges.is_empty() && !self.topic.open_guards.is_kept_open();
        if self.edges.is_empty() && self.edges_version != self.subscriber.incoming.version() {
            // A publisher came before the last one ended.
            return self.next();
        }
        if over && (self.edges_version > 0 || self.topic.open_guards.was_kept_open())
            || last_call > 0
        {
            return TryRecv::Closed;
        }
        TryRecv::Empty
    }

    /// What one edge has, if anything.
    fn deliver(&mut self, index: usize) -> Turn<M> {
        let edge = &mut self.edges[index];
        if self.subscriber.policy.skips() {
            let skipped = edge.consumer.skip_to_latest();
            if skipped > 0 {
                return Turn::Delivery(self.gap(index, skipped as u64, GapReason::Skipped));
            }
        }
        let mut words = M::Words::ZERO;
        let look = edge.consumer.look(words.as_mut());
        if !matches!(look, Look::Gap { .. })
            && let Some((missed, reason)) = edge.missed()
        {
            return Turn::Delivery(self.gap(index, missed, reason));
        }
        match look {
            Look::Message { sequence, .. } => match from_words::<M>(&words) {
                Ok(message) => {
                    let sequence = edge.sequence(sequence);
                    Turn::Delivery(Delivery::Msg(self.hand_out(index, message, sequence)))
                }
                Err(_) => {
                    self.in_flight = None;
                    edge.consumer.advance();
                    Turn::Delivery(self.gap(index, 1, GapReason::Undecodable))
                }
            },
            Look::Gap { missed } => {
                Turn::Delivery(self.gap(index, missed as u64, GapReason::Overwritten))
            }
            Look::Empty => Turn::Nothing,
            Look::Closed
                if edge.publisher.is_lost() && !std::mem::replace(&mut edge.told, true) =>
            {
                Turn::Delivery(self.gap(index, 0, GapReason::Disconnected))
            }
            Look::Closed => Turn::Over,
        }
    }

    fn hand_out(&mut self, index: usize, message: M, sequence: u64) -> Received<M> {
        let failures = self.in_flight.map_or(0, |in_flight| in_flight.failures);
        let time = self.time(index, failures);
        if time == Attempt::Redelivered {
            self.edges[index].line.add(EdgeValue::Redelivered, 1);
        }
        self.hold(index, failures);
        Received { message, sequence, time }
    }

    /// Whether a message of a edge was delivered before: to a run of the service that failed with it in hand, or to an
    /// earlier process.
    fn time(&self, index: usize, failures: u32) -> Attempt {
        if failures > 0 || self.edges[index].is_redelivered() {
            Attempt::Redelivered
        } else {
            Attempt::First
        }
    }

    /// Keeps the next message in hand. Nobody waits for an observer, so what it has may be gone at any time: it is done with
    /// it at once, and never has one in hand.
    #[inline(always)]
    fn hold(&mut self, index: usize, failures: u32) {
        if self.subscriber.policy.is_gating() {
            self.in_flight = Some(InFlight { edge: index, failures, again: false });
        } else {
            self.pass(index, EdgeValue::Taken);
            self.edges[index].show_place();
        }
    }

    #[cold]
    #[inline(never)]
    fn gap(&mut self, index: usize, mut count: u64, reason: GapReason) -> Delivery<M> {
        let edge = &mut self.edges[index];
        let exact = count > 0;
        // What the ring passed over may have been missing from before.
        let mut add = |more: u64, edge: &mut Edge| {
            count += more + edge.missed().map_or(0, |(missed, _)| missed);
        };
        add(0, edge);
        let mut words = M::Words::ZERO;
        if !self.subscriber.policy.is_gating() {
            match edge.consumer.look(words.as_mut()) {
                Look::Message { sequence, .. } => {
                    add(0, edge);
                    if let Ok(message) = from_words::<M>(&words) {
                        edge.consumer.advance();
                        let sequence = edge.sequence(sequence);
                        self.after_gap = Some(AfterGap { edge: index, message, sequence });
                    }
                }
                // The publisher has been faster once more.
                Look::Gap { missed } => add(missed as u64, edge),
                Look::Empty | Look::Closed => {}
            }
        }
        let value = match reason {
            GapReason::Overwritten | GapReason::Disconnected => EdgeValue::Overwritten,
            GapReason::Skipped => EdgeValue::Skipped,
            GapReason::Undecodable | GapReason::DeadLettered => EdgeValue::DeadLettered,
        };
        edge.line.add(value, count);
        if self.after_gap.is_none() {
            edge.notify_place();
        }
        let (publisher, epoch) = (edge.publisher.name.clone(), edge.publisher.epoch);
        let gap = Gap { count, exact, reason, publisher, epoch };
        Delivery::Gap(gap)
    }

    fn pass_turn(&mut self) {
        self.turn += 1;
        self.burst = 0;
    }

    /// Forgets a publisher. At a shutdown, whoever brings its messages from another process is still to hear how far this
    /// subscription has come.
    pub(super) fn remove_edge(&mut self, index: usize, in_flight: bool) {
        let edge = self.edges.swap_remove(index);
        if self.subscriber.policy.is_gating() && !edge.publisher.origin.is_local() {
            edge.publisher.abandon(edge.consumer.cursor(), in_flight);
        }
        self.subscriber.forget(edge);
    }

    #[cold]
    pub(super) fn add_edges(&mut self) {
        let mut incoming = self.subscriber.incoming.lock();
        self.edges_version = self.subscriber.incoming.version();
        self.edges.append(&mut incoming);
    }
}
