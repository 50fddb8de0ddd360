//! The list of a reader's edges: how publishers that joined are added to it, and when one is
//! removed. The last edge takes the place of a removed one, and the message in flight follows it. A
//! reader that is dropped leaves all its publishers.

use std::sync::{Arc, Weak};

use super::{AfterGap, Reader, Unshown};
use crate::counters::EdgeValue;
use crate::local::state::Edge;

impl Reader {
    #[cold]
    pub(super) fn add_edges(&mut self) {
        let new = self.membership.new_edges();
        if self.edges.is_empty() {
            // Most readers have one publisher, and there may be many readers.
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

    /// Looks at the next edges in turn, and removes those whose publishers have ended. A reader
    /// that always finds a message at the newest edge would not find the end of the others: while
    /// publishers come and go, there would be more and more.
    fn sweep(&mut self, edges: usize) {
        for _ in 0..edges {
            self.swept += 1;
            if self.swept >= self.edges.len() {
                self.swept = 0;
            }
            // `after_gap` and the table name edges by place, so edges may move only while both are
            // empty.
            let may_move =
                self.after_gap.is_none() && self.table.as_ref().is_none_or(|it| it.is_empty());
            if may_move && self.edges.get(self.swept).is_some_and(Edge::has_ended_quietly) {
                self.remove_edge(self.swept, false);
            }
        }
    }

    /// Begins to read the edges whose earlier messages are all taken.
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

    /// If all messages of an edge are in the table, and its publisher's stream has moved to shared
    /// memory or back, the edge of the moved stream takes its place in the table: there a newer
    /// message replaces an earlier one of the same key.
    pub(super) fn continue_later(&mut self, index: usize) -> bool {
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
        // The last edge, which is the new one, takes the place of the removed one.
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

    /// Sets the last message that the reader takes of each edge. Edges that join later have none.
    #[cold]
    pub(super) fn set_ends(&mut self) {
        let is_first = !std::mem::replace(&mut self.has_ends, true);
        for edge in self.edges.iter_mut().chain(&mut self.later) {
            edge.pump();
            let tail = edge.publisher.ring.tail();
            edge.end.get_or_insert(if is_first { tail } else { edge.consumer.cursor() });
        }
        // The fast path does not check ends, so it must not be used.
        self.membership.forget_version();
    }

    pub(super) fn remove_edge(&mut self, index: usize, in_flight: bool) {
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
        // The task's copy of the list of publishers is renewed at the end of a poll that did
        // something. Nothing was taken, so no other publisher has to be woken for it.
        _ = self.budget.count_operation();
        self.begin_later();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end_handling(false);
        self.membership.topic.remove_subscriber(&self.membership.state);
        self.add_edges();
        // Unread messages count as `left`. The publisher counts later ones.
        if let Some(AfterGap { edge, .. }) = self.after_gap.take() {
            self.edges[edge].line.add(EdgeValue::Left, 1);
        }
        let in_flight = self.in_flight.take().map(|it| self.edges[it.edge].publisher.clone());
        // The edges that would follow others begin now, because nobody reads in turn any more.
        std::mem::take(&mut self.later).into_iter().for_each(|edge| self.begin(edge));
        if self.table.is_some() {
            // Counts before edges change their places, by which the table knows them.
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
