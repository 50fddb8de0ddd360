//! How a service is executed: where it runs, how it waits, and how much it does before it lets others run.

use std::collections::BTreeSet;
use std::fmt;

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback};
use mycelium_transports::local::TaskBudget;

/// How a service is executed. The default shares the node's executor and sleeps while it waits.
///
/// It is set in code by [`Builder::execution`](crate::Builder::execution). What the topology says of the service holds
/// instead, key by key: who runs a program knows the machine.
///
/// ```
/// use mycelium::{Class, Execution, PlacementFallback, WaitStrategy};
///
/// let execution = Execution::pinned([3])
///     .wait(WaitStrategy::Spin)
///     .thread("strategy")
///     .class(Class::Fifo(10))
///     .if_refused(PlacementFallback::Warn);
/// assert_eq!(
///     execution.to_string(),
///     "run = \"pinned(3)\", wait = \"spin\", thread = \"strategy\", class = \"fifo(10)\", if_refused = \"warn\""
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
}

/// Where a service runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Run {
    /// Beside others, in an executor that is there.
    #[default]
    Shared,
    /// On a thread of its own.
    Dedicated,
    /// On a thread of its own, which keeps to these cores.
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
        }
    }
}

impl Execution {
    /// In the node's executor, beside the other services there.
    #[must_use]
    pub fn shared() -> Execution {
        Execution::default()
    }

    /// On a thread of its own, with an executor of its own. There a service that is not `Send` runs, too.
    #[must_use]
    pub fn dedicated() -> Execution {
        Execution { run: Run::Dedicated, ..Execution::default() }
    }

    /// As [`dedicated`](Execution::dedicated), on these cores only.
    #[must_use]
    pub fn pinned(cores: impl IntoIterator<Item = usize>) -> Execution {
        Execution { run: Run::Pinned(cores.into_iter().collect()), ..Execution::default() }
    }

    /// How `recv`, and an `emit` that finds no room, wait: they sleep at once, look so often before they sleep, or
    /// never sleep. A look is some ten nanoseconds; who waits by looking keeps a core busy.
    #[must_use]
    pub fn wait(self, wait: WaitStrategy) -> Execution {
        Execution { wait, ..self }
    }

    /// What the service's own thread is called; without this, as the service.
    #[must_use]
    pub fn thread(self, name: impl Into<String>) -> Execution {
        Execution { thread: Some(name.into()), ..self }
    }

    /// How the system schedules the service's own thread.
    #[must_use]
    pub fn class(self, class: Class) -> Execution {
        Execution { class, ..self }
    }

    /// What happens if the machine refuses the cores or the class: the node does not start, which is the default, or it
    /// starts without them and says so.
    #[must_use]
    pub fn if_refused(self, if_refused: PlacementFallback) -> Execution {
        Execution { if_refused, ..self }
    }

    /// How many messages the service emits and receives in one poll, at the most, before it lets others run: 256 unless
    /// said otherwise.
    #[must_use]
    pub fn budget(self, budget: u32) -> Execution {
        Execution { budget, ..self }
    }

    /// On which executor: one that the node was given by that name ([`Builder::executor`](crate::Builder::executor)), or
    /// the one that it was started on, by its kind. With a thread of its own, the service has an executor of that kind
    /// there.
    #[must_use]
    pub fn on(self, executor: impl Into<String>) -> Execution {
        Execution { executor: Some(executor.into()), ..self }
    }

    /// Whether it has a thread of its own.
    #[must_use]
    pub fn has_own_thread(&self) -> bool {
        self.run != Run::Shared
    }

    /// What makes no sense in it.
    pub(crate) fn problem(&self) -> Option<String> {
        let own = ["thread", "class", "if_refused"];
        let set = [
            self.thread.is_some(),
            self.class != Class::default(),
            self.if_refused != PlacementFallback::default(),
        ];
        let needs_thread = own.iter().zip(set).find_map(|(key, set)| set.then_some(key));
        if let (false, Some(key)) = (self.has_own_thread(), needs_thread) {
            return Some(without_thread(key));
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
        (self.budget == 0).then(|| BUDGET.to_owned())
    }
}

/// The priorities of `SCHED_FIFO`.
pub(crate) const PRIORITIES: std::ops::RangeInclusive<u8> = 1..=99;
/// What is wrong with a budget of nothing.
pub(crate) const BUDGET: &str = "invalid budget 0: expected 1 or more";

pub(crate) fn without_thread(key: &str) -> String {
    format!(
        "`{key}` needs a thread of the service's own: expected run = \"dedicated\" or \"pinned(core)\""
    )
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

/// As in a topology, without what is as it is by default.
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
            WaitStrategy::SpinThenPark(looks) => write!(f, ", wait = \"spin-then-park({looks})\"")?,
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
        match &self.executor {
            Some(executor) => write!(f, ", executor = {executor:?}"),
            None => Ok(()),
        }
    }
}
