//! Slipping: a reader that finds little leaves some looks out, so that the writer gets ahead by a line of items.
//!
//! The distance comes about by count, not by time: FastForward (2008), MCRingBuffer (2009) and B-Queue (2013) keep reader
//! and writer apart in similar ways.

/// Which looks a reader leaves out.
#[derive(Debug, Default)]
pub(super) struct Slip {
    on: bool,
    /// How many looks were left out after the last short one.
    step: u32,
    /// How many looks are still left out.
    left: u32,
}

impl Slip {
    /// The most looks that are left out in a row.
    const MOST: u32 = 64;

    pub(super) fn new(on: bool) -> Slip {
        Slip { on, ..Slip::default() }
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Whether the look that is due is left out.
    #[inline]
    pub(super) fn leaves_out(&mut self) -> bool {
        // Off, this is a comparison and nothing else.
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// The next look is not left out.
    #[inline]
    pub(super) fn look_now(&mut self) {
        self.left = 0;
    }

    /// Counts a look that found `found` items; it was short if that is fewer than `run`.
    #[inline]
    pub(super) fn looked(&mut self, found: usize, run: usize) {
        if self.on {
            self.step = if found < run { (2 * self.step).clamp(1, Slip::MOST) } else { 0 };
            self.left = self.step;
        }
    }
}
