//! When and how often a failed service, or a failed member of a bundle, is restarted.

use std::collections::VecDeque;
use std::time::Duration;

use mycelium_executor::Backoff;

/// Rules for the restart of a failed service, or a failed member of a bundle.
///
/// The pause before a restart doubles with each failure within the window, up to the longest pause.
/// A random part of up to half of it is subtracted, so that services that failed together do not
/// restart together. Failures older than the window do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The largest number of restarts within the window. After one more failure, the node or the
    /// bundle shuts down with an error.
    pub limit: u32,
    /// The time in which failures are counted.
    pub window: Duration,
    /// The pause after the first failure.
    pub backoff: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Restart {
    /// Returns ten restarts a minute, with pauses from 100 ms to 10 s.
    fn default() -> Restart {
        Restart {
            limit: 10,
            window: Duration::from_secs(60),
            backoff: Duration::from_millis(100),
            longest: Duration::from_secs(10),
        }
    }
}

/// The failures of one service or member within the window.
#[derive(Debug, Default)]
pub struct Failures(VecDeque<Duration>);

impl Failures {
    /// Records a failure at `now`. Returns the pause before the next start, or `None` if the limit
    /// is exceeded. `jitter` is any random number.
    pub fn pause(&mut self, restart: &Restart, now: Duration, jitter: u64) -> Option<Duration> {
        while self.0.front().is_some_and(|failed| now.saturating_sub(*failed) > restart.window) {
            self.0.pop_front();
        }
        let earlier = self.count();
        if earlier >= restart.limit {
            return None;
        }
        self.0.push_back(now);
        let backoff = Backoff { first: restart.backoff, longest: restart.longest };
        Some(backoff.pause(earlier, jitter))
    }

    /// Returns the number of failures within the window.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTART: Restart = Restart {
        limit: 3,
        window: Duration::from_secs(10),
        backoff: Duration::from_secs(1),
        longest: Duration::from_secs(3),
    };

    #[test]
    fn pauses_double_up_to_the_longest_and_the_limit_holds() {
        let mut failures = Failures::default();
        let pauses = [0, 1, 2, 3].map(|now| failures.pause(&RESTART, Duration::from_secs(now), 0));
        assert_eq!(
            pauses.map(|pause| pause.map(|pause| pause.as_secs())),
            [Some(1), Some(2), Some(3), None]
        );
    }

    #[test]
    fn jitter_takes_up_to_a_half() {
        let pause = |jitter| Failures::default().pause(&RESTART, Duration::ZERO, jitter);
        assert_eq!(pause(u64::MAX), Some(Duration::from_millis(500)));
        let middle = pause(u64::MAX / 2).expect("a first failure");
        assert!(middle > Duration::from_millis(740) && middle < Duration::from_millis(760));
    }
}
