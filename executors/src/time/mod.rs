//! Time for every adapter: an executor with [`PausedTime`] for tests, a timer for successive
//! deadlines ([`DeadlineTimer`]), and growing pauses ([`Backoff`]).

mod paused;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::executor::{Executor, SendFuture};

pub use paused::PausedTime;

// Pauses between retries.

/// Exponential backoff: the pause doubles with each consecutive failure, up to `longest`. Up to
/// half of it is subtracted at random, so that clients that failed together do not retry together.
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
    /// The pause after the first failed attempt.
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

// A timer that successive waits share.

/// A timer for successive deadlines. A running timer that fires before the next deadline is kept
/// and awaited first. So with deadlines that are always 1 s ahead, a new timer starts about once a
/// second, not for each deadline.
#[derive(Default)]
pub struct DeadlineTimer(Option<(Duration, SendFuture<()>)>);

impl DeadlineTimer {
    /// Returns `Ready` once the executor's clock has reached `end`. Before that, the task is woken
    /// in time to poll again.
    ///
    /// ```
    /// use std::task::{Context, Poll, Waker};
    /// use std::time::Duration;
    ///
    /// use mycelium_executor::{DeadlineTimer, Executor, SendFuture, SpawnError};
    ///
    /// struct Noon;
    ///
    /// impl Executor for Noon {
    /// #     fn name(&self) -> String {
    /// #         "noon".to_owned()
    /// #     }
    /// #     fn spawn(&self, _: SendFuture<()>) -> Result<(), SpawnError> {
    /// #         Err(SpawnError::Ended)
    /// #     }
    ///     fn now(&self) -> Duration {
    ///         Duration::from_secs(12 * 3600)
    ///     }
    ///     fn sleep_until(&self, _: Duration) -> SendFuture<()> {
    ///         Box::pin(std::future::pending())
    ///     }
    /// }
    ///
    /// let (mut timer, mut context) = (DeadlineTimer::default(), Context::from_waker(Waker::noop()));
    /// let end = Noon.now();
    /// assert_eq!(timer.poll(&mut context, &Noon, end), Poll::Ready(()));
    /// let later = end + Duration::from_secs(1);
    /// assert_eq!(timer.poll(&mut context, &Noon, later), Poll::Pending);
    /// ```
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        executor: &dyn Executor,
        end: Duration,
    ) -> Poll<()> {
        let DeadlineTimer(timer) = self;
        while executor.now() < end {
            match timer {
                Some((at, wake)) if *at <= end => {
                    if Pin::as_mut(wake).poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    *timer = None;
                }
                _ => *timer = Some((end, executor.sleep_until(end))),
            }
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for DeadlineTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeadlineTimer").field(&self.0.as_ref().map(|(at, _)| at)).finish()
    }
}
