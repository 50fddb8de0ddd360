//! The ends of a ring for many writers and readers: single items, and batches with one claim each.

#![allow(unsafe_code)]

use super::{
    CLAIM, CLOSED, Claim, FREE, FULL, ItemOf, Layout, Mpmc, Refused, Ring, SKIP, STEP, Slot, claim,
    lap, next_lap,
};
use crate::ring::cell::Cell;
use crate::ring::slots::Slots;
use crate::ring::{self, GrantError, Handle, PopError, PushError, Storage};
use crate::sync::{Ordering, order};

impl<T, S: Storage<Slot = Slot<T>>, L: Layout> Mpmc<T, S, L> {
    /// Creates a writer's end. There may be any number of them; an end can also be cloned.
    pub fn producer<H: Handle<Target = Mpmc<T, S, L>>>(ring: H) -> Producer<H> {
        Producer::of(ring)
    }

    /// Creates a reader's end. There may be any number of them; an end can also be cloned.
    pub fn consumer<H: Handle<Target = Mpmc<T, S, L>>>(ring: H) -> Consumer<H> {
        Consumer::of(ring)
    }
}

/// A writer's end. Dropping it leaves the ring open.
#[derive(Debug)]
pub struct Producer<H: Handle<Target: Ring>> {
    ring: H,
    slots: Slots<Slot<ItemOf<H>>>,
    /// An earlier value of the ring's tail: the next claim checks there first.
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
        self.push(item, 0)
    }

    /// Appends an item if this leaves `spare` slots free.
    #[inline]
    fn push(&mut self, item: ItemOf<H>, spare: usize) -> Result<(), PushError<ItemOf<H>>> {
        match self.claim(1, 1, spare) {
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

    /// Returns whether the ring was closed.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ring.indices().is_closed()
    }

    /// Returns the ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// Closes the ring for all writers, as [`Mpmc::close`] does.
    pub fn close(self) {
        self.ring.indices().close();
    }

    #[inline]
    fn claim(&mut self, least: usize, most: usize, spare: usize) -> Result<Claim, Refused> {
        let indices = self.ring.indices();
        // Acquire, pairs with the Release of `mpmc.free` of the lap before: its reader no longer
        // uses the value.
        let check = order!("mpmc.room", Acquire);
        let free = FREE.cast_signed();
        // SAFETY: the ring is alive.
        let claim = unsafe {
            let free = free..=free;
            claim(&indices.tail, &mut self.known, &self.slots, free, check, least, most, spare)
        };
        let claim = match claim {
            // A full slot is refused before the tail is loaded, so the claim cannot see the close.
            Err(Refused::Short(_)) if indices.is_closed() => return Err(Refused::Closed),
            claim => claim?,
        };
        let end = claim.position.wrapping_add(claim.count * STEP);
        // Notes the depth rarely, because loading the head takes its cache line from the readers.
        let capacity = self.slots.capacity();
        if (claim.position ^ end) & !(capacity.min(CLAIM) * STEP - 1) != 0 {
            indices.note_depth(end, capacity);
        }
        Ok(claim)
    }

    #[inline]
    fn slot(&self, position: usize) -> &Slot<ItemOf<H>> {
        // SAFETY: the ring is alive.
        unsafe { self.slots.at(position / STEP) }
    }

    /// Publishes the item of a position.
    #[inline]
    fn show(&self, position: usize) {
        // Release, pairs with the Acquire of `mpmc.look`: the item.
        let full = lap(&self.slots, position) | FULL;
        self.slot(position).stamp.store(full, order!("mpmc.push", Release));
    }

    /// Makes readers skip a position.
    #[inline]
    fn skip(&self, position: usize) {
        // Release, pairs with the Acquire of `mpmc.look`, and through that reader with the next
        // writer: this end no longer uses the slot, which it may have filled and emptied.
        let skip = lap(&self.slots, position) | SKIP;
        self.slot(position).stamp.store(skip, order!("mpmc.skip", Release));
    }
}

// Written by hand: items need not be `Clone`, and the clone of a handle may lead to another ring.
impl<H: Handle<Target: Ring> + Clone> Clone for Producer<H> {
    fn clone(&self) -> Producer<H> {
        Producer::of(self.ring.clone())
    }
}

/// A reader's end. Dropping it leaves the ring open.
///
/// As an iterator it pops until the ring is empty.
#[derive(Debug)]
pub struct Consumer<H: Handle<Target: Ring>> {
    ring: H,
    slots: Slots<Slot<ItemOf<H>>>,
    /// An earlier value of the ring's head: the next claim checks there first. It is the head if the
    /// ring has one reader.
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
    /// [`PopError`] if the next slot is not filled. `Empty` does not mean that no push has
    /// finished: see the [module](super).
    #[inline]
    pub fn try_pop(&mut self) -> Result<ItemOf<H>, PopError> {
        loop {
            let Claim { position, .. } = self.claim(1)?;
            if let Some(item) = self.take_at(position) {
                return Ok(item);
            }
        }
    }

    /// Returns whether the ring was closed. There may still be items.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ring.indices().is_closed()
    }

    /// Returns the ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// Closes the ring for all writers, as [`Mpmc::close`] does. Other readers may take the
    /// remaining items; the rest is dropped with the ring.
    pub fn close(self) {
        self.ring.indices().close();
    }

    /// Closes the ring, and drops the items in it, including those behind a claimed slot that is
    /// not filled yet. An item that is put into such a slot later, or is not visible to this thread
    /// yet, is dropped with the ring.
    pub fn discard(&mut self) {
        let indices = self.ring.indices();
        indices.close();
        // Once the tail has the bit `CLOSED`, it does not move any more.
        let tail = indices.tail.load(Ordering::Relaxed) & !CLOSED;
        // Claims all slots, so that no other end can. A slot that is not filled yet belongs to its
        // writer, and is skipped.
        let mut position = indices.head.load(Ordering::Relaxed);
        if position != tail {
            // Relaxed: read when no other end is left.
            indices.rare.discarded.store(1, Ordering::Relaxed);
        }
        let relaxed = Ordering::Relaxed;
        while position != tail
            && let Err(now) = indices.head.compare_exchange_weak(position, tail, relaxed, relaxed)
        {
            position = now;
        }
        self.known = tail;
        Rest { end: self, position, tail }.discard();
    }

    /// Claims up to `most` slots that were filled or aborted.
    #[inline]
    fn claim(&mut self, most: usize) -> Result<Claim, PopError> {
        let indices = self.ring.indices();
        // Acquire, pairs with the Release of `mpmc.push` and `mpmc.skip`: what the writer did in
        // the slot.
        let check = order!("mpmc.look", Acquire);
        let done = FULL.cast_signed()..=SKIP.cast_signed();
        if H::Target::HAS_ONE_READER {
            // Nobody else moves the head, so `known` is the head, and a store moves it.
            let position = self.known;
            let is_done = |count: &usize| {
                let next = position.wrapping_add(count * STEP);
                // SAFETY: the ring is alive.
                let stamp = unsafe { self.slots.at(next / STEP) }.stamp.load(check);
                done.contains(&stamp.wrapping_sub(lap(&self.slots, next)).cast_signed())
            };
            let count = (0..most).take_while(is_done).count();
            if count == 0 {
                return Err(indices.pop_error());
            }
            self.known = position.wrapping_add(count * STEP);
            indices.head.store(self.known, Ordering::Relaxed);
            return Ok(Claim { position, count });
        }
        // SAFETY: the ring is alive.
        unsafe { claim(&indices.head, &mut self.known, &self.slots, done, check, 1, most, 0) }
            .map_err(|_| indices.pop_error())
    }

    /// Takes the item of a claimed slot, if it was filled. Frees the slot for the next lap.
    #[inline]
    fn take_at(&self, position: usize) -> Option<ItemOf<H>> {
        // SAFETY: the ring is alive.
        let slot = unsafe { self.slots.at(position / STEP) };
        // Relaxed: no other thread changes the stamp after the claim, which loaded it with Acquire.
        let full = slot.stamp.load(Ordering::Relaxed) & (STEP - 1) == FULL;
        // SAFETY: the stamp says that the slot contains an item, and this thread has claimed it.
        let item = full.then(|| unsafe { slot.cell.take() });
        // Release, pairs with the Acquire of `mpmc.room` in the next lap: this reader no longer
        // uses the value.
        slot.stamp.store(next_lap(&self.slots, position), order!("mpmc.free", Release));
        item
    }
}

/// The slots whose items are [discarded](Consumer::discard). If the drop of an item panics, the
/// drop of this value continues with the next item.
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
            // The stamp must be exactly of this lap: this thread may still see the stamp of the
            // previous lap, whose item another reader has taken. A later item is dropped with the
            // ring.
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

// Written by hand: items need not be `Clone`, and the clone of a handle may lead to another ring.
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

impl<H: Handle<Target: Ring>> Producer<H> {
    /// Claims `count` consecutive slots to fill. [`Grant::commit`] publishes the items; a reader
    /// that sees the first one can see all of them. Dropping the grant drops the items, and readers
    /// never see them.
    ///
    /// Until then, readers wait before these slots.
    ///
    /// # Errors
    /// [`GrantError`] if there is less room now, or the ring has fewer slots.
    #[inline]
    pub fn grant(&mut self, count: usize) -> Result<Grant<'_, H>, GrantError> {
        if count == 0 || count > self.slots.capacity() {
            return Err(GrantError::Count { asked: count, capacity: self.slots.capacity() });
        }
        self.grant_leaving(count, 0)
    }

    /// Claims slots to fill if this leaves `spare` slots free.
    #[inline]
    pub(crate) fn grant_leaving(
        &mut self,
        count: usize,
        spare: usize,
    ) -> Result<Grant<'_, H>, GrantError> {
        match self.claim(count, count, spare) {
            Ok(claim) => Ok(Grant { producer: self, claim, filled: 0 }),
            Err(Refused::Short(room)) => Err(GrantError::Full { room }),
            Err(Refused::Closed) => Err(GrantError::Closed),
        }
    }

    /// Appends as many of `items` as there is room for. Returns how many. Each claim takes up to 64
    /// slots; items of other writers may come between two claims.
    ///
    /// # Errors
    /// [`PushError`] if the ring is full or the ring was closed.
    #[inline]
    pub fn push_slice(&mut self, items: &[ItemOf<H>]) -> Result<usize, PushError<()>>
    where
        ItemOf<H>: Copy,
    {
        let mut pushed = 0;
        while pushed < items.len() {
            let rest = &items[pushed..];
            let claim = match self.claim(1, rest.len().min(CLAIM), 0) {
                Ok(claim) => claim,
                Err(_) if pushed > 0 => break,
                Err(Refused::Short(_)) => return Err(PushError::Full(())),
                Err(Refused::Closed) => return Err(PushError::Closed(())),
            };
            // Publishes the items from the last to the first, so that a reader that finds the first
            // one finds all.
            for (index, item) in rest[..claim.count].iter().enumerate().rev() {
                let position = claim.position.wrapping_add(index * STEP);
                // SAFETY: this thread has claimed the slot.
                unsafe { self.slot(position).cell.put(*item) };
                self.show(position);
            }
            pushed += claim.count;
        }
        Ok(pushed)
    }
}

/// Slots that a writer has claimed and may fill, one after the other. See [`Producer::grant`].
#[derive(Debug)]
pub struct Grant<'a, H: Handle<Target: Ring>> {
    producer: &'a mut Producer<H>,
    claim: Claim,
    filled: usize,
}

impl<H: Handle<Target: Ring>> Grant<'_, H> {
    /// Fills the next slot.
    ///
    /// # Errors
    /// The item, if all slots are already filled.
    #[inline]
    pub fn push(&mut self, item: ItemOf<H>) -> Result<(), ItemOf<H>> {
        if self.filled == self.claim.count {
            return Err(item);
        }
        // SAFETY: this grant has claimed the slot, which is not filled yet.
        unsafe { self.producer.slot(self.position(self.filled)).cell.put(item) };
        self.filled += 1;
        Ok(())
    }

    /// Returns how many slots are left to fill.
    #[must_use]
    pub fn room(&self) -> usize {
        self.claim.count - self.filled
    }

    /// Publishes all items and returns how many; readers skip the slots that were not filled.
    #[inline]
    pub fn commit(mut self) -> usize {
        let filled = self.filled;
        // Publishes the items from the last to the first, as `push_slice` does.
        self.skip_from(filled);
        for index in (0..filled).rev() {
            self.producer.show(self.position(index));
        }
        self.claim.count = 0;
        self.filled = 0;
        filled
    }

    #[inline]
    fn position(&self, index: usize) -> usize {
        self.claim.position.wrapping_add(index * STEP)
    }

    /// Aborts all slots from an index on.
    #[inline]
    fn skip_from(&mut self, index: usize) {
        for index in (index..self.claim.count).rev() {
            self.producer.skip(self.position(index));
        }
        self.claim.count = index.min(self.claim.count);
    }
}

impl<H: Handle<Target: Ring>> Drop for Grant<'_, H> {
    fn drop(&mut self) {
        /// When dropped, makes readers skip the slots, even if the drop of an item panics.
        struct Skip<'a, 'b, H: Handle<Target: Ring>>(&'a mut Grant<'b, H>);

        impl<H: Handle<Target: Ring>> Drop for Skip<'_, '_, H> {
            fn drop(&mut self) {
                self.0.skip_from(0);
            }
        }

        let filled = self.filled;
        let grant = Skip(self);
        for index in 0..filled {
            // SAFETY: this grant put an item there, has not shown it, and takes it once.
            drop(unsafe { grant.0.producer.slot(grant.0.position(index)).cell.take() });
        }
    }
}

impl<H: Handle<Target: Ring>> Consumer<H> {
    /// Takes up to `most` items, at most 64, by one claim, and passes each to `take`. Returns how
    /// many there were. If `take` panics, the items that were not passed to it are dropped.
    ///
    /// Each slot becomes free once its item is passed to `take`, but the slots behind it are not
    /// free yet: while `take` runs, writers may find the ring full.
    ///
    /// # Errors
    /// [`PopError`] if the next slot is not filled. `Empty` does not mean that no push has
    /// finished: see the [module](super).
    #[inline]
    pub fn pop_many(
        &mut self,
        most: usize,
        mut take: impl FnMut(ItemOf<H>),
    ) -> Result<usize, PopError> {
        if most == 0 {
            return Ok(0);
        }
        loop {
            let claim = self.claim(most.min(CLAIM))?;
            let mut items = Items { claim, consumer: self };
            let mut count = 0;
            while let Some(item) = items.next() {
                count += 1;
                take(item);
            }
            // If all claimed slots were aborted, claims further ones.
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Copies the next items to `items`, as many as there are and fit, at most 64, by one claim.
    /// Returns how many.
    ///
    /// # Errors
    /// [`PopError`] if the next slot is not filled. `Empty` does not mean that no push has
    /// finished: see the [module](super).
    #[inline]
    pub fn pop_slice(&mut self, items: &mut [ItemOf<H>]) -> Result<usize, PopError>
    where
        ItemOf<H>: Copy,
    {
        let mut places = items.iter_mut();
        self.pop_many(places.len(), |item| {
            if let Some(place) = places.next() {
                *place = item;
            }
        })
    }
}

/// Items that a reader has claimed and not yet taken.
struct Items<'a, H: Handle<Target: Ring>> {
    consumer: &'a Consumer<H>,
    claim: Claim,
}

impl<H: Handle<Target: Ring>> Items<'_, H> {
    #[inline]
    fn next(&mut self) -> Option<ItemOf<H>> {
        while self.claim.count > 0 {
            let position = self.claim.position;
            self.claim =
                Claim { position: position.wrapping_add(STEP), count: self.claim.count - 1 };
            if let Some(item) = self.consumer.take_at(position) {
                return Some(item);
            }
        }
        None
    }
}

impl<H: Handle<Target: Ring>> Drop for Items<'_, H> {
    fn drop(&mut self) {
        // Items are left only after a panic. No other end can take them, so they are dropped here
        // and their slots freed.
        while let Some(item) = self.next() {
            drop(item);
        }
    }
}

impl<H: Handle<Target: Ring>> ring::Producer for Producer<H> {
    type Item = ItemOf<H>;

    #[inline]
    fn try_push(&mut self, item: ItemOf<H>) -> Result<(), PushError<ItemOf<H>>> {
        Producer::try_push(self, item)
    }

    #[inline(never)]
    fn try_push_leaving_one(&mut self, item: ItemOf<H>) -> Result<(), PushError<ItemOf<H>>> {
        self.push(item, 1)
    }

    #[inline]
    fn is_full(&mut self) -> bool {
        let tail = self.ring.indices().tail.load(Ordering::Relaxed) & !CLOSED;
        let stamp = self.slot(tail).stamp.load(Ordering::Relaxed);
        // If the stamp is ahead of its lap, the loaded tail was stale, and the ring is not full.
        stamp.wrapping_sub(lap(&self.slots, tail) | FREE).cast_signed() < 0
    }

    #[inline]
    fn is_closed(&self) -> bool {
        Producer::is_closed(self)
    }

    fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    fn len(&self) -> usize {
        self.ring.indices().len(self.slots.capacity())
    }

    fn close(self) {
        Producer::close(self);
    }
}

impl<H: Handle<Target: Ring>> ring::Consumer for Consumer<H> {
    type Item = ItemOf<H>;

    #[inline]
    fn try_pop(&mut self) -> Result<ItemOf<H>, PopError> {
        Consumer::try_pop(self)
    }

    #[inline]
    fn pop_many(&mut self, most: usize, take: impl FnMut(ItemOf<H>)) -> Result<usize, PopError> {
        Consumer::pop_many(self, most, take)
    }

    fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    fn len(&self) -> usize {
        self.ring.indices().len(self.slots.capacity())
    }

    fn refuse_pushes(&mut self) {
        self.ring.indices().close();
    }

    fn discard(&mut self) {
        Consumer::discard(self);
    }

    fn close(self) {
        Consumer::close(self);
    }
}
