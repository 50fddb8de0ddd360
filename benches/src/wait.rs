//! What a thread does that cannot go on: the points of the sweep, and the end of all patience.

use std::fmt;
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// What a side does when it cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitStrategy {
    /// One pause after each look that finds nothing.
    Busy,
    /// Sixteen pauses.
    Pauses,
    /// The core to whoever else wants it.
    Yield,
    /// A pause, and every 64th time a yield: for more threads than cores.
    Mixed,
    /// Sixteen pauses, and every 64th time a yield.
    MixedPauses,
}

/// The sweep where each thread has a core of its own.
pub(crate) const ALONE: [WaitStrategy; 3] =
    [WaitStrategy::Busy, WaitStrategy::Pauses, WaitStrategy::Yield];
/// The sweep where threads share cores: who spins there keeps the one that he waits for from running.
pub(crate) const SHARED: [WaitStrategy; 3] =
    [WaitStrategy::Yield, WaitStrategy::Mixed, WaitStrategy::MixedPauses];

impl WaitStrategy {
    /// After how many looks that find nothing more than a pause is due.
    fn every(self) -> u32 {
        match self {
            WaitStrategy::Busy => 1 << 16,
            WaitStrategy::Pauses | WaitStrategy::Yield | WaitStrategy::MixedPauses => 1,
            WaitStrategy::Mixed => 64,
        }
    }

    /// Its name in the names of files.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            WaitStrategy::Busy => "busy",
            WaitStrategy::Pauses => "pauses",
            WaitStrategy::Yield => "yield",
            WaitStrategy::Mixed => "mixed",
            WaitStrategy::MixedPauses => "mixed-pauses",
        }
    }
}

impl fmt::Display for WaitStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WaitStrategy::Busy => "busy (one pause)",
            WaitStrategy::Pauses => "16 pauses",
            WaitStrategy::Yield => "yield",
            WaitStrategy::Mixed => "a pause, every 64th time a yield",
            WaitStrategy::MixedPauses => "16 pauses, every 64th time a yield",
        })
    }
}

/// Whoever waits so long waits for something that was lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits after each look that finds nothing, and says when it has been too long.
#[derive(Debug)]
pub(crate) struct SpinWait {
    wait: WaitStrategy,
    most: Duration,
    /// How many looks are left until more than a pause is due.
    left: u32,
    looks: u32,
    since: Option<Instant>,
}

impl SpinWait {
    pub(crate) fn new(wait: WaitStrategy, most: Duration) -> SpinWait {
        SpinWait { wait, most, left: wait.every(), looks: 0, since: None }
    }

    /// Waits; false if it is hopeless.
    #[inline]
    pub(crate) fn wait(&mut self) -> bool {
        spin_loop();
        self.left -= 1;
        self.left > 0 || self.more()
    }

    /// Out of line: it would take registers from the loops that are measured, which then keep their counters on the
    /// stack, and a store more or less an item is what columns differ by.
    #[cold]
    #[inline(never)]
    fn more(&mut self) -> bool {
        self.left = self.wait.every();
        self.looks = self.looks.wrapping_add(self.left);
        match self.wait {
            WaitStrategy::Busy => {}
            WaitStrategy::Pauses => (1..16).for_each(|_| spin_loop()),
            WaitStrategy::Yield | WaitStrategy::Mixed => thread::yield_now(),
            WaitStrategy::MixedPauses if self.looks.is_multiple_of(64) => thread::yield_now(),
            WaitStrategy::MixedPauses => (1..16).for_each(|_| spin_loop()),
        }
        !self.looks.is_multiple_of(1 << 16)
            || self.since.get_or_insert_with(Instant::now).elapsed() < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends() {
        let mut patience = SpinWait::new(WaitStrategy::Busy, Duration::ZERO);
        let looks = (0..1 << 20).position(|_| !patience.wait());
        assert_eq!(looks, Some((1 << 16) - 1));
    }
}
