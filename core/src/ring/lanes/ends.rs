//! The ends of a ring of lanes.

#![allow(unsafe_code)]

use core::ops::Deref;
use core::ptr::NonNull;

use super::{ItemOf, Lane, Ring, TAKEN};
use crate::ring::pair::Local;
use crate::ring::spsc::{self, Spsc};
use crate::ring::{self, GrantError, Handle, PopError, PushError};
use crate::sync::{Ordering, order};

/// A reader takes so many items from one lane before it goes on to the next.
const MOST: usize = 64;

type LaneOf<H> = Lane<<<H as Deref>::Target as Ring>::Slots>;

/// A writer's place at a lane: the handle with which the lane's own end leads to its ring.
#[derive(Debug)]
pub struct Seat<H: Handle<Target: Ring>> {
    ring: H,
    lane: NonNull<LaneOf<H>>,
}

// SAFETY: the pointer is used as `&Lane` is, and leads to where `H` leads to.
unsafe impl<H: Handle<Target: Ring> + Send> Send for Seat<H> where LaneOf<H>: Sync {}
// SAFETY: as above.
unsafe impl<H: Handle<Target: Ring> + Sync> Sync for Seat<H> where LaneOf<H>: Sync {}

impl<H: Handle<Target: Ring>> Seat<H> {
    #[inline]
    fn lane(&self) -> &LaneOf<H> {
        // SAFETY: the lane is the ring's, which stays alive and where it is as long as `ring` lives (`Handle`).
        unsafe { self.lane.as_ref() }
    }
}

impl<H: Handle<Target: Ring>> Deref for Seat<H> {
    type Target = Spsc<Local<<H::Target as Ring>::Slots>>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.lane().ring
    }
}

// SAFETY: always the same lane, which the ring's own handle keeps alive and in place.
unsafe impl<H: Handle<Target: Ring>> Handle for Seat<H> {}

impl<H: Handle<Target: Ring>> Drop for Seat<H> {
    fn drop(&mut self) {
        // Release, with the Acquire of a reader that looks whether all is over, and of the next writer here: what this
        // one pushed, and that it is gone from the lane's ring.
        self.lane().words.seat.fetch_and(!TAKEN, order!("lanes.leave", Release));
    }
}

/// A writer's end. Dropping it leaves the lane to the next writer, who goes on behind it.
#[derive(Debug)]
pub struct Producer<H: Handle<Target: Ring>> {
    end: spsc::Producer<Seat<H>>,
}

impl<H: Handle<Target: Ring>> Producer<H> {
    /// Takes the first free lane.
    pub(super) fn seated(ring: H) -> Option<Producer<H>> {
        let free = ring.lanes().iter().find(|lane| {
            // Acquire, with the Release of who left: that it is gone from the lane's ring.
            let join = order!("lanes.join", Acquire);
            lane.words.seat.compare_exchange(0, TAKEN, join, Ordering::Relaxed).is_ok()
        });
        let lane = NonNull::from(free?);
        Some(Producer { end: Spsc::producer(Seat { ring, lane })? })
    }

    /// Appends an item to this writer's lane.
    ///
    /// # Errors
    /// [`PushError`] with the item, if there is no room in the lane or the ring was closed.
    #[inline]
    pub fn try_push(&mut self, item: ItemOf<H>) -> Result<(), PushError<ItemOf<H>>> {
        self.end.try_push(item)
    }

    /// `count` slots of this writer's lane to fill. Readers see what was put there at `commit`, all at once; dropping
    /// the grant drops it, unseen. Nobody waits meanwhile.
    ///
    /// # Errors
    /// [`GrantError`] if there is not so much room in the lane, or never will be.
    #[inline]
    pub fn grant(&mut self, count: usize) -> Result<spsc::Grant<'_, Seat<H>>, GrantError> {
        self.end.grant(count)
    }

    /// Appends as many of `items` to this writer's lane as there is room for, shows them all at once, and returns how
    /// many; none after the ring was closed.
    #[inline]
    pub fn push_slice(&mut self, items: &[ItemOf<H>]) -> usize
    where
        ItemOf<H>: Copy,
    {
        self.end.push_slice(items)
    }

    /// How many items this writer may push now.
    #[inline]
    pub fn room(&mut self) -> usize {
        self.end.room()
    }

    /// Whether the ring was closed.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.end.is_closed()
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        &self.end.ring().ring
    }

    /// Closes the ring for all writers, as [`Lanes::close`](super::Lanes::close) does, and leaves.
    pub fn close(self) {
        self.ring().close();
    }
}

/// A reader's end. Dropping it leaves the ring open.
///
/// As an iterator it pops until there is nothing now.
#[derive(Debug)]
pub struct Consumer<H: Handle<Target: Ring>> {
    ring: H,
    /// The lane to look at next.
    lane: usize,
    /// How many items were popped there one by one.
    popped: usize,
}

impl<H: Handle<Target: Ring>> Consumer<H> {
    pub(super) fn new(ring: H) -> Consumer<H> {
        Consumer { ring, lane: 0, popped: 0 }
    }

    /// Takes an item: from the lane that the last one came from if there are more, up to 64, then from the next.
    /// Taking many at a time is much cheaper.
    ///
    /// # Errors
    /// [`PopError`] if there is none in any lane that nobody else is at.
    #[inline]
    pub fn try_pop(&mut self) -> Result<ItemOf<H>, PopError> {
        let lanes = self.ring.lanes();
        for _ in 0..lanes.len() {
            if let Some(mut turn) = lanes[self.lane].turn()
                && let Ok(item) = turn.reader.try_pop()
            {
                self.popped += 1;
                if self.popped == MOST {
                    (self.lane, self.popped) = (after(self.lane, lanes.len()), 0);
                }
                return Ok(item);
            }
            (self.lane, self.popped) = (after(self.lane, lanes.len()), 0);
        }
        Err(self.ring.nothing())
    }

    /// Takes up to `most` items, up to 64 of each lane, gives each to `take`, and returns how many there were. If `take`
    /// panics, the items that it has not been given stay in the ring.
    ///
    /// # Errors
    /// [`PopError`] if there is none in any lane that nobody else is at.
    #[inline]
    pub fn pop_many(
        &mut self,
        most: usize,
        mut take: impl FnMut(ItemOf<H>),
    ) -> Result<usize, PopError> {
        let lanes = self.ring.lanes();
        let mut count = 0;
        for _ in 0..lanes.len() {
            if count == most {
                break;
            }
            let lane = &lanes[self.lane];
            // First: if `take` panics, the next call begins with the next lane.
            (self.lane, self.popped) = (after(self.lane, lanes.len()), 0);
            if let Some(mut turn) = lane.turn() {
                count += turn.reader.pop_many(MOST.min(most - count), &mut take).unwrap_or(0);
            }
        }
        if count == 0 && most > 0 { Err(self.ring.nothing()) } else { Ok(count) }
    }

    /// Copies items to `items`, as many as there are and fit, up to 64 of each lane, and returns how many.
    ///
    /// # Errors
    /// [`PopError`] if there is none in any lane that nobody else is at.
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

    /// Whether the ring was closed. There may still be items.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        &self.ring
    }

    /// Closes the ring for all writers, as [`Lanes::close`](super::Lanes::close) does. Other readers may take what is
    /// in it; the rest is dropped with it.
    pub fn close(self) {
        self.ring.close();
    }
}

// By hand: the clone of a handle may lead to another ring, which may have fewer lanes.
impl<H: Handle<Target: Ring> + Clone> Clone for Consumer<H> {
    fn clone(&self) -> Consumer<H> {
        Consumer::new(self.ring.clone())
    }
}

#[inline]
fn after(lane: usize, lanes: usize) -> usize {
    if lane + 1 < lanes { lane + 1 } else { 0 }
}

impl<H: Handle<Target: Ring>> Iterator for Consumer<H> {
    type Item = ItemOf<H>;

    fn next(&mut self) -> Option<ItemOf<H>> {
        self.try_pop().ok()
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
        ring::Producer::is_full(&mut self.end)
    }

    #[inline]
    fn is_closed(&self) -> bool {
        Producer::is_closed(self)
    }

    fn capacity(&self) -> usize {
        ring::Producer::capacity(&self.end)
    }

    fn len(&self) -> usize {
        ring::Producer::len(&self.end)
    }

    fn close(self) {
        Producer::close(self);
    }
}

impl<H: Handle<Target: Ring>> ring::Consumer for Consumer<H> {
    /// A lane that another reader is at is passed over, and nobody rings when that one leaves it.
    const ALONE: bool = true;

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
        self.ring.lanes().iter().map(|lane| lane.ring.capacity()).sum()
    }

    fn len(&self) -> usize {
        self.ring.lanes().iter().map(|lane| lane.ring.len()).sum()
    }

    fn refuse(&mut self) {
        self.ring.close();
    }

    fn close(self) {
        Consumer::close(self);
    }
}
