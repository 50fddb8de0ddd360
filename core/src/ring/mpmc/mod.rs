//! `mpmc`: any number of writers and readers; each item goes to one reader, and all see one order.
//!
//! A writer claims a position by moving the ring's tail with a compare-and-swap, fills the slot of
//! that position, and then marks the slot as full in its stamp. A reader claims a position with the
//! head in the same way. A batch is one claim: one compare-and-swap takes `k` consecutive slots,
//! after a check that each of them is ready. Only the thread that moves the word can change the
//! stamps of this range, so the claim succeeds for all slots or fails. The ring of
//! [`channel::mpsc`](crate::channel::mpsc) has one reader, which claims by a store.
//!
//! **What an end loads.** An end remembers the last position that it knew, and checks the slot of
//! that position before it loads the head or the tail. It loads these words only after another end
//! has moved them. So an unsuccessful call usually touches one cache line, and a claim touches two.
//!
//! **Order.** Pushes and pops that succeed are linearizable: items are popped in the order of the
//! claims, and if a push has returned before another begins, its item is popped first. Two readers
//! may still finish their pops in any order.
//!
//! **`Empty` and `Full` are not linearizable.** They say that the *next* slot is not ready, not
//! that no item or no empty slot exists. A pop returns [`PopError::Empty`] while an earlier claim
//! is unfinished (its writer was preempted between the claim and the stamp, or holds a [`Grant`]),
//! although pushes behind it have returned. A push returns
//! [`PushError::Full`](super::PushError::Full) while a reader is still emptying the slot that comes
//! next, although pops behind it have returned. The same calls succeed once that thread continues.
//! On a ring where no call is in progress and no grant is open, both answers are exact.
//!
//! **Progress.** No call waits for another thread: a call retries only if another call succeeded. A
//! thread that stops between its claim and the stamp blocks no call of other threads, but they get
//! `Empty` or `Full` at its slot until it continues. Forgetting a grant (`mem::forget`) stops the
//! ring there.
//!
//! **Fairness.** A ring gives no turns: a thread that calls `try_push` until there is room may find
//! the ring full each time, because others fill it while this thread does not run. In
//! [`channel::mpmc`](crate::channel::mpmc) each sender that waits gets its turn.
//!
//! **Closing.** [`Mpmc::close`] closes the ring for all writers. It is atomic with the claims: a
//! push was either claimed before and will be read before [`PopError::Closed`], or is refused.
//! Dropping an end does not close the ring.
//!
//! The algorithm is Dmitry Vyukov's bounded MPMC queue (1024cores.net, 2010), with batch claims and
//! marks for slots that were claimed and not filled.
//!
//! Positions are `usize`, counted in steps of 4, and wrap. If a thread is suspended after its check
//! for exactly a multiple of 2⁶² pushes (2³⁰ where `usize` has 32 bits), its compare-and-swap
//! wrongly succeeds. An end may be idle for any number of pushes: where `usize` has 32 bits, it
//! compares its position with the head or the tail before it returns `Empty` or `Full`.
//!
//! Read this file (the ring, and how an end claims slots), then `ends.rs`.

#![allow(unsafe_code)]

mod ends;
#[cfg(all(test, not(loom)))]
mod tests;

use core::marker::PhantomData;
use core::ops::{Deref, RangeInclusive};

use crossbeam_utils::CachePadded;

use super::cell::{self, Cell};
use super::slots::Slots;
use super::{CapacityError, PopError, Storage};
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, pause, repeat};

pub use ends::{Consumer, Grant, Producer};

/// A ring for any number of writers and readers. See the [module](self).
///
/// ```
/// use mycelium_core::ring::{PopError, PushError, mpmc};
///
/// static RING: mpmc::Inline<u32, 4> = mpmc::Inline::new();
///
/// let mut writer = mpmc::Mpmc::producer(&RING);
/// let mut another = writer.clone();
/// let mut reader = mpmc::Mpmc::consumer(&RING);
/// writer.try_push(1)?;
/// assert_eq!(another.push_slice(&[2, 3, 4, 5]), Ok(3));
/// assert_eq!(writer.try_push(5), Err(PushError::Full(5)));
/// assert_eq!(reader.try_pop(), Ok(1));
/// RING.close();
/// assert_eq!(writer.try_push(5), Err(PushError::Closed(5)));
/// let mut items = Vec::new();
/// assert_eq!(reader.pop_many(16, |item| items.push(item)), Ok(3));
/// assert_eq!(items, [2, 3, 4]);
/// assert_eq!(reader.try_pop(), Err(PopError::Closed));
/// # Ok::<(), PushError<u32>>(())
/// ```
#[derive(Debug)]
pub struct Mpmc<T, S: Storage<Slot = Slot<T>>, L = Padded> {
    indices: Indices<L>,
    slots: S,
    items: PhantomData<fn() -> T>,
}

/// A ring that contains its slots, for a `static` or a field.
pub type Inline<T, const N: usize> = Mpmc<T, [Slot<T>; N]>;

/// A ring in a borrowed slice of slots.
pub type InSlice<'a, T> = Mpmc<T, &'a mut [Slot<T>]>;

/// A ring with slots on the heap.
#[cfg(feature = "alloc")]
pub type Boxed<T> = Mpmc<T, super::Heap<Slot<T>>>;

/// A ring with slots on the heap and adjacent words: it needs less memory than [`Boxed`], but its
/// writers and readers share a cache line.
#[cfg(feature = "alloc")]
pub type Small<T> = Mpmc<T, super::Heap<Slot<T>, 1>, Compact>;

impl<T, const N: usize> Inline<T, N> {
    const_unless_loom! {
        /// Creates an empty ring of `N` slots. It compiles if `N` is a power of two and at least 2.
        ///
        /// ```compile_fail
        /// use mycelium_core::ring::mpmc;
        /// static RING: mpmc::Inline<u32, 3> = mpmc::Inline::new();
        /// ```
        #[must_use]
        pub const fn new() -> Inline<T, N> {
            const { assert!(CapacityError::allows(N), "the capacity of a ring is a power of two of at least 2") };
            Mpmc { indices: Indices::new(), slots: repeat!(Slot::new(); N), items: PhantomData }
        }
    }
}

impl<T, const N: usize> Default for Inline<T, N> {
    fn default() -> Inline<T, N> {
        Inline::new()
    }
}

#[cfg(feature = "alloc")]
impl<T, L: Layout, const ALIGN: usize> Mpmc<T, super::Heap<Slot<T>, ALIGN>, L> {
    /// Creates an empty ring of `capacity` slots on the heap.
    ///
    /// # Errors
    /// If the capacity is not a power of two or is less than 2, or there is not enough memory.
    pub fn with_capacity(capacity: usize) -> Result<Self, CapacityError> {
        CapacityError::check(capacity)?;
        let slots = super::Heap::new(capacity, Slot::new)?;
        Ok(Mpmc { indices: Indices::new(), slots, items: PhantomData })
    }
}

impl<T, S: Storage<Slot = Slot<T>>, L: Layout> Mpmc<T, S, L> {
    /// Creates an empty ring in these slots. Items that another ring left in them are forgotten.
    ///
    /// # Errors
    /// If their number is not a power of two or is less than 2.
    pub fn in_slots(slots: S) -> Result<Mpmc<T, S, L>, CapacityError> {
        CapacityError::check(slots.slots().len())?;
        Ok(Mpmc { indices: Indices::new(), slots, items: PhantomData }.starting_at(0))
    }

    /// Sets the ring's position as if this number of items had passed through it.
    #[doc(hidden)]
    #[must_use]
    pub fn starting_at(self, position: usize) -> Mpmc<T, S, L> {
        let slots = Slots::new(self.slots.slots());
        let start = position.wrapping_mul(STEP);
        self.indices.head.store(start, Ordering::Relaxed);
        self.indices.tail.store(start, Ordering::Relaxed);
        for index in 0..slots.capacity() {
            let position = start.wrapping_add(index * STEP);
            // SAFETY: this value owns the slots.
            let slot = unsafe { slots.at(position / STEP) };
            slot.stamp.store(lap(&slots, position) | FREE, Ordering::Relaxed);
        }
        self
    }

    /// Closes the ring for all writers. Readers get the items of earlier claims, then
    /// [`PopError::Closed`].
    pub fn close(&self) {
        self.indices.close();
    }

    /// Returns whether the ring was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.indices.is_closed()
    }

    /// Returns how many items the ring has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.slots().len()
    }

    /// Returns how many slots are claimed by writers and not by readers, as far as this thread can
    /// see: items, and slots that are being filled or were aborted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indices.len(self.capacity())
    }

    /// Returns whether nothing is in the ring, as far as this thread can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the largest [`len`](Mpmc::len) that a writer has found. Writers check once every 64
    /// positions, or once a lap if that is shorter; peaks between two checks are not counted.
    #[must_use]
    pub fn high_water(&self) -> usize {
        self.indices.high_water()
    }
}

impl<T, S: Storage<Slot = Slot<T>>, L> Drop for Mpmc<T, S, L> {
    fn drop(&mut self) {
        let Indices { tail, head, rare, .. } = &self.indices;
        let relaxed = Ordering::Relaxed;
        // Readers have taken every item.
        if head.load(relaxed) == tail.load(relaxed) & !CLOSED && rare.discarded.load(relaxed) == 0 {
            return;
        }
        let is_full = |slot: &Slot<T>| slot.stamp.load(relaxed) & (STEP - 1) == FULL;
        if !self.slots.slots().iter().any(is_full) {
            return;
        }
        let slots = Slots::new(self.slots.slots());
        let tail = tail.load(relaxed) & !CLOSED;
        // Checks all slots, because `discard` moves the head over slots that are filled later.
        for index in (1..=slots.capacity()).rev() {
            let position = tail.wrapping_sub(index * STEP);
            // SAFETY: this value owns the slots.
            let slot = unsafe { slots.at(position / STEP) };
            // The slots of a forgotten grant may contain items or not, so nothing is dropped there.
            if is_full(slot) {
                // SAFETY: no end exists; the stamp says that the slot contains an item, and each
                // position comes once.
                drop(unsafe { slot.cell.take() });
            }
        }
    }
}

/// The ring that a handle points to.
#[doc(hidden)]
pub trait Ring {
    /// The type of the items.
    type Item;

    /// The layout of the words in `indices`.
    type Layout: Layout;

    /// Whether only one reader ever pops. It then moves the head by a store.
    const HAS_ONE_READER: bool = false;

    /// Returns the words that all ends share.
    fn indices(&self) -> &Indices<Self::Layout>;

    /// Returns the slots.
    fn slots(&self) -> &[Slot<Self::Item>];
}

impl<T, S: Storage<Slot = Slot<T>>, L: Layout> Ring for Mpmc<T, S, L> {
    type Item = T;
    type Layout = L;

    #[inline]
    fn indices(&self) -> &Indices<L> {
        &self.indices
    }

    fn slots(&self) -> &[Slot<T>] {
        self.slots.slots()
    }
}

type ItemOf<H> = <<H as Deref>::Target as Ring>::Item;

/// Positions and laps are multiples of this. The two bits below it are the state of a slot.
const STEP: usize = 4;
/// The state of a slot, in the two low bits of its stamp: the slot may be filled in this lap.
const FREE: usize = 0;
/// The slot contains an item of this lap.
const FULL: usize = 1;
/// The slot was claimed in this lap, and contains nothing.
const SKIP: usize = 2;

/// A cell for one value, and a stamp with its lap and its state.
///
/// Stamps count laps, not positions, so that all slots of a new ring are alike.
#[derive(Debug)]
pub struct Slot<T> {
    stamp: AtomicUsize,
    cell: cell::Slot<T>,
}

impl<T> Slot<T> {
    const_unless_loom! {
        /// Creates an empty slot.
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

/// Returns the lap of a position as stamps contain it: the position without its place in the lap.
#[inline]
fn lap<T>(slots: &Slots<Slot<T>>, position: usize) -> usize {
    position & !(slots.capacity() * STEP - 1)
}

/// Returns the stamp of a slot that is free for the lap after that of `position`.
#[inline]
fn next_lap<T>(slots: &Slots<Slot<T>>, position: usize) -> usize {
    lap(slots, position).wrapping_add(slots.capacity() * STEP) | FREE
}

/// The bit of the tail that is set once the ring is closed.
const CLOSED: usize = 1;
/// One claim takes at most this many slots, unless a grant requests more. Slots are checked before
/// the compare-and-swap; the longer the check, the likelier the compare-and-swap fails.
const CLAIM: usize = 64;

/// Selects the placement of the writers' words, the readers' words and the rarely written words, by
/// the zero-sized value between them.
pub trait Layout: Copy {
    #[doc(hidden)]
    const GAP: Self;
}

/// Each on its own cache lines: the default.
#[derive(Clone, Copy, Debug)]
pub struct Padded(CachePadded<()>);

impl Layout for Padded {
    const GAP: Padded = Padded(CachePadded::new(()));
}

/// Adjacent, for many rings that are seldom used by several threads at a time.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug)]
pub struct Compact;

#[cfg(feature = "alloc")]
impl Layout for Compact {
    const GAP: Compact = Compact;
}

/// The words that all ends of a ring share: the head, the tail, and rarely written ones.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C)]
pub struct Indices<L> {
    /// Writers have claimed the positions before this one. Once the bit `CLOSED` is set it never
    /// moves again.
    tail: AtomicUsize,
    readers: L,
    /// Readers have claimed the positions before this one.
    head: AtomicUsize,
    others: L,
    rare: Rare,
}

/// The rarely written words.
#[derive(Debug)]
struct Rare {
    /// Set after the tail's bit, so that a reader that finds nothing need not take the tail's cache
    /// line from the writers.
    closed: AtomicUsize,
    /// Set once a reader has claimed slots without taking their items: those that are filled later
    /// still have theirs.
    discarded: AtomicUsize,
    high_water: AtomicUsize,
}

/// A range of slots that belongs to the thread that claimed it, until that thread stores their
/// stamps.
#[derive(Debug)]
struct Claim {
    position: usize,
    count: usize,
}

/// Why a claim failed.
#[derive(Debug)]
enum Refused {
    /// Only this many slots are ready now.
    Short(usize),
    /// The ring was closed: the word has the bit `CLOSED`.
    Closed,
}

impl<L: Layout> Indices<L> {
    const_unless_loom! {
        const fn new() -> Indices<L> {
            Indices {
                tail: AtomicUsize::new(0),
                readers: L::GAP,
                head: AtomicUsize::new(0),
                others: L::GAP,
                rare: Rare {
                    closed: AtomicUsize::new(0),
                    discarded: AtomicUsize::new(0),
                    high_water: AtomicUsize::new(0),
                },
            }
        }
    }

    pub(crate) fn close(&self) {
        // Relaxed: the tail alone decides which pushes came before. The bit publishes nothing else.
        if self.tail.load(Ordering::Relaxed) & CLOSED == 0 {
            self.tail.fetch_or(CLOSED, Ordering::Relaxed);
        }
        self.rare.closed.store(1, Ordering::Relaxed);
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.rare.closed.load(Ordering::Relaxed) != 0
    }

    fn len(&self, capacity: usize) -> usize {
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed) & !CLOSED;
        depth(head, tail, capacity)
    }

    /// Returns the error of a pop whose next slot is not filled.
    #[inline]
    fn pop_error(&self) -> PopError {
        if self.is_closed() { self.pop_error_closed() } else { PopError::Empty }
    }

    #[cold]
    fn pop_error_closed(&self) -> PopError {
        let tail = self.tail.load(Ordering::Relaxed);
        // Once the tail has the bit `CLOSED`, it no longer moves. With a stale head this call
        // returns `Empty`, and a later one `Closed`.
        if self.head.load(Ordering::Relaxed) | CLOSED == tail {
            PopError::Closed
        } else {
            PopError::Empty
        }
    }

    fn high_water(&self) -> usize {
        self.rare.high_water.load(Ordering::Relaxed)
    }

    #[cold]
    fn note_depth(&self, tail: usize, capacity: usize) {
        let depth = depth(self.head.load(Ordering::Relaxed), tail, capacity);
        if depth > self.high_water() {
            // Other writers may do the same now, so the largest value must win.
            self.rare.high_water.fetch_max(depth, Ordering::Relaxed);
        }
    }
}

fn depth(head: usize, tail: usize, capacity: usize) -> usize {
    // The two loads are not atomic, so the head may have passed the loaded tail. The depth is then
    // 0.
    let depth = tail.wrapping_sub(head) / STEP;
    if depth > usize::MAX / STEP / 2 { 0 } else { depth.min(capacity) }
}

/// Moves `word`, the head or the tail, over `least` to `most` slots whose stamps, minus their lap,
/// are in `ready`, if those of `spare` slots behind them are, too.
///
/// The first check is at `known`, an earlier value of the word. If other ends have moved the word
/// since, either a stamp shows a later state, or the compare-and-swap fails; the call then
/// continues with the word's current value. A failed compare-and-swap also shows that the tail was
/// closed.
///
/// `check` is Acquire and pairs with the Release of the slot's previous end, because the claim must
/// know that the previous end no longer uses the value. The compare-and-swap itself is relaxed: it
/// claims slots whose stamps were checked, and only the end that moves this word over them may
/// change these stamps.
///
/// # Safety
/// The slots are alive.
#[inline]
#[allow(clippy::too_many_arguments)]
unsafe fn claim<T>(
    word: &AtomicUsize,
    known: &mut usize,
    slots: &Slots<Slot<T>>,
    ready: RangeInclusive<isize>,
    check: Ordering,
    least: usize,
    most: usize,
    spare: usize,
) -> Result<Claim, Refused> {
    let mut backoff = 0;
    // Whether `known` was loaded from the word in this call.
    let mut fresh = false;
    loop {
        let position = *known;
        let (mut count, mut overtaken) = (0, false);
        while count < most + spare {
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
        let now = if !overtaken && count >= least + spare {
            count -= spare;
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
            // A stale `known` then gives the same answer as the word, unless the positions have
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

/// Pauses after a failed compare-and-swap: `step` is the logarithm of the number of pauses.
///
/// If all threads retried at once, the cache line would move for attempts instead of items, and two
/// threads would get half the throughput of one. So each failure doubles the pauses, up to some
/// hundred nanoseconds: short compared with a time slice, so that no thread starves. The thread
/// waits for no other thread: it could continue at once.
#[inline]
fn back_off(step: &mut u32) {
    // Loom would try every number of pauses and find nothing more.
    let pauses = if cfg!(loom) { 1 } else { 1 << *step };
    for _ in 0..pauses {
        pause();
    }
    *step = (*step + 1).min(MOST_BACKOFF);
}

/// The logarithm of the longest back-off, in pauses.
const MOST_BACKOFF: u32 = 6;
