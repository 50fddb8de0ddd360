//! Ready bits, for subscriptions with many publishers: which publishers have messages, and which
//! must be woken.
//!
//! A publisher has a [`Slot`] at each of its subscriptions, the lowest free one. The publishers of
//! the first slots are checked in turn. The others set a [`ReadyBit`] when they wake the
//! subscription, so that it need not check all of them. In the other direction, a subscription
//! notes the slots from which it has taken messages ([`Touched`]), so that it need not wake all
//! publishers.

use std::sync::{Arc, Mutex, OnceLock};

use mycelium_core::doorbell::ReadyWord;

use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering, lock};

/// The number of publishers that a subscription checks in turn.
pub(crate) const IN_TURN: usize = 8;
/// The number of slots in one segment of [`Touched`].
const SLOTS: usize = 1024;
const SEGMENTS: usize = 64;

/// The slots that a subscription shares with its publishers and with the deferred wakes of its
/// task.
#[derive(Debug, Default)]
pub(crate) struct ReadyList {
    slots: Mutex<Slots>,
    touched: OnceLock<Box<Touched>>,
}

#[derive(Debug, Default)]
struct Slots {
    /// A bit for each slot that is taken.
    taken: Vec<usize>,
    /// The bits of the slots that are not checked in turn.
    words: Vec<Arc<ReadyWord>>,
}

/// The slot of a publisher at a subscription. Dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct Slot {
    list: Arc<ReadyList>,
    pub(crate) number: usize,
}

/// Tells a subscription to check one publisher.
#[derive(Clone, Debug)]
pub(crate) struct ReadyBit {
    word: Arc<ReadyWord>,
    bit: usize,
}

impl ReadyBit {
    /// Sets the bit. Call it after `announce`. Returns whether `announce` is needed again before
    /// the bell is rung.
    #[inline]
    pub(crate) fn set(&self) -> bool {
        self.word.set(self.bit)
    }
}

impl ReadyList {
    /// Takes the lowest free slot for another publisher.
    pub(crate) fn take(self: &Arc<ReadyList>) -> Slot {
        let mut slots = lock(&self.slots);
        let free = slots.taken.iter().position(|word| *word != usize::MAX);
        let word = free.unwrap_or(slots.taken.len());
        if free.is_none() {
            slots.taken.reserve_exact(1);
            slots.taken.push(0);
        }
        let bit = slots.taken[word].trailing_ones() as usize;
        slots.taken[word] |= 1 << bit;
        Slot { list: self.clone(), number: word * ReadyWord::BITS + bit }
    }

    /// Returns the bits of the publishers that are not checked in turn, for the reader.
    pub(crate) fn words(&self) -> Vec<Arc<ReadyWord>> {
        lock(&self.slots).words.clone()
    }

    /// Returns the slots from which messages were taken.
    pub(crate) fn touched(&self) -> &Touched {
        self.touched.get_or_init(Box::default)
    }

    /// Returns the touched slots as [`touched`](ReadyList::touched) does, if the reader notes them
    /// at present.
    pub(crate) fn touched_now(&self) -> Option<&Touched> {
        self.touched.get().map(|touched| &**touched).filter(|touched| touched.is_used())
    }
}

impl Slot {
    /// Returns the bit of this slot, if its publisher is not checked in turn.
    pub(crate) fn bit(&self) -> Option<ReadyBit> {
        let place = self.number.checked_sub(IN_TURN)?;
        let mut slots = lock(&self.list.slots);
        while slots.words.len() <= place / ReadyWord::BITS {
            slots.words.push(Arc::default());
        }
        let word = slots.words[place / ReadyWord::BITS].clone();
        Some(ReadyBit { word, bit: 1 << (place % ReadyWord::BITS) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let (word, bit) = (self.number / ReadyWord::BITS, self.number % ReadyWord::BITS);
        lock(&self.list.slots).taken[word] &= !(1 << bit);
    }
}

/// The slots from which a reader has taken messages since their publishers were woken last. Only
/// the reader's task uses it.
#[derive(Debug)]
pub(crate) struct Touched {
    is_used: AtomicBool,
    /// The slot from which messages are taken without a call of `touch`.
    current: AtomicUsize,
    segments: [OnceLock<Box<Segment>>; SEGMENTS],
}

#[derive(Debug)]
struct Segment {
    bits: [AtomicUsize; SLOTS / ReadyWord::BITS],
    /// The number of the publisher of each slot.
    numbers: [AtomicU64; SLOTS],
}

impl Default for Touched {
    fn default() -> Touched {
        Touched {
            is_used: AtomicBool::new(false),
            current: AtomicUsize::new(0),
            segments: [const { OnceLock::new() }; SEGMENTS],
        }
    }
}

impl Touched {
    /// The limit on slots.
    pub(crate) const MOST: usize = SLOTS * SEGMENTS;

    fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// Sets whether the reader notes the slots from now on.
    pub(crate) fn set_used(&self, is_used: bool) {
        self.is_used.store(is_used, Ordering::Relaxed);
    }

    /// Adds a publisher with this slot, which counts as touched.
    pub(crate) fn add(&self, slot: usize, number: u64) {
        let Some(segment) = self.segments.get(slot / SLOTS) else { return };
        let segment = segment.get_or_init(|| {
            Box::new(Segment {
                bits: std::array::from_fn(|_| AtomicUsize::new(0)),
                numbers: std::array::from_fn(|_| AtomicU64::new(0)),
            })
        });
        segment.numbers[slot % SLOTS].store(number, Ordering::Relaxed);
        self.touch(slot);
    }

    /// Notes that a message of this slot was taken.
    #[inline]
    pub(crate) fn touch(&self, slot: usize) {
        let Some(segment) = self.segments.get(slot / SLOTS).and_then(OnceLock::get) else { return };
        let word = &segment.bits[slot % SLOTS / ReadyWord::BITS];
        // A load and a store are enough: only one thread writes.
        let bits = word.load(Ordering::Relaxed) | 1 << (slot % ReadyWord::BITS);
        word.store(bits, Ordering::Relaxed);
    }

    /// Sets the slot from which messages are taken without a call of `touch` from now on.
    #[inline]
    pub(crate) fn set_current(&self, slot: usize) {
        self.current.store(slot, Ordering::Relaxed);
    }

    /// Notes that messages of the slot set by [`set_current`](Touched::set_current) were taken.
    #[inline]
    pub(crate) fn touch_current(&self) {
        self.touch(self.current.load(Ordering::Relaxed));
    }

    /// Takes the slots that were touched since the last call, and the current one, each with the
    /// number of its publisher.
    pub(crate) fn take(&self) -> impl Iterator<Item = (usize, u64)> {
        self.touch_current();
        let segments = self.segments.iter().map_while(OnceLock::get).enumerate();
        let words = segments.flat_map(|(number, segment)| {
            let first = move |word| number * SLOTS + word * ReadyWord::BITS;
            let bits = segment.bits.iter().enumerate();
            bits.map(move |(word, bits)| (segment, first(word), bits))
        });
        words.flat_map(|(segment, first, bits)| {
            let mut left = bits.load(Ordering::Relaxed);
            if left != 0 {
                bits.store(0, Ordering::Relaxed);
            }
            std::iter::from_fn(move || {
                let place = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                let slot = first + place;
                Some((slot, segment.numbers[slot % SLOTS].load(Ordering::Relaxed)))
            })
        })
    }
}

// The edges that a reader with many edges has to check, as a bit for each edge.

/// The edges to check, for a reader with many edges.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    words: Vec<Arc<ReadyWord>>,
    /// The index of each slot's edge, or [`NONE`].
    by_slot: Vec<usize>,
    /// A bit for each edge that the reader has to check.
    looks: Vec<usize>,
}

/// The entry of a slot that no edge has.
const NONE: usize = usize::MAX;

impl Crowd {
    /// Sets the words whose bits publishers set. The last one may be new.
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

    /// Removes the edge with this slot and the index `index`. The last edge gets this index.
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
                // A slot has no edge if the publisher has left, or if its edge is not added yet.
                // The reader checks a new edge in any case.
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn slots_of_publishers_that_have_left_are_taken_again() {
        let list = Arc::<ReadyList>::default();
        let mut slots: Vec<Slot> = (0..200).map(|_| list.take()).collect();
        drop(slots.remove(150));
        drop(slots.remove(7));
        assert_eq!([list.take(), list.take()].map(|slot| slot.number), [7, 150]);
    }
}
