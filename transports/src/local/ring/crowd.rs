//! The edges that a reader with many edges has to check: a bit for each edge, by its place.

use std::sync::Arc;

use mycelium_core::doorbell::ReadyWord;

use super::ready::IN_TURN;

/// Which edges to check, of a reader with many edges.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    words: Vec<Arc<ReadyWord>>,
    /// The index of the edge that has each slot, or [`NONE`].
    by_slot: Vec<usize>,
    /// A bit for each edge that the reader has to check.
    looks: Vec<usize>,
}

/// The entry of a slot that no edge has.
const NONE: usize = usize::MAX;

impl Crowd {
    /// Sets the words of the bits, which publishers with new slots set.
    pub(crate) fn set_words(&mut self, words: Vec<Arc<ReadyWord>>) {
        self.words = words;
    }

    /// Returns the index of the edge that has a slot.
    pub(crate) fn edge_of(&self, slot: usize) -> Option<usize> {
        self.by_slot.get(slot).copied().filter(|index| *index != NONE)
    }

    /// Adds an edge with this slot.
    pub(crate) fn add(&mut self, index: usize, slot: usize) {
        if self.by_slot.len() <= slot {
            self.by_slot.resize(slot + 1, NONE);
        }
        self.by_slot[slot] = index;
        if self.looks.len() <= index / ReadyWord::BITS {
            self.looks.resize(index / ReadyWord::BITS + 1, 0);
        }
        self.look(index);
    }

    /// Removes the edge with this slot, which had the place `index`; the last edge gets that place.
    pub(crate) fn remove(&mut self, slot: usize, index: usize, last: usize, moved: Option<usize>) {
        self.by_slot[slot] = NONE;
        let looks_at_last = self.looks[last / ReadyWord::BITS] & 1 << (last % ReadyWord::BITS) != 0;
        self.forget(index);
        self.forget(last);
        if let Some(moved) = moved {
            self.by_slot[moved] = index;
            if looks_at_last {
                self.look(index);
            }
        }
    }

    pub(crate) fn look(&mut self, index: usize) {
        self.looks[index / ReadyWord::BITS] |= 1 << (index % ReadyWord::BITS);
    }

    pub(crate) fn forget(&mut self, index: usize) {
        self.looks[index / ReadyWord::BITS] &= !(1 << (index % ReadyWord::BITS));
    }

    /// Takes the bits that publishers have set, and marks their edges to be checked.
    pub(crate) fn collect(&mut self) {
        for number in 0..self.words.len() {
            let mut taken = self.words[number].take();
            while taken != 0 {
                let place = number * ReadyWord::BITS + taken.trailing_zeros() as usize;
                taken &= taken - 1;
                // No edge has this slot if the publisher has left, or its edge is new and not added
                // yet: the reader checks a new edge in any case.
                if let Some(index) = self.edge_of(IN_TURN + place) {
                    self.look(index);
                }
            }
        }
    }

    /// Returns the number of edges that the reader has to check.
    pub(crate) fn count(&self) -> usize {
        self.looks.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns the first edge to check from `index` on, or else from the first one on.
    pub(crate) fn next(&self, index: usize) -> Option<usize> {
        let (first, bit) = (index / ReadyWord::BITS, index % ReadyWord::BITS);
        let rest = self.looks.get(first).map_or(0, |word| word & (usize::MAX << bit));
        let after = self.looks.iter().copied().enumerate().skip(first + 1);
        let before = self.looks.iter().copied().enumerate().take(first + 1);
        let mut words = std::iter::once((first, rest)).chain(after).chain(before);
        let (word, bits) = words.find(|(_, word)| *word != 0)?;
        Some(word * ReadyWord::BITS + bits.trailing_zeros() as usize)
    }
}
