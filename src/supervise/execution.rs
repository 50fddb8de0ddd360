//! The execution of a service: where it runs, how it waits, and how much it does in one poll.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback, TaskQueue};
use mycelium_transports::local::TaskBudget;

/// How a service is executed. The default shares the node's executor and sleeps while it waits.
///
/// [`Builder::execution`](crate::Builder::execution) sets it in code. Each key that the topology
/// sets takes precedence, because the person who runs a program knows the machine.
///
/// ```
/// use mycelium::execution::{Class, Execution, PlacementFallback, WaitStrategy};
///
/// let execution = Execution::pinned([3])
///     .wait(WaitStrategy::Spin)
///     .thread("strategy")
///     .class(Class::Fifo(10))
///     .if_refused(PlacementFallback::Warn);
/// assert_eq!(
///     execution.to_string(),
///     "run = \"pinned(3)\", wait = \"spin\", thread = \"strategy\", \
///      class = \"fifo(10)\", if_refused = \"warn\""
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    pub(crate) run: Run,
    pub(crate) wait: WaitStrategy,
    pub(crate) thread: Option<String>,
    pub(crate) class: Class,
    pub(crate) if_refused: PlacementFallback,
    pub(crate) budget: u32,
    pub(crate) executor: Option<String>,
    pub(crate) queue: TaskQueue,
}

/// Where a service runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Run {
    /// On an executor that it shares with other services.
    #[default]
    Shared,
    /// On its own thread.
    Dedicated,
    /// On its own thread, pinned to these cores.
    Pinned(Vec<usize>),
}

impl Default for Execution {
    fn default() -> Execution {
        Execution {
            run: Run::default(),
            wait: WaitStrategy::default(),
            thread: None,
            class: Class::default(),
            if_refused: PlacementFallback::default(),
            budget: TaskBudget::DEFAULT,
            executor: None,
            queue: TaskQueue::default(),
        }
    }
}

impl Execution {
    /// Runs the service on the node's executor, which it shares with other services.
    #[must_use]
    pub fn shared() -> Execution {
        Execution::default()
    }

    /// Runs the service on its own thread with its own executor. The service need not be `Send`.
    #[must_use]
    pub fn dedicated() -> Execution {
        Execution { run: Run::Dedicated, ..Execution::default() }
    }

    /// Runs the service as [`dedicated`](Execution::dedicated) does, on these cores only.
    #[must_use]
    pub fn pinned(cores: impl IntoIterator<Item = usize>) -> Execution {
        Execution { run: Run::Pinned(cores.into_iter().collect()), ..Execution::default() }
    }

    /// Sets how `recv`, and an `emit` without room, wait: they park immediately, spin a number of
    /// times before they park, or never park. One spin takes some ten nanoseconds; a spinning
    /// service keeps a core busy.
    #[must_use]
    pub fn wait(self, wait: WaitStrategy) -> Execution {
        Execution { wait, ..self }
    }

    /// Sets the name of the service's own thread. The default is the name of the service.
    #[must_use]
    pub fn thread(self, name: impl Into<String>) -> Execution {
        Execution { thread: Some(name.into()), ..self }
    }

    /// Sets how the system schedules the service's own thread.
    #[must_use]
    pub fn class(self, class: Class) -> Execution {
        Execution { class, ..self }
    }

    /// Sets what happens if the system refuses the cores or the class. By default the node does not
    /// start; with `Warn` it starts without them and logs a warning.
    #[must_use]
    pub fn if_refused(self, if_refused: PlacementFallback) -> Execution {
        Execution { if_refused, ..self }
    }

    /// Sets the maximum number of messages that the service emits and receives in one poll before
    /// it yields. The default is 256.
    #[must_use]
    pub fn budget(self, budget: u32) -> Execution {
        Execution { budget, ..self }
    }

    /// Sets the executor: one that was added to the node under this name
    /// ([`Builder::executor`](crate::Builder::executor)), or the node's executor, by its kind. A
    /// service with its own thread has an executor of that kind there.
    #[must_use]
    pub fn on(self, executor: impl Into<String>) -> Execution {
        Execution { executor: Some(executor.into()), ..self }
    }

    /// On glommio, gives the service its own task queue. `shares`, from 1 to 1,000, is the weight
    /// relative to the other queues of the thread while they are busy. Other executors refuse it at
    /// the start.
    #[must_use]
    pub fn shares(self, shares: u32) -> Execution {
        let queue = TaskQueue { shares: Some(shares), ..self.queue };
        Execution { queue, ..self }
    }

    /// On glommio, gives the service its own task queue, whose tasks wait at most this long for
    /// other queues, sockets and timers. Other executors refuse it at the start.
    #[must_use]
    pub fn latency(self, latency: Duration) -> Execution {
        let queue = TaskQueue { latency: Some(latency), ..self.queue };
        Execution { queue, ..self }
    }

    /// Returns whether the service has its own thread.
    #[must_use]
    pub fn has_own_thread(&self) -> bool {
        self.run != Run::Shared
    }

    /// Returns a description of the invalid setting, if there is one.
    pub(crate) fn problem(&self) -> Option<String> {
        let own = ["thread", "class", "if_refused"];
        let set = [
            self.thread.is_some(),
            self.class != Class::default(),
            self.if_refused != PlacementFallback::default(),
        ];
        let needs_thread = own.iter().zip(set).find_map(|(key, set)| set.then_some(key));
        if let (false, Some(key)) = (self.has_own_thread(), needs_thread) {
            return Some(without_thread(
                key,
                "`Execution::dedicated()` or `Execution::pinned(..)`",
            ));
        }
        if let Run::Pinned(cores) = &self.run
            && let Err(problem) = check_cores(cores)
        {
            return Some(problem);
        }
        if let Class::Fifo(priority) = self.class
            && !PRIORITIES.contains(&priority)
        {
            return Some(format!("invalid priority {priority}: expected 1 to 99"));
        }
        if let Some(name) = &self.thread
            && let Err(problem) = check_thread_name(name)
        {
            return Some(problem);
        }
        if let Some(Err(problem)) = self.queue.shares.map(check_shares) {
            return Some(problem);
        }
        if self.queue.latency.is_some_and(|latency| latency.is_zero()) {
            return Some(LATENCY.to_owned());
        }
        (self.budget == 0).then(|| BUDGET.to_owned())
    }
}

/// The priorities of `SCHED_FIFO`.
pub(crate) const PRIORITIES: std::ops::RangeInclusive<u8> = 1..=99;
/// The error of a budget of 0.
pub(crate) const BUDGET: &str = "invalid budget 0: expected 1 or more";

/// The error of a latency of 0.
pub(crate) const LATENCY: &str = "invalid latency: expected more than 0 s";

pub(crate) fn check_shares(shares: u32) -> Result<(), String> {
    match shares {
        1..=TaskQueue::MOST_SHARES => Ok(()),
        _ => Err(format!("invalid shares {shares}: expected 1 to {}", TaskQueue::MOST_SHARES)),
    }
}

pub(crate) fn without_thread(key: &str, expected: &str) -> String {
    format!("`{key}` needs a thread of the service's own: expected {expected}")
}

pub(crate) fn check_cores(cores: &[usize]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    if cores.is_empty() {
        return Err(
            "invalid list of cores: expected at least one, such as \"pinned(1)\" or \"pinned(1, 3)\"".to_owned()
        );
    }
    match cores.iter().find(|core| !seen.insert(**core)) {
        Some(core) => Err(format!("core {core} is listed twice")),
        None => Ok(()),
    }
}

pub(crate) fn check_thread_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(char::is_control) {
        let name = name.escape_debug();
        return Err(format!(
            "invalid thread name `{name}`: expected at least one character, and no control character"
        ));
    }
    Ok(())
}

/// Formats the execution as topology keys with their values, without the defaults.
impl fmt::Display for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.run {
            Run::Shared => write!(f, "run = \"shared\"")?,
            Run::Dedicated => write!(f, "run = \"dedicated\"")?,
            Run::Pinned(cores) => {
                let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
                write!(f, "run = \"pinned({})\"", cores.join(", "))?;
            }
        }
        match self.wait {
            WaitStrategy::Park => {}
            WaitStrategy::Spin => write!(f, ", wait = \"spin\"")?,
            WaitStrategy::SpinThenPark(spins) => write!(f, ", wait = \"spin-then-park({spins})\"")?,
        }
        if let Some(name) = &self.thread {
            write!(f, ", thread = {name:?}")?;
        }
        if let Class::Fifo(priority) = self.class {
            write!(f, ", class = \"fifo({priority})\"")?;
        }
        if self.if_refused == PlacementFallback::Warn {
            write!(f, ", if_refused = \"warn\"")?;
        }
        if self.budget != TaskBudget::DEFAULT {
            write!(f, ", budget = {}", self.budget)?;
        }
        if let Some(executor) = &self.executor {
            write!(f, ", executor = {executor:?}")?;
        }
        match self.queue {
            TaskQueue { shares: None, latency: None } => Ok(()),
            queue => write!(f, ", {queue}"),
        }
    }
}
