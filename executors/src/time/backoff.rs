//! Pauses between retries.

use std::time::Duration;

/// Exponential backoff: the pause doubles with each consecutive failure, up to `longest`. A random
/// part of up to a half is subtracted, so that clients that failed together do not retry together.
///
/// ```
/// use std::time::Duration;
/// use mycelium_executor::Backoff;
///
/// let backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_secs(1) };
/// let pauses = [0, 1, 20].map(|failures| backoff.pause(failures, 0).as_millis());
/// assert_eq!(pauses, [10, 20, 1000]);
/// assert_eq!(backoff.pause(0, u64::MAX), Duration::from_millis(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Backoff {
    /// Returns the pause after a failure. `earlier` is the number of consecutive failures before
    /// it; `random` is any number.
    #[must_use]
    pub fn pause(&self, earlier: u32, random: u64) -> Duration {
        let pause = self.first.saturating_mul(2u32.saturating_pow(earlier)).min(self.longest);
        pause.mul_f64(1.0 - 0.5 * (random as f64 / u64::MAX as f64))
    }
}
