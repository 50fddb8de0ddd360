//! The reading end of a ring: single items; batches, which are taken together, borrowed in place,
//! or copied to a slice; and slipping.

#![allow(unsafe_code)]

use core::marker::PhantomData;

use super::layout::{ItemOf, Ring, SlotLayout, SlotOf, lag};
use crate::ring::cell::Cell;
#[cfg(not(loom))]
use crate::ring::cell::Slot;
use crate::ring::slots::Slots;
use crate::ring::{self, Handle, PopError};
use crate::sync::{Ordering, order};

/// The reader's end of a ring. Dropping it leaves the ring open for the next consumer, which
/// continues in its place.
///
/// As an iterator it pops until the ring is empty.
#[derive(Debug)]
pub struct Consumer<H: Handle<Target: Ring>> {
    ring: H,
    slots: Slots<SlotOf<H>>,
    head: usize,
    /// The position that was published last: items before it were taken.
    shown: usize,
    /// The reader knows of items before this position.
    limit: usize,
    /// The position, between `head` and `limit`, at which `try_pop` checks again. Code that moves
    /// the head past `stop` must move `stop` too.
    stop: usize,
    /// The number of items after which the position is published.
    lag: usize,
    /// Whether the reader has taken several items since it last found none.
    is_behind: bool,
    slip: Slip,
}

impl<H: Handle<Target: Ring>> Consumer<H> {
    /// Creates the end. The caller has taken the reader's side.
    pub(super) fn new(ring: H) -> Consumer<H> {
        let slots = Slots::new(ring.slots());
        let head = ring.reader().position.load(Ordering::Relaxed);
        let lag = lag(slots.capacity());
        Consumer {
            slots,
            head,
            shown: head,
            limit: head,
            stop: head,
            lag,
            is_behind: false,
            slip: Slip::default(),
            ring,
        }
    }

    /// Takes the next item.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    // Always inlined: a call, and an item that is returned through memory, cost as much as the pop.
    #[inline(always)]
    pub fn try_pop(&mut self) -> Result<ItemOf<H>, PopError> {
        if self.head == self.stop {
            self.move_stop()?;
        }
        // SAFETY: the ring is alive.
        let slot = unsafe { self.slots.at(self.head) };
        // SAFETY: its item was shown, and the writer uses the slot again only after the position
        // moved.
        let item = unsafe { slot.take() };
        self.head = self.head.wrapping_add(1);
        self.show_if_due();
        Ok(item)
    }

    /// Checks for an item and prefetches the next slots.
    #[inline]
    fn move_stop(&mut self) -> Result<(), PopError> {
        if self.head == self.limit {
            if self.skips_check() {
                self.show_position();
                return Err(PopError::Empty);
            }
            if self.check_items(1) == 0 {
                self.found_nothing()?;
            }
        }
        // The result is at most the limit, and after the head.
        self.stop = SlotLayout::prefetch_take(&self.slots, self.head, self.limit, self.is_behind);
        Ok(())
    }

    /// Returns how many items can be popped now. This check is never skipped.
    #[inline]
    pub fn ready(&mut self) -> usize {
        let ready = self.check_items(self.slots.capacity());
        self.is_behind &= ready > 0;
        ready
    }

    /// Publishes all room that this end has made. The next check is not skipped.
    #[inline]
    pub fn flush(&mut self) {
        self.slip.force_check();
        if self.shown != self.head {
            self.show_position();
        }
    }

    /// Sets after how many pops the room is published, from 1 to the capacity; it is also published
    /// when this end finds the ring empty. The default is an eighth of the capacity, at most 64.
    /// With 1, each pop makes room at once, which costs a store per pop and moves a cache line more
    /// often.
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
        self.show_if_due();
    }

    /// Turns slipping on or off; the default is off.
    ///
    /// Slipping is for a reader that polls a stream all the time and is as fast as its writer. Each
    /// check then finds at most one item, and takes the cache line that the writer writes next, so
    /// both run at the speed of that line. With slipping, after a check that found less than a line
    /// of items, the next `k` checks are skipped: they return [`PopError::Empty`] or items that are
    /// already known. `k` doubles up to 64 while checks find few items; a check that finds more
    /// resets it to 0. So the writer gets ahead, and items arrive by the line.
    ///
    /// For up to `k` calls, `try_pop`, `pop_many`, `pop_slice` and `read` may miss an available
    /// item. **Before a reader sleeps it must not skip the check**, because the missed item may be
    /// the last one: call [`force_check`](Consumer::force_check) after the waker is registered and
    /// before the last check. Never skipped are: the first check after [`flush`](Consumer::flush),
    /// checks of a closed ring, and those of [`ready`](Consumer::ready), [`len`](Consumer::len) and
    /// [`is_empty`](Consumer::is_empty).
    ///
    /// ```
    /// use mycelium_core::ring::{PopError, spsc};
    ///
    /// let (mut writer, mut reader) = spsc::pair(64)?;
    /// reader.slipping(true);
    /// assert_eq!(reader.try_pop(), Err(PopError::Empty));
    /// writer.try_push(7).expect("there is room");
    /// assert_eq!(reader.try_pop(), Err(PopError::Empty), "this check was skipped");
    /// reader.force_check();
    /// assert_eq!(reader.try_pop(), Ok(7));
    /// # Ok::<(), mycelium_core::ring::CapacityError>(())
    /// ```
    pub fn slipping(&mut self, on: bool) {
        self.slip = Slip { on, ..Slip::default() };
    }

    /// Makes sure that the next check is not skipped. See [`slipping`](Consumer::slipping).
    #[inline]
    pub fn force_check(&mut self) {
        self.slip.force_check();
    }

    /// Returns how many items are in the ring, as far as this end can see.
    #[must_use]
    pub fn len(&self) -> usize {
        SlotLayout::count(self.ring.writer(), &self.slots, self.head)
    }

    /// Returns whether nothing is in the ring, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many items the ring has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Closes the ring for the writer. Items in it are dropped with the ring.
    pub fn close(self) {
        self.ring.reader().close();
    }

    #[inline]
    fn show_position(&mut self) {
        self.shown = self.head;
        // Release, pairs with the Acquire of `spsc.room`: this reader no longer uses the slots
        // before.
        self.ring.reader().position.store(self.head, order!("spsc.pop", Release));
    }

    /// Publishes the position after every `lag` items.
    #[inline]
    fn show_if_due(&mut self) {
        // The lag is at least 1.
        if self.head.wrapping_sub(self.shown) >= self.lag {
            self.is_behind = true;
            self.show_position();
        }
    }

    /// Loads the writer's position. Returns how many items there are; the count may stop at `most`.
    #[inline]
    fn check_items(&mut self, most: usize) -> usize {
        let capacity = self.slots.capacity();
        let run = if self.slip.on { SlotLayout::run(&self.slots, self.head) } else { 0 };
        let most = most.max(run);
        let writer = self.ring.writer();
        let ready = SlotLayout::check(writer, &self.slots, self.head, most.min(capacity));
        debug_assert!(ready <= capacity, "the writer is more than a lap ahead");
        self.limit = self.head.wrapping_add(ready);
        self.stop = self.head;
        if SlotOf::<H>::COUNTS {
            self.ring.reader().note_depth(ready);
        }
        self.slip.checked(ready, run);
        ready
    }

    /// Returns how many items there are for a batch, at most `most`.
    #[inline]
    fn items_for_batch(&mut self, most: usize) -> Result<usize, PopError> {
        if self.limit.wrapping_sub(self.head) < most {
            if self.skips_check() {
                if self.limit == self.head {
                    self.show_position();
                    return Err(PopError::Empty);
                }
            } else if self.check_items(most) == 0 {
                self.found_nothing()?;
            }
        }
        Ok(most.min(self.limit.wrapping_sub(self.head)))
    }

    /// Returns whether slipping skips this check. It never does once the writer has closed the
    /// ring.
    #[inline]
    fn skips_check(&mut self) -> bool {
        self.slip.skips() && !self.ring.writer().is_closed()
    }

    /// Returns the error of a check that found no item, unless the last check of a closed ring
    /// finds one.
    #[inline]
    fn found_nothing(&mut self) -> Result<(), PopError> {
        if self.ring.writer().is_closed_acquire() {
            return self.check_last_time();
        }
        // Publishes the position even if nothing changed. A branch that differs between the first
        // check that finds nothing and the following ones would be mispredicted once per round
        // trip. That costs more than a store to this end's own line.
        self.show_position();
        self.is_behind = false;
        Err(PopError::Empty)
    }

    /// Checks a closed ring again, because items pushed before the close are visible now.
    // A function of its own, so that a pop is small enough to be inlined.
    #[cold]
    #[inline(never)]
    fn check_last_time(&mut self) -> Result<(), PopError> {
        self.flush();
        if self.check_items(1) == 0 { Err(PopError::Closed) } else { Ok(()) }
    }
}

impl<H: Handle<Target: Ring>> Drop for Consumer<H> {
    fn drop(&mut self) {
        self.flush();
        self.ring.reader().release();
    }
}

impl<H: Handle<Target: Ring>> Iterator for Consumer<H> {
    type Item = ItemOf<H>;

    fn next(&mut self) -> Option<ItemOf<H>> {
        self.try_pop().ok()
    }
}

impl<H: Handle<Target: Ring>> ring::Consumer for Consumer<H> {
    type Item = ItemOf<H>;

    #[inline(always)]
    fn try_pop(&mut self) -> Result<ItemOf<H>, PopError> {
        Consumer::try_pop(self)
    }

    #[inline]
    fn pop_many(&mut self, most: usize, take: impl FnMut(ItemOf<H>)) -> Result<usize, PopError> {
        Consumer::pop_many(self, most, take)
    }

    #[inline]
    fn flush(&mut self) {
        Consumer::flush(self);
    }

    #[inline]
    fn force_check(&mut self) {
        Consumer::force_check(self);
    }

    fn capacity(&self) -> usize {
        Consumer::capacity(self)
    }

    fn len(&self) -> usize {
        Consumer::len(self)
    }

    fn refuse_pushes(&mut self) {
        self.ring.reader().close();
    }

    fn close(self) {
        Consumer::close(self);
    }
}

impl<H: Handle<Target: Ring>> Consumer<H> {
    /// Takes up to `most` items and passes each to `take`. Returns how many. If `take` panics, the
    /// items that were not passed to it stay in the ring.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn pop_many(
        &mut self,
        most: usize,
        mut take: impl FnMut(ItemOf<H>),
    ) -> Result<usize, PopError> {
        let count = self.items_for_batch(most)?;
        // Set before the head moves, so that it is right even if `take` panics.
        self.stop = self.head.wrapping_add(count);
        let consumer = ShowOnDrop(self);
        for _ in 0..count {
            // SAFETY: the ring is alive.
            let slot = unsafe { consumer.0.slots.at(consumer.0.head) };
            // SAFETY: `items_for_batch` saw `count` items, and each is taken once.
            let item = unsafe { slot.take() };
            consumer.0.head = consumer.0.head.wrapping_add(1);
            take(item);
        }
        Ok(count)
    }

    /// Copies the next items to `items`, as many as there are and fit. Returns how many.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn pop_slice(&mut self, items: &mut [ItemOf<H>]) -> Result<usize, PopError>
    where
        ItemOf<H>: Copy,
    {
        let count = self.items_for_batch(items.len())?;
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.slots.range(self.head, count) };
        let (first, second) = items[..count].split_at_mut(before.len());
        // SAFETY: `items_for_batch` saw these items, and each is taken once: the head moves past
        // them.
        unsafe { SlotOf::<H>::take_all(before, first) };
        // SAFETY: as above.
        unsafe { SlotOf::<H>::take_all(after, second) };
        self.head = self.head.wrapping_add(count);
        self.stop = self.head;
        self.show_if_due();
        Ok(count)
    }

    /// Borrows up to `most` items in place. They stay in the ring until [`Items::release`].
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn read(&mut self, most: usize) -> Result<Items<'_, H>, PopError> {
        let count = self.items_for_batch(most)?;
        Ok(Items { consumer: self, count, items: PhantomData })
    }
}

/// Items that the reader borrows in place. See [`Consumer::read`].
#[derive(Debug)]
pub struct Items<'a, H: Handle<Target: Ring>> {
    consumer: &'a mut Consumer<H>,
    count: usize,
    /// Makes this type `Send` and `Sync` only if references to items are.
    items: PhantomData<&'a ItemOf<H>>,
}

impl<H: Handle<Target: Ring>> Items<'_, H> {
    /// Returns how many items are borrowed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether no item is borrowed, which happens only if `most` was 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the item with this index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&ItemOf<H>> {
        if index >= self.count {
            return None;
        }
        // SAFETY: the ring is alive.
        let slot = unsafe { self.consumer.slots.at(self.consumer.head.wrapping_add(index)) };
        // SAFETY: `read` saw `count` items, and they stay until this value is gone.
        Some(unsafe { slot.borrow() })
    }

    /// Returns all borrowed items, in order.
    pub fn iter<'a>(&'a self) -> impl Iterator<Item = &'a ItemOf<H>>
    where
        H: 'a,
    {
        (0..self.count).filter_map(|index| self.get(index))
    }

    /// Drops the first `count` items, or all if there are fewer, and frees their slots for the
    /// writer.
    #[inline]
    pub fn release(self, count: usize) {
        let count = count.min(self.count);
        let consumer = ShowOnDrop(self.consumer);
        // Set before the head moves, so that it is right even if the drop of an item panics.
        consumer.0.stop = consumer.0.head.wrapping_add(count);
        for _ in 0..count {
            let head = consumer.0.head;
            // The head moves first, so that an item whose drop panics is not taken again.
            consumer.0.head = head.wrapping_add(1);
            // SAFETY: the ring is alive.
            let slot = unsafe { consumer.0.slots.at(head) };
            // SAFETY: `read` saw at least `count` items, and each is taken once.
            drop(unsafe { slot.take() });
        }
    }
}

/// When dropped, publishes the position of the reader if that is due, even if user code panics.
struct ShowOnDrop<'a, H: Handle<Target: Ring>>(&'a mut Consumer<H>);

impl<H: Handle<Target: Ring>> Drop for ShowOnDrop<'_, H> {
    #[inline]
    fn drop(&mut self) {
        self.0.show_if_due();
    }
}

#[cfg(not(loom))]
impl<T, H: Handle<Target: Ring<Slot = Slot<T>>>> Items<'_, H> {
    /// Returns all borrowed items, in order, in up to two pieces.
    #[must_use]
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        // SAFETY: the ring is alive.
        let (before, after) = unsafe { self.consumer.slots.range(self.consumer.head, self.count) };
        crate::sync::seen!(Load, before);
        crate::sync::seen!(Load, after);
        // SAFETY: a slot is a cell of a value and nothing else (`repr(transparent)` at every
        // level); `read` saw these items, and they stay until this value is gone.
        let before = unsafe { core::slice::from_raw_parts(before.as_ptr().cast(), before.len()) };
        // SAFETY: as above.
        let after = unsafe { core::slice::from_raw_parts(after.as_ptr().cast(), after.len()) };
        (before, after)
    }
}

/// Slipping: a reader that finds few items skips some checks, so that the writer gets a cache line
/// of items ahead.
///
/// The distance is kept by count, not by time. FastForward (2008), MCRingBuffer (2009) and B-Queue
/// (2013) separate reader and writer in similar ways.
#[derive(Debug, Default)]
struct Slip {
    on: bool,
    /// The number of checks that were skipped after the last check with few items.
    step: u32,
    /// The number of checks that are still to be skipped.
    left: u32,
}

impl Slip {
    /// The largest number of checks that are skipped in a row.
    const MOST: u32 = 64;

    /// Returns whether the next check is skipped.
    #[inline]
    fn skips(&mut self) -> bool {
        // While slipping is off, this is one comparison.
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// Makes sure that the next check is not skipped.
    #[inline]
    fn force_check(&mut self) {
        self.left = 0;
    }

    /// Records a check that found `found` items; fewer than `run` are few.
    #[inline]
    fn checked(&mut self, found: usize, run: usize) {
        if self.on {
            self.step = if found < run { (2 * self.step).clamp(1, Slip::MOST) } else { 0 };
            self.left = self.step;
        }
    }
}
