//! Wait strategies: how long a task that found nothing spins before it parks. This file has no
//! clock, so time is counted in spins.
//!
//! Parking and waking cost far more than another check, and a spinning task is not late for the
//! item; but meanwhile its core does nothing else.

/// How long a waiting task spins before it parks.
///
/// With every strategy one poll makes a bounded number of checks ([`WaitStrategy::SPINS`] and a
/// few), so that other tasks of the executor get their turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitStrategy {
    /// Never parks: spins [`WaitStrategy::SPINS`] times, asks to be polled again, and repeats. The
    /// executor never idles.
    Spin,
    /// Spins this many times, spread over polls of up to [`WaitStrategy::SPINS`] spins, then parks.
    /// 0 is `Park`, and `usize::MAX` is `Spin`.
    SpinThenPark(usize),
    /// Parks at once. A waiting task uses no processor time.
    #[default]
    Park,
}

impl WaitStrategy {
    /// The number of spins in one poll before the task lets others run.
    pub const SPINS: usize = if cfg!(any(loom, miri)) { 2 } else { 1_000 };
}

/// The state of one wait: its number of spins.
///
/// A waiter checks once and, if it found nothing, calls [`SpinWait::spin`], which checks up to the
/// limit of the strategy in this poll. At the end of the wait, successful or not, call
/// [`SpinWait::reset`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SpinWait {
    /// The number of spins before it parks; `usize::MAX`: it never parks.
    limit: usize,
    /// The number of spins in this wait; `usize::MAX` once it parked.
    spun: usize,
}

/// The result of the spins of one poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpinResult<R> {
    /// A check found this result.
    Found(R),
    /// Nothing was found. The task must ask to be polled again, so that others can run meanwhile.
    Again,
    /// Nothing was found. The task must park and then check once more.
    Park,
}

impl SpinWait {
    /// Creates the state of a wait with a strategy.
    #[must_use]
    pub fn new(strategy: WaitStrategy) -> SpinWait {
        SpinWait::resumed(strategy, 0)
    }

    /// Creates the state of a wait that has spun this many times, as [`spun`](SpinWait::spun) says.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn resumed(strategy: WaitStrategy, spun: usize) -> SpinWait {
        let limit = match strategy {
            WaitStrategy::Spin => usize::MAX,
            WaitStrategy::SpinThenPark(spins) => spins,
            WaitStrategy::Park => 0,
        };
        SpinWait { limit, spun }
    }

    /// Returns the number of spins in this wait; `usize::MAX` once it parked.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn spun(&self) -> usize {
        self.spun
    }

    /// Returns the strategy: `Park` in place of 0 spins, `Spin` in place of `usize::MAX`.
    #[must_use]
    pub fn strategy(&self) -> WaitStrategy {
        match self.limit {
            0 => WaitStrategy::Park,
            usize::MAX => WaitStrategy::Spin,
            spins => WaitStrategy::SpinThenPark(spins),
        }
    }

    /// Resets the state for a new wait.
    #[inline]
    pub fn reset(&mut self) {
        self.spun = 0;
    }

    /// Calls `check` until it finds something, up to the limit of the strategy and at most `most`
    /// times.
    #[inline]
    pub fn spin<R>(&mut self, most: usize, mut check: impl FnMut() -> Option<R>) -> SpinResult<R> {
        let left = match self.limit {
            usize::MAX => usize::MAX,
            limit => limit.saturating_sub(self.spun),
        };
        let spins = left.min(most);
        for _ in 0..spins {
            pause();
            if let Some(found) = check() {
                return SpinResult::Found(found);
            }
        }
        if spins < left {
            self.spun = self.spun.saturating_add(spins);
            return SpinResult::Again;
        }
        self.spun = usize::MAX;
        SpinResult::Park
    }
}

/// Signals to the processor that this thread spins. Call it between two checks.
#[inline]
pub fn pause() {
    crate::sync::pause();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_no_spins_parks_and_one_of_all_spins_never_does() {
        for (given, kept) in [
            (WaitStrategy::Park, WaitStrategy::Park),
            (WaitStrategy::Spin, WaitStrategy::Spin),
            (WaitStrategy::SpinThenPark(7), WaitStrategy::SpinThenPark(7)),
            (WaitStrategy::SpinThenPark(0), WaitStrategy::Park),
            (WaitStrategy::SpinThenPark(usize::MAX), WaitStrategy::Spin),
        ] {
            assert_eq!(SpinWait::new(given).strategy(), kept);
            // A wait that has parked once parks at once, unless it always spins.
            let mut parked = SpinWait::resumed(given, usize::MAX);
            let parks = parked.spin(1, || None::<()>) == SpinResult::Park;
            assert_eq!(parks, kept != WaitStrategy::Spin);
        }
    }
}
