//! What the machine itself allows: a number on a cache line of its own, written by one side and read by the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::ends::{Ends, Pop, Push};

pub(crate) const RAW: &str = "raw atomics";

/// One side of a line. It holds one number; whoever sends two without an answer between loses the first.
pub(crate) struct Line {
    line: Arc<CachePadded<AtomicU64>>,
    /// How many numbers went this way.
    count: u64,
}

impl Push for Line {
    type Item = u64;

    #[inline]
    fn push(&mut self, item: &u64) -> bool {
        self.count = self.count.wrapping_add(1);
        // The number's low half beside how many there were, so that the same number twice is something new.
        self.line.store(self.count << 32 | item & u64::from(u32::MAX), Ordering::Release);
        true
    }
}

impl Pop for Line {
    type Item = u64;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&u64) -> R) -> Option<R> {
        let word = self.line.load(Ordering::Acquire);
        if word >> 32 == self.count & u64::from(u32::MAX) {
            return None;
        }
        self.count = self.count.wrapping_add(1);
        Some(read(&(word & u64::from(u32::MAX))))
    }
}

pub(crate) fn line() -> Ends<Line, Line> {
    let line = Arc::new(CachePadded::new(AtomicU64::new(0)));
    let sender = Line { line: line.clone(), count: 0 };
    Ends { name: RAW, sender, receiver: Line { line, count: 0 } }
}
