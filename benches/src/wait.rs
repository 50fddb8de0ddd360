//! What a thread does that cannot go on: the points of the sweep, and the end of all patience.

use std::fmt;
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// What a side does when it cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// One pause after each look in vain.
    Busy,
    /// Sixteen pauses.
    Pauses,
    /// The core to whoever else wants it.
    Yield,
    /// A pause, and every 64th time a yield: for more threads than cores.
    Mixed,
}

/// The sweep where each thread has a core of its own.
pub(crate) const ALONE: [Wait; 3] = [Wait::Busy, Wait::Pauses, Wait::Yield];
/// The sweep where threads share cores: who spins there keeps the one that he waits for from running.
pub(crate) const SHARED: [Wait; 2] = [Wait::Yield, Wait::Mixed];

impl Wait {
    /// Waits after the `looks`-th look in vain.
    #[inline]
    pub(crate) fn wait(self, looks: u32) {
        match self {
            Wait::Busy => spin_loop(),
            Wait::Pauses => (0..16).for_each(|_| spin_loop()),
            Wait::Yield => thread::yield_now(),
            Wait::Mixed if looks.is_multiple_of(64) => thread::yield_now(),
            Wait::Mixed => spin_loop(),
        }
    }

    /// Its name in the names of files.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Wait::Busy => "busy",
            Wait::Pauses => "pauses",
            Wait::Yield => "yield",
            Wait::Mixed => "mixed",
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
        })
    }
}

/// Whoever waits so long waits for something that was lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Counts looks in vain and says when it has been too long.
#[derive(Debug)]
pub(crate) struct Patience {
    wait: Wait,
    most: Duration,
    looks: u32,
    since: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(wait: Wait, most: Duration) -> Patience {
        Patience { wait, most, looks: 0, since: None }
    }

    /// Waits; false if it is hopeless.
    #[inline]
    pub(crate) fn wait(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        self.wait.wait(self.looks);
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
