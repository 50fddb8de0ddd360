//! What a reader finds next: which publisher has its turn, and what is in the ring of that
//! publisher. A message that is found is not taken. Missing messages are counted when they are
//! found.

use mycelium_core::doorbell::{announce, ring_each};
use mycelium_core::ring::broadcast::Peek;

use super::{AfterGap, BURST, Found, Header, InFlight, Reader};
use crate::counters::EdgeValue;
use crate::local::ring::roster::Numbered;
use crate::local::state::{Edge, LastCall};
use crate::local::values::{Gap, GapReason};
use crate::sync::Ordering;

impl Reader {
    /// Finds what comes next: a message, a gap, or the end.
    #[inline(never)]
    pub(in crate::local) fn find(&mut self) -> Found {
        self.end_handling(false);
        self.request();
        // Loads the last call first, so that the messages published before it are seen below.
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
            let redelivered = self.edges[edge].is_redelivered();
            return Found::Message(Header { edge, sequence, redelivered });
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
        if last_call == LastCall::AfterSent as u8 {
            return Found::Closed;
        }
        let (membership, topic) = (&self.membership, &self.membership.topic);
        let is_over = self.edges.is_empty() && !topic.is_kept_open();
        if self.edges.is_empty() && membership.has_new_edges() {
            // A publisher joined before the last one ended, so this searches again.
            return self.find();
        }
        if is_over && (membership.had_edges() || topic.was_kept_open()) || last_call > 0 {
            return Found::Closed;
        }
        Found::Empty
    }

    /// Finds the next message, gap or end at any edge, in turn. `None` if there is none.
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
                // This edge has deliveries that are not handled yet, so it cannot be removed.
                Found::Closed if self.is_unshown(self.turn) => return None,
                Found::Closed => {
                    self.remove_edge(self.turn, false);
                    // Searches all edges again, because an edge that follows the removed one may be
                    // in the list now.
                    idle = 0;
                }
                // The message was published during this search: `find` puts it into the table of
                // keys first.
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

    /// Finds what comes next at one edge.
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
                // The publisher's stream has moved: its newest message is at the later edge.
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
        // A gating reader copies nothing, because its messages stay in the ring.
        let copies = !policy.keeps() || !edge.lends();
        let words: &mut [usize] = if copies { &mut self.words } else { &mut [] };
        let gone_at = edge.gone_at();
        let mut peek = edge.consumer.peek(words);
        if peek == Peek::Empty && edge.pump() {
            peek = edge.consumer.peek(words);
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
        // The publisher waits for this process on the link, not in this ring.
        if gone_at == Some(edge.consumer.cursor()) && peek == Peek::Evicted {
            peek = Peek::Empty;
        }
        if !matches!(peek, Peek::Gap { .. })
            && let Some((missed, reason)) = edge.missed()
        {
            return Found::Gap(self.gap(index, 0, missed, reason));
        }
        match peek {
            // The message was published during this find, and is not selected. The next message
            // wakes this reader.
            Peek::Message { .. } if !edge.is_selected(policy) => Found::Empty,
            Peek::Message { sequence: place, .. } => {
                let redelivered = edge.is_redelivered() || is_again || edge.has_failed(0);
                let sequence = edge.sequence(place);
                Found::Message(Header { edge: index, sequence, redelivered })
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
            // publisher's process is gone by now.
            Peek::Closed if edge.is_mapped() => Found::Closed,
            Peek::Empty | Peek::Closed if edge.reports_loss() => {
                Found::Gap(self.gap(index, 0, 0, GapReason::Disconnected))
            }
            Peek::Empty if !is_followed && edge.may_continue() => Found::Empty,
            Peek::Empty | Peek::Closed | Peek::Evicted => Found::Closed,
        }
    }

    /// Counts the `missed` messages that this reader has found to be missing, and those that were
    /// [missing](Edge::missed) before. An observer copies the next message at the same time.
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
        // Messages may have been missing before those that the ring passed over. A publisher in
        // another process may have written any numbers.
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
            match edge.consumer.peek(&mut self.words) {
                // This message is not read here: a process that has lost its readers sends later
                // messages over the link.
                Peek::Message { sequence: place, .. } if !is_read_here(place) => {}
                Peek::Message { sequence: place, .. } => {
                    missing = missing.saturating_add(missed(edge));
                    // A message that is not selected was published during this find; the next find
                    // passes over it.
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
            // The publisher waits for this reader again.
            edge.publisher.evictions.returned(Numbered::number(&self.membership.state));
        }
        let count = found.saturating_add(missing);
        let (publisher, epoch) = (edge.publisher.name.clone(), edge.publisher.epoch);
        self.touch(index);
        Gap { count, exact, reason, publisher, epoch }
    }

    /// Passes over the messages that a sampling reader does not get, or returns the messages that
    /// are missing before the next one.
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
