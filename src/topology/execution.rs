//! Keys of a service's section that say how it is executed, and how they go together with what the program says.

use std::ops::Range;

use mycelium_core::wait::Wait;
use mycelium_executor::{Class, PlacementFallback};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::{Problem, ServiceSection, Topology, TopologyError};
use crate::execution::{self, Execution, Run};

/// `"shared"`, `"dedicated"`, `"pinned(1)"`, `"pinned(1, 3)"`.
#[derive(Clone, Debug)]
pub(super) struct RunName(Run);

/// `"park"`, `"spin"`, `"spin-then-park(1000)"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitName(Wait);

/// A name that a thread can have.
#[derive(Clone, Debug)]
pub(super) struct ThreadName(String);

/// `"normal"`, `"fifo(10)"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassName(Class);

/// `"fail"`, `"warn"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedName(PlacementFallback);

/// A number of messages from 1 on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget(u32);

impl<'de> Deserialize<'de> for RunName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RunName, D::Error> {
        let text = String::deserialize(deserializer)?;
        let run = match call(&text) {
            ("shared", None) => Run::Shared,
            ("dedicated", None) => Run::Dedicated,
            ("pinned", Some(cores)) => Run::Pinned(cores_of(cores).map_err(D::Error::custom)?),
            _ => {
                return Err(D::Error::custom(format!(
                    "a service cannot run `{text}`; expected one of: shared, dedicated, pinned(1), pinned(1, 3)"
                )));
            }
        };
        Ok(RunName(run))
    }
}

fn cores_of(list: &str) -> Result<Vec<usize>, String> {
    let parts = list.split(',').map(str::trim).filter(|_| !list.trim().is_empty());
    let cores = parts.map(|core| {
        core.parse()
            .map_err(|_| format!("`{core}` is no core; expected a number as in pinned(1, 3)"))
    });
    let cores: Vec<usize> = cores.collect::<Result<_, String>>()?;
    execution::check_cores(&cores)?;
    Ok(cores)
}

impl<'de> Deserialize<'de> for WaitName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WaitName, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wait = match call(&text) {
            ("park", None) => Some(Wait::Park),
            ("spin", None) => Some(Wait::Spin),
            ("spin-then-park", Some(looks)) => looks.trim().parse().ok().map(Wait::SpinThenPark),
            _ => None,
        };
        wait.map(WaitName).ok_or_else(|| {
            D::Error::custom(format!(
                "a service cannot wait by `{text}`; expected one of: park, spin, spin-then-park(1000), a number of looks"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for ThreadName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ThreadName, D::Error> {
        let name = String::deserialize(deserializer)?;
        execution::check_thread_name(&name).map_err(D::Error::custom)?;
        Ok(ThreadName(name))
    }
}

impl<'de> Deserialize<'de> for ClassName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ClassName, D::Error> {
        let text = String::deserialize(deserializer)?;
        let class = match call(&text) {
            ("normal", None) => Some(Class::Normal),
            ("fifo", Some(priority)) => {
                let priority = priority.trim().parse().ok();
                priority.filter(|given| execution::PRIORITIES.contains(given)).map(Class::Fifo)
            }
            _ => None,
        };
        class.map(ClassName).ok_or_else(|| {
            D::Error::custom(format!(
                "there is no class `{text}`; expected one of: normal, fifo(1) to fifo(99)"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for RefusedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RefusedName, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "fail" => Ok(RefusedName(PlacementFallback::Fail)),
            "warn" => Ok(RefusedName(PlacementFallback::Warn)),
            other => Err(D::Error::custom(format!(
                "what is refused cannot `{other}`; expected one of: fail, warn"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Budget, D::Error> {
        match u32::deserialize(deserializer)? {
            0 => Err(D::Error::custom(execution::BUDGET)),
            budget => Ok(Budget(budget)),
        }
    }
}

/// `name`, or `name(arguments)`.
fn call(text: &str) -> (&str, Option<&str>) {
    match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((name, arguments)) => (name, Some(arguments)),
        None => (text, None),
    }
}

impl ServiceSection {
    /// The first key that says something of the service's own thread.
    fn of_own_thread(&self) -> Option<(&'static str, Range<usize>)> {
        let thread = self.thread.as_ref().map(|thread| ("thread", thread.span()));
        let class = self.class.as_ref().map(|class| ("class", class.span()));
        thread.or(class).or(self.refused.as_ref().map(|refused| ("refused", refused.span())))
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
                let (thread, class, refused) = Default::default();
                Execution { run: Run::Shared, thread, class, refused, ..coded }
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
            refused: section.refused.as_ref().map_or(coded.refused, |refused| refused.as_ref().0),
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
