//! `lanes`: many writers and readers, **in order per writer only**: items of different writers come in any order.
//!
//! Each writer has a lane of its own, a ring for one writer and one reader ([`spsc`]), so that writers have
//! nothing to do with each other. Readers go round the lanes. A reader takes from a lane while it holds the lane's
//! lock, up to 64 items at a time, and never waits for it: a lane that another reader is at is passed over.
//!
//! **Writers** register, as many at a time as there are lanes, and leave by dropping their end. Who comes to a lane
//! next goes on behind what is left in it. A writer that leaves and registers again may get another lane, and has no
//! order with what it left in the first.
//!
//! **Progress.** A push takes a bounded number of steps, whatever others do. A pop looks at each lane once at most. A
//! reader that stops inside a call (preempted, or in the function that it gives items to) keeps the items of that one
//! lane from the others. So `Empty` means: in no lane that is not being emptied by somebody else.
//!
//! **Closing.** [`Lanes::close`] is for all writers: none can register any more, and each finds its lane closed at its
//! next push. Readers get [`PopError::Closed`] when the last writer has left and its lane is empty, and so miss nothing
//! that was taken. A writer that keeps its end after the ring was closed keeps readers waiting for the end.
//!
//! Queues of single-producer lanes are old; this one takes from them by a try-lock a lane.

#![allow(unsafe_code)]

mod ends;

use core::mem::ManuallyDrop;

use crossbeam_utils::CachePadded;

use super::cell::Cell;
use super::pair::{Local, Memory};
use super::spsc::{self, Layout, Spsc};
use super::{CapacityError, Handle, PopError, Storage};
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, order, repeat};

pub use super::cell::Slot;
pub use ends::{Consumer, Producer, Seat};

/// In a lane's `seat`: a writer has it.
const TAKEN: usize = 1;
/// In a lane's `seat`: nobody takes it any more.
const CLOSED: usize = 2;

/// A lane for each writer. See the [module](self).
///
/// ```
/// use mycelium_core::ring::{PopError, lanes};
///
/// /// Two lanes of four slots each.
/// static RING: lanes::Inline<u32, 2, 4> = lanes::Inline::new();
///
/// let mut one = lanes::Lanes::producer(&RING).expect("two lanes are free");
/// let mut other = lanes::Lanes::producer(&RING).expect("one lane is free");
/// assert!(lanes::Lanes::producer(&RING).is_none());
/// one.try_push(1)?;
/// assert_eq!(other.push_slice(&[20, 21]), 2);
/// one.try_push(2)?;
///
/// let mut reader = lanes::Lanes::consumer(&RING);
/// let mut items = Vec::new();
/// assert_eq!(reader.pop_many(16, |item| items.push(item)), Ok(4));
/// assert_eq!(items, [1, 2, 20, 21], "in order per writer");
/// RING.close();
/// assert_eq!(reader.try_pop(), Err(PopError::Empty), "the writers may be at work");
/// drop((one, other));
/// assert_eq!(reader.try_pop(), Err(PopError::Closed));
/// # Ok::<(), mycelium_core::ring::PushError<u32>>(())
/// ```
#[derive(Debug)]
pub struct Lanes<L> {
    /// Set after every lane was closed.
    closed: AtomicUsize,
    lanes: L,
}

/// `LANES` lanes of `N` slots each that are a part of the ring: for a `static`, or a field.
pub type Inline<T, const LANES: usize, const N: usize> = Lanes<[Lane<[Slot<T>; N]>; LANES]>;

/// Lanes that are lent, in slots that are lent.
pub type Borrowed<'l, 's, T> = Lanes<&'l mut [Lane<&'s mut [Slot<T>]>]>;

/// Lanes on the heap.
#[cfg(feature = "alloc")]
pub type Boxed<T> = Lanes<alloc::boxed::Box<[Lane<super::Heap<Slot<T>>>]>>;

impl<T, const LANES: usize, const N: usize> Inline<T, LANES, N> {
    const_unless_loom! {
        /// Empty lanes. `N` that is no power of two from 2 on does not compile, nor does a ring without lanes.
        ///
        /// ```compile_fail
        /// use mycelium_core::ring::lanes;
        /// static RING: lanes::Inline<u32, 0, 4> = lanes::Inline::new();
        /// ```
        #[must_use]
        pub const fn new() -> Inline<T, LANES, N> {
            const { assert!(LANES > 0, "a ring has at least one lane") };
            Lanes { closed: AtomicUsize::new(0), lanes: repeat!(Lane::new(); LANES) }
        }
    }
}

impl<T, const LANES: usize, const N: usize> Default for Inline<T, LANES, N> {
    fn default() -> Inline<T, LANES, N> {
        Inline::new()
    }
}

#[cfg(feature = "alloc")]
impl<T> Boxed<T> {
    /// `lanes` empty lanes of `capacity` slots each on the heap.
    ///
    /// # Errors
    /// If the capacity is not a power of two from 2 on, or there is no memory for all this.
    pub fn with_capacity(lanes: usize, capacity: usize) -> Result<Boxed<T>, CapacityError> {
        CapacityError::check(capacity)?;
        let mut made = alloc::vec::Vec::new();
        made.try_reserve_exact(lanes).map_err(|_| CapacityError::Memory { given: capacity })?;
        for _ in 0..lanes {
            made.push(Lane::in_slots(super::Heap::new(capacity, Slot::new)?)?);
        }
        Ok(Lanes::in_lanes(made.into_boxed_slice()))
    }
}

impl<S: Storage<Slot: Layout>, L: Storage<Slot = Lane<S>>> Lanes<L> {
    /// A ring of these lanes. Without a lane there is never a writer. A lane of a ring that was closed stays closed.
    pub fn in_lanes(lanes: L) -> Lanes<L> {
        Lanes { closed: AtomicUsize::new(0), lanes }
    }

    /// A writer's end, with a lane of its own; `None` while there is no free lane, and after the ring was closed.
    pub fn producer<H: Handle<Target = Lanes<L>>>(ring: H) -> Option<Producer<H>> {
        Producer::seated(ring)
    }

    /// A reader's end. There may be any number of them, made here or by cloning.
    pub fn consumer<H: Handle<Target = Lanes<L>>>(ring: H) -> Consumer<H> {
        Consumer::new(ring)
    }

    /// Ends pushing, for all writers and for good. Readers get what writers have pushed until they left, then
    /// [`PopError::Closed`].
    pub fn close(&self) {
        Ring::close(self);
    }

    /// Whether pushing has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        Ring::is_closed(self)
    }

    /// How many items all lanes together have slots for. A writer has the slots of its lane only.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.lanes.slots().iter().map(|lane| lane.ring.capacity()).sum()
    }

    /// How many items are in the ring, as far as this thread can see.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lanes.slots().iter().map(|lane| lane.ring.len()).sum()
    }

    /// Whether nothing is in the ring, as far as this thread can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.slots().iter().all(|lane| lane.ring.is_empty())
    }

    /// The most items that have been found in one lane, at a look of its writer or of a reader.
    #[must_use]
    pub fn high_water(&self) -> usize {
        self.lanes.slots().iter().map(|lane| lane.ring.high_water()).max().unwrap_or(0)
    }
}

/// The ring of one writer at a time.
#[derive(Debug)]
pub struct Lane<S: Storage<Slot: Layout>> {
    words: CachePadded<LaneWords>,
    ring: Spsc<Local<S>>,
}

#[derive(Debug)]
struct LaneWords {
    /// Whether a reader is at the lane.
    lock: AtomicUsize,
    /// `TAKEN`, `CLOSED`: one word, so that nobody registers unseen while the ring is closed.
    seat: AtomicUsize,
}

impl<T, const N: usize> Lane<[Slot<T>; N]> {
    const_unless_loom! {
        /// An empty lane of `N` slots. `N` that is no power of two from 2 on does not compile.
        #[must_use]
        pub const fn new() -> Lane<[Slot<T>; N]> {
            Lane { words: CachePadded::new(LaneWords::new()), ring: spsc::Inline::new() }
        }
    }
}

impl<T, const N: usize> Default for Lane<[Slot<T>; N]> {
    fn default() -> Lane<[Slot<T>; N]> {
        Lane::new()
    }
}

impl<S: Storage<Slot: Layout>> Lane<S> {
    /// An empty lane in these slots.
    ///
    /// # Errors
    /// If their number is not a power of two from 2 on.
    pub fn in_slots(slots: S) -> Result<Lane<S>, CapacityError> {
        let words = CachePadded::new(LaneWords::new());
        Ok(Lane { words, ring: Spsc::in_slots(slots)? })
    }

    /// As if so many items had gone through it already.
    #[doc(hidden)]
    #[must_use]
    pub fn starting_at(self, position: usize) -> Lane<S> {
        Lane { words: self.words, ring: self.ring.starting_at(position) }
    }

    /// Takes the reader's side, if there is something to take and nobody else is there.
    #[inline]
    fn turn(&self) -> Option<Turn<'_, S>> {
        let lock = &self.words.lock;
        // Looked at first: a lane that is empty or busy is not worth its cache line.
        if self.ring.is_empty() || lock.load(Ordering::Relaxed) != 0 {
            return None;
        }
        // Acquire, with the Release of who was here before: where it stopped.
        lock.compare_exchange(0, 1, order!("lanes.lock", Acquire), Ordering::Relaxed).ok()?;
        Some(Turn { lane: self, reader: ManuallyDrop::new(spsc::Consumer::take_up(&self.ring)) })
    }

    fn close(&self) {
        // Relaxed: the word alone says who is there, and closing has nothing else to show.
        self.words.seat.fetch_or(CLOSED, Ordering::Relaxed);
        spsc::Ring::memory(&self.ring).reader().close();
    }

    /// Whether nobody writes here any more and all was taken.
    fn is_over(&self) -> bool {
        // Acquire, with the Release of the last writer's leaving: all that it pushed.
        self.words.seat.load(order!("lanes.over", Acquire)) == CLOSED && self.ring.is_empty()
    }
}

impl LaneWords {
    const_unless_loom! {
        const fn new() -> LaneWords {
            LaneWords { lock: AtomicUsize::new(0), seat: AtomicUsize::new(0) }
        }
    }
}

/// A reader at a lane. Dropping it shows the writer what was taken and lets the next reader in, after a panic too.
struct Turn<'a, S: Storage<Slot: Layout>> {
    lane: &'a Lane<S>,
    /// Never dropped: it is the lock that says who reads, not the ring's own mark.
    reader: ManuallyDrop<spsc::Consumer<&'a Spsc<Local<S>>>>,
}

impl<S: Storage<Slot: Layout>> Drop for Turn<'_, S> {
    #[inline]
    fn drop(&mut self) {
        self.reader.flush();
        // Release, with the Acquire of the next one here: where this one stopped.
        self.lane.words.lock.store(0, order!("lanes.unlock", Release));
    }
}

/// What a handle leads to.
#[doc(hidden)]
pub trait Ring {
    /// The slots of a lane.
    type Slots: Storage<Slot: Layout>;

    /// All lanes.
    fn lanes(&self) -> &[Lane<Self::Slots>];

    /// See [`Lanes::close`].
    fn close(&self);

    /// See [`Lanes::is_closed`].
    fn is_closed(&self) -> bool;

    /// What there is to say when no item was found.
    fn nothing(&self) -> PopError {
        if self.is_closed() && self.lanes().iter().all(Lane::is_over) {
            PopError::Closed
        } else {
            PopError::Empty
        }
    }
}

impl<S: Storage<Slot: Layout>, L: Storage<Slot = Lane<S>>> Ring for Lanes<L> {
    type Slots = S;

    #[inline]
    fn lanes(&self) -> &[Lane<S>] {
        self.lanes.slots()
    }

    fn close(&self) {
        self.lanes().iter().for_each(Lane::close);
        // Relaxed: each lane says for itself that it is over.
        self.closed.store(1, Ordering::Relaxed);
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) != 0
    }
}

type ItemOf<H> =
    <<<<H as core::ops::Deref>::Target as Ring>::Slots as Storage>::Slot as Cell>::Item;
