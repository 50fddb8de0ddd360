//! Batches, by one claim each: slots granted to a writer, items taken by a reader.

#![allow(unsafe_code)]

use super::claim::{CLAIM, CLOSED, Claim, Refused};
use super::slot::{FREE, STEP, lap};
use super::{Consumer, ItemOf, Producer, Ring};
use crate::ring::cell::Cell;
use crate::ring::{self, GrantError, Handle, PopError, PushError};
use crate::sync::Ordering;

impl<H: Handle<Target: Ring>> Producer<H> {
    /// `count` neighbouring slots to fill. [`Grant::commit`] shows the items; a reader that sees
    /// the first one can see all of them. Dropping the grant drops the items, and readers never see
    /// them.
    ///
    /// Until then, readers wait in front of these slots.
    ///
    /// # Errors
    /// [`GrantError`] if there is less room now, or the ring has fewer slots.
    #[inline]
    pub fn grant(&mut self, count: usize) -> Result<Grant<'_, H>, GrantError> {
        if count == 0 || count > self.slots.capacity() {
            return Err(GrantError::Count { asked: count, capacity: self.slots.capacity() });
        }
        match self.claim(count, count) {
            Ok(claim) => Ok(Grant { producer: self, claim, filled: 0 }),
            Err(Refused::Short(room)) => Err(GrantError::Full { room }),
            Err(Refused::Closed) => Err(GrantError::Closed),
        }
    }

    /// Appends as many of `items` as there is room for, and returns how many. Each claim takes up
    /// to 64 slots: items of other writers may come between two claims, not within one.
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
            let claim = match self.claim(1, rest.len().min(CLAIM)) {
                Ok(claim) => claim,
                Err(_) if pushed > 0 => break,
                Err(Refused::Short(_)) => return Err(PushError::Full(())),
                Err(Refused::Closed) => return Err(PushError::Closed(())),
            };
            // From the last to the first: a reader that finds the first one finds all.
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
    /// The item, if all slots are filled.
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

    /// How many slots are left to fill.
    #[must_use]
    pub fn room(&self) -> usize {
        self.claim.count - self.filled
    }

    /// Shows readers all items, and returns how many; they skip the slots that were not filled.
    #[inline]
    pub fn commit(mut self) -> usize {
        let filled = self.filled;
        // From the last to the first, as above.
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
        /// Makes readers skip the slots even if the drop of an item panics.
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
    /// Takes up to `most` items, at most 64, by one claim, gives each to `take`, and returns how
    /// many there were. If `take` panics, the items that it has not been given are dropped.
    ///
    /// A slot is free for writers as soon as its item is given to `take`, but the slots behind it
    /// are not: while `take` runs, writers may find the ring full.
    ///
    /// # Errors
    /// [`PopError`] if the next item is not there. `Empty` does not mean that no push has finished:
    /// see the [module](super).
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
            // All slots may have been aborted.
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Copies the next items to `items`, as many as there are and fit, at most 64, by one claim,
    /// and returns how many.
    ///
    /// # Errors
    /// [`PopError`] if the next item is not there. `Empty` does not mean that no push has finished:
    /// see the [module](super).
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

/// Items that a reader has claimed and not taken yet.
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
        // Items are left only after a panic. No other end can take them, and their slots must not
        // be lost.
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

    #[inline]
    fn is_full(&mut self) -> bool {
        let tail = self.ring.indices().tail.load(Ordering::Relaxed) & !CLOSED;
        let stamp = self.slot(tail).stamp.load(Ordering::Relaxed);
        // A stamp ahead of its lap only means that the tail was old.
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
