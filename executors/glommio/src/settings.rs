//! The settings of an executor, and its creation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, Shares, Task};
use mycelium_executor::{TaskQueue, ThreadError, allowed_cores};

use crate::check;
use crate::inbox::Inbox;
use crate::local::{LocalState, Weight};
use crate::runner::Runner;

/// The settings of a new executor, and its share of the thread beside other glommio task queues.
///
/// ```
/// use std::time::Duration;
/// use mycelium_glommio::{Latency, Settings};
///
/// // Low latency, on a core without other work.
/// let quick = Settings {
///     latency: Latency::Matters(Duration::from_micros(100)),
///     spin: Duration::from_millis(1),
///     ..Settings::default()
/// };
/// # let _ = quick;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The weight of this executor's task queue against others on the thread: 1 to 1,000, by
    /// default 1,000.
    pub shares: usize,
    /// The latency that the tasks need.
    pub latency: Latency,
    /// How long to spin for new work before the executor sleeps; zero by default. It takes effect
    /// only on a thread that is pinned to one core
    /// ([`Thread::cores`](mycelium_executor::Thread::cores)).
    pub spin: Duration,
}

/// The latency that tasks need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// Task queues take turns. A busy executor checks sockets and timers every millisecond.
    #[default]
    NotImportant,
    /// Other task queues of this crate on the thread make way for this one after this interval. A
    /// busy executor checks sockets and timers at this interval.
    Matters(Duration),
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { shares: 1_000, latency: Latency::default(), spin: Duration::ZERO }
    }
}

/// A preempt timer that never fires. `runner.rs` has the reason.
const NEVER: Duration = Duration::from_secs(1 << 30);

impl Settings {
    /// Returns the share of its thread that the executor gets.
    pub(crate) fn weight(&self) -> Weight {
        // The interval at which a busy executor checks sockets and timers.
        let interval = match self.latency {
            Latency::NotImportant => Duration::from_millis(1),
            Latency::Matters(interval) => interval,
        };
        Weight { shares: u32::try_from(self.shares).unwrap_or(u32::MAX), interval }
    }

    /// Returns these settings, with the shares and the latency of `queue` where it has them.
    pub(crate) fn with(&self, queue: TaskQueue) -> Result<Settings, ThreadError> {
        let shares = queue.shares.map_or(Ok(self.shares), usize::try_from);
        let latency = queue.latency.map_or(self.latency, Latency::Matters);
        let shares = shares.unwrap_or(usize::MAX);
        let settings = Settings { shares, latency, ..self.clone() };
        settings.check().map(|()| settings)
    }

    fn check(&self) -> Result<(), ThreadError> {
        match self.shares {
            1..=1_000 => Ok(()),
            shares => Err(check::error(format!("invalid shares {shares}: choose from 1 to 1,000"))),
        }
    }

    /// Creates an executor on the calling thread, and the runner of its tasks.
    pub(crate) fn make_executor(&self) -> Result<(LocalExecutor, Runner), ThreadError> {
        if LocalState::is_on_this_thread() {
            let text = "this thread runs an executor already: await `mycelium_glommio::local` there, \
                        or use another thread (`Executor::dedicate`)";
            return Err(check::error(text.to_owned()));
        }
        self.check()?;
        check::check()?;
        let runner = Runner::new().map_err(|error| check::error(error.to_string()))?;
        // Lets glommio pin the thread, because it spins only if it has pinned the thread itself.
        let placement = match allowed_cores().as_deref() {
            Some([core]) if !self.spin.is_zero() => Placement::Fixed(*core),
            _ => Placement::Unbound,
        };
        let make = || {
            LocalExecutorBuilder::new(placement)
                .spin_before_park(self.spin)
                .preempt_timer(NEVER)
                // Sets the memory for files to the minimum, because files are not used.
                .io_memory(0)
                .make()
        };
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(Ok(executor)) => Ok((executor, runner)),
            Ok(Err(error)) => Err(check::error(error.to_string())),
            Err(_) => Err(check::error("glommio panicked when it started".to_owned())),
        }
    }

    /// Runs `body` in a new task queue with these settings.
    pub(crate) async fn run_in_queue<F>(
        &self,
        runner: Runner,
        body: impl FnOnce(Arc<Inbox>) -> F + 'static,
    ) -> Result<F::Output, ThreadError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Ok(self.spawn_in_queue(runner.register(self.weight()).run(body))?.await)
    }

    /// Spawns `work` in a new task queue with these settings.
    pub(crate) fn spawn_in_queue<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
    ) -> Result<Task<T>, ThreadError> {
        let latency = match self.latency {
            Latency::NotImportant => glommio::Latency::NotImportant,
            // With the real interval glommio would set its preempt timer for this queue. That timer
            // must never fire (`runner.rs`).
            Latency::Matters(_) => glommio::Latency::Matters(NEVER),
        };
        let shares = Shares::Static(self.shares);
        let queue = glommio::executor().create_task_queue(shares, latency, "mycelium");
        let task = glommio::spawn_local_into(work, queue);
        task.map_err(|error| check::error(error.to_string()))
    }
}
