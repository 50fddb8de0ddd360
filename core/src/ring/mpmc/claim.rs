//! Slots and their stamps, and claims: how an end of an `mpmc` ring takes a range of slots. See the
//! [module](super) for the algorithm.

#![allow(unsafe_code)]

use core::ops::RangeInclusive;

use crossbeam_utils::CachePadded;

use crate::ring::slots::Slots;
use crate::ring::{PopError, cell};
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, pause};

/// Positions and laps are multiples of this. The two bits below it are the state of a slot.
pub(super) const STEP: usize = 4;
/// The state of a slot, in the two low bits of its stamp: the slot may be filled in this lap.
pub(super) const FREE: usize = 0;
/// The slot contains an item of this lap.
pub(super) const FULL: usize = 1;
/// The slot was claimed in this lap, and contains nothing.
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

/// A bit of the tail, which is set when the ring was closed.
pub(super) const CLOSED: usize = 1;
/// One claim takes at most this many slots, unless a grant requests more. Slots are checked before
/// the compare-and-swap; the longer the check, the likelier the compare-and-swap fails.
pub(super) const CLAIM: usize = 64;

/// Chooses where the words of writers, the words of readers and rarely written words are: by the
/// value between them, which has no size.
pub trait Layout: Copy {
    #[doc(hidden)]
    const GAP: Self;
}

/// On cache lines of their own: the default.
#[derive(Clone, Copy, Debug)]
pub struct Padded(CachePadded<()>);

impl Layout for Padded {
    const GAP: Padded = Padded(CachePadded::new(()));
}

/// Side by side, for many rings that are seldom used by several threads at a time.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug)]
pub struct Compact;

#[cfg(feature = "alloc")]
impl Layout for Compact {
    const GAP: Compact = Compact;
}

/// What all ends of a ring share besides the slots: the head and the tail.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C)]
pub struct Indices<L> {
    /// Writers have claimed the positions before this one. With the bit `CLOSED` it never moves
    /// again.
    pub(super) tail: AtomicUsize,
    readers: L,
    /// Readers have claimed the positions before this one.
    pub(super) head: AtomicUsize,
    others: L,
    rare: Rare,
}

/// The rarely written words.
#[derive(Debug)]
struct Rare {
    /// Set after the bit in the tail, so that a reader that finds nothing need not take the cache
    /// line of the tail from the writers.
    closed: AtomicUsize,
    high_water: AtomicUsize,
}

/// A range of slots that belongs to the thread that claimed it, until it stores their stamps.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) position: usize,
    pub(super) count: usize,
}

/// Why a claim failed.
#[derive(Debug)]
pub(super) enum Refused {
    /// Only this number of slots is ready now.
    Short(usize),
    /// The word was closed.
    Closed,
}

impl<L: Layout> Indices<L> {
    const_unless_loom! {
        pub(super) const fn new() -> Indices<L> {
            Indices {
                tail: AtomicUsize::new(0),
                readers: L::GAP,
                head: AtomicUsize::new(0),
                others: L::GAP,
                rare: Rare { closed: AtomicUsize::new(0), high_water: AtomicUsize::new(0) },
            }
        }
    }

    pub(crate) fn close(&self) {
        // Relaxed: the tail alone decides which pushes came before. Nothing else is published by
        // the bit.
        self.tail.fetch_or(CLOSED, Ordering::Relaxed);
        self.rare.closed.store(1, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.rare.closed.load(Ordering::Relaxed) != 0
    }

    pub(super) fn len(&self, capacity: usize) -> usize {
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed) & !CLOSED;
        depth(head, tail, capacity)
    }

    /// The error of a pop whose next slot contains nothing.
    #[inline]
    pub(super) fn pop_error(&self) -> PopError {
        if self.is_closed() { self.pop_error_closed() } else { PopError::Empty }
    }

    #[cold]
    fn pop_error_closed(&self) -> PopError {
        let tail = self.tail.load(Ordering::Relaxed);
        // A tail with the bit does not move any more. A stale head only delays the end.
        if self.head.load(Ordering::Relaxed) | CLOSED == tail {
            PopError::Closed
        } else {
            PopError::Empty
        }
    }

    pub(super) fn high_water(&self) -> usize {
        self.rare.high_water.load(Ordering::Relaxed)
    }

    #[cold]
    pub(super) fn note_depth(&self, tail: usize, capacity: usize) {
        let depth = depth(self.head.load(Ordering::Relaxed), tail, capacity);
        if depth > self.high_water() {
            // Other writers may do the same at this moment, so the greatest value must win.
            self.rare.high_water.fetch_max(depth, Ordering::Relaxed);
        }
    }
}

fn depth(head: usize, tail: usize, capacity: usize) -> usize {
    // The two were not loaded at once, so the head may have passed the loaded tail. The depth is 0
    // then.
    let depth = tail.wrapping_sub(head) / STEP;
    if depth > usize::MAX / STEP / 2 { 0 } else { depth.min(capacity) }
}

/// Moves `word`, the head or the tail, over `least` to `most` slots whose stamps, less their lap,
/// are in `ready`.
///
/// The first check is at `known`, a position that the word had at some time. If other ends have
/// moved the word since, either a stamp shows a later state, or the compare-and-swap fails; the
/// call then continues with the word's value. A failed compare-and-swap also shows that the tail
/// was closed.
///
/// `check` is Acquire: it pairs with the Release of the end that had the slot before, because the
/// claim must know that this end no longer uses the value. The compare-and-swap itself is relaxed:
/// it claims slots whose stamps were checked, and only the end that moves this word over them may
/// change these stamps.
///
/// # Safety
/// The slots are alive.
#[inline]
pub(super) unsafe fn claim<T>(
    word: &AtomicUsize,
    known: &mut usize,
    slots: &Slots<Slot<T>>,
    ready: RangeInclusive<isize>,
    check: Ordering,
    least: usize,
    most: usize,
) -> Result<Claim, Refused> {
    let mut backoff = 0;
    // Whether `known` was loaded from the word in this call.
    let mut fresh = false;
    loop {
        let position = *known;
        let (mut count, mut overtaken) = (0, false);
        while count < most {
            let next = position.wrapping_add(count * STEP);
            // SAFETY: the slots are alive (this function's contract).
            let stamp = unsafe { slots.at(next / STEP) }.stamp.load(check);
            let state = stamp.wrapping_sub(lap(slots, next)).cast_signed();
            if !ready.contains(&state) {
                overtaken = state > *ready.end();
                break;
            }
            count += 1;
        }
        let now = if !overtaken && count >= least {
            let end = position.wrapping_add(count * STEP);
            let moved =
                word.compare_exchange_weak(position, end, Ordering::Relaxed, Ordering::Relaxed);
            match moved {
                Ok(_) => {
                    *known = end;
                    return Ok(Claim { position, count });
                }
                Err(now) => {
                    back_off(&mut backoff);
                    now
                }
            }
        } else {
            // A slot that is not ready was not claimed in this lap, so the word has not passed it.
            // An old `known` then gives the same answer as the word, unless the positions have
            // wrapped since, which can happen only with 32 bits. If some slots are ready, their
            // number is correct only if `known` is current.
            if !overtaken && (fresh || count == 0 && usize::BITS >= 64) {
                return Err(Refused::Short(count));
            }
            let now = word.load(Ordering::Relaxed);
            if !overtaken && now == position {
                return Err(Refused::Short(count));
            }
            if fresh {
                back_off(&mut backoff);
            }
            now
        };
        if now & CLOSED != 0 {
            return Err(Refused::Closed);
        }
        (*known, fresh) = (now, true);
    }
}

/// Waits after a failed compare-and-swap: `step` is the logarithm of the number of pauses.
///
/// A thread whose compare-and-swap failed tries again. If it does so at once, the cache line moves
/// for attempts instead of for items, and two threads get half the throughput of one. So each
/// failure doubles the wait, up to some hundred nanoseconds: short beside a time slice, so that no
/// thread starves. The thread waits for no other thread in particular: it could continue at once.
#[inline]
fn back_off(step: &mut u32) {
    // The model checker would try every number of pauses without finding more.
    let pauses = if cfg!(loom) { 1 } else { 1 << *step };
    for _ in 0..pauses {
        pause();
    }
    *step = (*step + 1).min(MOST_BACKOFF);
}

/// The logarithm of the longest wait, in pauses.
const MOST_BACKOFF: u32 = 6;
