//! The execution of a service: the keys of its section, combined with the settings of the program.

use std::ops::Range;

use mycelium_executor::TaskQueue;
use serde_spanned::Spanned;

use crate::supervise::execution::{self, Execution, Run};
use crate::support::names::expected_instead_of;
use crate::topology::Topology;
use crate::topology::error::TopologyError;
use crate::topology::keys::sections::ServiceSection;
use crate::topology::keys::values::{Latency, Shares};

/// The kinds of the executors that come with Mycelium.
pub(crate) const KINDS: [&str; 3] = ["glommio", "smol", "tokio"];

impl ServiceSection {
    /// Returns the first key that has an effect only on the service's own thread.
    fn of_own_thread(&self) -> Option<(&'static str, Range<usize>)> {
        let thread = self.thread.as_ref().map(|thread| ("thread", thread.span()));
        let class = self.class.as_ref().map(|class| ("class", class.span()));
        thread.or(class).or(self.if_refused.as_ref().map(|key| ("if_refused", key.span())))
    }
}

impl Topology {
    /// Checks that no service with `run = "shared"` has a key for its own thread.
    pub(crate) fn check_executions(&self) -> Result<(), TopologyError> {
        let sections = self.sections.service.values();
        let mut shared = sections.filter(|section| {
            section.run.as_ref().is_some_and(|run| run.as_ref().0 == Run::Shared)
        });
        shared.try_for_each(|section| self.check_own_thread(section))
    }

    fn check_own_thread(&self, section: &ServiceSection) -> Result<(), TopologyError> {
        let Some((key, place)) = section.of_own_thread() else { return Ok(()) };
        let message = execution::without_thread(key, "run = \"dedicated\" or \"pinned(core)\"");
        Err(self.file.contradiction(place, message))
    }

    /// Returns how a service is executed. Each key of the file takes precedence over `coded`, the
    /// settings of the program. `run = "shared"` in the file also discards the program's thread
    /// settings.
    pub(crate) fn execution(
        &self,
        service: &str,
        coded: Execution,
    ) -> Result<Execution, TopologyError> {
        let Some(section) = self.sections.service.get(service) else { return Ok(coded) };
        let run = section.run.as_ref().map(|run| run.as_ref().0.clone());
        let coded = match run {
            Some(Run::Shared) => {
                let (thread, class, if_refused) = Default::default();
                Execution { run: Run::Shared, thread, class, if_refused, ..coded }
            }
            Some(run) => Execution { run, ..coded },
            None => coded,
        };
        if !coded.has_own_thread() {
            self.check_own_thread(section)?;
        }
        let thread = section.thread.as_ref().map(|name| name.as_ref().0.clone());
        let executor = section.executor.as_ref().map(|name| name.as_ref().clone());
        Ok(Execution {
            wait: section.wait.map_or(coded.wait, |wait| wait.0),
            thread: thread.or(coded.thread),
            class: section.class.as_ref().map_or(coded.class, |class| class.as_ref().0),
            if_refused: section.if_refused.as_ref().map_or(coded.if_refused, |key| key.as_ref().0),
            budget: section.budget.map_or(coded.budget, |budget| budget.0),
            executor: executor.or(coded.executor),
            queue: queue(section.shares.as_ref(), section.latency.as_ref(), coded.queue),
            run: coded.run,
        })
    }

    /// Returns the task queue of a node. Missing keys have the default of its executor.
    pub(crate) fn task_queue(&self, node: &str) -> TaskQueue {
        let section = self.sections.node.get(node);
        section.map_or_else(TaskQueue::default, |section| {
            queue(section.shares.as_ref(), section.latency.as_ref(), TaskQueue::default())
        })
    }

    /// Returns readable warnings about executors in the file that do not come with Mycelium. They
    /// are not errors, because a program may bring its own executors.
    ///
    /// ```
    /// let text = "[node.main]\nexecutor = \"tokyo\"";
    /// let topology = mycelium::Topology::parse("app.toml", text)?;
    /// assert!(topology.foreign_executors()[0].starts_with("app.toml:2:12: executor `tokyo` of node"));
    /// # Ok::<(), mycelium::topology::TopologyError>(())
    /// ```
    #[must_use]
    pub fn foreign_executors(&self) -> Vec<String> {
        let of_nodes = self.nodes().filter_map(|node| self.foreign_executor(node));
        let of_services = self.sections.service.iter().filter_map(|(service, section)| {
            self.if_foreign(section.executor.as_ref()?, "service", service.as_ref())
        });
        of_nodes.chain(of_services).collect()
    }

    /// Returns the warning of a node whose executor does not come with Mycelium.
    pub(crate) fn foreign_executor(&self, node: &str) -> Option<String> {
        self.if_foreign(self.sections.node.get(node)?.executor.as_ref()?, "node", node)
    }

    fn if_foreign(&self, name: &Spanned<String>, kind: &str, of: &str) -> Option<String> {
        let (place, name) = (self.file.location(name.span()), name.as_ref());
        (!KINDS.contains(&&**name)).then(|| {
            format!(
                "{place}: executor `{}` of {kind} `{}` does not come with Mycelium: {}; or the \
                 program brings its own",
                name.escape_debug(),
                of.escape_debug(),
                expected_instead_of(name, &KINDS)
            )
        })
    }
}

/// Combines the settings of a task queue: keys of the file take precedence over `coded`.
fn queue(
    shares: Option<&Spanned<Shares>>,
    latency: Option<&Spanned<Latency>>,
    coded: TaskQueue,
) -> TaskQueue {
    TaskQueue {
        shares: shares.map(|shares| shares.as_ref().0).or(coded.shares),
        latency: latency.map(|latency| latency.as_ref().0).or(coded.latency),
    }
}
