//! `mpmc`: any number of writers and readers; each item goes to one reader, in one order for all.
//!
//! A writer claims a position by moving the ring's tail with a compare-and-swap, fills the slot of
//! that position, and then marks the slot as full in its stamp. A reader claims a position with the
//! head in the same way. A batch is one claim: one compare-and-swap takes `k` neighbouring slots,
//! after a check that each of them is ready. Only the thread that moves the same word can change
//! the stamps of this range, so the claim holds for all slots or fails.
//!
//! **What an end loads.** An end remembers the last position that it knew, and checks the slot of
//! that position before it loads the head or the tail. It loads these words only after another end
//! has moved them. So a call that claims nothing usually touches one cache line, and a claim
//! touches two.
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
//! **Progress.** No call waits for another thread: a call has to try again only because another one
//! succeeded. A thread that stops between its claim and the stamp blocks no call of other threads,
//! but they get `Empty` or `Full` at its slot until it continues. A grant that is forgotten
//! (`mem::forget`) stops the ring there.
//!
//! **Closing.** [`Mpmc::close`] is for all writers. It is one step with the claims: a push was
//! either claimed before and will be read before [`PopError::Closed`], or it is refused. Dropping
//! an end does not close the ring.
//!
//! The algorithm is Dmitry Vyukov's bounded MPMC queue (1024cores.net, 2010), with batch claims and
//! marks for slots that were claimed and not filled.
//!
//! Positions are `usize`, counted in steps of 4, and wrap. The compare-and-swap of a thread that is
//! suspended after its check, for exactly a multiple of 2⁶² pushes (2³⁰ where `usize` has 32 bits),
//! would succeed wrongly. An end may be idle for any number of pushes: where `usize` has 32 bits,
//! it compares its position with the head or the tail before it returns `Empty` or `Full`.
//!
//! To read: this file, `claim.rs` (the algorithm), `ends.rs`.

#![allow(unsafe_code)]

mod claim;
mod ends;
#[cfg(all(test, not(loom)))]
mod tests;

use core::marker::PhantomData;
use core::ops::Deref;

use claim::{CLOSED, FREE, FULL, STEP, lap};

#[cfg(doc)]
use super::PopError;
use super::cell::Cell;
use super::slots::Slots;
use super::{CapacityError, Storage};
use crate::sync::{Ordering, const_unless_loom, repeat};

#[cfg(feature = "alloc")]
pub use claim::Compact;
#[doc(hidden)]
pub use claim::Indices;
pub use claim::{Layout, Padded, Slot};
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

/// A ring whose slots are a part of it: for a `static`, or a field.
pub type Inline<T, const N: usize> = Mpmc<T, [Slot<T>; N]>;

/// A ring in a borrowed slice of slots.
pub type InSlice<'a, T> = Mpmc<T, &'a mut [Slot<T>]>;

/// A ring with slots on the heap.
#[cfg(feature = "alloc")]
pub type Boxed<T> = Mpmc<T, super::Heap<Slot<T>>>;

/// A ring with slots on the heap, and its words side by side: it needs less memory than [`Boxed`],
/// and its writers and readers share a cache line.
#[cfg(feature = "alloc")]
pub type Small<T> = Mpmc<T, super::Heap<Slot<T>, 1>, Compact>;

impl<T, const N: usize> Inline<T, N> {
    const_unless_loom! {
        /// An empty ring of `N` slots. `N` must be a power of two from 2 on, or it does not
        /// compile.
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
    /// An empty ring of `capacity` slots on the heap.
    ///
    /// # Errors
    /// If the capacity is not a power of two from 2 on, or there is not enough memory.
    pub fn with_capacity(capacity: usize) -> Result<Self, CapacityError> {
        Mpmc::in_slots(super::Heap::new(capacity, Slot::new)?)
    }
}

impl<T, S: Storage<Slot = Slot<T>>, L: Layout> Mpmc<T, S, L> {
    /// An empty ring in these slots. Items that another ring left in them are forgotten.
    ///
    /// # Errors
    /// If their number is not a power of two from 2 on.
    pub fn in_slots(slots: S) -> Result<Mpmc<T, S, L>, CapacityError> {
        CapacityError::check(slots.slots().len())?;
        Ok(Mpmc { indices: Indices::new(), slots, items: PhantomData }.starting_at(0))
    }

    /// Makes the ring look as if this number of items had passed through it.
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

    /// Closes the ring for all writers. Readers get the items that were claimed before, then
    /// [`PopError::Closed`].
    pub fn close(&self) {
        self.indices.close();
    }

    /// Whether the ring was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.indices.is_closed()
    }

    /// How many items the ring has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.slots().len()
    }

    /// How many slots writers have claimed and readers have not, as far as this thread can see:
    /// items, and slots that are being filled or were aborted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indices.len(self.capacity())
    }

    /// Whether nothing is in the ring, as far as this thread can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest [`len`](Mpmc::len) that a writer has found. Writers check once every 64
    /// positions, or once a lap if that is shorter; a peak between two checks is not counted.
    #[must_use]
    pub fn high_water(&self) -> usize {
        self.indices.high_water()
    }
}

impl<T, S: Storage<Slot = Slot<T>>, L> Drop for Mpmc<T, S, L> {
    fn drop(&mut self) {
        let slots = Slots::new(self.slots.slots());
        let tail = self.indices.tail.load(Ordering::Relaxed) & !CLOSED;
        // All slots are checked: `discard` moves the head over slots that are filled later.
        for index in (1..=slots.capacity()).rev() {
            let position = tail.wrapping_sub(index * STEP);
            // SAFETY: this value owns the slots.
            let slot = unsafe { slots.at(position / STEP) };
            // Whether the slots of a forgotten grant contain items is unknown, so nothing is
            // dropped there.
            if slot.stamp.load(Ordering::Relaxed) == lap(&slots, position) | FULL {
                // SAFETY: no end exists; the stamp says that the slot contains an item, and each
                // position comes once.
                drop(unsafe { slot.cell.take() });
            }
        }
    }
}

/// The ring to which a handle leads.
#[doc(hidden)]
pub trait Ring {
    /// What the ring holds.
    type Item;

    /// Where the words of `indices` are.
    type Layout: Layout;

    /// The words that all ends share.
    fn indices(&self) -> &Indices<Self::Layout>;

    /// The slots.
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
