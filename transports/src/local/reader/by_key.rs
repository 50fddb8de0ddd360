//! The next message of a subscription with [`Policy::LatestByKey`]: each find first moves all
//! messages in the rings to the [`Table`], and then delivers messages from there.
//!
//! [`Policy::LatestByKey`]: crate::local::Policy::LatestByKey
//! [`Table`]: super::key_table::Table

use super::key_table::Evicted;
#[cfg(doc)]
use super::key_table::Table;
use super::{Found, Header, Reader};
use crate::local::values::GapReason;

impl Reader {
    /// Finds the next message of the table, or a gap. `None` if nothing waits.
    pub(super) fn find_by_key(&mut self) -> Option<Found> {
        self.table.as_ref()?;
        for index in 0..self.edges.len() {
            if let Some(gap) = self.fill_table(index) {
                return Some(gap);
            }
        }
        if let Some(index) = self.edges.iter().position(|edge| edge.passed > 0) {
            let evicted = std::mem::take(&mut self.edges[index].passed) as u64;
            return Some(Found::Gap(self.gap(index, evicted, 0, GapReason::Overwritten)));
        }
        let (entry, words) = self.table.as_mut()?.first()?;
        let edge = entry.edge();
        match std::mem::take(&mut entry.replaced) as u64 {
            0 => {
                self.words.copy_from_slice(words);
                let sequence = entry.sequence;
                Some(Found::Message(Header { edge, sequence, redelivered: false }))
            }
            replaced => Some(Found::Gap(self.gap(edge, replaced, 0, GapReason::Skipped))),
        }
    }

    /// Removes the message that [`find_by_key`](Reader::find_by_key) returned, which is taken or
    /// invalid. Returns false if the reader has no table.
    pub(super) fn remove_from_table(&mut self) -> bool {
        self.table.as_mut().map(|table| table.pop()).is_some()
    }

    /// Moves the messages that wait at an edge to the table. Returns a gap before the next message.
    fn fill_table(&mut self, index: usize) -> Option<Found> {
        // Moves one ring at most, because the publisher may be faster than this loop.
        let most = self.membership.topic.capacity();
        for _ in 0..most {
            match self.find_at(index) {
                Found::Message(header) => {
                    self.clear_stale_area(index);
                    let table = self.table.as_mut()?;
                    let place = self.edges[index].consumer.cursor();
                    if let Some(Evicted { edge, count }) =
                        table.put(index, place, header.sequence, &self.words)
                    {
                        self.edges[edge].passed += count;
                    }
                    self.edges[index].consumer.advance();
                    self.touch(index);
                    if self.budget.count_operation() {
                        self.wake_publishers(1);
                    }
                }
                gap @ Found::Gap(_) => return Some(gap),
                Found::Empty | Found::Closed
                    if !self.is_unshown(index) && self.continue_later(index) => {}
                Found::Empty | Found::Closed => break,
            }
        }
        None
    }
}
