//! The time of real machines. No other file of the workspace reads the system's clocks for a
//! service.

use std::future::pending;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

/// Monotonic time since the clock was started: [`Executor::now`](crate::Executor::now) of an
/// executor on a real machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

#[expect(clippy::disallowed_methods, reason = "the source of time for executors")]
impl Clock {
    /// Starts a clock, at zero.
    #[must_use]
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }

    /// Converts a time of this clock to the system's representation. `None` if the system cannot
    /// represent it: such a time is never reached.
    #[must_use]
    pub fn instant(&self, time: Duration) -> Option<Instant> {
        self.0.checked_add(time)
    }

    /// Returns the future for [`Executor::sleep_until`](crate::Executor::sleep_until): the timer
    /// that `timer` creates, or, if the system cannot represent the deadline, a future that is
    /// never ready.
    pub fn sleep_until<F: Future<Output = ()> + Send + 'static>(
        &self,
        deadline: Duration,
        timer: impl FnOnce(Instant) -> F,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.instant(deadline) {
            Some(deadline) => Box::pin(timer(deadline)),
            None => Box::pin(pending()),
        }
    }

    /// The calendar time.
    #[must_use]
    pub fn wall() -> SystemTime {
        SystemTime::now()
    }
}
