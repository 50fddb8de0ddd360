//! The end of a ring that items go into.

#![allow(unsafe_code)]

use super::{ItemOf, Ring, SlotLayout, SlotOf};
use crate::ring::cell::Cell;
use crate::ring::pair::Memory;
use crate::ring::slots::Slots;
use crate::ring::{Handle, PushError};
use crate::sync::{Ordering, order};

/// The writer's end of a ring. Dropping it leaves the ring open for the next producer, which goes on in its place.
#[derive(Debug)]
pub struct Producer<H: Handle<Target: Ring>> {
    ring: H,
    pub(super) slots: Slots<SlotOf<H>>,
    pub(super) tail: usize,
    /// The writer has seen room before this position.
    pub(super) limit: usize,
    /// Where `try_push` checks again: always from `tail` to `limit`. Whatever moves the tail past it moves it, too.
    stop: usize,
}

impl<H: Handle<Target: Ring>> Producer<H> {
    /// For the caller that has taken the writer's side.
    pub(super) fn take_up(ring: H) -> Producer<H> {
        let memory = ring.memory();
        let slots = Slots::new(memory.slots());
        let tail = memory.writer().position.load(Ordering::Relaxed);
        Producer { slots, tail, limit: tail, stop: tail, ring }
    }

    /// Appends an item.
    ///
    /// # Errors
    /// [`PushError`] with the item, if there is no room or the reader is gone for good.
    // In one piece with its caller, as `Consumer::try_pop`.
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
        SlotLayout::show(self.ring.memory().writer(), &self.slots, self.tail, 1);
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

    /// Whether nobody has the reader's end now: it was never taken, or was dropped or closed.
    ///
    /// A hint. Before the caller has the answer, somebody may take the end up again by [`Spsc::consumer`], or drop it. Where
    /// nobody does the former, `true` stays true.
    ///
    /// ```
    /// use mycelium_core::ring::spsc::{self, Spsc};
    ///
    /// let ring = spsc::Inline::<u32, 4>::new();
    /// let writer = Spsc::producer(&ring).expect("nobody else writes");
    /// let reader = Spsc::consumer(&ring).expect("nobody else reads");
    /// assert!(!writer.is_abandoned());
    /// drop(reader);
    /// assert!(writer.is_abandoned());
    /// assert!(!writer.is_closed(), "the next reader goes on");
    /// ```
    ///
    /// [`Spsc::consumer`]: super::Spsc::consumer
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        !self.ring.memory().reader().is_taken()
    }

    /// Whether a push would be refused with [`PushError::Full`], as far as this end can see. The answer is exact but for
    /// what the reader has popped and not shown yet.
    #[inline]
    pub fn is_full(&mut self) -> bool {
        self.limit == self.tail && self.look_for_room() == 0
    }

    /// How many items are in the ring, those popped and not shown yet among them, as far as this end can see.
    #[must_use]
    pub fn len(&self) -> usize {
        let head = self.ring.memory().reader().position.load(Ordering::Relaxed);
        self.tail.wrapping_sub(head).min(self.slots.capacity())
    }

    /// Whether nothing is in the ring, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items the ring has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// Says that there will be no more items. The reader gets what is in the ring, then
    /// [`PopError::Closed`](crate::ring::PopError::Closed).
    pub fn close(self) {
        self.ring.memory().writer().close();
    }

    /// Shows a batch of `count` items, all before the limit, to the reader.
    #[inline]
    pub(super) fn show(&mut self, count: usize) {
        SlotLayout::show(self.ring.memory().writer(), &self.slots, self.tail, count);
        self.tail = self.tail.wrapping_add(count);
        self.stop = self.tail;
    }

    /// Whether there is room, once that for the next line of items was asked for.
    #[inline]
    fn go_on(&mut self) -> bool {
        let go_on = self.tail != self.limit || self.look_for_room() > 0;
        // At most the limit, and at least the tail.
        self.stop = SlotLayout::before_put(&self.slots, self.tail, self.limit);
        go_on
    }

    /// Looks how far the reader is, and returns how much room there is.
    #[inline]
    pub(super) fn look_for_room(&mut self) -> usize {
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
