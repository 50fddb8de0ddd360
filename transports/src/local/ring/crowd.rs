//! Which of its edges a reader with many of them has to check: a bit for each edge, by its place.

use std::sync::Arc;

use mycelium_core::doorbell::ReadyWord;

use super::ready::IN_TURN;

/// What a reader with many edges knows of them.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    words: Vec<Arc<ReadyWord>>,
    /// The edge of each slot.
    by_slot: Vec<usize>,
    /// A bit for each edge that the reader has to look at.
    looks: Vec<usize>,
}

/// No edge has this slot.
const NONE: usize = usize::MAX;

impl Crowd {
    /// Publishers with new slots share these words.
    pub(crate) fn set_words(&mut self, words: Vec<Arc<ReadyWord>>) {
        self.words = words;
    }

    /// The edge that has a slot.
    pub(crate) fn edge_of(&self, slot: usize) -> Option<usize> {
        self.by_slot.get(slot).copied().filter(|index| *index != NONE)
    }

    /// An edge was added, with this slot.
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

    /// The edge with this slot is removed from its place, and the last one gets the place.
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

    /// Takes the bits that publishers have set.
    pub(crate) fn collect(&mut self) {
        for number in 0..self.words.len() {
            let mut taken = self.words[number].take();
            while taken != 0 {
                let place = number * ReadyWord::BITS + taken.trailing_zeros() as usize;
                taken &= taken - 1;
                // The publisher may have left, or its edge may be a new one that is not added yet,
                // and that the reader checks in any case when it is.
                if let Some(index) = self.edge_of(IN_TURN + place) {
                    self.look(index);
                }
            }
        }
    }

    /// The number of edges that the reader has to look at.
    pub(crate) fn count(&self) -> usize {
        self.looks.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The first of these edges from `index` on, or from the first one on.
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
