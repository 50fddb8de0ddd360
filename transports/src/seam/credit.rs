//! The credit of a remote publisher: how many messages the ring of its feed has room for.

use mycelium_core::link::Unit;

use crate::local::Topic;

/// The credit that a remote publisher of a topic has while the ring of its feed is empty.
///
/// Fixed messages use one credit each. All others use the arena of the ring as well as its slots,
/// which are divided into equally many units: a message uses one for each begun unit of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Credit {
    /// What a message uses of the credit.
    pub unit: Unit,
    /// The credit for the whole ring.
    pub most: usize,
    /// The number of bytes in a unit.
    unit_bytes: usize,
    /// The number of bytes of the arena that no credit is given for, because a message may have to
    /// skip the end of the arena.
    kept: usize,
}

impl Credit {
    /// Returns the credit for a feed of this topic.
    #[must_use]
    pub fn of(topic: &Topic) -> Credit {
        let (capacity, arena) = (topic.capacity(), topic.arena_bytes());
        if arena == 0 {
            return Credit { unit: Unit::MESSAGE, most: capacity, unit_bytes: 1, kept: 0 };
        }
        // Both are powers of two. A message takes whole words of the arena, of at most 8 bytes.
        let unit_bytes = (arena / capacity).max(8);
        let unit = Unit::of_bytes(u32::try_from(unit_bytes).unwrap_or(u32::MAX));
        let mut credit = Credit { unit, most: capacity, unit_bytes, kept: topic.schema().longest };
        credit.most = credit.of_room(capacity, Some(arena));
        credit
    }

    /// Returns the credit for a feed whose messages take up to `more` bytes more here than at their
    /// publisher, and the number of bytes that its arena must have more. These are at most as many
    /// as the arena has, unless the longest message needs more.
    pub(crate) fn of_longer(topic: &Topic, more: usize) -> (Credit, usize) {
        let (credit, more) = (Credit::of(topic), more.next_multiple_of(8));
        let arena = topic.arena_bytes();
        if arena == 0 || more == 0 {
            return (credit, 0);
        }
        let longest = credit.unit.cost(credit.kept) as usize;
        let most = credit.most.min(longest.max(arena / more));
        (Credit { most, ..credit }, most.saturating_mul(more))
    }

    /// Returns the credit below which more is given at once: less than half, or less than the
    /// longest message needs.
    pub(crate) fn low(&self) -> usize {
        (self.most / 2).max(self.unit.cost(self.kept) as usize)
    }

    /// Returns the credit for this number of free slots, and of free bytes in the arena.
    pub(super) fn of_room(&self, slots: usize, arena: Option<usize>) -> usize {
        let units = arena.map(|free| free.saturating_sub(self.kept) / self.unit_bytes);
        slots.min(units.unwrap_or(slots)).min(self.most)
    }
}

#[cfg(test)]
mod tests;
