//! How an executor is made.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, Shares};
use mycelium_executor::{ThreadError, allowed_cores};

use crate::home::Home;
use crate::{Glommio, check, within};

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
    /// After this time at the latest, a busy executor looks at sockets, timers and wakes from elsewhere: 1 ms by default.
    /// A task is never interrupted for it.
    pub preempt: Duration,
    /// How long it looks for something to do before it sleeps: not at all, by default. Only on a thread that keeps to one
    /// core ([`Thread::cores`](mycelium_executor::Thread::cores)).
    pub spin: Duration,
}

/// How soon tasks want to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// In their turn.
    #[default]
    NotImportant,
    /// After this time, others are asked to make way.
    Matters(Duration),
}

impl Default for Settings {
    fn default() -> Settings {
        let (shares, preempt) = (1_000, Duration::from_millis(1));
        Settings { shares, latency: Latency::default(), preempt, spin: Duration::ZERO }
    }
}

impl Settings {
    /// An executor on the calling thread.
    pub(crate) fn executor(&self) -> Result<LocalExecutor, ThreadError> {
        if Home::is_somebody_here() {
            let nested = "an executor runs on this thread already: await `mycelium_glommio::local` there, or use another \
                          thread (`Executor::dedicate`)";
            return Err(check::error(nested.to_owned()));
        }
        if !(1..=1_000).contains(&self.shares) {
            return Err(check::error(format!("{} shares: choose from 1 to 1,000", self.shares)));
        }
        check::machine()?;
        // glommio spins only if it has pinned the thread itself.
        let placement = match allowed_cores().as_deref() {
            Some([core]) if !self.spin.is_zero() => Placement::Fixed(*core),
            _ => Placement::Unbound,
        };
        let make = || {
            LocalExecutorBuilder::new(placement)
                .spin_before_park(self.spin)
                .preempt_timer(self.preempt)
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
    pub(crate) async fn within<F>(
        &self,
        body: impl FnOnce(Glommio) -> F + 'static,
    ) -> Result<F::Output, ThreadError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let latency = match self.latency {
            Latency::NotImportant => glommio::Latency::NotImportant,
            Latency::Matters(within) => glommio::Latency::Matters(within),
        };
        let shares = Shares::Static(self.shares);
        let queue = glommio::executor().create_task_queue(shares, latency, "mycelium");
        let work = within(self.clone(), body);
        let refused = |what: &dyn fmt::Display| check::error(what.to_string());
        let task = glommio::spawn_local_into(work, queue).map_err(|error| refused(&error))?;
        task.await.map_err(|error| refused(&error))
    }
}
