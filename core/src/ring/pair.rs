//! What the two rings for one writer and one reader share: the words of each side, who has an end, and where the
//! memory of all that comes from.

use crossbeam_utils::CachePadded;

use super::{CapacityError, Storage};
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, order};

/// What one side says of itself. Its position lies on a cache line of its own; what is seldom written on another.
#[derive(Debug)]
#[repr(C)]
pub struct SideState {
    /// The writer's: the position of the next item. The reader's: all items before this one were taken.
    pub(super) position: CachePadded<AtomicUsize>,
    pub(super) rare: CachePadded<RareState>,
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct RareState {
    taken: AtomicUsize,
    closed: AtomicUsize,
    /// The most items that this side has seen in the ring at once.
    high_water: AtomicUsize,
}

impl SideState {
    const_unless_loom! {
        /// Nobody there, nothing done.
        #[must_use]
        pub const fn new() -> SideState {
            SideState {
                position: CachePadded::new(AtomicUsize::new(0)),
                rare: CachePadded::new(RareState {
                    taken: AtomicUsize::new(0),
                    closed: AtomicUsize::new(0),
                    high_water: AtomicUsize::new(0),
                }),
            }
        }
    }

    /// Takes this side's end, unless somebody has it or it was closed.
    #[cfg(target_has_atomic = "ptr")]
    pub(super) fn take(&self) -> bool {
        // Acquire: where the one before left off, and the slots as it left them.
        let took =
            self.rare.taken.compare_exchange(0, 1, order!("pair.take", Acquire), Ordering::Relaxed);
        if took.is_ok() && self.is_closed() {
            // As an end does: who takes this next has to see, too, that it was closed.
            self.give_back();
            return false;
        }
        took.is_ok()
    }

    /// As `take`, for who has the ring to itself: this needs no compare-and-swap.
    pub(super) fn take_alone(&mut self) -> bool {
        let free = !self.is_taken() && !self.is_closed();
        if free {
            self.rare.taken.store(1, Ordering::Relaxed);
        }
        free
    }

    /// Gives the end back, after the position was stored.
    pub(super) fn give_back(&self) {
        // Release: whoever takes the end next goes on from there.
        self.rare.taken.store(0, order!("pair.give-back", Release));
    }

    /// Whether somebody has this end, or had it and forgot it.
    pub(super) fn is_taken(&self) -> bool {
        self.rare.taken.load(Ordering::Relaxed) != 0
    }

    pub(super) fn close(&self) {
        // Release: who sees the end closed also sees all that it did.
        self.rare.closed.store(1, order!("pair.close", Release));
    }

    /// As a hint: whoever needs to know what went before asks `closed_after`.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.rare.closed.load(Ordering::Relaxed) != 0
    }

    /// Whether this side is closed; if so, all that it did before is visible.
    #[inline]
    pub(super) fn closed_after(&self) -> bool {
        self.rare.closed.load(order!("pair.closed", Acquire)) != 0
    }

    #[inline]
    pub(super) fn note_depth(&self, depth: usize) {
        if depth > self.high_water() {
            self.rare.high_water.store(depth, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn high_water(&self) -> usize {
        self.rare.high_water.load(Ordering::Relaxed)
    }
}

impl Default for SideState {
    fn default() -> SideState {
        SideState::new()
    }
}

/// The memory of a ring for one writer and one reader.
///
/// # Safety
/// Each function returns the same memory at every call, and nothing but the one ring that owns this reaches it.
#[allow(unsafe_code)]
pub unsafe trait Memory {
    /// A slot, as its ring wants it.
    type Slot;
    /// The slots: a power of two of them, from 2 to [`CapacityError::MOST`].
    fn slots(&self) -> &[Self::Slot];
    /// The words that the writer writes.
    fn writer(&self) -> &SideState;
    /// The words that the reader writes.
    fn reader(&self) -> &SideState;
}

/// Memory within one process: the words of both sides, and slots from anywhere.
#[derive(Debug)]
// In this order, so that slots in an array begin with a cache line.
#[repr(C)]
pub struct LocalMemory<S> {
    writer: SideState,
    reader: SideState,
    slots: S,
}

impl<S> LocalMemory<S> {
    const_unless_loom! {
        pub(super) const fn unchecked(slots: S) -> LocalMemory<S> {
            LocalMemory { writer: SideState::new(), reader: SideState::new(), slots }
        }
    }
}

impl<S: Storage> LocalMemory<S> {
    pub(super) fn new(slots: S) -> Result<LocalMemory<S>, CapacityError> {
        CapacityError::check(slots.slots().len())?;
        Ok(LocalMemory::unchecked(slots))
    }

    /// Both sides, for who has the ring to itself.
    pub(super) fn sides(&mut self) -> (&mut SideState, &mut SideState) {
        (&mut self.writer, &mut self.reader)
    }
}

// SAFETY: parts of one owned value; for the slots `Storage` promises the same.
#[allow(unsafe_code)]
unsafe impl<S: Storage> Memory for LocalMemory<S> {
    type Slot = S::Slot;

    fn slots(&self) -> &[S::Slot] {
        self.slots.slots()
    }

    fn writer(&self) -> &SideState {
        &self.writer
    }

    fn reader(&self) -> &SideState {
        &self.reader
    }
}

/// After how many items the reader shows the writer its room, if it does not find the ring empty before. Each look of the
/// writer takes the cache line away from the reader, and a writer that finds room for one item looks for every item.
pub(super) const fn lag(capacity: usize) -> usize {
    let part = capacity / 8;
    if part < 1 {
        1
    } else if part > 64 {
        64
    } else {
        part
    }
}
