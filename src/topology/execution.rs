//! Keys of a service's section that say how it is executed, and how they go together with what the program says.

use std::ops::Range;

use super::Topology;
use super::error::{Problem, TopologyError};
use super::sections::ServiceSection;
use crate::execution::{self, Execution, Run};

impl ServiceSection {
    /// The first key that says something of the service's own thread.
    fn of_own_thread(&self) -> Option<(&'static str, Range<usize>)> {
        let thread = self.thread.as_ref().map(|thread| ("thread", thread.span()));
        let class = self.class.as_ref().map(|class| ("class", class.span()));
        thread.or(class).or(self.if_refused.as_ref().map(|key| ("if_refused", key.span())))
    }
}

impl Topology {
    /// No section contradicts itself.
    pub(super) fn check_executions(&self) -> Result<(), TopologyError> {
        let sections = self.sections.service.values();
        let mut shared =
            sections.filter(|section| section.run.as_ref().is_some_and(|run| run.0 == Run::Shared));
        shared.try_for_each(|section| self.check_own_thread(section))
    }

    fn check_own_thread(&self, section: &ServiceSection) -> Result<(), TopologyError> {
        let Some((key, place)) = section.of_own_thread() else { return Ok(()) };
        let message = execution::without_thread(key);
        Err(self.file.error(place, Problem::Contradiction { message }))
    }

    /// How a service is executed of which the program says `coded`: as the file says, key by key, and else as the
    /// program does. A file that says where it runs says all of its thread.
    pub(crate) fn execution(
        &self,
        service: &str,
        coded: Execution,
    ) -> Result<Execution, TopologyError> {
        let Some(section) = self.sections.service.get(service) else { return Ok(coded) };
        let run = section.run.as_ref().map(|run| run.0.clone());
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
            run: coded.run,
        })
    }

    /// A service asks for an executor that is not `known`.
    pub(crate) fn no_executor(&self, service: &str, known: Vec<String>) -> Option<TopologyError> {
        let name = self.sections.service.get(service)?.executor.as_ref()?;
        let problem = Problem::Unknown { kind: "executor", name: name.as_ref().clone(), known };
        Some(self.file.error(name.span(), problem))
    }
}
