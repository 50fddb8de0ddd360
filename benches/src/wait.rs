//! What a thread does that cannot go on: the points of the sweep, and the end of all patience.

use std::fmt;
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// What a side does when it cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
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
pub(crate) const ALONE: [Wait; 3] = [Wait::Busy, Wait::Pauses, Wait::Yield];
/// The sweep where threads share cores: who spins there keeps the one that he waits for from running.
pub(crate) const SHARED: [Wait; 3] = [Wait::Yield, Wait::Mixed, Wait::MixedPauses];

impl Wait {
    /// After how many looks that find nothing more than a pause is due.
    fn every(self) -> u32 {
        match self {
            Wait::Busy => 1 << 16,
            Wait::Pauses | Wait::Yield | Wait::MixedPauses => 1,
            Wait::Mixed => 64,
        }
    }

    /// Its name in the names of files.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Wait::Busy => "busy",
            Wait::Pauses => "pauses",
            Wait::Yield => "yield",
            Wait::Mixed => "mixed",
            Wait::MixedPauses => "mixed-pauses",
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wait::Busy => "busy (one pause)",
            Wait::Pauses => "16 pauses",
            Wait::Yield => "yield",
            Wait::Mixed => "a pause, every 64th time a yield",
            Wait::MixedPauses => "16 pauses, every 64th time a yield",
        })
    }
}

/// Whoever waits so long waits for something that was lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits after each look that finds nothing, and says when it has been too long.
#[derive(Debug)]
pub(crate) struct Patience {
    wait: Wait,
    most: Duration,
    /// How many looks are left until more than a pause is due.
    left: u32,
    looks: u32,
    since: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(wait: Wait, most: Duration) -> Patience {
        Patience { wait, most, left: wait.every(), looks: 0, since: None }
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
            Wait::Busy => {}
            Wait::Pauses => (1..16).for_each(|_| spin_loop()),
            Wait::Yield | Wait::Mixed => thread::yield_now(),
            Wait::MixedPauses if self.looks.is_multiple_of(64) => thread::yield_now(),
            Wait::MixedPauses => (1..16).for_each(|_| spin_loop()),
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
        let mut patience = Patience::new(Wait::Busy, Duration::ZERO);
        let looks = (0..1 << 20).position(|_| !patience.wait());
        assert_eq!(looks, Some((1 << 16) - 1));
    }
}
