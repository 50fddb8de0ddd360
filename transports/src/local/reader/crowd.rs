//! Readers with many publishers. They check only publishers that have announced messages, and wake
//! only publishers whose messages were taken.
//!
//! The reader remembers which edges it has to check. It always checks the first ones, and edges
//! whose publishers cannot announce messages. It checks any other edge from the time it has taken
//! the edge's ready bit until it has found the ring empty.

use mycelium_core::doorbell::ring_each;

use super::{BURST, Found, Reader};
use crate::local::ring::ready::{Crowd, IN_TURN, Touched};
use crate::local::ring::roster::Numbered;
use crate::sync::Ordering;

impl Reader {
    /// Adds the last edge of the reader's list to the crowd.
    pub(super) fn joined_crowd(&mut self) {
        let index = self.edges.len() - 1;
        if self.crowd.is_none() && index < IN_TURN {
            // Most readers have few publishers and do nothing here.
            return;
        }
        let touched = self.membership.state.ready.touched();
        match &mut self.crowd {
            Some(crowd) => {
                let edge = &self.edges[index];
                // Comes before the first check of the edge, whose ready bit may be in a new word.
                crowd.set_words(self.membership.state.ready.words());
                crowd.add(index, edge.slot.number);
                touched.add(edge.slot.number, edge.publisher.number());
            }
            None => {
                let mut crowd = Box::new(Crowd::default());
                crowd.set_words(self.membership.state.ready.words());
                for (index, edge) in self.edges.iter().enumerate() {
                    crowd.add(index, edge.slot.number);
                    touched.add(edge.slot.number, edge.publisher.number());
                }
                self.crowd = Some(crowd);
                touched.set_used(true);
            }
        }
        if self.edges[index].slot.number >= Touched::MOST {
            // From now on the reader wakes all publishers: it can note the slots below `MOST` only.
            touched.set_used(false);
        }
        self.sync_turn();
    }

    /// Removes the edge at `index`, which had this slot.
    pub(super) fn left_crowd(&mut self, index: usize, slot: usize) {
        let Some(crowd) = &mut self.crowd else { return };
        let moved = self.edges.get(index).map(|edge| edge.slot.number);
        crowd.remove(slot, index, self.edges.len(), moved);
        // Touches the slot of the edge that has the turn, whose messages may have been taken.
        self.membership.state.ready.touched().touch_current();
        if self.edges.len() <= IN_TURN / 2 {
            self.crowd = None;
            self.membership.state.ready.touched().set_used(false);
        }
        self.sync_turn();
    }

    /// Returns the next message of a reader with many edges; `None` if there is none.
    pub(super) fn find_ready(&mut self) -> Option<Found> {
        self.crowd.as_mut()?.collect();
        let mut left = self.crowd.as_ref()?.count();
        while left > 0 {
            let index = self.crowd.as_ref()?.next(self.turn)?;
            if index != self.turn {
                self.set_turn(index);
            }
            match self.find_at(index) {
                Found::Empty => {
                    let edge = &self.edges[index];
                    if edge.slot.number >= IN_TURN && !edge.is_silent() {
                        self.crowd.as_mut()?.forget(index);
                    }
                    self.set_turn(index + 1);
                    left -= 1;
                }
                // An edge with deliveries that are not handled yet stays until the next receive.
                Found::Closed if self.is_unshown(index) => return None,
                Found::Closed => {
                    self.remove_edge(index, false);
                    let Some(crowd) = &self.crowd else {
                        // Few edges are left, so the reader checks them in turn.
                        return self.find_in_rest();
                    };
                    left = crowd.count();
                }
                found => {
                    self.burst += 1;
                    if self.burst >= BURST {
                        self.set_turn(index + 1);
                    }
                    return Some(found);
                }
            }
        }
        None
    }

    #[cold]
    fn find_in_rest(&mut self) -> Option<Found> {
        self.find_in_turn()
    }

    /// Marks an edge to be checked, and takes the bits that publishers have set.
    pub(super) fn look_from(&mut self, first: usize) {
        if let Some(crowd) = &mut self.crowd {
            crowd.look(first);
            crowd.collect();
        }
    }

    /// Returns how many edges the reader has to check.
    pub(super) fn looks(&self) -> usize {
        self.crowd.as_ref().map_or(self.edges.len(), |crowd| crowd.count())
    }

    /// Returns the first edge to check from `index` on, or else from the first one on.
    pub(super) fn next_look(&self, index: usize) -> usize {
        let in_turn = if index < self.edges.len() { index } else { 0 };
        self.crowd.as_ref().map_or(in_turn, |crowd| crowd.next(index).unwrap_or(in_turn))
    }

    /// Makes this edge the one that the next receive reads first.
    #[inline(always)]
    pub(super) fn set_turn(&mut self, turn: usize) {
        if self.crowd.is_some() {
            return self.set_turn_in_crowd(turn);
        }
        (self.turn, self.burst) = (turn, 0);
    }

    fn set_turn_in_crowd(&mut self, turn: usize) {
        if self.burst > 0 {
            self.membership.state.ready.touched().touch_current();
        }
        (self.turn, self.burst) = (turn, 0);
        self.sync_turn();
    }

    /// Sets the slot of the edge whose turn it is as the current one: the fast path takes messages
    /// from it without a call of `touch`.
    fn sync_turn(&self) {
        if let Some(edge) = self.edges.get(self.turn) {
            self.membership.state.ready.touched().set_current(edge.slot.number);
        }
    }

    /// Notes that a message was taken from this edge, so that its publisher is woken. The turn may
    /// be at another edge.
    #[cold]
    #[inline(never)]
    pub(super) fn touch(&self, index: usize) {
        if self.crowd.is_some() {
            self.membership.state.ready.touched().touch(self.edges[index].slot.number);
        }
    }

    /// Counts operations of this reader. Returns whether its publishers must be woken now.
    #[inline(always)]
    pub(super) fn count(&self, operations: u32) -> bool {
        let counted = &self.membership.state.operations;
        // A load and a store are enough: only the reader writes.
        let before = counted.load(Ordering::Relaxed);
        counted.store(before.wrapping_add(operations as usize), Ordering::Relaxed);
        match operations {
            1 => self.budget.count_operation(),
            several => self.budget.count_operations(several),
        }
    }

    /// Wakes the publishers whose messages were taken.
    pub(super) fn ring_publishers(&self) {
        let touched = self.membership.state.ready.touched_now();
        let (Some(crowd), Some(touched)) = (&self.crowd, touched) else {
            return ring_each(&self.edges, |edge| edge.publisher.ring_room());
        };
        ring_each(touched.take(), |(slot, _)| {
            let edge = crowd.edge_of(slot).and_then(|index| self.edges.get(index));
            if let Some(edge) = edge {
                edge.publisher.ring_room();
            }
        });
    }
}
