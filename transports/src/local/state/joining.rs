//! How subscriptions get what a publisher had retained when they joined: an edge with the values
//! comes before that of the publisher.
//!
//! A subscription that joins a publisher in another process waits for the values. It has a place in
//! the publisher's ring at once, but it does not read there yet: it *holds* its edge back. The link
//! fetches the values from the publisher's process, and [releases](Joiner::release) the edge behind
//! another one with the values. That process reads its slots after the subscription has joined, as
//! for one of its own.

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Waker;

use mycelium_core::ring::broadcast::{ArenaWriter, Broadcast, CONTENT, Layout, LayoutError};

use super::{Edge, Joiner, Joiners, Kept, Known, Origin, PublisherState, SubscriberState};
use crate::counters::{EdgeValue, Region};
use crate::local::retained::{Value, Values};
use crate::local::ring;
use crate::local::ring::roster::Numbered;
use crate::local::trace::TraceArea;
use crate::local::values::Schema;
use crate::sync::lock;

impl Edge {
    /// Returns an edge with what the publisher had retained when the subscription joined; `None` if
    /// it has nothing for the subscription, or is in another process. This edge follows it.
    ///
    /// # Errors
    /// If memory cannot hold the values.
    pub(crate) fn retained_before(
        &mut self,
        subscriber: &Arc<SubscriberState>,
        schema: &Schema,
    ) -> Result<Option<Edge>, LayoutError> {
        let Some(Kept::Here(slots)) = self.kept() else { return Ok(None) };
        // The sequence of a message of a publisher in this process is its position, so the cast is
        // lossless.
        let values = slots.read(self.joined_at() as usize, schema).finish();
        self.begin_after(&values.0.iter().collect::<Vec<_>>(), subscriber, schema)
    }

    /// Makes this edge follow another one with these values, and returns that one; `None` if there
    /// are none for the subscription: one that samples gets none, and one that gets the latest
    /// message gets the last.
    ///
    /// # Errors
    /// If memory cannot hold them.
    pub(crate) fn begin_after(
        &mut self,
        mut values: &[&Value],
        subscriber: &Arc<SubscriberState>,
        schema: &Schema,
    ) -> Result<Option<Edge>, LayoutError> {
        if subscriber.policy.skips() {
            values = &values[values.len().saturating_sub(1)..];
        }
        if values.is_empty() || !subscriber.gets_retained() {
            return Ok(None);
        }
        let PublisherState { topic, name, epoch, .. } = &*self.publisher;
        let state = state_with(values, (topic, name, *epoch), schema)?;
        // The counters of this edge are not listed: what it delivers is counted apart.
        let before = PublisherState::attach(&state, subscriber, &Region::new(1), None);
        Ok(before.map(|mut before| {
            self.line.add(EdgeValue::Retained, values.len() as u64);
            before.after = self.after.replace(Arc::downgrade(&state));
            before
        }))
    }
}

impl SubscriberState {
    /// Holds an edge back until its [release](Self::release).
    pub(crate) fn hold(&self, edge: Edge) {
        self.publishers.add(edge.publisher.clone());
        lock(&self.held).push(vec![edge]);
    }

    /// Gives the subscription the edge to this publisher that was held back, and those that continue
    /// it. `before` returns the edge that it is to follow. Does nothing if the subscription has left.
    pub(crate) fn release(
        &self,
        publisher: &Weak<PublisherState>,
        before: impl FnOnce(&mut Edge) -> Option<Edge>,
    ) {
        let mut held = lock(&self.held);
        let is_first = |group: &Vec<Edge>| {
            group.first().is_some_and(|edge| Arc::as_ptr(&edge.publisher) == publisher.as_ptr())
        };
        let Some(place) = held.iter().position(is_first) else { return };
        let mut group = held.swap_remove(place);
        let before = group.first_mut().and_then(before);
        before.iter().for_each(|edge| self.publishers.add(edge.publisher.clone()));
        // Still under the lock: a subscription that leaves takes all edges from either list.
        self.begin(before.into_iter().chain(group));
    }

    /// Returns the edges that are held back.
    pub(crate) fn held(&self) -> MutexGuard<'_, Vec<Vec<Edge>>> {
        lock(&self.held)
    }

    /// Whether the subscription gets what publishers retain: one that samples does not, nor do the
    /// readers of another process, who join by themselves.
    pub(crate) fn gets_retained(&self) -> bool {
        !self.is_tap && self.policy.every().is_none()
    }
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
    pub(crate) fn end(&self, schema: &Schema) {
        let mut waiting = lock(&self.waiting);
        (waiting.has_ended, waiting.waker) = (true, None);
        let joiners = std::mem::take(&mut waiting.joiners);
        drop(waiting);
        joiners.into_iter().for_each(|joiner| joiner.release(schema, &Values::default()));
    }
}

impl Joiner {
    /// Gives the subscription its edge, behind another one with those of the values that it has not
    /// had. If memory cannot hold them, it gets none of them.
    pub(crate) fn release(self, schema: &Schema, values: &Values) {
        let is_new = |sequence: u64| (self.from..self.before).contains(&sequence);
        let values: Vec<_> = values.0.iter().filter(|value| is_new(value.sequence)).collect();
        let subscriber = &self.subscriber;
        subscriber.release(&self.publisher, |edge| {
            edge.begin_after(&values, subscriber, schema).ok().flatten()
        });
    }
}

/// Puts values into a ring of their own, which ends after them. Returns its publisher, with the
/// names and the epoch of the one that retains them.
///
/// # Errors
/// If memory cannot hold the ring.
fn state_with(
    values: &[&Value],
    (topic, name, epoch): (&str, &str, u64),
    schema: &Schema,
) -> Result<Arc<PublisherState>, LayoutError> {
    let capacity = values.len().next_power_of_two().max(2);
    let size = if schema.is_fixed { schema.size } else { size_of::<[usize; CONTENT]>() };
    let layout = Layout::exact(capacity, size);
    let all: usize = values.iter().map(|value| value.length.next_multiple_of(8)).sum();
    let layout = match schema.is_fixed {
        true => layout,
        // A message takes at most half of an arena.
        false => layout.with_arena(all.max(2 * schema.longest)),
    };
    let ring = ring::private(layout).ok_or(LayoutError::TooLarge)?;
    if let Some(mut producer) = Broadcast::producer(ring.clone()) {
        let mut arena = ArenaWriter::new(&producer);
        for Value { length, words, .. } in values {
            // Nobody reads the ring yet, so nothing refuses a message.
            _ = match &mut arena {
                Some(arena) => arena.try_push(&mut producer, words, *length, &[]),
                None => producer.try_push(words, *length),
            };
        }
        producer.close();
    }
    let sequences = values.iter().map(|value| value.sequence).collect();
    let (area, file) = (TraceArea::Absent, Err(OF_VALUES.to_owned()));
    let origin = Origin::Retained(sequences);
    Ok(PublisherState::over(topic, ring, area, file, name, epoch, origin))
}

/// The reason why the ring of retained values has no descriptor.
const OF_VALUES: &str = "the ring has retained values";
