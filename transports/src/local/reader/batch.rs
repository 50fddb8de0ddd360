//! Batches of a gating reader: several messages are in flight until the next receive.
//!
//! Each edge counts its messages of the batch; the cursors move when the batch is settled. If the
//! handling of the batch fails, each edge keeps the end of its part. Until the cursor has passed
//! that end, messages are delivered one at a time, as redelivered: only a message that fails again
//! becomes a dead letter.

use zerocopy::IntoBytes;

use super::{BURST, Handling, InFlight, Reader};
use crate::counters::EdgeValue;
use crate::local::trace::sent_at_in;

impl Reader {
    /// Adds messages to the one in flight, which was delivered for the first time, at most `most`.
    /// `add` gets the words and the sequence of each message, and returns false for one that it
    /// does not take: no more messages of that publisher are added then. Returns the number of
    /// added messages.
    pub(in crate::local) fn take_more(
        &mut self,
        most: usize,
        length: usize,
        words: &mut [usize],
        mut add: impl FnMut(&[usize], u64) -> bool,
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
            // Continues only while the publisher waits for this reader, which the publisher of a
            // mapped ring may not do.
            while taken < share && edge.gates() && !edge.has_failed(edge.ahead) {
                let ahead = edge.ahead;
                let area = edge.publisher.area;
                let content = area.content_bytes(length);
                // Copies the trace area of the message only if the message is measured.
                let words: &mut [usize] = if measures { &mut self.words } else { &mut *words };
                let Some(place) = edge.consumer.peek_ahead(ahead, words, content) else { break };
                // Stops before a message that may follow a gap, because the gap must be delivered
                // first.
                if edge.may_miss_ahead(ahead) || !add(words, edge.sequence(place)) {
                    break;
                }
                if area.is_present()
                    && let Some(meter) = self.metadata.as_ref().and_then(|it| it.meter.as_ref())
                {
                    meter.receive(sent_at_in(words.as_bytes()), self.membership.topic.executor());
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
        if self.budget.count_operations(taken as u32) {
            self.wake_publishers(taken as u32);
        }
    }

    /// The handling of the batch in flight failed.
    pub(super) fn fail_batch(&mut self) {
        for edge in &mut self.edges {
            let ahead = std::mem::take(&mut edge.ahead);
            if ahead > 0 {
                edge.failed_until = Some(edge.consumer.cursor().wrapping_add(ahead));
            }
        }
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.handling = Handling::Redeliver;
        }
        self.has_failed = true;
    }

    /// Finds out whether messages of a batch that failed are left: the fast path must not read
    /// them.
    #[cold]
    #[inline(never)]
    pub(super) fn find_failed(&mut self) {
        self.has_failed = self.edges.iter().any(|edge| edge.has_failed(0));
        if self.has_failed {
            self.membership.forget_version();
        }
    }
}
