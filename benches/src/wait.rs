//! What a thread does between two attempts, and when it stops trying.

use std::fmt;
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// What a thread does after a failed attempt, because a queue was full or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// One pause instruction.
    Busy,
    /// Sixteen pause instructions.
    Pauses,
    /// Yields to the operating system.
    Yield,
    /// One pause, and every 64th time a yield: for more threads than cores.
    Mixed,
    /// Sixteen pauses, and every 64th time a yield.
    MixedPauses,
}

/// The strategies to measure for threads that have a core each.
pub(crate) const ALONE: [Idle; 3] = [Idle::Busy, Idle::Pauses, Idle::Yield];
/// The strategies to measure for threads that share cores, where spinning keeps the other side from
/// running.
pub(crate) const SHARED: [Idle; 3] = [Idle::Yield, Idle::Mixed, Idle::MixedPauses];

impl Idle {
    /// Returns the number of failed attempts until more than one pause is due.
    fn every(self) -> u32 {
        match self {
            Idle::Busy => 1 << 16,
            Idle::Pauses | Idle::Yield | Idle::MixedPauses => 1,
            Idle::Mixed => 64,
        }
    }

    /// The name in file names and results.
    pub(crate) fn slug(self) -> &'static str {
        ["busy", "pauses", "yield", "mixed", "mixed-pauses"][self as usize]
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Idle::Busy => "busy (one pause)",
            Idle::Pauses => "16 pauses",
            Idle::Yield => "yield",
            Idle::Mixed => "one pause, every 64th time a yield",
            Idle::MixedPauses => "16 pauses, every 64th time a yield",
        })
    }
}

/// After this time a message is considered lost.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Idles after each failed attempt, up to a deadline.
#[derive(Debug)]
pub(crate) struct Retry {
    idle: Idle,
    deadline: Duration,
    /// How many attempts may still fail until more than one pause is due.
    left: u32,
    attempts: u32,
    since: Option<Instant>,
}

impl Retry {
    pub(crate) fn new(idle: Idle, deadline: Duration) -> Retry {
        Retry { idle, deadline, left: idle.every(), attempts: 0, since: None }
    }

    /// Idles. Returns false after the deadline.
    #[inline]
    pub(crate) fn wait(&mut self) -> bool {
        spin_loop();
        self.left -= 1;
        self.left > 0 || self.more()
    }

    /// Not inlined: it would take registers from the measured loops, which would then keep their
    /// counters on the stack. The columns differ by as little as one store per item.
    #[cold]
    #[inline(never)]
    fn more(&mut self) -> bool {
        self.left = self.idle.every();
        self.attempts = self.attempts.wrapping_add(self.left);
        match self.idle {
            Idle::Busy => {}
            Idle::Pauses => (1..16).for_each(|_| spin_loop()),
            Idle::Yield | Idle::Mixed => thread::yield_now(),
            Idle::MixedPauses if self.attempts.is_multiple_of(64) => thread::yield_now(),
            Idle::MixedPauses => (1..16).for_each(|_| spin_loop()),
        }
        !self.attempts.is_multiple_of(1 << 16)
            || self.since.get_or_insert_with(Instant::now).elapsed() < self.deadline
    }
}

/// Repeats `step` until `count` items are done, or up to the deadline. `step` gets the number of
/// items that are done and returns how many more it has done.
#[inline(never)]
pub(crate) fn repeat(count: usize, mut retry: Retry, mut step: impl FnMut(usize) -> usize) {
    let mut done = 0;
    while done < count {
        let more = step(done);
        done += more;
        if more == 0 && !retry.wait() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_end_at_the_deadline() {
        let mut retry = Retry::new(Idle::Busy, Duration::ZERO);
        let attempts = (0..1 << 20).position(|_| !retry.wait());
        assert_eq!(attempts, Some((1 << 16) - 1));
    }
}
