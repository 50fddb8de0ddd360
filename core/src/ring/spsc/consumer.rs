//! The end of a ring that items come out of.

#![allow(unsafe_code)]

use super::slip::Slip;
use super::{ItemOf, Ring, SlotLayout, SlotOf};
use crate::ring::cell::Cell;
use crate::ring::pair::{Memory, lag};
use crate::ring::slots::Slots;
use crate::ring::{Handle, PopError};
use crate::sync::{Ordering, order};

/// The reader's end of a ring. Dropping it leaves the ring open for the next consumer, which goes on in its place.
///
/// As an iterator it pops until there is nothing now.
#[derive(Debug)]
pub struct Consumer<H: Handle<Target: Ring>> {
    ring: H,
    pub(super) slots: Slots<SlotOf<H>>,
    pub(super) head: usize,
    /// The writer has seen that items before this position were taken.
    shown: usize,
    /// The reader has seen items before this position.
    pub(super) limit: usize,
    /// Where `try_pop` checks again: always from `head` to `limit`. Whatever moves the head past it moves it, too.
    pub(super) stop: usize,
    /// How many items are taken before the writer is shown that.
    lag: usize,
    slip: Slip,
}

impl<H: Handle<Target: Ring>> Consumer<H> {
    /// For the caller that has taken the reader's side.
    pub(in crate::ring) fn take_up(ring: H) -> Consumer<H> {
        let memory = ring.memory();
        let slots = Slots::new(memory.slots());
        let head = memory.reader().position.load(Ordering::Relaxed);
        let lag = lag(slots.capacity());
        Consumer {
            slots,
            head,
            shown: head,
            limit: head,
            stop: head,
            lag,
            slip: Slip::default(),
            ring,
        }
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
        if self.head == self.limit {
            if self.leaves_out_look() {
                self.show_room();
                return Err(PopError::Empty);
            }
            if self.look_for_items(1) == 0 {
                self.nothing()?;
            }
        }
        // At most the limit, and after the head.
        self.stop = SlotLayout::before_take(&self.slots, self.head, self.limit);
        Ok(())
    }

    /// How many items can be popped now. This looks, in every mode.
    #[inline]
    pub fn ready(&mut self) -> usize {
        self.look_for_items(self.slots.capacity())
    }

    /// Shows the writer at once all room that this end has made. The next look is not left out.
    #[inline]
    pub fn flush(&mut self) {
        self.slip.look_now();
        if self.shown != self.head {
            self.show_room();
        }
    }

    /// From now on the writer is shown room after every `items` pops, from 1 to the capacity, besides when this end finds
    /// the ring empty. At first that is an eighth of the capacity, at most 64. With 1, each pop makes room at once, at the
    /// price of a store for each and of a cache line that travels more often.
    ///
    /// ```
    /// use mycelium_core::ring::spsc;
    ///
    /// let (mut writer, mut reader) = spsc::pair(64)?;
    /// reader.show_every(1);
    /// while writer.try_push(0).is_ok() {}
    /// // One out, one in.
    /// for item in 1..1_000 {
    ///     reader.try_pop().expect("the ring is full");
    ///     writer.try_push(item).expect("there is room at once");
    /// }
    /// # Ok::<(), mycelium_core::ring::CapacityError>(())
    /// ```
    pub fn show_every(&mut self, items: usize) {
        self.lag = items.clamp(1, self.slots.capacity());
        self.moved();
    }

    /// Turns slipping on or off; at first it is off.
    ///
    /// For a reader that polls a stream all the time and is as fast as its writer. Then each look finds one item or none,
    /// and takes the cache line away that the writer writes next: both run at the speed of that line. With slipping,
    /// after a look that found less than a line of items the next `k` looks are left out, and say [`PopError::Empty`] or
    /// give what is known; `k` doubles up to 64 while looks stay short, and a look that finds more sets it to 0. So the
    /// writer gets ahead, and items come by the line.
    ///
    /// Until `k` more calls were made, `try_pop`, `pop_many`, `pop_slice` and `read` may thus miss an item that is there.
    /// **Before a reader sleeps it looks exactly**, as the item it misses may be the last: call
    /// [`force_check`](Consumer::force_check) after the registration of the waker and before the last look. Never left out
    /// are also the first look after [`flush`](Consumer::flush), looks at a closed ring, and
    /// [`ready`](Consumer::ready), [`len`](Consumer::len) and [`is_empty`](Consumer::is_empty).
    ///
    /// ```
    /// use mycelium_core::ring::{PopError, spsc};
    ///
    /// let (mut writer, mut reader) = spsc::pair(64)?;
    /// reader.slipping(true);
    /// assert_eq!(reader.try_pop(), Err(PopError::Empty));
    /// writer.try_push(7).expect("there is room");
    /// assert_eq!(reader.try_pop(), Err(PopError::Empty), "this look was left out");
    /// reader.force_check();
    /// assert_eq!(reader.try_pop(), Ok(7));
    /// # Ok::<(), mycelium_core::ring::CapacityError>(())
    /// ```
    pub fn slipping(&mut self, on: bool) {
        self.slip = Slip::new(on);
    }

    /// The next look is not left out. See [`slipping`](Consumer::slipping).
    #[inline]
    pub fn force_check(&mut self) {
        self.slip.look_now();
    }

    /// Whether nobody has the writer's end now: it was never taken, or was dropped or closed.
    ///
    /// A hint. Before the caller has the answer, somebody may take the end up again by [`Spsc::producer`], or drop it. Where
    /// nobody does the former, `true` stays true; items that were pushed before are still in the ring.
    ///
    /// [`Spsc::producer`]: super::Spsc::producer
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        !self.ring.memory().writer().is_taken()
    }

    /// How many items are in the ring, as far as this end can see.
    #[must_use]
    pub fn len(&self) -> usize {
        SlotLayout::count(self.ring.memory().writer(), &self.slots, self.head)
    }

    /// Whether nothing is in the ring, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every slot holds an item, as far as this end can see.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == self.slots.capacity()
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
    pub(super) fn moved(&mut self) {
        // The lag is at least 1.
        if self.head.wrapping_sub(self.shown) >= self.lag {
            self.show_room();
        }
    }

    /// Looks how far the writer is, and returns how many items there are, at least up to `most`.
    #[inline]
    fn look_for_items(&mut self, most: usize) -> usize {
        let capacity = self.slots.capacity();
        let run = if self.slip.is_on() { SlotLayout::run(&self.slots, self.head) } else { 0 };
        let most = most.max(run);
        let writer = self.ring.memory().writer();
        let ready = SlotLayout::look(writer, &self.slots, self.head, most.min(capacity));
        debug_assert!(ready <= capacity, "the writer is more than a lap ahead");
        self.limit = self.head.wrapping_add(ready);
        self.stop = self.head;
        if SlotOf::<H>::COUNTS {
            self.ring.memory().reader().note_depth(ready);
        }
        self.slip.looked(ready, run);
        ready
    }

    /// Looks for items for a batch, and returns how many there are, at most `most`.
    #[inline]
    pub(super) fn find(&mut self, most: usize) -> Result<usize, PopError> {
        if self.limit.wrapping_sub(self.head) < most {
            if self.leaves_out_look() {
                if self.limit == self.head {
                    self.show_room();
                    return Err(PopError::Empty);
                }
            } else if self.look_for_items(most) == 0 {
                self.nothing()?;
            }
        }
        Ok(most.min(self.limit.wrapping_sub(self.head)))
    }

    /// Whether slipping leaves this look out. It never does once the writer has closed the ring.
    #[inline]
    fn leaves_out_look(&mut self) -> bool {
        self.slip.leaves_out() && !self.ring.memory().writer().is_closed()
    }

    /// What there is to say when the ring looks empty, unless there is something after all.
    #[inline]
    fn nothing(&mut self) -> Result<(), PopError> {
        if self.ring.memory().writer().closed_after() {
            return self.look_a_last_time();
        }
        // Whether there is anything to show or not: a branch that goes one way at the first look that finds nothing and
        // another way at the next ones is mispredicted once a round trip. That costs more than a store to this end's own
        // line.
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
