//! How an executor is made.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, Shares};
use mycelium_executor::{ThreadError, allowed_cores};

use crate::check;
use crate::inbox::Inbox;
use crate::local::LocalState;
use crate::runner::run_inside;

/// How an executor is made, and what share it has of its thread beside other task queues of glommio's there.
///
/// ```
/// use std::time::Duration;
/// use mycelium_glommio::{Latency, Settings};
///
/// // An executor for what must be quick, on a core that it has for itself.
/// let quick = Settings {
///     latency: Latency::Matters(Duration::from_micros(100)),
///     spin: Duration::from_millis(1),
///     ..Settings::default()
/// };
/// # let _ = quick;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How much of the thread its tasks get beside those of other task queues: 1 to 1,000, by default 1,000.
    pub shares: usize,
    /// How soon they want to run.
    pub latency: Latency,
    /// How long it looks for something to do before it sleeps: not at all, by default. Only on a thread that keeps to one
    /// core ([`Thread::cores`](mycelium_executor::Thread::cores)).
    pub spin: Duration,
}

/// How soon tasks want to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// In their turn. While they are busy, sockets and timers are looked at every millisecond.
    #[default]
    NotImportant,
    /// When something comes for them, other task queues are asked to make way. While they are busy, sockets and timers are
    /// looked at so often.
    Matters(Duration),
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { shares: 1_000, latency: Latency::default(), spin: Duration::ZERO }
    }
}

/// A preempt timer that does not come: `runner` says why.
const NEVER: Duration = Duration::from_secs(1 << 30);

impl Settings {
    /// How often a busy executor checks sockets and timers.
    pub(crate) fn check_interval(&self) -> Duration {
        match self.latency {
            Latency::NotImportant => Duration::from_millis(1),
            Latency::Matters(interval) => interval,
        }
    }

    /// Makes an executor on the calling thread.
    pub(crate) fn make_executor(&self) -> Result<LocalExecutor, ThreadError> {
        if LocalState::is_on_this_thread() {
            let nested = "an executor runs on this thread already: await `mycelium_glommio::local` there, or use another \
                          thread (`Executor::dedicate`)";
            return Err(check::error(nested.to_owned()));
        }
        if !(1..=1_000).contains(&self.shares) {
            return Err(check::error(format!("{} shares: choose from 1 to 1,000", self.shares)));
        }
        check::check()?;
        // glommio spins only if it has pinned the thread itself.
        let placement = match allowed_cores().as_deref() {
            Some([core]) if !self.spin.is_zero() => Placement::Fixed(*core),
            _ => Placement::Unbound,
        };
        let make = || {
            LocalExecutorBuilder::new(placement)
                .spin_before_park(self.spin)
                .preempt_timer(NEVER)
                // For files, which nobody reads here: as little as there can be.
                .io_memory(0)
                .make()
        };
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(Ok(executor)) => Ok(executor),
            Ok(Err(error)) => Err(check::error(error.to_string())),
            Err(_) => Err(check::error("glommio panicked as it started".to_owned())),
        }
    }

    /// `body` with an executor that has these settings, in a task queue of its own.
    pub(crate) async fn run_in_queue<F>(
        &self,
        body: impl FnOnce(Arc<Inbox>) -> F + 'static,
    ) -> Result<F::Output, ThreadError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let latency = match self.latency {
            Latency::NotImportant => glommio::Latency::NotImportant,
            // As often as it says, glommio would preempt as well.
            Latency::Matters(_) => glommio::Latency::Matters(NEVER),
        };
        let shares = Shares::Static(self.shares);
        let queue = glommio::executor().create_task_queue(shares, latency, "mycelium");
        let work = run_inside(self.check_interval(), body);
        let refused = |what: &dyn fmt::Display| check::error(what.to_string());
        let task = glommio::spawn_local_into(work, queue).map_err(|error| refused(&error))?;
        task.await.map_err(|error| refused(&error))
    }
}
