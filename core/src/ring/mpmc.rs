//! `mpmc`: any number of writers and readers; each item goes to one reader, in one order for all.
//!
//! A writer claims a position by moving the ring's tail with a compare-and-swap, fills the slot of that position, and
//! then marks the slot as full in its stamp. A reader claims a position with the head in the same way. A batch is one
//! claim: one compare-and-swap takes `k` neighbouring slots, after a look that each of them is ready. Only the thread
//! that moves the same word can change the stamps of this range, so the claim holds for all slots or fails.
//!
//! **Where an end looks.** An end remembers the last position that it knew, and looks at the slot of that position
//! before it reads the head or the tail. Those words are read only after another end has moved them, so a call
//! that claims nothing usually touches one cache line, and a claim touches two.
//!
//! **Order.** Pushes and pops that succeed are linearizable: items come out in the order of the claims, and if a push
//! has returned before another begins, its item comes out first. Two readers may still finish what they took in any
//! order.
//!
//! **`Empty` and `Full` are not linearizable.** They say that the *next* slot is not ready, not that no item or no
//! empty slot exists. A pop returns [`PopError::Empty`] while an earlier claim is unfinished (its writer was preempted
//! between the claim and the stamp, or has a [`Grant`] in its hands), although pushes behind it have returned. A push
//! returns [`PushError::Full`](super::PushError::Full) while a reader is still emptying the slot that comes next,
//! although pops behind it have returned. The same calls succeed once that thread goes on. On a ring where no call is
//! in progress and no grant is open, both answers are exact.
//!
//! **Progress.** No call waits for another thread: a call that has to try again does so because another one succeeded.
//! A thread that stops between its claim and the stamp blocks nobody inside a call, but other threads get `Empty` or
//! `Full` at its slot until it goes on. A grant that is forgotten (`mem::forget`) ends the ring there.
//!
//! **Closing.** [`Mpmc::close`] is for all writers. It is one step with the claims: a push was either claimed before
//! and will be read before [`PopError::Closed`], or it is refused. Dropping an end says nothing.
//!
//! The algorithm is Dmitry Vyukov's bounded MPMC queue (1024cores.net, 2010), with batch claims and marks for slots
//! that were claimed and not filled.
//!
//! Positions are `usize`, counted in steps of 4, and wrap. A thread that is held up between its look at a slot and its
//! compare-and-swap, for exactly a multiple of 2⁶² pushes (2³⁰ where `usize` has 32 bits), would be deceived. An end may
//! be idle for any number of pushes: where `usize` has 32 bits, it compares its position with the head or the tail
//! before it returns `Empty` or `Full`.

#![allow(unsafe_code)]

mod batch;
mod ends;
#[cfg(all(test, not(loom)))]
mod tests;

use core::marker::PhantomData;
use core::ops::{Deref, RangeInclusive};

use crossbeam_utils::CachePadded;

use super::backoff::Backoff;
use super::cell::{self, Cell};
use super::slots::Slots;
use super::{CapacityError, Handle, PopError, Storage};
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, repeat};

pub use batch::Grant;
pub use ends::{Consumer, Producer};

/// Positions and laps leave two bits for what a slot holds.
const STEP: usize = 4;
/// The slot may be filled in this lap.
const FREE: usize = 0;
/// It holds an item of this lap.
const FULL: usize = 1;
/// It was claimed in this lap, and holds nothing.
const SKIP: usize = 2;
/// In the tail: nobody pushes any more.
const CLOSED: usize = 1;

/// One claim takes no more slots than this, unless a grant asks for more. Slots are checked before the
/// compare-and-swap; the longer the check, the likelier the compare-and-swap fails.
const CLAIM: usize = 64;

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
pub struct Mpmc<T, S: Storage<Slot = Slot<T>>> {
    words: Words,
    slots: S,
    items: PhantomData<fn() -> T>,
}

/// A ring whose slots are a part of it: for a `static`, or a field.
pub type Inline<T, const N: usize> = Mpmc<T, [Slot<T>; N]>;

/// A ring in slots that are borrowed.
pub type InSlice<'a, T> = Mpmc<T, &'a mut [Slot<T>]>;

/// A ring with slots on the heap.
#[cfg(feature = "alloc")]
pub type Boxed<T> = Mpmc<T, super::Heap<Slot<T>>>;

impl<T, const N: usize> Inline<T, N> {
    const_unless_loom! {
        /// An empty ring of `N` slots. `N` that is no power of two from 2 on does not compile.
        ///
        /// ```compile_fail
        /// use mycelium_core::ring::mpmc;
        /// static RING: mpmc::Inline<u32, 3> = mpmc::Inline::new();
        /// ```
        #[must_use]
        pub const fn new() -> Inline<T, N> {
            const { assert!(CapacityError::allows(N), "the capacity of a ring is a power of two of at least 2") };
            Mpmc { words: Words::new(), slots: repeat!(Slot::new(); N), items: PhantomData }
        }
    }
}

impl<T, const N: usize> Default for Inline<T, N> {
    fn default() -> Inline<T, N> {
        Inline::new()
    }
}

#[cfg(feature = "alloc")]
impl<T> Boxed<T> {
    /// An empty ring of `capacity` slots on the heap.
    ///
    /// # Errors
    /// If the capacity is not a power of two from 2 on, or there is no memory for it.
    pub fn with_capacity(capacity: usize) -> Result<Boxed<T>, CapacityError> {
        Mpmc::in_slots(super::Heap::new(capacity, Slot::new)?)
    }
}

impl<T, S: Storage<Slot = Slot<T>>> Mpmc<T, S> {
    /// An empty ring in these slots. What another ring may have left in them is forgotten.
    ///
    /// # Errors
    /// If their number is not a power of two from 2 on.
    pub fn in_slots(slots: S) -> Result<Mpmc<T, S>, CapacityError> {
        CapacityError::check(slots.slots().len())?;
        Ok(Mpmc { words: Words::new(), slots, items: PhantomData }.starting_at(0))
    }

    /// As if so many items had gone through it already.
    #[doc(hidden)]
    #[must_use]
    pub fn starting_at(self, position: usize) -> Mpmc<T, S> {
        let slots = Slots::new(self.slots.slots());
        let start = position.wrapping_mul(STEP);
        self.words.head.store(start, Ordering::Relaxed);
        self.words.tail.store(start, Ordering::Relaxed);
        for index in 0..slots.capacity() {
            let position = start.wrapping_add(index * STEP);
            // SAFETY: the slots are alive: they are this value's.
            let slot = unsafe { slots.at(position / STEP) };
            slot.stamp.store(lap(&slots, position) | FREE, Ordering::Relaxed);
        }
        self
    }

    /// An end for a writer. There may be any number of them, made here or cloned.
    pub fn producer<H: Handle<Target = Mpmc<T, S>>>(ring: H) -> Producer<H> {
        Producer::new(ring)
    }

    /// An end for a reader. There may be any number of them, made here or cloned.
    pub fn consumer<H: Handle<Target = Mpmc<T, S>>>(ring: H) -> Consumer<H> {
        Consumer::new(ring)
    }

    /// Ends pushing, for all writers and for good. Readers get what was claimed before, then [`PopError::Closed`].
    pub fn close(&self) {
        self.words.close();
    }

    /// Whether pushing has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.words.is_closed()
    }

    /// How many items the ring has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.slots().len()
    }

    /// How many slots lie between what writers and what readers have claimed, as far as this thread can see: items,
    /// and slots that are being filled or were given up.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len(self.capacity())
    }

    /// Whether nothing is in the ring, as far as this thread can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest [`len`](Mpmc::len) that a writer has found. Writers look once every 64 positions, or once a lap
    /// where that is shorter: a peak between two looks goes unseen.
    #[must_use]
    pub fn high_water(&self) -> usize {
        self.words.rare.high_water.load(Ordering::Relaxed)
    }
}

impl<T, S: Storage<Slot = Slot<T>>> Drop for Mpmc<T, S> {
    fn drop(&mut self) {
        let slots = Slots::new(self.slots.slots());
        let tail = self.words.tail.load(Ordering::Relaxed) & !CLOSED;
        let mut head = self.words.head.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: the slots are alive: they are this value's.
            let slot = unsafe { slots.at(head / STEP) };
            // What a forgotten grant has claimed says nothing, and stays undropped.
            if slot.stamp.load(Ordering::Relaxed) == lap(&slots, head) | FULL {
                // SAFETY: there are no ends; the stamp says that there is an item, and each position comes once.
                drop(unsafe { slot.cell.take() });
            }
            head = head.wrapping_add(STEP);
        }
    }
}

/// A place for one value, and the stamp that says for which lap it is and in what state.
///
/// Stamps count laps, not positions, so that all slots of a new ring are alike.
#[derive(Debug)]
pub struct Slot<T> {
    stamp: AtomicUsize,
    cell: cell::Slot<T>,
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

/// The lap of a position, as it stands in a stamp: the position without its place in the lap.
#[inline]
fn lap<T>(slots: &Slots<Slot<T>>, position: usize) -> usize {
    position & !(slots.capacity() * STEP - 1)
}

/// The stamp of a slot that waits for the lap after that of `position`.
#[inline]
fn next_lap<T>(slots: &Slots<Slot<T>>, position: usize) -> usize {
    lap(slots, position).wrapping_add(slots.capacity() * STEP) | FREE
}

/// What all ends of a ring share besides the slots.
#[doc(hidden)]
#[derive(Debug)]
pub struct Words {
    /// Writers have claimed what is before it. With the bit `CLOSED` it never moves again.
    tail: CachePadded<AtomicUsize>,
    /// Readers have claimed what is before it.
    head: CachePadded<AtomicUsize>,
    rare: CachePadded<Rare>,
}

/// What is seldom written.
#[derive(Debug)]
struct Rare {
    /// Set after the bit in the tail, so that a reader who finds nothing need not take the tail away from the writers.
    closed: AtomicUsize,
    high_water: AtomicUsize,
}

/// A range of slots that belongs to who claimed it until their stamps say otherwise.
#[derive(Debug)]
struct Claim {
    position: usize,
    count: usize,
}

/// Why there is no claim.
#[derive(Debug)]
enum Refused {
    /// Only so many slots are ready now.
    Short(usize),
    /// The word was closed.
    Closed,
}

impl Words {
    const_unless_loom! {
        const fn new() -> Words {
            Words {
                tail: CachePadded::new(AtomicUsize::new(0)),
                head: CachePadded::new(AtomicUsize::new(0)),
                rare: CachePadded::new(Rare { closed: AtomicUsize::new(0), high_water: AtomicUsize::new(0) }),
            }
        }
    }

    fn close(&self) {
        // Relaxed: the tail alone says which pushes were before. Who sees the bit is told nothing else.
        self.tail.fetch_or(CLOSED, Ordering::Relaxed);
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

    /// What there is to say when the next slot holds nothing.
    #[inline]
    fn nothing(&self) -> PopError {
        if self.is_closed() { self.perhaps_over() } else { PopError::Empty }
    }

    #[cold]
    fn perhaps_over(&self) -> PopError {
        let tail = self.tail.load(Ordering::Relaxed);
        // A tail with the bit is the last one. A stale head only delays the end.
        if self.head.load(Ordering::Relaxed) | CLOSED == tail {
            PopError::Closed
        } else {
            PopError::Empty
        }
    }

    #[cold]
    fn note_depth(&self, tail: usize, capacity: usize) {
        let depth = depth(self.head.load(Ordering::Relaxed), tail, capacity);
        if depth > self.rare.high_water.load(Ordering::Relaxed) {
            // Other writers may note theirs at the same time.
            self.rare.high_water.fetch_max(depth, Ordering::Relaxed);
        }
    }
}

fn depth(head: usize, tail: usize, capacity: usize) -> usize {
    // The two were not read at once: the head may have overtaken the tail that was read.
    let depth = tail.wrapping_sub(head) / STEP;
    if depth > usize::MAX / STEP / 2 { 0 } else { depth.min(capacity) }
}

/// Moves `word`, the head or the tail, over `least` to `most` slots whose stamps, less their lap, are in `ready`.
///
/// The first look is at `known`, a position that the word had at some time. If other ends have moved the word since,
/// either a stamp shows a later state, or the compare-and-swap fails; the call then goes on with the word's value. A
/// failed compare-and-swap also shows that the tail was closed.
///
/// `look` is Acquire: it pairs with the Release of the end that had the slot before, and the claim needs to know that it
/// is done with the value. The compare-and-swap itself is relaxed: it gives away slots whose stamps were looked at, and
/// only the end that moves this word over them may change these stamps.
///
/// # Safety
/// The slots are alive.
#[inline]
unsafe fn claim<T>(
    word: &AtomicUsize,
    known: &mut usize,
    slots: &Slots<Slot<T>>,
    ready: RangeInclusive<isize>,
    look: Ordering,
    least: usize,
    most: usize,
) -> Result<Claim, Refused> {
    let mut backoff = Backoff::new();
    // Whether `known` was read from the word in this call.
    let mut fresh = false;
    loop {
        let position = *known;
        let (mut count, mut overtaken) = (0, false);
        while count < most {
            let next = position.wrapping_add(count * STEP);
            // SAFETY: the slots are alive (this function's contract).
            let stamp = unsafe { slots.at(next / STEP) }.stamp.load(look);
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
                    backoff.wait();
                    now
                }
            }
        } else {
            // A slot that is not ready yet has not been claimed in this lap, so the word has not passed it. An old `known`
            // gives the same answer as the word then, unless the positions have wrapped since, which takes a word of 32
            // bits. After some slots that are ready, the number of them is right only if `known` is.
            if !overtaken && (fresh || count == 0 && usize::BITS >= 64) {
                return Err(Refused::Short(count));
            }
            let now = word.load(Ordering::Relaxed);
            if !overtaken && now == position {
                return Err(Refused::Short(count));
            }
            if fresh {
                backoff.wait();
            }
            now
        };
        if now & CLOSED != 0 {
            return Err(Refused::Closed);
        }
        (*known, fresh) = (now, true);
    }
}

/// What a handle leads to.
#[doc(hidden)]
pub trait Ring {
    /// What the ring holds.
    type Item;

    /// What all ends share.
    fn words(&self) -> &Words;

    /// The slots.
    fn slots(&self) -> &[Slot<Self::Item>];
}

impl<T, S: Storage<Slot = Slot<T>>> Ring for Mpmc<T, S> {
    type Item = T;

    #[inline]
    fn words(&self) -> &Words {
        &self.words
    }

    fn slots(&self) -> &[Slot<T>] {
        self.slots.slots()
    }
}

type ItemOf<H> = <<H as Deref>::Target as Ring>::Item;
