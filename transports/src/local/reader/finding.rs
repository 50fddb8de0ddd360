//! The search of a reader: which publisher has its turn, and what is in that publisher's ring. A
//! message that is found is not taken yet. Missing messages are counted when they are found.

use std::task::Context;

use mycelium_core::Message;
use mycelium_core::doorbell::{announce, ring_each};
use mycelium_core::ring::broadcast::Peek;
use mycelium_core::wait::{SpinResult, WaitStrategy};
use zerocopy::IntoBytes;

use super::key_table::{Body, Evicted};
use super::view::decode_ahead;
use super::{AfterGap, BURST, Found, Handling, Header, InFlight, Reader, Waited};
use crate::counters::EdgeValue;
use crate::local::ring::ready::IN_TURN;
use crate::local::ring::roster::Numbered;
use crate::local::state::{Edge, LastCall};
use crate::local::trace::{measure_latency, sent_at_in};
use crate::local::values::{Attempt, Certainty, Gap, GapReason};
use crate::sync::Ordering;

impl Reader {
    /// Returns the next message, gap or end; `Empty` if there is nothing yet.
    #[inline(never)]
    pub(in crate::local) fn find(&mut self) -> Found {
        self.end_handling(false);
        self.request();
        // Loads the last call first, so that the search below sees all messages published before
        // it.
        let last_call = self.membership.state.last_call.load(Ordering::Acquire);
        if last_call == LastCall::Now as u8 {
            return Found::Closed;
        }
        if self.membership.has_new_edges() {
            self.add_edges();
        }
        if self.has_failed {
            self.find_failed();
        }
        if last_call == LastCall::AfterSent as u8 {
            self.set_ends();
        }
        if let Some(InFlight { edge, .. }) = self.in_flight {
            let place = self.edges[edge].consumer.cursor();
            let found = self.find_at(edge);
            if self.edges[edge].consumer.cursor() != place {
                // The message in flight was overwritten, so it cannot be delivered again.
                self.in_flight = None;
            }
            if matches!(found, Found::Message(_) | Found::Gap(_)) {
                return found;
            }
        }
        if let Some(AfterGap { edge, sequence, .. }) = self.after_gap {
            let it = &self.edges[edge];
            let attempt = Attempt::new(it.is_retained(), it.is_redelivered());
            return Found::Message(Header { edge, sequence, attempt });
        }
        if let Some(found) = self.find_by_key() {
            return found;
        }
        if self.crowd.is_some() && last_call == 0 && self.table.is_none() && !self.has_ends {
            if let Some(found) = self.find_ready() {
                return found;
            }
        } else if let Some(found) = self.find_in_turn() {
            return found;
        }
        let may_end = self.edges.is_empty() || last_call > 0;
        if may_end && !self.membership.state.held().is_empty() {
            // Edges that are held back may have messages.
            return Found::Empty;
        }
        if last_call == LastCall::AfterSent as u8 {
            return Found::Closed;
        }
        let (membership, topic) = (&self.membership, &self.membership.topic);
        let is_over = self.edges.is_empty() && !topic.is_kept_open();
        if self.edges.is_empty() && membership.has_new_edges() {
            // A publisher joined before the last one ended, so the search starts again.
            return self.find();
        }
        if is_over && (membership.had_edges() || topic.was_kept_open()) || last_call > 0 {
            return Found::Closed;
        }
        Found::Empty
    }

    /// Sets the last message that the reader takes from each edge. From edges that join later it
    /// takes none.
    #[cold]
    fn set_ends(&mut self) {
        let is_first = !std::mem::replace(&mut self.has_ends, true);
        let mut held = self.membership.state.held();
        for edge in self.edges.iter_mut().chain(&mut self.later).chain(held.iter_mut().flatten()) {
            edge.pump();
            let (tail, cursor) = (edge.publisher.ring.tail(), edge.consumer.cursor());
            let has_earlier = is_first || edge.is_retained();
            edge.end.get_or_insert(if has_earlier { tail } else { cursor });
        }
        drop(held);
        // The fast path does not check ends, so it must not be used.
        self.membership.forget_version();
    }

    /// Returns the next message, gap or end at any edge, in turn; `None` if there is none.
    #[inline(always)]
    pub(super) fn find_in_turn(&mut self) -> Option<Found> {
        let mut idle = 0;
        while idle < self.edges.len() {
            if self.turn >= self.edges.len() {
                self.set_turn(0);
            }
            match self.find_at(self.turn) {
                Found::Empty => {
                    self.pass_turn();
                    idle += 1;
                }
                // An edge with deliveries that are not handled yet stays until the next receive.
                Found::Closed if self.is_unshown(self.turn) => return None,
                Found::Closed => {
                    self.remove_edge(self.turn, false);
                    // Searches all edges again, because an edge that continues the removed one may
                    // be in the list now.
                    idle = 0;
                }
                // The message was published during this search. `find` must put it into the table
                // of keys first.
                Found::Message(_) if self.table.is_some() => return Some(self.find()),
                found => {
                    self.burst += 1;
                    if self.burst >= BURST {
                        self.pass_turn();
                    }
                    return Some(found);
                }
            }
        }
        None
    }

    /// Tells feeds, at the first read, that this subscription requests messages.
    fn request(&mut self) {
        if self.membership.state.has_requested.load(Ordering::Relaxed) {
            return;
        }
        // Publishers may have joined before this first read.
        self.add_edges();
        self.membership.state.has_requested.store(true, Ordering::Release);
        announce();
        let remote = self.edges.iter().filter(|edge| !edge.publisher.origin.is_local());
        ring_each(remote, |edge| edge.publisher.ring_room());
    }

    /// Returns the next message, gap or end at one edge; `Empty` if there is nothing yet.
    pub(super) fn find_at(&mut self, index: usize) -> Found {
        let policy = self.membership.state.policy;
        let is_again = self.in_flight.is_some_and(|it| it.edge == index);
        let edge = &mut self.edges[index];
        let later = self.later.iter_mut().find(|later| later.follows(edge));
        if edge.is_at_end() {
            let is_over = later.is_some() && edge.waiting() == 0;
            return if is_over { Found::Closed } else { Found::Empty };
        }
        let is_followed = later.is_some();
        if policy.skips() {
            let later = later.filter(|it| it.continues(edge) && it.consumer.depth() > 0);
            let skipped = edge.skip(later.is_some());
            match later {
                // The publisher's stream has moved. Its newest message is at the later edge, which
                // reports the skipped messages.
                Some(later) => later.passed += skipped,
                None if skipped > 0 => {
                    return Found::Gap(self.gap(index, skipped as u64, 0, GapReason::Skipped));
                }
                None => {}
            }
        }
        if let Some((missed, reason)) = self.sample(index) {
            return Found::Gap(self.gap(index, 0, missed, reason));
        }
        let edge = &mut self.edges[index];
        // Copies nothing for a gating reader, whose messages stay in the ring.
        let copies = !policy.keeps() || !edge.lends();
        let words: &mut [usize] = if copies { &mut self.words } else { &mut [] };
        let body: &mut [usize] = if copies { &mut self.body } else { &mut [] };
        let gone_at = edge.gone_at();
        let mut peek = peek_at(edge, words, body);
        if peek == Peek::Empty && edge.pump() {
            peek = peek_at(edge, words, body);
        }
        if let (Some(end), Peek::Message { sequence, .. }) = (gone_at, peek)
            && sequence.wrapping_sub(end).cast_signed() >= 0
        {
            peek = Peek::Empty;
        }
        if let (Some(end), Peek::Gap { missed }) = (gone_at, peek) {
            let missed = edge.missed_before(end, missed);
            peek = if missed > 0 { Peek::Gap { missed } } else { Peek::Empty };
        }
        // The publisher waits for this process on the link now, so an eviction from this ring is
        // not reported.
        if gone_at == Some(edge.consumer.cursor()) && peek == Peek::Evicted {
            peek = Peek::Empty;
        }
        if !matches!(peek, Peek::Gap { .. })
            && let Some((missed, reason)) = edge.missed()
        {
            return Found::Gap(self.gap(index, 0, missed, reason));
        }
        match peek {
            // The message was published during this find, and is not selected. The reader finds it
            // again at the next wake-up.
            Peek::Message { .. } if !edge.is_selected(policy) => Found::Empty,
            Peek::Message { sequence: place, .. } => {
                let redelivered = edge.is_redelivered() || is_again || edge.has_failed(0);
                let attempt = Attempt::new(edge.is_retained(), redelivered);
                Found::Message(Header { edge: index, sequence: edge.sequence_of(place), attempt })
            }
            Peek::Gap { missed } => {
                let reason = edge.gap_reason(missed);
                Found::Gap(self.gap(index, missed as u64, 0, reason))
            }
            Peek::Empty if gone_at.is_none() => Found::Empty,
            Peek::Evicted if edge.reports_end() => {
                Found::Gap(self.gap(index, 0, 0, GapReason::Evicted))
            }
            // A closed ring in shared memory has all messages of its publisher, even if the
            // publisher's process has ended.
            Peek::Closed if edge.is_mapped() => Found::Closed,
            Peek::Empty | Peek::Closed if edge.reports_loss() => {
                Found::Gap(self.gap(index, 0, 0, GapReason::Disconnected))
            }
            Peek::Empty if !is_followed && edge.may_continue() => Found::Empty,
            Peek::Empty | Peek::Closed | Peek::Evicted => Found::Closed,
        }
    }

    /// Counts `missed` messages that this reader has just found to be missing, and messages that
    /// were [missing](Edge::missed) before. For an observer it also copies the next message.
    #[cold]
    #[inline(never)]
    pub(super) fn gap(
        &mut self,
        index: usize,
        mut found: u64,
        mut missing: u64,
        reason: GapReason,
    ) -> Gap {
        self.begin_showing(index);
        let edge = &mut self.edges[index];
        let exact = found > 0 || missing > 0;
        // Messages may have been missing before the ones that the ring overwrote. The sum
        // saturates, because a publisher in another process may have written any numbers.
        let missed = |edge: &mut Edge| edge.missed().map_or(0, |(missed, _)| missed);
        missing = missing.saturating_add(missed(edge));
        if !self.membership.state.policy.keeps() && self.table.is_none() {
            while let Some((missed, _)) = self.sample(index) {
                missing = missing.saturating_add(missed);
            }
            let policy = self.membership.state.policy;
            let edge = &mut self.edges[index];
            let gone_at = edge.gone_at();
            let is_read_here =
                |place: usize| gone_at.is_none_or(|end| end.wrapping_sub(place).cast_signed() > 0);
            match peek_at(edge, &mut self.words, &mut self.body) {
                // Does not read this message here: a process that has lost its readers sends later
                // messages over the link.
                Peek::Message { sequence: place, .. } if !is_read_here(place) => {}
                Peek::Message { sequence: place, .. } => {
                    missing = missing.saturating_add(missed(edge));
                    // A message that is not selected was published during this find; the next find
                    // skips it.
                    if edge.is_selected(policy) {
                        edge.consumer.advance();
                        let sequence = edge.sequence(place);
                        self.after_gap = Some(AfterGap { edge: index, place, sequence });
                    }
                }
                // The publisher has overwritten that message, too.
                Peek::Gap { missed: more } => {
                    let more = gone_at.map_or(more, |end| edge.missed_before(end, more));
                    found = found.saturating_add(more as u64);
                    missing = missing.saturating_add(missed(edge));
                }
                Peek::Empty | Peek::Closed | Peek::Evicted => {}
            }
        }
        let edge = &mut self.edges[index];
        edge.count_missing(found, missing, reason);
        if reason == GapReason::Evicted {
            // From now on the publisher waits for this reader again.
            edge.publisher.evictions.returned(Numbered::number(&self.membership.state));
        }
        let count = found.saturating_add(missing);
        let (publisher, epoch) = (edge.publisher.name.clone(), edge.publisher.epoch);
        self.touch(index);
        let certainty = if exact { Certainty::Exact } else { Certainty::AtLeast };
        Gap { count, reason, publisher, epoch, certainty }
    }

    /// Skips messages that are not in the reader's sample. Returns the missing messages before the
    /// next one in the sample, if there are any.
    fn sample(&mut self, index: usize) -> Option<(u64, GapReason)> {
        let every = self.membership.state.policy.every()?;
        let edge = &mut self.edges[index];
        let (passed, missed) = edge.sample(every);
        if passed > 0 {
            edge.line.add(EdgeValue::Sampled, passed as u64);
            // Skipped messages need no handling, so the reader publishes its position after them at
            // once.
            if edge.is_shown() && !self.is_unshown(index) {
                self.show_place(index);
                self.edges[index].publisher.wake();
            }
        }
        missed
    }

    fn pass_turn(&mut self) {
        self.set_turn(self.turn + 1);
    }
}

/// Looks at the next message of an edge. Copies its slot to `words`, and if it is not fixed, the
/// message to `body`; nothing to empty ones.
#[inline]
fn peek_at(edge: &mut Edge, words: &mut [usize], body: &mut [usize]) -> Peek {
    if body.is_empty() {
        return edge.consumer.peek(words);
    }
    let peek = edge.consumer.peek_body(words, body);
    if let (Peek::Message { length, .. }, Some(first)) = (peek, words.first_mut()) {
        // 0 if a writer in another process lied about the place.
        *first = length;
    }
    peek
}

// Waiting: a reader spins as long as its wait strategy says, and then parks its task.

impl Reader {
    /// Waits in the most frequent case: the reader has one publisher, which has nothing new. Call
    /// it after [`peek_fast`](Self::peek_fast) has returned [`Empty`](NoMessage::Empty), and if the
    /// reader needs no [metadata](Self::has_metadata).
    #[inline]
    pub(in crate::local) fn wait_fast(&mut self, context: &Context<'_>) -> Waited {
        let [edge] = self.edges.as_slice() else { return Waited::Unknown };
        let spins = self.spin_wait.strategy() != WaitStrategy::Park;
        // A publisher that announces nothing must be told before this reader parks.
        if !spins && edge.is_silent() {
            return Waited::Unknown;
        }
        if spins {
            return self.spin_fast(context);
        }
        self.membership.state.bell.park(context.waker());
        if self.has_nothing_new() {
            return Waited::Pending;
        }
        self.membership.state.bell.unpark();
        Waited::Unknown
    }

    /// Spins as the wait strategy says, until the publisher has something new.
    #[inline(never)]
    fn spin_fast(&mut self, context: &Context<'_>) -> Waited {
        if !self.has_nothing_new() {
            return Waited::Unknown;
        }
        match self.spin(|reader| (!reader.has_nothing_new()).then_some(())) {
            SpinResult::Found(()) => Waited::New,
            SpinResult::Again => {
                context.waker().wake_by_ref();
                Waited::Pending
            }
            SpinResult::Park => Waited::Unknown,
        }
    }

    /// Whether a reader that [is fast](Self::is_fast) and has one publisher has nothing new.
    #[inline(always)]
    fn has_nothing_new(&mut self) -> bool {
        let Reader { membership, edges, .. } = self;
        let last_call = membership.state.last_call.load(Ordering::Acquire);
        let [edge] = edges.as_mut_slice() else { return false };
        last_call == 0
            && !membership.has_new_edges()
            && edge.consumer.is_waiting()
            && !edge.may_miss()
    }

    /// Finds as [`find`](Self::find) does, and parks the task if there is nothing.
    #[inline(never)]
    pub(in crate::local) fn find_or_park(&mut self, context: &Context<'_>) -> Found {
        // Ends the current delivery here: `find` would do this, but `find_again` seldom calls
        // `find`.
        self.end_handling(false);
        let found = self.find_again();
        if !matches!(found, Found::Empty) {
            return found;
        }
        if self.spin_wait.strategy() != WaitStrategy::Park {
            let found = |reader: &mut Reader| match reader.find_again() {
                Found::Empty => None,
                found => Some(found),
            };
            match self.spin(found) {
                SpinResult::Found(found) => return found,
                SpinResult::Again => {
                    context.waker().wake_by_ref();
                    return Found::Empty;
                }
                SpinResult::Park => {}
            }
        }
        self.membership.state.bell.park(context.waker());
        // Marks only the present edges as asleep, because edges that are added below start asleep.
        if self.has_sleepers {
            self.edges.iter().for_each(Edge::fall_asleep);
        }
        let found = self.find_again();
        if !matches!(found, Found::Empty) {
            self.membership.state.bell.unpark();
            if self.has_sleepers {
                self.edges.iter().for_each(Edge::stay_awake);
            }
        }
        found
    }

    /// Finds as [`find`](Self::find) does. Checks the most frequent case first: one edge with
    /// nothing new.
    #[inline(always)]
    fn find_again(&mut self) -> Found {
        if self.is_fast() && self.has_nothing_new() { Found::Empty } else { self.find() }
    }

    /// Searches again, up to the number of spins of the wait strategy.
    fn spin<R>(&mut self, mut check: impl FnMut(&mut Reader) -> Option<R>) -> SpinResult<R> {
        // Detects a new wait here, so that a receive that does not wait costs nothing. The first
        // edges are enough for a reader with many: if it takes a new wait for the previous one, it
        // only spins less.
        let places = self.edges.iter().take(IN_TURN).map(|edge| edge.consumer.cursor());
        let places = places.fold(self.edges.len(), usize::wrapping_add);
        let places = match self.edges.len() {
            ..=IN_TURN => places,
            _ => places.wrapping_add(self.turn << 8).wrapping_add(self.burst as usize),
        };
        if places != self.waits_at {
            self.waits_at = places;
            self.spin_wait.reset();
        }
        let (spins, mut spin_wait) = (self.budget.spins(), self.spin_wait);
        let spun = spin_wait.spin(spins, || check(self));
        self.spin_wait = spin_wait;
        spun
    }
}

// The next message of a subscription with [`Policy::LatestByKey`]. Each find first moves all
// messages from the rings to the [`Table`], and then delivers messages from there.
//
// [`Policy::LatestByKey`]: crate::local::Policy::LatestByKey
// [`Table`]: super::key_table::Table

impl Reader {
    /// Returns the next message of the table, or a gap; `None` if there is neither.
    pub(super) fn find_by_key(&mut self) -> Option<Found> {
        let table = self.table.as_ref()?;
        if !table.follows_gap || table.is_empty() {
            // Begins after the edge of the last gap, so that a fast publisher leaves no other unread.
            let (first, edges) = (table.next_edge, self.edges.len());
            for index in (0..edges).map(|index| (first + index) % edges) {
                if let Some(gap) = self.fill_table(index) {
                    self.table.as_mut()?.next_edge = index + 1;
                    return self.found_by_key(gap);
                }
            }
            if let Some(index) = self.edges.iter().position(|edge| edge.passed > 0) {
                let evicted = std::mem::take(&mut self.edges[index].passed) as u64;
                let gap = self.gap(index, evicted, 0, GapReason::Overwritten);
                return self.found_by_key(gap);
            }
        }
        let (entry, slot, body) = self.table.as_mut()?.first()?;
        let edge = entry.edge();
        match std::mem::take(&mut entry.replaced) as u64 {
            0 => {
                self.words.copy_from_slice(slot);
                self.body[..body.words.len()].copy_from_slice(body.words);
                let attempt = Attempt::new(self.edges[edge].is_retained(), entry.redelivered);
                Some(Found::Message(Header { edge, sequence: entry.sequence, attempt }))
            }
            replaced => {
                let gap = self.gap(edge, replaced, 0, GapReason::Skipped);
                self.found_by_key(gap)
            }
        }
    }

    /// Delivers a gap. The next delivery is a message of the table, if there is one.
    fn found_by_key(&mut self, gap: Gap) -> Option<Found> {
        self.table.as_mut()?.follows_gap = true;
        Some(Found::Gap(gap))
    }

    /// Removes the message that [`find_by_key`](Reader::find_by_key) returned and that was taken or
    /// is invalid. Returns false if the reader has no table.
    pub(super) fn remove_from_table(&mut self) -> bool {
        let Some(table) = &mut self.table else { return false };
        table.pop();
        table.follows_gap = false;
        true
    }

    /// Puts the message that was just found at an edge into the table. Returns false if it has no
    /// valid key.
    fn put_into_table(&mut self, index: usize, header: Header) -> bool {
        let Reader { table: Some(table), edges, words, body, .. } = self else { return false };
        let place = edges[index].consumer.cursor();
        let length = if body.is_empty() { 0 } else { words.first().copied().unwrap_or_default() };
        let body = body.get(..length.div_ceil(size_of::<usize>())).unwrap_or_default();
        let body = Body { length, words: body };
        let Some(key) = table.key_of(index, words, &body) else { return false };
        while let Some(Evicted { edge, count }) = table.make_room(&key, &body) {
            edges[edge].passed += count;
        }
        table.put(key, place, (header.sequence, header.attempt.is_again()), words, &body);
        true
    }

    /// Moves the messages that wait at an edge to the table, up to the first gap, which it returns.
    /// After one of overwritten messages it also moves those that follow.
    fn fill_table(&mut self, index: usize) -> Option<Gap> {
        let mut gap: Option<Gap> = None;
        // Moves at most one ring of messages, because the publisher may be faster than this loop.
        let most = self.membership.topic.capacity();
        for _ in 0..most {
            let edge = &self.edges[index];
            if gap.is_some() && (edge.may_miss() || edge.waiting() == 0) {
                // A later find reports what is missing for other reasons.
                break;
            }
            match self.find_at(index) {
                Found::Message(header) => {
                    self.clear_stale_area(index);
                    let is_put = self.put_into_table(index, header);
                    if !is_put && gap.is_some() {
                        break;
                    }
                    self.edges[index].consumer.advance();
                    if !is_put {
                        return Some(self.gap(index, 1, 0, GapReason::Undecodable));
                    }
                    self.touch(index);
                    if self.count(1) {
                        self.wake_publishers(1);
                    }
                }
                Found::Gap(more) => match &mut gap {
                    Some(gap) => gap.count = gap.count.saturating_add(more.count),
                    None if more.reason == GapReason::Overwritten => gap = Some(more),
                    None => return Some(more),
                },
                Found::Empty | Found::Closed
                    if !self.is_unshown(index) && self.continue_later(index) => {}
                Found::Empty | Found::Closed => break,
            }
        }
        gap
    }
}

// Batches of a gating reader: several messages are in flight until the next receive.
//
// Each edge counts its messages of the batch; the cursors move when the batch is settled. If the
// handling of the batch fails or is interrupted, each edge keeps the end of its part. Until the
// cursor has passed that end, messages are delivered one at a time, as redelivered. After a failure
// of the batch, only a message that fails again becomes a dead letter.

/// A message after the one in flight.
pub(in crate::local) struct Ahead<'a> {
    /// The content of its slot.
    words: &'a [usize],
    edge: &'a Edge,
    ahead: usize,
    body: &'a mut [usize],
}

impl Ahead<'_> {
    /// Returns the bytes of a message that is fixed and has this length.
    #[inline]
    pub(super) fn fixed(&self, length: usize) -> &[u8] {
        self.words.as_bytes().get(..length).unwrap_or_default()
    }

    /// Decodes a message that is not fixed; `None` if it is invalid.
    pub(super) fn decode<M: Message>(self) -> Option<M> {
        decode_ahead(self.edge, self.ahead, self.body)
    }
}

impl Reader {
    /// Adds up to `most` messages to the message in flight, which must be in its first delivery.
    /// `add` gets each message and its sequence. If it returns false, the message is not taken, and
    /// no more messages of that publisher are added. Returns the number of added messages.
    pub(in crate::local) fn take_more(
        &mut self,
        most: usize,
        length: usize,
        words: &mut [usize],
        mut add: impl FnMut(Ahead<'_>, u64) -> bool,
    ) -> usize {
        let Some(InFlight { edge: first, handling: Handling::Delivered, .. }) = self.in_flight
        else {
            return 0;
        };
        if self.has_ends {
            return 0;
        }
        let (edges, mut taken, measures) = (self.edges.len(), 0, self.measures());
        self.edges[first].ahead = 1;
        self.look_from(first);
        let mut next = first;
        for _ in 0..self.looks() {
            let index = self.next_look(next);
            next = index + 1;
            let share = if edges == 1 { most } else { (taken + BURST as usize).min(most) };
            let edge = &mut self.edges[index];
            // Continues only while the publisher waits for this reader, because the publisher of a
            // mapped ring may stop waiting.
            while taken < share && edge.gates() && !edge.has_failed(edge.ahead) {
                let ahead = edge.ahead;
                let area = edge.publisher.area;
                let content = area.content_bytes(length);
                // Copies the trace area of the message only if the message is measured.
                let words: &mut [usize] = if measures { &mut self.words } else { &mut *words };
                let Some(place) = edge.consumer.peek_ahead(ahead, words, content) else { break };
                // Stops before a message that may follow a gap: the gap must be delivered first.
                if edge.may_miss_ahead(ahead) {
                    break;
                }
                let sequence = edge.sequence(place);
                let message = Ahead { words, edge, ahead, body: &mut self.body };
                if !add(message, sequence) {
                    break;
                }
                if area.is_present()
                    && let Some(lines) = self.metadata.as_ref().and_then(|it| it.latencies.as_ref())
                {
                    let sent_at = sent_at_in(words.as_bytes());
                    measure_latency(lines, sent_at, self.membership.topic.executor());
                }
                edge.ahead += 1;
                taken += 1;
            }
            if taken == most {
                break;
            }
        }
        if edges > 1 {
            self.set_turn((first + 1) % edges);
        }
        if taken == 0 {
            self.edges[first].ahead = 0;
        } else if let Some(in_flight) = &mut self.in_flight {
            in_flight.handling = Handling::InBatch;
        }
        taken
    }

    /// Confirms the messages of the batch in flight.
    #[cold]
    #[inline(never)]
    pub(super) fn settle_batch(&mut self) {
        self.in_flight = None;
        let (mut taken, mut next) = (0, 0);
        for _ in 0..self.looks() {
            let index = self.next_look(next);
            next = index + 1;
            let edge = &mut self.edges[index];
            let ahead = std::mem::take(&mut edge.ahead);
            if ahead > 0 {
                edge.consumer.advance_by(ahead);
                edge.line.add(EdgeValue::Taken, ahead as u64);
                taken += ahead;
                self.touch(index);
            }
        }
        if self.count(taken as u32) {
            self.wake_publishers(taken as u32);
        }
    }

    /// Notes that the handling of the batch in flight failed, or was interrupted after this number
    /// of failures.
    pub(super) fn fail_batch(&mut self, failures: u32) {
        for edge in &mut self.edges {
            let ahead = std::mem::take(&mut edge.ahead);
            if ahead > 0 {
                let until = edge.consumer.cursor().wrapping_add(ahead);
                edge.failed_until = Some((until, failures));
            }
        }
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.handling = Handling::Redeliver;
        }
        self.has_failed = true;
    }

    /// Checks whether messages of such a batch are left. The fast path must not read them.
    #[cold]
    #[inline(never)]
    pub(super) fn find_failed(&mut self) {
        self.has_failed = self.edges.iter().any(|edge| edge.has_failed(0));
        if self.has_failed {
            self.membership.forget_version();
        }
    }
}
