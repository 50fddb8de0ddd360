//! A row of bells for several tasks that wait for the same thing. One word has a bit for each seat whose task sleeps:
//! a ringer that finds it zero is done.

use core::task::Waker;

use super::{Bells, Doorbell, ring_each};
use crate::sync::{AtomicUsize, Ordering, barrier, const_unless_loom, order};

/// The bit of the word that ringers look at which is no seat's (`Row::mark`).
#[cfg(feature = "alloc")]
pub(super) const MARK: usize = 1 << (usize::BITS - 1);

/// Bells for up to `N` tasks, at most as many as a word has bits.
///
/// ```
/// use core::task::Waker;
/// use mycelium_core::doorbell::{Bells, Row, announce};
///
/// let row = Row::<2>::new();
/// let (one, other) = (row.take_seat().unwrap(), row.take_seat().unwrap());
/// assert!(row.take_seat().is_none());
/// row.park(&one, Waker::noop()); // then look once more before sleeping
/// row.park(&other, Waker::noop());
/// announce();
/// row.ring();
/// assert_eq!([row.unpark(&one), row.unpark(&other)], [true, false], "one was woken");
/// row.leave_seat(&one);
/// assert!(row.take_seat().is_some());
/// ```
#[derive(Debug)]
pub struct Row<const N: usize> {
    /// A bit for each seat whose task sleeps, and one of the owner's (`Row::mark`).
    parked: AtomicUsize,
    /// A bit for each seat that somebody has.
    taken: AtomicUsize,
    /// The seat that the next ringer begins at: each gets its turn.
    turn: AtomicUsize,
    bells: [Doorbell; N],
}

/// A seat in a [`Row`].
#[derive(Debug)]
pub struct Seat(pub(super) usize);

impl<const N: usize> Row<N> {
    const_unless_loom! {
        /// Bells that nobody waits at. More seats than a word has bits do not compile.
        ///
        /// ```compile_fail
        /// let row = mycelium_core::doorbell::Row::<65>::new();
        /// ```
        #[must_use]
        pub const fn new() -> Row<N> {
            const { assert!(N > 0 && N <= usize::BITS as usize, "a row has 1 to 32 or 64 seats") };
            Row {
                parked: AtomicUsize::new(0),
                taken: AtomicUsize::new(0),
                turn: AtomicUsize::new(0),
                bells: crate::sync::repeat!(Doorbell::new(); N),
            }
        }
    }

    /// The bits of all seats.
    const ALL: usize = if N == usize::BITS as usize { usize::MAX } else { (1 << N) - 1 };

    /// Sets a bit for ringers to see, for good; it must not be a seat's.
    #[cfg(feature = "alloc")]
    pub(super) fn mark(&self) {
        const { assert!(N < usize::BITS as usize) };
        self.parked.fetch_or(MARK, Ordering::Relaxed);
    }

    /// Zero if nobody sleeps here and there is no mark.
    #[inline]
    pub(super) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// Wakes one task that sleeps, and says whether there was one.
    #[cold]
    pub(super) fn wake_one(&self) -> bool {
        while self.parked() & Self::ALL != 0 {
            if self.wake_next() {
                return true;
            }
        }
        false
    }

    /// Wakes the next task that sleeps, of those whose turn is still to come in this round. If there is none, a new round
    /// begins.
    #[cold]
    pub(super) fn wake_next(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        let parked = self.parked() & Self::ALL;
        let later = parked & usize::MAX.checked_shl(turn as u32).unwrap_or(0);
        let seat = later.trailing_zeros() as usize;
        let found = later != 0 && self.wake_at(seat);
        self.turn.store(if later == 0 { 0 } else { seat + 1 }, Ordering::Relaxed);
        found
    }

    /// Wakes all tasks that sleep.
    #[cold]
    pub(super) fn wake_all(&self) {
        let parked = self.parked() & Self::ALL;
        let seats = (0..N).filter(|seat| parked & 1 << seat != 0);
        ring_each(seats, |seat| _ = self.wake_at(seat));
    }

    /// Wakes the task of a seat, unless another ringer did, or it woke up by itself.
    fn wake_at(&self, seat: usize) -> bool {
        let bit = 1 << seat;
        // Acquire, with the Release of `row.parked`: the bell says PARKED. Release, with the Acquire of `row.unpark`: what
        // this ringer published.
        let rung = self.parked.fetch_and(!bit, order!("row.wake", AcqRel)) & bit != 0;
        if rung {
            // In vain if the task is about to park again: it looks after that.
            self.bells[seat].ring();
        }
        rung
    }
}

impl<const N: usize> Default for Row<N> {
    fn default() -> Row<N> {
        Row::new()
    }
}

impl<const N: usize> Bells for Row<N> {
    const SHARED: bool = true;

    const SEATS: usize = N;

    type Seat = Seat;

    fn take_seat(&self) -> Option<Seat> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let seat = (!taken & Self::ALL).trailing_zeros();
            if seat == usize::BITS {
                return None;
            }
            // Acquire, with the Release of `leave_seat`: the one before has parked there for the last time.
            let acquire = order!("row.take-seat", Acquire);
            let claimed = self.taken.compare_exchange_weak(
                taken,
                taken | 1 << seat,
                acquire,
                Ordering::Relaxed,
            );
            match claimed {
                Ok(_) => return Some(Seat(seat as usize)),
                Err(now) => taken = now,
            }
        }
    }

    fn leave_seat(&self, seat: &Seat) {
        // The bell of a seat may say PARKED though nobody sleeps there: an `unpark` takes back the bit alone. This ends it.
        self.bells[seat.0].forget();
        self.taken.fetch_and(!(1 << seat.0), order!("row.leave-seat", Release));
    }

    fn park(&self, seat: &Seat, waker: &Waker) {
        // Its own fence is not needed: the one below comes after the bit.
        self.bells[seat.0].park_with(waker, || ());
        // Release, with the Acquire of `row.wake`: a ringer that finds the bit, and takes it back, finds a bell to ring.
        self.parked.fetch_or(1 << seat.0, order!("row.parked", Release));
        barrier!("row.park", SeqCst);
    }

    fn unpark(&self, seat: &Seat) -> bool {
        let bit = 1 << seat.0;
        // Acquire, with the Release of `row.wake`: who rang here woke nobody else, and counts on this task to see what
        // there is to pass on.
        let acquire = order!("row.unpark", Acquire);
        self.parked.load(acquire) & bit == 0 || self.parked.fetch_and(!bit, acquire) & bit == 0
    }

    #[inline]
    fn ring(&self) {
        if self.parked() != 0 {
            self.wake_one();
        }
    }

    #[inline]
    fn ring_all(&self) {
        if self.parked() != 0 {
            self.wake_all();
        }
    }
}
