//! Rows of bells on the heap, as many as are needed.
//!
//! The first seats are in the value itself. When they are taken, rows of one word's bits follow, each allocated once and
//! kept until all goes; a mark in the word of the first row says that there are more, so that a ringer still pays one
//! load where there are few seats and nobody sleeps.

#![allow(unsafe_code)]

use alloc::boxed::Box;
use core::task::Waker;

use super::row::{MARK, Row, Seat};
use super::{Bells, ring_each};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering, const_unless_loom, order};

/// How many seats there are without a further allocation.
const FIRST: usize = if cfg!(loom) { 1 } else { 15 };
/// How many come with each allocation.
const FURTHER: usize = if cfg!(loom) { 2 } else { usize::BITS as usize };

/// Bells for any number of tasks. See [`Row`].
///
/// ```
/// use mycelium_core::doorbell::{Bells, Growing};
///
/// let bells = Growing::new();
/// let seats: Vec<_> = (0..1_000).map_while(|_| bells.take_seat()).collect();
/// assert_eq!(seats.len(), 1_000);
/// ```
#[derive(Debug)]
pub struct Growing {
    first: Row<FIRST>,
    more: Next,
    /// The row that the next ringer begins at, where there is more than one.
    turn: AtomicUsize,
}

impl Growing {
    const_unless_loom! {
        /// Bells that nobody waits at.
        #[must_use]
        pub const fn new() -> Growing {
            Growing { first: Row::new(), more: Next::new(), turn: AtomicUsize::new(0) }
        }
    }

    /// The rows after the first.
    fn further(&self) -> impl Iterator<Item = &Further> {
        core::iter::successors(self.more.have(), |row| row.next.have())
    }

    /// Wakes one task, seat by seat and row by row.
    #[cold]
    fn wake_in_turn(&self) {
        let turn = self.turn.load(Ordering::Relaxed);
        // What is left of this round, from the row whose turn it is.
        if turn == 0 && self.first.wake_next() {
            return;
        }
        for (index, row) in self.further().enumerate().skip(turn.saturating_sub(1)) {
            if row.row.wake_next() {
                self.turn.store(index + 1, Ordering::Relaxed);
                return;
            }
        }
        // A new one; should other ringers interfere, anybody.
        self.turn.store(0, Ordering::Relaxed);
        if !self.first.wake_one() {
            self.further().any(|row| row.row.wake_one());
        }
    }

    /// Calls one of the two with the row of a seat, and the seat within that row.
    #[inline]
    fn at<R>(
        &self,
        seat: &Seat,
        first: impl FnOnce(&Row<FIRST>, &Seat) -> R,
        further: impl FnOnce(&Row<FURTHER>, &Seat) -> R,
    ) -> R {
        match seat.0.checked_sub(FIRST) {
            None => first(&self.first, seat),
            Some(index) => match self.further().nth(index / FURTHER) {
                Some(row) => further(&row.row, &Seat(index % FURTHER)),
                None => unreachable!("rows stay as long as their seats"),
            },
        }
    }
}

impl Default for Growing {
    fn default() -> Growing {
        Growing::new()
    }
}

impl Bells for Growing {
    const SHARED: bool = true;

    type Seat = Seat;

    /// Never `None`.
    fn take_seat(&self) -> Option<Seat> {
        if let Some(seat) = self.first.take_seat() {
            return Some(seat);
        }
        // Before anybody has a seat further on. Who does parks there, and its fence shows this too.
        self.first.mark();
        let (mut next, mut before) = (&self.more, FIRST);
        loop {
            let row = next.have_or_make();
            if let Some(seat) = row.row.take_seat() {
                return Some(Seat(before + seat.0));
            }
            (next, before) = (&row.next, before + FURTHER);
        }
    }

    fn leave_seat(&self, seat: &Seat) {
        self.at(seat, Row::leave_seat, Row::leave_seat);
    }

    fn park(&self, seat: &Seat, waker: &Waker) {
        self.at(seat, |row, seat| row.park(seat, waker), |row, seat| row.park(seat, waker));
    }

    fn unpark(&self, seat: &Seat) -> bool {
        self.at(seat, Row::unpark, Row::unpark)
    }

    #[inline]
    fn ring(&self) {
        match self.first.parked() {
            0 => {}
            parked if parked & MARK == 0 => _ = self.first.wake_one(),
            _ => self.wake_in_turn(),
        }
    }

    #[inline]
    fn ring_all(&self) {
        if self.first.parked() != 0 {
            // The first row, then the others.
            let rows = core::iter::once(None).chain(self.further().map(Some));
            ring_each(rows, |row| match row {
                None => self.first.wake_all(),
                Some(row) => row.row.wake_all(),
            });
        }
    }
}

#[derive(Debug)]
struct Further {
    row: Row<FURTHER>,
    next: Next,
}

/// A place for one further row, which is made once and stays.
#[derive(Debug)]
struct Next(AtomicPtr<Further>);

impl Next {
    const_unless_loom! {
        const fn new() -> Next {
            Next(AtomicPtr::new(core::ptr::null_mut()))
        }
    }

    fn have(&self) -> Option<&Further> {
        // Acquire, with the Release of `have_or_make`: the row.
        let row = self.0.load(order!("growing.have", Acquire));
        // SAFETY: null, or what `have_or_make` made of a box that is freed when `self` is dropped.
        unsafe { row.as_ref() }
    }

    fn have_or_make(&self) -> &Further {
        if let Some(row) = self.have() {
            return row;
        }
        let made = Box::into_raw(Box::new(Further { row: Row::new(), next: Next::new() }));
        // Release, with the Acquire of `have`, or of who comes second here: the row.
        let placed = self.0.compare_exchange(
            core::ptr::null_mut(),
            made,
            order!("growing.make", Release),
            order!("growing.made", Acquire),
        );
        let row = match placed {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: made above, and shown to nobody.
                drop(unsafe { Box::from_raw(made) });
                other
            }
        };
        // SAFETY: made of a box, here or by another thread, which is freed when `self` is dropped.
        unsafe { &*row }
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        let row = self.0.load(Ordering::Relaxed);
        if !row.is_null() {
            // SAFETY: `have_or_make` made it of a box, and whoever referred to it borrowed `self`.
            drop(unsafe { Box::from_raw(row) });
        }
    }
}
