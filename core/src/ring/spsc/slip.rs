//! Slipping: a reader that finds few items skips some checks, so that the writer gets ahead by a
//! cache line of items.
//!
//! The distance is kept by count, not by time: FastForward (2008), MCRingBuffer (2009) and B-Queue
//! (2013) keep reader and writer apart in similar ways.

/// Which checks a reader skips.
#[derive(Debug, Default)]
pub(super) struct Slip {
    on: bool,
    /// How many checks are skipped after the last one that found few items.
    step: u32,
    /// How many checks are still to be skipped.
    left: u32,
}

impl Slip {
    /// The most checks that are skipped in a row.
    const MOST: u32 = 64;

    pub(super) fn new(on: bool) -> Slip {
        Slip { on, ..Slip::default() }
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Whether the next check is skipped.
    #[inline]
    pub(super) fn skips(&mut self) -> bool {
        // While slipping is off, this is one comparison.
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// The next check is not skipped.
    #[inline]
    pub(super) fn force_check(&mut self) {
        self.left = 0;
    }

    /// Counts a check that found `found` items; fewer than `run` are few.
    #[inline]
    pub(super) fn checked(&mut self, found: usize, run: usize) {
        if self.on {
            self.step = if found < run { (2 * self.step).clamp(1, Slip::MOST) } else { 0 };
            self.left = self.step;
        }
    }
}
