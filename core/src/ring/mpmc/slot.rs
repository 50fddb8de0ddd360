//! A slot of an `mpmc` ring, and its stamp: a lap, and a state in the two low bits.

use crate::ring::cell;
use crate::ring::slots::Slots;
use crate::sync::{AtomicUsize, const_unless_loom};

/// Positions and laps are multiples of this. The two bits below it are the state of a slot.
pub(super) const STEP: usize = 4;
/// The state of a slot, in the two low bits of its stamp: it may be filled in this lap.
pub(super) const FREE: usize = 0;
/// It contains an item of this lap.
pub(super) const FULL: usize = 1;
/// It was claimed in this lap, and contains nothing.
pub(super) const SKIP: usize = 2;

/// A cell for one value, and a stamp with its lap and its state.
///
/// Stamps count laps, not positions, so that all slots of a new ring are alike.
#[derive(Debug)]
pub struct Slot<T> {
    pub(super) stamp: AtomicUsize,
    pub(super) cell: cell::Slot<T>,
}

impl<T> Slot<T> {
    const_unless_loom! {
        /// An empty slot.
        #[must_use]
        pub const fn new() -> Slot<T> {
            Slot { stamp: AtomicUsize::new(FREE), cell: cell::Slot::new() }
        }
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot::new()
    }
}

/// The lap of a position, in the form that a stamp has: the position without its place in the lap.
#[inline]
pub(super) fn lap<T>(slots: &Slots<Slot<T>>, position: usize) -> usize {
    position & !(slots.capacity() * STEP - 1)
}

/// The stamp of a slot that is free for the lap after that of `position`.
#[inline]
pub(super) fn next_lap<T>(slots: &Slots<Slot<T>>, position: usize) -> usize {
    lap(slots, position).wrapping_add(slots.capacity() * STEP) | FREE
}
