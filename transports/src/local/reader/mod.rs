//! The reading end of a topic without a message type: it chooses the next publisher, searches that
//! publisher's ring, and waits for messages.
//!
//! A read has two steps. A find returns a [`Found`] and takes nothing; the caller decodes the bytes
//! in [`read`](Reader::read) and then calls [`take`](Reader::take) or
//! [`reject`](Reader::reject). [`Subscription`](super::Subscription) is the front for a message
//! type. It copies most messages by [`peek_fast`](Reader::peek_fast), which is inlined; everything
//! else goes through [`find`](Reader::find) and [`find_or_park`](Reader::find_or_park). An observer
//! copies messages into [`Reader::words`], because the publisher may overwrite a slot at any time.
//!
//! This file has the treatment of each message (copy, confirmation, failure, trace) and the list of
//! edges. The other files, which see the private fields, have the rest:
//!
//! | file | content |
//! | --- | --- |
//! | `finding` | the next message, gap or end; spinning and parking; several messages in flight |
//! | `key_table` | the newest message of each key |
//! | `crowd` | readers with many publishers |
//! | `view` | the bytes of a message in place, and receiving without a copy |
//! | `drain` | a subscription that discards what it takes |

mod crowd;
pub(crate) mod drain;
mod finding;
mod key_table;
pub(crate) mod subscription;
pub(crate) mod view;

use std::sync::{Arc, Weak};
use std::task::Context;

use bytes::Bytes;
use mycelium_core::TraceContext;
use mycelium_core::doorbell::announce;
use mycelium_core::wait::{SpinWait, WaitStrategy};
use zerocopy::IntoBytes;

use super::metadata::ReadMetadata;
use super::ring::ready::Crowd;
use super::state::Edge;
use super::task_budget::{DeferredWakes, HandleBudget, TaskBudget};
use super::topic::Membership;
use super::trace::{TraceArea, TracedMessage, measure_latency, sent_at_in, trace_in};
use super::values::{Attempt, Gap, GapReason, Undelivered};
use crate::counters::EdgeValue;
use key_table::Table;

/// The most messages of one publisher that are read in a row while other publishers have some, too.
const BURST: u32 = 32;
/// The number of deliveries of a message whose handling fails each time.
const DELIVERIES: u32 = 2;

/// The result of a find.
#[derive(Debug)]
pub(crate) enum Found {
    /// A message; [`Reader::read`] has its bytes.
    Message(Header),
    /// Messages that this reader does not get.
    Gap(Gap),
    /// Nothing yet.
    Empty,
    /// The end of one publisher, or of all publishers.
    Closed,
}

/// The result of [`wait_fast`](Reader::wait_fast).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Something is new. It may be a message that [`peek_fast`](Reader::peek_fast) returns.
    New,
    /// Return: the task is parked, or has spun long enough and runs again after others.
    Pending,
    /// Call [`find_or_park`](Reader::find_or_park): it is another case.
    Unknown,
}

/// Why [`peek_fast`](Reader::peek_fast) returned no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMessage {
    /// There is probably nothing.
    Empty,
    /// It is another case.
    Unknown,
}

/// A message that was found and not taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    edge: usize,
    pub(crate) sequence: u64,
    pub(crate) attempt: Attempt,
}

/// Reads the messages of all publishers of a topic in turn.
pub(crate) struct Reader {
    pub(crate) membership: Membership,
    edges: Vec<Edge>,
    /// Edges of moved streams whose earlier messages are not all taken yet.
    later: Vec<Edge>,
    /// The edge at which the last check for ended publishers stopped.
    swept: usize,
    /// The edge whose turn it is. `burst` counts the messages of this turn.
    turn: usize,
    burst: u32,
    in_flight: Option<InFlight>,
    /// Gaps, and messages of an observer, that publishers in other processes must not count as
    /// finished before the next receive: if this process dies, its next one gets a gap for them.
    unshown: Unshown,
    /// An observer's message that was copied into `words` when a gap was found, and is delivered
    /// after the gap. Without this copy a reader that is always too slow would get only gaps.
    after_gap: Option<AfterGap>,
    /// The undelivered messages of a reader by key.
    table: Option<Box<Table>>,
    /// Which edges to check; only for a reader with many edges.
    crowd: Option<Box<Crowd>>,
    /// An edge has or had a sleep word in the memory of another process.
    has_sleepers: bool,
    /// The edges have an [`end`](Edge::end).
    has_ends: bool,
    /// Edges may have messages of a batch whose handling failed or was interrupted.
    has_failed: bool,
    /// The last message that an observer copied, with its area if it has one, or the measured
    /// message of a batch.
    words: Box<[usize]>,
    /// A message that is not fixed, which was copied from the arena.
    body: Box<[usize]>,
    /// Set only for a topic that records metadata.
    metadata: Option<Box<ReadMetadata>>,
    budget: HandleBudget,
    spin_wait: SpinWait,
    /// The sum of the edges' positions when the current wait began. Another sum means a new wait.
    waits_at: usize,
}

/// A message that was delivered and not yet confirmed by the reader.
#[derive(Clone, Copy)]
struct InFlight {
    edge: usize,
    /// The number of failed handlings of the message.
    failures: u32,
    handling: Handling,
}

/// What happens to the message in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handling {
    /// The message was delivered.
    Delivered,
    /// The message was delivered as the first one of a batch.
    InBatch,
    /// The message must be delivered again.
    Redeliver,
}

#[derive(Clone, Copy)]
struct AfterGap {
    edge: usize,
    /// The message's position in the ring.
    place: usize,
    sequence: u64,
}

/// The edges whose last deliveries count as handled only at the next receive. Only then do
/// publishers in other processes see the positions of these edges.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unshown {
    Nothing,
    One(usize),
    Several,
}

impl Reader {
    pub(crate) fn new(membership: Membership) -> Reader {
        // A gating reader copies no message, except to read the times of a batch.
        let policy = membership.state.policy;
        let size = membership.topic.content_bytes();
        let schema = membership.topic.schema();
        let longest = if schema.is_fixed { 0 } else { schema.longest };
        let (topic, reader) = (&membership.topic, &membership.state.name);
        let lines = || topic.counters.latencies(topic.name(), reader);
        let metadata = ReadMetadata::new(&topic.recorded, lines);
        let measures = metadata.as_ref().is_some_and(|it| it.latencies.is_some());
        let copied = if policy.keeps() && !measures { 0 } else { size };
        let table = policy.by_key().map(|by_key| Box::new(Table::new(by_key, size, schema.arena)));
        Reader {
            edges: Vec::new(),
            later: Vec::new(),
            swept: 0,
            turn: 0,
            burst: 0,
            in_flight: None,
            unshown: Unshown::Nothing,
            after_gap: None,
            table,
            crowd: None,
            has_sleepers: false,
            has_ends: false,
            has_failed: false,
            words: vec![0; copied.div_ceil(size_of::<usize>())].into(),
            body: vec![0; longest.div_ceil(size_of::<usize>())].into(),
            metadata,
            membership,
            budget: HandleBudget::default(),
            spin_wait: SpinWait::default(),
            waits_at: 0,
        }
    }

    pub(crate) fn set_wait_strategy(&mut self, wait: WaitStrategy) {
        self.spin_wait = SpinWait::new(wait);
    }

    pub(crate) fn attach(&mut self, budget: &Arc<TaskBudget>) -> DeferredWakes {
        self.budget.attach(budget);
        DeferredWakes::of_subscription(self.membership.state.clone())
    }

    /// Whether the task must yield before its next operation. If so, this wakes the task again.
    #[inline]
    pub(crate) fn is_exhausted(&mut self, context: &Context<'_>) -> bool {
        let is_exhausted = self.budget.is_exhausted(context);
        if is_exhausted {
            // The task may do other work before it receives again, so the delivery ends now.
            self.end_handling(false);
        }
        is_exhausted
    }

    /// Confirms the message in flight, unless it must be delivered again, and everything else that
    /// was delivered since the last call.
    #[inline]
    pub(crate) fn settle(&mut self) {
        match self.in_flight.map(|it| (it.handling, it.edge)) {
            Some((Handling::Delivered, edge)) => self.advance(edge, EdgeValue::Taken),
            Some((Handling::InBatch, _)) => self.settle_batch(),
            // Gaps are delivered only while no message is in flight.
            None | Some((Handling::Redeliver, _)) => match self.unshown {
                Unshown::Nothing => {}
                Unshown::One(_) | Unshown::Several => self.show_places(),
            },
        }
    }

    /// Shows publishers in other processes which messages are finished.
    #[inline(never)]
    fn show_places(&mut self) {
        match std::mem::replace(&mut self.unshown, Unshown::Nothing) {
            Unshown::Nothing => return,
            Unshown::One(index) => self.show_place(index),
            Unshown::Several => (0..self.edges.len()).for_each(|index| self.show_place(index)),
        }
        if self.count(1) {
            self.wake_publishers(1);
        }
    }

    #[inline]
    fn show_place(&mut self, index: usize) {
        let Some(place) = self.done_before(index) else { return };
        self.edges[index].show(place);
        if index != self.turn {
            self.touch(index);
        }
    }

    /// Returns the position of the first message of an edge that this subscription has moved past
    /// and not delivered, or else the cursor. Returns `None` while missing messages before that
    /// position are not reported.
    #[inline]
    fn done_before(&self, index: usize) -> Option<usize> {
        let edge = &self.edges[index];
        if edge.passed > 0 {
            return None;
        }
        let after_gap = self.after_gap.filter(|it| it.edge == index).map(|it| it.place);
        let in_table = || self.table.as_ref().and_then(|table| table.first_place(index));
        Some(after_gap.or_else(in_table).unwrap_or(edge.consumer.cursor()))
    }

    /// Notes that the last delivery of an edge is not handled before the next receive.
    #[inline]
    fn begin_showing(&mut self, index: usize) {
        if !self.edges[index].is_shown() {
            return;
        }
        match self.unshown {
            Unshown::Nothing => return self.unshown = Unshown::One(index),
            Unshown::One(before) if before == index => {}
            Unshown::One(_) | Unshown::Several => self.unshown = Unshown::Several,
        }
        // `show_places` counts the first delivery of a batch; the others are counted here.
        _ = self.count(1);
    }

    /// Whether the last delivery of an edge counts as handled only at the next receive.
    fn is_unshown(&self, index: usize) -> bool {
        match self.unshown {
            Unshown::Nothing => false,
            Unshown::One(unshown) => unshown == index,
            Unshown::Several => true,
        }
    }

    /// Reports that the handling of the message in flight failed. The message is redelivered at the
    /// next read. If it failed before, it is not delivered again, and this returns it.
    pub(crate) fn fail(&mut self) -> Option<Undelivered> {
        self.end_handling(true);
        // A message that waits for its second delivery is in flight, but is not being handled.
        let in_flight = self.in_flight.as_mut()?;
        in_flight.failures += 1;
        match in_flight.handling {
            Handling::Redeliver => {
                in_flight.failures -= 1;
                return None;
            }
            Handling::InBatch => {
                self.fail_batch(1);
                return None;
            }
            Handling::Delivered if in_flight.failures < DELIVERIES => {
                in_flight.handling = Handling::Redeliver;
                return None;
            }
            Handling::Delivered => {}
        }
        let index = in_flight.edge;
        let size = self.membership.topic.schema().size;
        let payload = if !self.body.is_empty() || self.edges[index].lends() {
            Bytes::copy_from_slice(self.bytes(index)?)
        } else {
            let edge = &mut self.edges[index];
            let content = edge.publisher.area.content_bytes(size);
            // Uses `peek_ahead`, because `peek` would move past a gap.
            if edge.consumer.peek_ahead(0, &mut self.words, content).is_none() {
                // The publisher has overwritten the message, so the next read returns a gap
                // instead.
                in_flight.handling = Handling::Redeliver;
                return None;
            }
            Bytes::copy_from_slice(self.words.as_bytes().get(..size)?)
        };
        let edge = &self.edges[index];
        let undelivered = Undelivered {
            topic: edge.publisher.topic.clone(),
            reader: self.membership.state.name.clone(),
            type_id: self.membership.topic.schema().id,
            publisher: edge.publisher.name.clone(),
            epoch: edge.publisher.epoch,
            sequence: edge.sequence_of(edge.consumer.cursor()),
            payload,
        };
        let publisher = edge.publisher.clone();
        self.membership.topic.note_dead_letter(&undelivered);
        let _one = publisher.stop_pump();
        self.advance(index, EdgeValue::DeadLettered);
        Some(undelivered)
    }

    /// Reports that the handling of the message in flight was interrupted. The message is delivered
    /// again, and this does not count as a failure. Messages of a batch are then delivered one at a
    /// time, as after a failure, because it is unknown which of them were handled.
    pub(crate) fn interrupt(&mut self) {
        self.end_handling(false);
        let Some(in_flight) = &mut self.in_flight else { return };
        match in_flight.handling {
            Handling::Delivered => in_flight.handling = Handling::Redeliver,
            Handling::InBatch => self.fail_batch(0),
            Handling::Redeliver => {}
        }
    }

    /// Returns the number of messages that wait for this reader, including the one in flight.
    pub(crate) fn depth(&self) -> usize {
        let held = self.membership.state.held();
        let incoming = self.membership.state.incoming.lock();
        let edges = self.edges.iter().chain(&self.later).chain(incoming.iter());
        let edges = edges.chain(held.iter().flatten());
        let in_rings: usize = edges.map(|edge| edge.waiting() + edge.unmoved() + edge.passed).sum();
        let in_table: usize = (0..self.edges.len()).map(|edge| self.in_table(edge)).sum();
        in_rings + in_table + usize::from(self.after_gap.is_some())
    }

    /// Returns the epoch of the publisher whose message is in flight, if there is one.
    pub(crate) fn epoch_in_flight(&self) -> Option<u64> {
        Some(self.edges.get(self.in_flight?.edge)?.publisher.epoch)
    }

    /// Returns how many messages of an edge wait in the table of keys.
    fn in_table(&self, edge: usize) -> usize {
        self.table.as_ref().map_or(0, |table| table.depth(edge))
    }

    /// Copies the next message of the edge whose turn it is, and returns its sequence.
    /// [`take_fast`](Self::take_fast) then takes the message. If this returns an error, call
    /// [`find`](Self::find), which may still find a message.
    // Inlined, and with a single path to its result, so that the message goes from the slot to its
    // destination through registers.
    #[inline(always)]
    pub(crate) fn peek_fast(
        &mut self,
        words: &mut [usize],
        length: usize,
    ) -> Result<u64, NoMessage> {
        let is_fast = self.is_fast();
        let edge = self.edges.get_mut(self.turn).filter(|_| is_fast).ok_or(NoMessage::Unknown)?;
        let place = edge.consumer.peek_exact(words, length).ok_or(NoMessage::Empty)?;
        if edge.may_miss() {
            return Err(NoMessage::Unknown);
        }
        Ok(edge.sequence(place))
    }

    /// Takes the message of [`peek_fast`](Self::peek_fast).
    #[inline(always)]
    pub(crate) fn take_fast(&mut self) {
        self.burst += 1;
        self.hold(self.turn, 0);
    }

    /// Reads the bytes of a message that was found: in its slot, or in an observer's copy.
    #[inline(always)]
    pub(crate) fn read<R>(&mut self, header: Header, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.bytes(header.edge).map(read)
    }

    /// Takes a message that was found.
    pub(crate) fn take(&mut self, header: Header) {
        if self.has_metadata() {
            self.begin_handling(header);
        }
        let index = header.edge;
        if self.remove_from_table() || self.after_gap.take().is_some() {
            self.edges[index].line.add(EdgeValue::Taken, 1);
            return self.begin_showing(index);
        }
        if header.attempt.is_again() {
            self.edges[index].line.add(EdgeValue::Redelivered, 1);
        }
        let failures = self.failures().max(self.edges[index].failures(0).unwrap_or(0));
        self.hold(index, failures);
    }

    /// Skips a message whose bytes are invalid, and returns the gap. A publisher in another process
    /// sees it as finished at the next receive, when the gap is handled.
    pub(crate) fn reject(&mut self, header: Header) -> Gap {
        if !self.remove_from_table() && self.after_gap.take().is_none() {
            self.in_flight = None;
            let edge = &mut self.edges[header.edge];
            if edge.is_shown() {
                edge.consumer.advance_unshown();
            } else {
                edge.consumer.advance();
                if self.count(1) {
                    self.wake_publishers(1);
                }
            }
        }
        self.gap(header.edge, 1, 0, GapReason::Undecodable)
    }

    /// Whether the fast path may read the next message, which is then at the edge whose turn it is.
    #[inline(always)]
    pub(super) fn is_fast(&self) -> bool {
        self.in_flight.is_none()
            && self.after_gap.is_none()
            // A burst is limited only if several edges take turns.
            && (self.burst + 1 < BURST || self.edges.len() == 1)
            && !self.membership.has_new_edges()
            && !self.membership.state.policy.selects()
    }

    /// Returns the number of failed handlings of the message in flight.
    fn failures(&self) -> u32 {
        self.in_flight.map_or(0, |in_flight| in_flight.failures)
    }

    /// Keeps the next message in flight. An observer moves past it at once, because its slot may be
    /// overwritten at any time. A publisher in another process sees it as finished at the next
    /// receive.
    #[inline(always)]
    fn hold(&mut self, index: usize, failures: u32) {
        let edge = &mut self.edges[index];
        if self.membership.state.policy.keeps() {
            self.in_flight =
                Some(InFlight { edge: index, failures, handling: Handling::Delivered });
        } else if edge.is_shown() {
            edge.consumer.advance();
            edge.line.add(EdgeValue::Taken, 1);
            self.begin_showing(index);
        } else {
            self.advance(index, EdgeValue::Taken);
        }
    }

    /// Moves past the next message of an edge and counts it as `value`.
    #[inline]
    fn advance(&mut self, index: usize, value: EdgeValue) {
        self.in_flight = None;
        let edge = &mut self.edges[index];
        edge.consumer.advance();
        edge.line.add(value, 1);
        if index != self.turn {
            self.touch(index);
        }
        if self.count(1) {
            self.wake_publishers(1);
        }
    }

    /// Wakes the publishers after `operations`, or defers this to the end of the poll of the
    /// subscription's own task, or of a child task that it joins.
    #[inline(never)]
    fn wake_publishers(&mut self, operations: u32) {
        let state = &self.membership.state;
        if self.budget.joins(operations, || DeferredWakes::of_subscription(state.clone())) {
            return;
        }
        announce();
        self.ring_publishers();
    }
}

// The list of a reader's edges: publishers that join are added, and ended ones are removed. The
// last edge takes the place of a removed one, and the message in flight follows it. A reader that
// is dropped leaves all of its publishers.

impl Reader {
    #[cold]
    fn add_edges(&mut self) {
        let new = self.membership.new_edges();
        if self.edges.is_empty() {
            // Reserves exactly: most readers have one publisher, and there may be many readers.
            self.edges.reserve_exact(new.len());
        }
        let count = new.len();
        for edge in new {
            match edge.after {
                None => self.begin(edge),
                Some(_) => self.later.push(edge),
            }
        }
        self.begin_later();
        self.sweep(2 * count);
    }

    /// Checks the next edges in turn, and removes edges whose publishers have ended. A reader that
    /// always finds a message at the newest edge would not find the ends of the others, and as
    /// publishers come and go, its list would grow without limit.
    fn sweep(&mut self, edges: usize) {
        for _ in 0..edges {
            self.swept += 1;
            if self.swept >= self.edges.len() {
                self.swept = 0;
            }
            // `after_gap` and the table name edges by index, so edges may move only while both are
            // empty.
            let may_move =
                self.after_gap.is_none() && self.table.as_ref().is_none_or(|it| it.is_empty());
            if may_move && self.edges.get(self.swept).is_some_and(Edge::has_ended_quietly) {
                self.remove_edge(self.swept, false);
            }
        }
    }

    /// Begins to read edges whose earlier messages are all taken.
    fn begin_later(&mut self) {
        // Begins the edges in the order in which they joined, because one may follow another one.
        let mut place = 0;
        while let Some(edge) = self.later.get(place) {
            let earlier = edge.after.as_ref().map_or(std::ptr::null(), Weak::as_ptr);
            let mut before = self.edges.iter().chain(&self.later);
            if before.any(|edge| Arc::as_ptr(&edge.publisher) == earlier) {
                place += 1;
            } else {
                let edge = self.later.remove(place);
                self.begin(edge);
            }
        }
    }

    /// Replaces an edge whose publisher's stream has moved to shared memory or back by the edge of
    /// the moved stream, if all of its messages are in the table. There a newer message replaces an
    /// earlier one of the same key.
    fn continue_later(&mut self, index: usize) -> bool {
        let edge = &mut self.edges[index];
        if edge.waiting() > 0 {
            return false;
        }
        let Some(place) = self.later.iter().position(|it| it.continues(edge)) else {
            return false;
        };
        let mut later = self.later.remove(place);
        later.passed += std::mem::take(&mut edge.passed);
        self.begin(later);
        // The last edge is the new one. It takes the place of the removed one.
        self.remove_edge(index, false);
        true
    }

    fn begin(&mut self, edge: Edge) {
        // This reader may be parked already, so the new edge begins asleep.
        edge.fall_asleep();
        if !edge.lends() && self.words.is_empty() {
            let size = self.membership.topic.content_bytes();
            self.words = vec![0; size.div_ceil(size_of::<usize>())].into();
        }
        self.has_sleepers |= edge.is_mapped();
        if let Some(current) = self.metadata.as_mut().and_then(|it| it.current.as_mut()) {
            current.has_untraced |= !edge.publisher.area.is_present();
        }
        self.edges.push(edge);
        self.joined_crowd();
    }

    fn remove_edge(&mut self, index: usize, in_flight: bool) {
        let edge = self.edges.swap_remove(index);
        let moved = self.edges.len();
        self.left_crowd(index, edge.slot.number);
        self.in_flight = self.in_flight.filter(|in_flight| in_flight.edge != index);
        if let Some(in_flight) = self.in_flight.as_mut().filter(|it| it.edge == moved) {
            in_flight.edge = index;
        }
        self.unshown = match self.unshown {
            Unshown::One(edge) if edge == index => Unshown::Nothing,
            Unshown::One(edge) if edge == moved => Unshown::One(index),
            unshown => unshown,
        };
        edge.leave(&self.membership.state, in_flight);
        // Counts an operation, because a task renews its copy of the list of publishers only at the
        // end of a poll with operations. Nothing was taken, so no publisher has to be woken for it.
        _ = self.count(1);
        self.begin_later();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end_handling(false);
        self.membership.topic.remove_subscriber(&self.membership.state);
        let held = std::mem::take(&mut *self.membership.state.held());
        self.later.extend(held.into_iter().flatten());
        self.add_edges();
        // Unread messages count as `left`. The publisher counts the messages that it sends later.
        if let Some(AfterGap { edge, .. }) = self.after_gap.take() {
            self.edges[edge].line.add(EdgeValue::Left, 1);
        }
        let in_flight = self.in_flight.take().map(|it| self.edges[it.edge].publisher.clone());
        // Moves the later edges to the list, because the loop below leaves only the edges there.
        std::mem::take(&mut self.later).into_iter().for_each(|edge| self.begin(edge));
        if self.table.is_some() {
            // Counts before the edges change their indices, by which the table names them.
            for (index, edge) in self.edges.iter().enumerate() {
                edge.line.add(EdgeValue::Left, self.in_table(index) as u64);
            }
            self.table = None;
        }
        while let Some(edge) = self.edges.first() {
            edge.line.add(EdgeValue::Left, edge.leave_unread());
            let is_first = in_flight.as_ref().is_some_and(|it| Arc::ptr_eq(it, &edge.publisher));
            // In a batch, publishers beside the first one have messages in flight, too.
            let in_flight = is_first || edge.ahead > 0 || edge.has_failed(0);
            self.remove_edge(0, in_flight);
        }
    }
}

// Use of the metadata: the trace of a message becomes the trace of the task's current delivery, and
// the send time gives the latency.
//
// A delivery is current until the next find. The usual fast path finds no messages in slots with
// areas, because such slots are longer than a message; they have their own fast path. The first
// message of a batch gives the trace. Each message of a batch is measured once.

impl Reader {
    /// Whether the reader uses areas.
    #[inline(always)]
    pub(in crate::local) fn has_metadata(&self) -> bool {
        self.metadata.is_some()
    }

    /// Copies the next message as [`peek_fast`](Reader::peek_fast) does, for slots with areas and a
    /// reader that borrows its slots.
    #[inline(always)]
    pub(in crate::local) fn peek_fast_with_area(
        &mut self,
        words: &mut [usize],
        length: usize,
    ) -> Option<Header> {
        let keeps = self.membership.state.policy.keeps();
        let is_fast = self.has_metadata() && keeps && self.is_fast();
        let index = self.turn;
        let edge = self.edges.get_mut(index).filter(|edge| is_fast && edge.lends())?;
        // The words have room only for the message. Its area is read in the slot.
        let content = TraceArea::Present.content_bytes(length);
        let place = edge.consumer.peek_exact(words, content)?;
        if edge.may_miss() {
            return None;
        }
        Some(Header { edge: index, sequence: edge.sequence(place), attempt: Attempt::First })
    }

    /// Takes the message of [`peek_fast_with_area`](Reader::peek_fast_with_area).
    #[inline(always)]
    pub(in crate::local) fn take_fast_with_area(&mut self, header: Header) {
        self.begin_handling(header);
        self.take_fast();
    }

    /// Makes a message that was found the task's current delivery, because the task takes it.
    #[inline(never)]
    fn begin_handling(&mut self, header: Header) {
        if self.budget.trace().is_none() {
            // The reader's task is not being polled, so `take` below does not end the previous
            // delivery.
            self.end_handling(false);
        }
        if !header.attempt.is_again() && self.measures() {
            self.measure(header);
        }
        if self.metadata.as_ref().is_none_or(|metadata| metadata.current.is_none()) {
            return;
        }
        let trace = self.read_area(header, trace_in);
        let Reader { edges, budget, membership, metadata: Some(metadata), .. } = self else {
            return;
        };
        let Some(current) = &mut metadata.current else { return };
        (current.is_handling, current.trace) = (true, trace);
        if let Some(task) = budget.trace() {
            current.is_told = true;
            let publisher = &edges[header.edge].publisher;
            let (topic, publisher) = (&publisher.topic, &publisher.name);
            task.take(TracedMessage { topic, publisher, sequence: header.sequence }, trace);
        }
        if current.has_untraced {
            // Forgets the version, so that the next receive does not use the fast path.
            membership.forget_version();
        }
    }

    /// Measures a message that was found.
    fn measure(&mut self, header: Header) {
        let sent_at = self.read_area(header, sent_at_in);
        if let Some(lines) = self.metadata.as_ref().and_then(|it| it.latencies.as_ref()) {
            measure_latency(lines, sent_at, self.membership.topic.executor());
        }
    }

    /// Reads the area of a message that was found, if it has one.
    #[inline(always)]
    fn read_area<R>(&mut self, header: Header, read: impl FnOnce(&[u8]) -> Option<R>) -> Option<R> {
        let edge = &mut self.edges[header.edge];
        if !edge.publisher.area.is_present() {
            return None;
        }
        if self.membership.state.policy.keeps() && edge.lends() {
            read(edge.consumer.read(1)?.get(0)?)
        } else {
            read(self.words.as_bytes())
        }
    }

    /// Ends the current delivery.
    #[inline]
    pub(in crate::local) fn end_handling(&mut self, has_failed: bool) {
        let Some(metadata) = &mut self.metadata else { return };
        let Some(current) = metadata.current.as_mut().filter(|current| current.is_handling) else {
            return;
        };
        (current.is_handling, current.trace) = (false, None);
        // Notifies the task only if it was notified of this delivery.
        let task = self.budget.any_trace().filter(|_| std::mem::take(&mut current.is_told));
        task.into_iter().for_each(|task| task.end_handling(has_failed));
    }

    /// Returns the trace of the current delivery.
    pub(in crate::local) fn trace(&self) -> Option<TraceContext> {
        self.metadata.as_ref()?.current.as_ref()?.trace
    }

    /// Whether the reader measures the latency of messages.
    fn measures(&self) -> bool {
        self.metadata.as_ref().is_some_and(|metadata| metadata.latencies.is_some())
    }

    /// Clears the area of an earlier message in `words` before an observer copies a message of this
    /// edge.
    fn clear_stale_area(&mut self, edge: usize) {
        if self.has_metadata() && !self.edges[edge].publisher.area.is_present() {
            let message = self.membership.topic.schema().size.div_ceil(size_of::<usize>());
            self.words.get_mut(message..).into_iter().for_each(|area| area.fill(0));
        }
    }
}
