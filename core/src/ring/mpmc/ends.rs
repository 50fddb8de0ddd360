//! The ends of a ring for many writers and readers, one item at a time.

#![allow(unsafe_code)]

use super::claim::{CLAIM, CLOSED, Claim, Layout, Refused, claim};
use super::slot::{FREE, FULL, SKIP, STEP, Slot, lap, next_lap};
use super::{ItemOf, Mpmc, Ring};
use crate::ring::cell::Cell;
use crate::ring::slots::Slots;
use crate::ring::{Handle, PopError, PushError, Storage};
use crate::sync::{Ordering, order};

impl<T, S: Storage<Slot = Slot<T>>, L: Layout> Mpmc<T, S, L> {
    /// A new end for a writer. There may be any number of them, made here or cloned.
    pub fn producer<H: Handle<Target = Mpmc<T, S, L>>>(ring: H) -> Producer<H> {
        Producer::of(ring)
    }

    /// A new end for a reader. There may be any number of them, made here or cloned.
    pub fn consumer<H: Handle<Target = Mpmc<T, S, L>>>(ring: H) -> Consumer<H> {
        Consumer::of(ring)
    }
}

/// An end for a writer. Dropping it leaves the ring open.
#[derive(Debug)]
pub struct Producer<H: Handle<Target: Ring>> {
    pub(super) ring: H,
    pub(super) slots: Slots<Slot<ItemOf<H>>>,
    /// A position that the ring's word had at some time: the next claim checks there first.
    pub(super) known: usize,
}

impl<H: Handle<Target: Ring>> Producer<H> {
    pub(crate) fn of(ring: H) -> Producer<H> {
        let known = ring.indices().tail.load(Ordering::Relaxed) & !CLOSED;
        Producer { slots: Slots::new(ring.slots()), known, ring }
    }

    /// Appends an item.
    ///
    /// # Errors
    /// [`PushError`] with the item, if the next slot is not free or the ring was closed. `Full`
    /// does not mean that every slot is in use: see the [module](super).
    #[inline]
    pub fn try_push(&mut self, item: ItemOf<H>) -> Result<(), PushError<ItemOf<H>>> {
        match self.claim(1, 1) {
            Ok(Claim { position, .. }) => {
                // SAFETY: the ring is alive, and this thread has claimed the slot.
                unsafe { self.slot(position).cell.put(item) };
                self.show(position);
                Ok(())
            }
            Err(Refused::Short(_)) => Err(PushError::Full(item)),
            Err(Refused::Closed) => Err(PushError::Closed(item)),
        }
    }

    /// Whether the ring was closed.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ring.indices().is_closed()
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// Closes the ring for all writers, as [`Mpmc::close`] does.
    pub fn close(self) {
        self.ring.indices().close();
    }

    #[inline]
    pub(super) fn claim(&mut self, least: usize, most: usize) -> Result<Claim, Refused> {
        let indices = self.ring.indices();
        // Acquire, pairs with the Release of `mpmc.free` of the lap before: its reader no longer
        // uses the value.
        let check = order!("mpmc.room", Acquire);
        let free = FREE.cast_signed();
        // SAFETY: the ring is alive.
        let claim = unsafe {
            claim(&indices.tail, &mut self.known, &self.slots, free..=free, check, least, most)
        };
        let claim = match claim {
            // A full slot is refused before the tail is loaded, so the claim does not see that the
            // ring was closed.
            Err(Refused::Short(_)) if indices.is_closed() => return Err(Refused::Closed),
            claim => claim?,
        };
        let end = claim.position.wrapping_add(claim.count * STEP);
        // A load of the head takes its cache line from the readers, so this is done rarely.
        let capacity = self.slots.capacity();
        if (claim.position ^ end) & !(capacity.min(CLAIM) * STEP - 1) != 0 {
            indices.note_depth(end, capacity);
        }
        Ok(claim)
    }

    #[inline]
    pub(super) fn slot(&self, position: usize) -> &Slot<ItemOf<H>> {
        // SAFETY: the ring is alive.
        unsafe { self.slots.at(position / STEP) }
    }

    /// Shows readers the item of a position.
    #[inline]
    pub(super) fn show(&self, position: usize) {
        // Release, pairs with the Acquire of `mpmc.look`: the item.
        let full = lap(&self.slots, position) | FULL;
        self.slot(position).stamp.store(full, order!("mpmc.push", Release));
    }

    /// Makes readers skip a position.
    #[inline]
    pub(super) fn skip(&self, position: usize) {
        // Release, pairs with the Acquire of `mpmc.look`, and so with the next writer's: the slot
        // may have been filled and emptied again.
        let skip = lap(&self.slots, position) | SKIP;
        self.slot(position).stamp.store(skip, order!("mpmc.skip", Release));
    }
}

// By hand: items need not be `Clone`, and the clone of a handle may lead to another ring.
impl<H: Handle<Target: Ring> + Clone> Clone for Producer<H> {
    fn clone(&self) -> Producer<H> {
        Producer::of(self.ring.clone())
    }
}

/// An end for a reader. Dropping it leaves the ring open.
///
/// As an iterator it pops until there is nothing now.
#[derive(Debug)]
pub struct Consumer<H: Handle<Target: Ring>> {
    pub(super) ring: H,
    pub(super) slots: Slots<Slot<ItemOf<H>>>,
    /// A position that the ring's word had at some time: the next claim checks there first.
    pub(super) known: usize,
}

impl<H: Handle<Target: Ring>> Consumer<H> {
    pub(crate) fn of(ring: H) -> Consumer<H> {
        let known = ring.indices().head.load(Ordering::Relaxed);
        Consumer { slots: Slots::new(ring.slots()), known, ring }
    }

    /// Takes the next item.
    ///
    /// # Errors
    /// [`PopError`] if the next item is not there. `Empty` does not mean that no push has finished:
    /// see the [module](super).
    #[inline]
    pub fn try_pop(&mut self) -> Result<ItemOf<H>, PopError> {
        loop {
            let Claim { position, .. } = self.claim(1)?;
            if let Some(item) = self.take_at(position) {
                return Ok(item);
            }
        }
    }

    /// Whether the ring was closed. There may still be items.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ring.indices().is_closed()
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// Closes the ring for all writers, as [`Mpmc::close`] does. Other readers may take the items
    /// in it; the rest is dropped with it.
    pub fn close(self) {
        self.ring.indices().close();
    }

    /// Closes the ring, and drops the items in it, also those behind a slot that a writer has
    /// claimed and not filled yet. An item that is put into such a slot later, or that this thread
    /// does not see yet, is dropped with the ring.
    pub fn discard(&mut self) {
        let indices = self.ring.indices();
        indices.close();
        // A tail with the bit does not move any more.
        let tail = indices.tail.load(Ordering::Relaxed) & !CLOSED;
        // Claims all slots, as no other end can from now on. A slot that is not filled yet belongs
        // to its writer, and is left out.
        let mut position = indices.head.load(Ordering::Relaxed);
        let relaxed = Ordering::Relaxed;
        while let Err(now) = indices.head.compare_exchange_weak(position, tail, relaxed, relaxed) {
            position = now;
        }
        Rest { end: self, position, tail }.discard();
    }

    /// Claims up to `most` slots that were filled or aborted.
    #[inline]
    pub(super) fn claim(&mut self, most: usize) -> Result<Claim, PopError> {
        let indices = self.ring.indices();
        // Acquire, pairs with the Release of `mpmc.push` and `mpmc.skip`: what the writer did in
        // the slot.
        let check = order!("mpmc.look", Acquire);
        let done = FULL.cast_signed()..=SKIP.cast_signed();
        // SAFETY: the ring is alive.
        unsafe { claim(&indices.head, &mut self.known, &self.slots, done, check, 1, most) }
            .map_err(|_| indices.pop_error())
    }

    /// Takes the item of a claimed slot, if it was filled, and frees the slot for the next lap.
    #[inline]
    pub(super) fn take_at(&self, position: usize) -> Option<ItemOf<H>> {
        // SAFETY: the ring is alive.
        let slot = unsafe { self.slots.at(position / STEP) };
        // No other thread changes the stamp after the claim, which loaded it with Acquire.
        let full = slot.stamp.load(Ordering::Relaxed) & (STEP - 1) == FULL;
        // SAFETY: the stamp says that the slot contains an item, and this thread has claimed it.
        let item = full.then(|| unsafe { slot.cell.take() });
        // Release, pairs with the Acquire of `mpmc.room` in the next lap: this reader no longer
        // uses the value.
        slot.stamp.store(next_lap(&self.slots, position), order!("mpmc.free", Release));
        item
    }
}

/// The slots whose items are [discarded](Consumer::discard). Its drop continues after an item whose
/// drop panicked.
struct Rest<'a, H: Handle<Target: Ring>> {
    end: &'a Consumer<H>,
    position: usize,
    tail: usize,
}

impl<H: Handle<Target: Ring>> Rest<'_, H> {
    fn discard(&mut self) {
        while self.position != self.tail {
            let position = self.position;
            self.position = position.wrapping_add(STEP);
            // SAFETY: the ring is alive.
            let slot = unsafe { self.end.slots.at(position / STEP) };
            // Acquire, pairs with the Release of `mpmc.push` and `mpmc.skip`, as in a claim.
            let stamp = slot.stamp.load(order!("mpmc.look", Acquire));
            // Exactly of this lap: this thread may still see the stamp of an item that another
            // reader has taken, a lap ago. What was put after it is dropped with the ring.
            let lap = lap(&self.end.slots, position);
            if stamp == lap | FULL || stamp == lap | SKIP {
                drop(self.end.take_at(position));
            }
        }
    }
}

impl<H: Handle<Target: Ring>> Drop for Rest<'_, H> {
    fn drop(&mut self) {
        self.discard();
    }
}

// By hand: items need not be `Clone`, and the clone of a handle may lead to another ring.
impl<H: Handle<Target: Ring> + Clone> Clone for Consumer<H> {
    fn clone(&self) -> Consumer<H> {
        Consumer::of(self.ring.clone())
    }
}

impl<H: Handle<Target: Ring>> Iterator for Consumer<H> {
    type Item = ItemOf<H>;

    fn next(&mut self) -> Option<ItemOf<H>> {
        self.try_pop().ok()
    }
}
