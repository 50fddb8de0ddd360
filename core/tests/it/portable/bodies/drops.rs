//! Items that count their drops: each is dropped exactly once.

// The counters of a test are not shared memory of the core.
#![allow(clippy::disallowed_types)]

use core::cell::Cell;

#[derive(Debug)]
pub(crate) struct Drops(Cell<u32>);

impl Drops {
    pub(crate) fn new() -> Drops {
        Drops(Cell::new(0))
    }

    /// The number of drops.
    pub(crate) fn number(&self) -> u32 {
        self.0.get()
    }

    pub(crate) fn count(&self, number: u32) -> Counted<'_> {
        Counted { number, drops: self }
    }
}

#[derive(Debug)]
pub(crate) struct Counted<'a> {
    pub(crate) number: u32,
    drops: &'a Drops,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.drops.0.set(self.drops.0.get() + 1);
    }
}
