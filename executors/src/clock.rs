//! The time of real machines.

use std::time::{Duration, Instant, SystemTime};

/// Monotonic time since it was started, for [`Executor::now`](crate::Executor::now) of executors on real machines.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Clock {
        Clock(Instant::now())
    }

    /// The time since.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }

    /// The system's name for a time of this clock; `None` for one that it cannot name, which never comes.
    #[must_use]
    pub fn instant(&self, time: Duration) -> Option<Instant> {
        self.0.checked_add(time)
    }

    /// The calendar time.
    #[must_use]
    pub fn wall() -> SystemTime {
        SystemTime::now()
    }
}
