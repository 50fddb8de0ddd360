//! How a publisher and a subscription join and leave each other: [`PublisherState::attach`] makes
//! the [`Edge`] of the two, [`SubscriberState::send_edge`] hands it to the subscription, and
//! [`Edge::leave`] ends it.

use std::sync::Arc;

use mycelium_core::doorbell::announce;
use mycelium_core::ring::broadcast::Broadcast;

use super::{Edge, Origin, Progress, PublisherState, ReaderEntry, SubscriberState};
use crate::counters::{EdgeValue, Line, Region, plain};
use crate::local::ring::roster::Numbered;
use crate::local::values::{Policy, Start};
use crate::sync::{AtomicUsize, Ordering};

impl PublisherState {
    /// Joins a subscription to this publisher. With `after`, it joins at this place and reads after
    /// the publisher there, which has the messages before that place; otherwise at the
    /// subscription's start. `None` if the ring has no free entry.
    pub(crate) fn attach(
        publisher: &Arc<PublisherState>,
        subscriber: &Arc<SubscriberState>,
        counters: &Arc<Region>,
        after: Option<(usize, &Arc<PublisherState>)>,
    ) -> Option<Edge> {
        if subscriber.policy == Policy::DropNewest && publisher.origin.pump().is_none() {
            return PublisherState::attach_pump(publisher, subscriber, counters);
        }
        let ring = publisher.ring.clone();
        // As over a link, a publisher waits for all gating subscriptions of a process or for none
        // of them.
        let is_gated = publisher.origin.mapped().is_none_or(|mapped| mapped.waits_for_readers);
        let gates = subscriber.policy.keeps() && is_gated;
        let from = match (after, subscriber.start) {
            (Some((from, _)), _) => Some(from),
            (None, Start::OldestRetained) => Some(publisher.oldest()),
            (None, Start::Next) => None,
        };
        let sleeper = match &publisher.origin {
            Origin::Mapped(mapped) => Some(mapped.take_sleeper()?),
            Origin::Local | Origin::Remote(_) | Origin::Pumped(_) => None,
        };
        let can_be_evicted = publisher.evictions.are_possible();
        let consumer = match from {
            Some(from) if gates && can_be_evicted => Broadcast::gating_evictable_from(ring, from)?,
            None if gates && can_be_evicted => Broadcast::gating_evictable(ring)?,
            Some(from) if gates => Broadcast::gating_from(ring, from)?,
            None if gates => Broadcast::gating(ring)?,
            // The publisher reads the positions of observers in another process, too, so this one
            // stores its position.
            from if sleeper.is_some() => {
                let shown = Broadcast::observing_shown(ring, from)?;
                if subscriber.policy.keeps() { shown } else { shown.shown_by_hand() }
            }
            Some(from) => Broadcast::observing_from(ring, from),
            None => Broadcast::observing(ring),
        };
        // The counters continue if the publisher only moved to shared memory or back.
        let moved = after.filter(|(_, earlier)| !earlier.is_lost());
        let earlier = moved.and_then(|(_, earlier)| earlier.line_of(subscriber));
        let has_joined = earlier.is_some();
        let pumped = || publisher.origin.pump().map(|pump| pump.line.clone());
        let line = earlier.or_else(pumped);
        let line = line.unwrap_or_else(|| publisher.new_line(subscriber, counters));
        let place = consumer.cursor();
        // At a start among retained messages, the publisher may not know of the reader in time.
        let is_late = after.is_none() && subscriber.start == Start::OldestRetained;
        let gates_from = if is_late { publisher.ring.tail() } else { place };
        let was_evicted = (is_late && gates).then(Arc::default);
        let known = publisher.origin.numbering().map(|numbering| numbering.join(place));
        let joined_at = known.as_ref().map_or(place as u64, |known| known.sequence(place));
        if !has_joined {
            line.set(EdgeValue::JoinedAt, joined_at);
        }
        let progress = known.as_ref().map(|known| Arc::new(Progress::new(known.gaps, place)));
        let slot = subscriber.ready.take();
        let is_told = !subscriber.is_tap && !publisher.origin.is_silent();
        let ready = if is_told { slot.bit() } else { None };
        let reader = ReaderEntry {
            subscriber: subscriber.clone(),
            entry: consumer.entry().filter(|_| gates),
            progress: progress.clone(),
            own: None,
            line: line.clone(),
            was_evicted: was_evicted.clone(),
            remote: None,
            ready,
        };
        publisher.readers.add(reader);
        // Wakes the publisher, to which the ring may have seemed full while the reader joined, so
        // that it parked.
        publisher.wake();
        let publisher = publisher.clone();
        let after = after.map(|(_, earlier)| Arc::downgrade(earlier));
        let (passed, loss_reported, end) = (0, false, None);
        Some(Edge {
            publisher,
            consumer,
            slot,
            line,
            gates,
            gates_from,
            was_evicted,
            known,
            progress,
            sleeper,
            after,
            passed,
            loss_reported,
            end,
            ahead: 0,
            failed_until: None,
        })
    }

    /// Joins a `drop-newest` subscription by giving it a ring of its own.
    fn attach_pump(
        publisher: &Arc<PublisherState>,
        subscriber: &Arc<SubscriberState>,
        counters: &Arc<Region>,
    ) -> Option<Edge> {
        let ring = publisher.ring.clone();
        let end = match subscriber.start {
            Start::OldestRetained => Broadcast::gating_from(ring, publisher.oldest())?,
            Start::Next => Broadcast::gating(ring)?,
        };
        let line = publisher.new_line(subscriber, counters);
        let own = publisher.add_pump(end, line.clone())?;
        let edge = PublisherState::attach(&own, subscriber, counters, None)?;
        // The subscription gates nobody at this ring: the publisher runs the pump.
        let subscriber = subscriber.clone();
        let own = Some(Arc::downgrade(&own));
        let (entry, progress, was_evicted, remote, ready) = (None, None, None, None, None);
        let reader =
            ReaderEntry { subscriber, entry, progress, own, line, was_evicted, remote, ready };
        publisher.readers.add(reader);
        publisher.wake();
        Some(edge)
    }

    /// Forgets a subscription whose edge is already dropped.
    pub(crate) fn detach(&self, subscriber: &Arc<SubscriberState>) {
        self.remove_reader(subscriber);
        self.pumps.lock().retain(|pump| pump.pump.strong_count() > 0);
        self.wake();
    }

    fn new_line(
        &self,
        subscriber: &SubscriberState,
        counters: &Arc<Region>,
    ) -> Arc<Line<EdgeValue>> {
        let label = format!("{} reader={}", self.label(), plain(&subscriber.name));
        Arc::new(counters.line(&label))
    }

    /// Returns the counters of a subscription.
    fn line_of(&self, subscriber: &Arc<SubscriberState>) -> Option<Arc<Line<EdgeValue>>> {
        let readers = self.readers.lock();
        let place = readers.binary_search_by_key(&subscriber.number, Numbered::number).ok()?;
        Some(readers[place].line.clone())
    }

    fn remove_reader(&self, subscriber: &Arc<SubscriberState>) {
        self.readers.remove(subscriber.number);
        if self.evictions.are_possible() {
            self.evictions.returned(subscriber.number);
        }
    }
}

impl ReaderEntry {
    /// Returns the sequence of the subscription's first message.
    pub(crate) fn joined_at(&self) -> u64 {
        self.line.get(EdgeValue::JoinedAt)
    }
}

impl Progress {
    fn new(gaps: usize, place: usize) -> Progress {
        Progress { gaps: AtomicUsize::new(gaps), place: AtomicUsize::new(place) }
    }
}

impl SubscriberState {
    /// Gives the subscription an edge to a new publisher.
    pub(crate) fn send_edge(&self, edge: Edge) {
        self.publishers.add(edge.publisher.clone());
        self.incoming.change(|incoming| {
            if incoming.is_empty() {
                // Allocates room for one edge only, because often it is the only one, and there may
                // be many subscriptions.
                incoming.reserve_exact(1);
            }
            incoming.push(edge);
        });
        announce();
        self.bell.ring();
    }

    /// Removes this subscription and the publisher from each other's lists.
    pub(crate) fn leave(self: &Arc<SubscriberState>, publisher: &Arc<PublisherState>) {
        self.publishers.remove(publisher.number);
        publisher.remove_reader(self);
    }
}

impl Edge {
    /// Ends the edge, as the subscription leaves this publisher. `in_flight`: its next message is
    /// in flight. A remote publisher must still learn how far a gating reader was when a shutdown
    /// began.
    pub(crate) fn leave(self, subscriber: &Arc<SubscriberState>, in_flight: bool) {
        let has_read_all = self.gone_at() == Some(self.consumer.cursor());
        let Edge { publisher, consumer, gates, .. } = self;
        if gates
            && let Some(numbering) = publisher.origin.numbering()
            // Checks the end before the depth, because only a closed ring gets no further message.
            && publisher.ring.is_closed()
            && consumer.depth() == 0
        {
            // Stored before the subscription leaves: without a gating reader, observers would
            // count.
            numbering.was_gated.store(true, Ordering::Release);
        }
        subscriber.leave(&publisher);
        if let Some(pump) = publisher.origin.pump() {
            subscriber.leave(&pump.source);
            pump.leave();
        }
        // Comes after `leave`, because another reader may get the ring's entry as soon as it is
        // free.
        if gates && !publisher.origin.is_local() {
            publisher.abandon(consumer, in_flight);
        } else if has_read_all {
            // The publisher may still read this position, and sends more messages over the link.
            consumer.leave_in_place();
        } else {
            drop(consumer);
        }
        publisher.wake();
        if let Some(mapped) = publisher.origin.mapped() {
            mapped.session.ring();
        }
    }
}
