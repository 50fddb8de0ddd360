//! `spsc`: one writer, one reader, items in order; the layout with an index.
//!
//! The writer shows its position after each push or each batch ([`stamped`](crate::ring::stamped) has these ends, too,
//! but shows items in another way), the reader every few pops: after an eighth of the capacity, at most 64 items, or
//! when it finds the ring empty, or when told to ([`Consumer::flush`]). Each keeps what it last saw of the other and
//! looks again only when that is used up. So a ring of `n` slots always takes `n` items from empty, and a writer may be
//! refused while up to an eighth of them has been popped already, but not yet shown. Rings of up to 8 slots show each
//! pop.
//!
//! The algorithm is Lamport's ("Specifying Concurrent Program Modules", 1983) with the cached positions of Lee, Bu and
//! Chandranmenon ("MCRingBuffer", 2009).
//!
//! Positions are `usize` and wrap.

#![allow(unsafe_code)]

mod batch;
mod layout;

use super::cell::Cell;
use super::pair::lag;
#[cfg(feature = "alloc")]
use super::slots::Heap;
use super::slots::Slots;
use super::stamped::Slot as StampedSlot;
use super::{CapacityError, Handle, PopError, PushError, Storage};
use crate::sync::{Ordering, const_unless_loom, order};

pub use super::cell::Slot;
pub use super::pair::{Local, Memory, SideWords};
pub use batch::{Grant, Items};
pub use layout::Layout;

/// A ring with one writer and one reader. See the [module](self).
///
/// ```
/// use mycelium_core::ring::{PopError, PushError, spsc};
///
/// static RING: spsc::Inline<u32, 4> = spsc::Inline::new();
///
/// let mut writer = spsc::Spsc::producer(&RING).expect("nobody else writes");
/// let mut reader = spsc::Spsc::consumer(&RING).expect("nobody else reads");
/// for number in 0..4 {
///     writer.try_push(number)?;
/// }
/// assert_eq!(writer.try_push(4), Err(PushError::Full(4)));
/// assert_eq!(reader.try_pop(), Ok(0));
/// writer.close();
/// assert_eq!(reader.by_ref().collect::<Vec<_>>(), [1, 2, 3]);
/// assert_eq!(reader.try_pop(), Err(PopError::Closed));
/// # Ok::<(), PushError<u32>>(())
/// ```
#[derive(Debug)]
pub struct Spsc<M: Memory<Slot: Layout>> {
    memory: M,
}

/// A ring whose slots are a part of it: for a `static`, or a field.
pub type Inline<T, const N: usize> = Spsc<Local<[Slot<T>; N]>>;

/// A ring in slots that are lent.
pub type Borrowed<'a, T> = Spsc<Local<&'a mut [Slot<T>]>>;

/// A ring with slots on the heap.
#[cfg(feature = "alloc")]
pub type Boxed<T> = Spsc<Local<Heap<Slot<T>>>>;

/// What is the same for the rings of both layouts, but cannot be generic in a const context.
macro_rules! constructors {
    ($slot:ident) => {
        impl<T, const N: usize> Spsc<Local<[$slot<T>; N]>> {
            const_unless_loom! {
                /// An empty ring of `N` slots. `N` that is no power of two from 2 on does not compile.
                ///
                /// ```compile_fail
                /// use mycelium_core::ring::spsc;
                /// static RING: spsc::Inline<u32, 3> = spsc::Inline::new();
                /// ```
                #[must_use]
                pub const fn new() -> Self {
                    const { assert!(CapacityError::allows(N), "a ring has a power of two of slots, at least 2") };
                    Spsc { memory: Local::unchecked(crate::sync::repeat!($slot::new(); N)) }
                }
            }
        }

        impl<T, const N: usize> Default for Spsc<Local<[$slot<T>; N]>> {
            fn default() -> Self {
                Self::new()
            }
        }

        #[cfg(feature = "alloc")]
        impl<T> Spsc<Local<Heap<$slot<T>>>> {
            /// An empty ring of `capacity` slots on the heap.
            ///
            /// # Errors
            /// If the capacity is not a power of two from 2 on, or there is no memory for it.
            pub fn with_capacity(capacity: usize) -> Result<Self, CapacityError> {
                Spsc::in_slots(Heap::new(capacity, $slot::new)?)
            }
        }
    };
}

constructors!(Slot);
constructors!(StampedSlot);

impl<S: Storage<Slot: Layout>> Spsc<Local<S>> {
    /// An empty ring in these slots. What another ring may have left in them is forgotten.
    ///
    /// # Errors
    /// If their number is not a power of two from 2 on.
    pub fn in_slots(slots: S) -> Result<Spsc<Local<S>>, CapacityError> {
        let memory = Local::new(slots)?;
        Layout::reset(&Slots::new(memory.slots()), 0);
        Ok(Spsc { memory })
    }

    /// Both ends, of a ring that nobody else knows; `None` if one of them was closed or forgotten. This is the only way
    /// to the ends where there is no compare-and-swap.
    #[allow(clippy::type_complexity)]
    pub fn split(&mut self) -> Option<(Producer<&Self>, Consumer<&Self>)> {
        let (writer, reader) = self.memory.sides();
        if !writer.take_alone() {
            return None;
        }
        if !reader.take_alone() {
            writer.give_back();
            return None;
        }
        let ring = &*self;
        Some((Producer::take_up(ring), Consumer::take_up(ring)))
    }

    /// As if so many items had gone through it already.
    #[doc(hidden)]
    #[must_use]
    pub fn starting_at(mut self, position: usize) -> Spsc<Local<S>> {
        let (writer, reader) = self.memory.sides();
        writer.position.store(position, Ordering::Relaxed);
        reader.position.store(position, Ordering::Relaxed);
        Layout::reset(&Slots::new(self.memory.slots()), position);
        self
    }
}

impl<M: Memory<Slot: Layout>> Spsc<M> {
    /// The writer's end, or `None` while somebody has it or after it was closed.
    #[cfg(target_has_atomic = "ptr")]
    pub fn producer<H: Handle<Target = Spsc<M>>>(ring: H) -> Option<Producer<H>> {
        ring.memory.writer().take().then(|| Producer::take_up(ring))
    }

    /// The reader's end, or `None` while somebody has it or after it was closed.
    #[cfg(target_has_atomic = "ptr")]
    pub fn consumer<H: Handle<Target = Spsc<M>>>(ring: H) -> Option<Consumer<H>> {
        ring.memory.reader().take().then(|| Consumer::take_up(ring))
    }

    /// How many items the ring has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.slots().len()
    }

    /// How many items are in the ring, those not shown to be popped among them, as far as this thread can see.
    #[must_use]
    pub fn len(&self) -> usize {
        let head = self.memory.reader().position.load(Ordering::Relaxed);
        Layout::count(self.memory.writer(), &Slots::new(self.memory.slots()), head)
    }

    /// Whether nothing is in the ring, as far as this thread can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most items that one of the ends has found in the ring at one of its looks. With an index the reader looks
    /// whenever it has taken all that it knew of. With stamps it is the writer that knows: it looks at least once a lap, and
    /// counts what was popped and not shown yet.
    #[must_use]
    pub fn high_water(&self) -> usize {
        self.memory.reader().high_water().max(self.memory.writer().high_water())
    }
}

impl<M: Memory<Slot: Layout>> Drop for Spsc<M> {
    fn drop(&mut self) {
        if !core::mem::needs_drop::<<M::Slot as Cell>::Item>() {
            return;
        }
        let (writer, reader) = (self.memory.writer(), self.memory.reader());
        // An end that was forgotten may have moved on without showing it: what is left is not known, and stays undropped.
        if writer.is_taken() || reader.is_taken() {
            return;
        }
        let (mut head, tail) =
            (reader.position.load(Ordering::Relaxed), writer.position.load(Ordering::Relaxed));
        let slots = Slots::new(self.memory.slots());
        while head != tail {
            // SAFETY: the memory is alive.
            let slot = unsafe { slots.at(head) };
            // SAFETY: there are no ends, so every item from head to tail is there and ours.
            drop(unsafe { slot.take() });
            head = head.wrapping_add(1);
        }
    }
}

/// What a handle leads to.
#[doc(hidden)]
pub trait Ring {
    /// The memory of the ring.
    type Memory: Memory<Slot = Self::Slot>;
    /// Its slots.
    type Slot: Layout;

    /// The memory of the ring.
    fn memory(&self) -> &Self::Memory;
}

impl<M: Memory<Slot: Layout>> Ring for Spsc<M> {
    type Memory = M;
    type Slot = M::Slot;

    fn memory(&self) -> &M {
        &self.memory
    }
}

type SlotOf<H> = <<H as core::ops::Deref>::Target as Ring>::Slot;
type ItemOf<H> = <SlotOf<H> as Cell>::Item;

/// The writer's end of a ring. Dropping it leaves the ring open for the next producer, which goes on in its place.
#[derive(Debug)]
pub struct Producer<H: Handle<Target: Ring>> {
    ring: H,
    slots: Slots<SlotOf<H>>,
    tail: usize,
    /// The writer has seen room before this position.
    limit: usize,
    /// Where `try_push` checks again: always from `tail` to `limit`. Whatever moves the tail past it moves it, too.
    stop: usize,
}

impl<H: Handle<Target: Ring>> Producer<H> {
    /// For who took the writer's side.
    fn take_up(ring: H) -> Producer<H> {
        let memory = ring.memory();
        let slots = Slots::new(memory.slots());
        let tail = memory.writer().position.load(Ordering::Relaxed);
        Producer { slots, tail, limit: tail, stop: tail, ring }
    }

    /// Appends an item.
    ///
    /// # Errors
    /// [`PushError`] with the item, if there is no room or the reader is gone for good.
    // As `try_pop`.
    #[inline(always)]
    pub fn try_push(&mut self, item: ItemOf<H>) -> Result<(), PushError<ItemOf<H>>> {
        if self.is_closed() {
            return Err(PushError::Closed(item));
        }
        if self.tail == self.stop && !self.go_on() {
            return Err(PushError::Full(item));
        }
        // SAFETY: the ring is alive.
        let slot = unsafe { self.slots.at(self.tail) };
        // SAFETY: it is before the limit, so the reader is done with it until it is shown.
        unsafe { slot.put(item) };
        Layout::show(self.ring.memory().writer(), &self.slots, self.tail, 1);
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// How many items may be pushed now.
    #[inline]
    pub fn room(&mut self) -> usize {
        if self.limit.wrapping_sub(self.tail) < self.slots.capacity() {
            self.look_for_room();
        }
        self.limit.wrapping_sub(self.tail)
    }

    /// Whether the reader is gone for good.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ring.memory().reader().is_closed()
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// Says that there will be no more items. The reader gets what is in the ring, then [`PopError::Closed`].
    pub fn close(self) {
        self.ring.memory().writer().close();
    }

    /// Shows a batch of `count` items, all before the limit, to the reader.
    #[inline]
    fn show(&mut self, count: usize) {
        Layout::show(self.ring.memory().writer(), &self.slots, self.tail, count);
        self.tail = self.tail.wrapping_add(count);
        self.stop = self.tail;
    }

    /// Whether there is room, once that for the next line of items was asked for.
    #[inline]
    fn go_on(&mut self) -> bool {
        let go_on = self.tail != self.limit || self.look_for_room() > 0;
        // At most the limit, and at least the tail.
        self.stop = Layout::before_put(&self.slots, self.tail, self.limit);
        go_on
    }

    /// Looks how far the reader is, and returns how much room there is.
    #[inline]
    fn look_for_room(&mut self) -> usize {
        // Acquire, with the Release of the reader's show: it is done with the slots before its position.
        let reader = self.ring.memory().reader();
        let head = reader.position.load(order!("spsc.room", Acquire));
        let capacity = self.slots.capacity();
        let used = self.tail.wrapping_sub(head);
        debug_assert!(used <= capacity, "the reader is ahead of the writer");
        if !SlotOf::<H>::COUNTS {
            self.ring.memory().writer().note_depth(used);
        }
        self.limit = self.tail.wrapping_add(capacity - used);
        self.stop = self.tail;
        capacity - used
    }
}

impl<H: Handle<Target: Ring>> Drop for Producer<H> {
    fn drop(&mut self) {
        let writer = self.ring.memory().writer();
        SlotOf::<H>::leave(writer, self.tail);
        writer.give_back();
    }
}

/// The reader's end of a ring. Dropping it leaves the ring open for the next consumer, which goes on in its place.
///
/// As an iterator it pops until there is nothing now.
#[derive(Debug)]
pub struct Consumer<H: Handle<Target: Ring>> {
    ring: H,
    slots: Slots<SlotOf<H>>,
    head: usize,
    /// The writer has seen that items before this position were taken.
    shown: usize,
    /// The reader has seen items before this position.
    limit: usize,
    /// Where `try_pop` checks again: always from `head` to `limit`. Whatever moves the head past it moves it, too.
    stop: usize,
    lag: usize,
}

impl<H: Handle<Target: Ring>> Consumer<H> {
    /// For who took the reader's side.
    pub(super) fn take_up(ring: H) -> Consumer<H> {
        let memory = ring.memory();
        let slots = Slots::new(memory.slots());
        let head = memory.reader().position.load(Ordering::Relaxed);
        let lag = lag(slots.capacity());
        Consumer { slots, head, shown: head, limit: head, stop: head, lag, ring }
    }

    /// Takes the next item.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    // In one piece with its caller: a call, and an item that comes back through memory, cost as much as the pop.
    #[inline(always)]
    pub fn try_pop(&mut self) -> Result<ItemOf<H>, PopError> {
        if self.head == self.stop {
            self.go_on()?;
        }
        // SAFETY: the ring is alive.
        let slot = unsafe { self.slots.at(self.head) };
        // SAFETY: its item was shown, and the writer comes here again only when the position moved.
        let item = unsafe { slot.take() };
        self.head = self.head.wrapping_add(1);
        self.moved();
        Ok(item)
    }

    /// Sees to it that there is an item, and asks for the next line of them.
    #[inline]
    fn go_on(&mut self) -> Result<(), PopError> {
        if self.head == self.limit && self.look_for_items(1) == 0 {
            self.nothing()?;
        }
        // At most the limit, and after the head.
        self.stop = Layout::before_take(&self.slots, self.head, self.limit);
        Ok(())
    }

    /// How many items can be popped now.
    #[inline]
    pub fn ready(&mut self) -> usize {
        self.look_for_items(self.slots.capacity())
    }

    /// Shows the writer at once all room that this end has made.
    #[inline]
    pub fn flush(&mut self) {
        if self.shown != self.head {
            self.show_room();
        }
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// Says that nothing more will be read. What is in the ring is dropped with it.
    pub fn close(self) {
        self.ring.memory().reader().close();
    }

    #[inline]
    fn show_room(&mut self) {
        self.shown = self.head;
        // Release, with the Acquire of the writer's look: this reader is done with the slots before.
        self.ring.memory().reader().position.store(self.head, order!("spsc.pop", Release));
    }

    /// Shows what was taken, if it is time to.
    #[inline]
    fn moved(&mut self) {
        if self.head.wrapping_sub(self.shown) >= self.lag {
            self.flush();
        }
    }

    /// Looks how far the writer is, and returns how many items there are, at least up to `most`.
    #[inline]
    fn look_for_items(&mut self, most: usize) -> usize {
        let capacity = self.slots.capacity();
        let writer = self.ring.memory().writer();
        let ready = Layout::look(writer, &self.slots, self.head, most.min(capacity));
        debug_assert!(ready <= capacity, "the writer is more than a lap ahead");
        self.limit = self.head.wrapping_add(ready);
        self.stop = self.head;
        if SlotOf::<H>::COUNTS {
            self.ring.memory().reader().note_depth(ready);
        }
        ready
    }

    /// What there is to say when the ring looks empty, unless there is something after all.
    #[inline]
    fn nothing(&mut self) -> Result<(), PopError> {
        if self.ring.memory().writer().closed_after() {
            return self.look_a_last_time();
        }
        // Whether there is anything to show or not: a branch that goes another way at the first look in vain than at the
        // next ones is mispredicted once a round trip, and costs more than a store to this end's own line.
        self.show_room();
        Err(PopError::Empty)
    }

    /// What was pushed before the ring was closed is seen by a look after that.
    // A call of its own, so that a pop is small enough to be in one piece with its caller.
    #[cold]
    #[inline(never)]
    fn look_a_last_time(&mut self) -> Result<(), PopError> {
        self.flush();
        if self.look_for_items(1) == 0 { Err(PopError::Closed) } else { Ok(()) }
    }
}

impl<H: Handle<Target: Ring>> Drop for Consumer<H> {
    fn drop(&mut self) {
        self.flush();
        self.ring.memory().reader().give_back();
    }
}

impl<H: Handle<Target: Ring>> Iterator for Consumer<H> {
    type Item = ItemOf<H>;

    fn next(&mut self) -> Option<ItemOf<H>> {
        self.try_pop().ok()
    }
}
