//! The supervisors of a node, checked: the program and the topology do not contradict each other,
//! and each child has one supervisor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mycelium_bundle::Restart;
use mycelium_core::Code;

use crate::error::BuildError;
use crate::supervise::{Lifetime, ServiceSetting, Strategy, SupervisorSetting};
use crate::support::names::expected_instead_of;
use crate::topology::{Setting, Topology};

/// The supervisors of a node, and how its services are supervised.
#[derive(Debug, Default)]
pub(crate) struct SupervisionPlan {
    /// The supervisors, each after its parent.
    pub(crate) supervisors: Vec<PlannedSupervisor>,
    /// The settings of services that the program or the topology sets.
    settings: BTreeMap<String, ServiceSetting>,
    /// The supervisor of each service that has one.
    of_services: BTreeMap<String, Arc<str>>,
}

/// A supervisor that has services in this node.
#[derive(Debug)]
pub(crate) struct PlannedSupervisor {
    pub(crate) name: Arc<str>,
    pub(crate) strategy: Strategy,
    pub(crate) restart: Restart,
    /// The index of the parent supervisor; `None` if the parent is the root.
    pub(crate) parent: Option<usize>,
    /// The children, in the order in which they start.
    pub(crate) children: Vec<PlannedChild>,
    /// The services below this supervisor, and below its child supervisors.
    pub(crate) services: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum PlannedChild {
    Service(String),
    /// The supervisor at this index.
    Supervisor(usize),
}

impl SupervisionPlan {
    /// Checks the settings of the program (`coded` and `settings`) and of the topology. The program
    /// has the services `known`, of which the node runs `own`.
    pub(crate) fn new(
        topology: &Topology,
        coded: Vec<SupervisorSetting>,
        mut settings: BTreeMap<String, ServiceSetting>,
        known: &BTreeSet<&str>,
        own: &BTreeSet<&str>,
    ) -> Result<SupervisionPlan, BuildError> {
        let all = Supervisors::new(topology, coded, known)?;
        all.check(topology)?;
        for service in own {
            let coded = settings.get(*service).copied().unwrap_or_default();
            let setting = topology.supervised(service).or(coded);
            // Stores no default settings: a node may have many services, and most have no settings.
            if setting != ServiceSetting::default() {
                settings.insert((*service).to_owned(), setting);
            }
        }
        let mut plan = SupervisionPlan { settings, ..SupervisionPlan::default() };
        for top in all.names.iter().filter(|name| !all.parents.contains_key(name.as_str())) {
            plan.add(&all, top, None, own);
        }
        Ok(plan)
    }

    /// Adds a supervisor, if services below it are in this node. Returns its index.
    fn add(
        &mut self,
        all: &Supervisors,
        name: &str,
        parent: Option<usize>,
        own: &BTreeSet<&str>,
    ) -> Option<usize> {
        if all.services_below(name).all(|service| !own.contains(service)) {
            return None;
        }
        let setting = &all.settings[name];
        let (place, name) = (self.supervisors.len(), Arc::<str>::from(name));
        let limit = Restart::default().limit;
        self.supervisors.push(PlannedSupervisor {
            name: name.clone(),
            strategy: setting.strategy.unwrap_or_default(),
            restart: setting.restart.with_limit(limit),
            parent,
            children: Vec::new(),
            services: Vec::new(),
        });
        for child in setting.children.iter().flatten() {
            let child = if all.settings.contains_key(child) {
                let Some(below) = self.add(all, child, Some(place), own) else { continue };
                let services = self.supervisors[below].services.clone();
                self.supervisors[place].services.extend(services);
                PlannedChild::Supervisor(below)
            } else if own.contains(child.as_str()) {
                self.of_services.insert(child.clone(), name.clone());
                self.supervisors[place].services.push(child.clone());
                PlannedChild::Service(child.clone())
            } else {
                continue;
            };
            self.supervisors[place].children.push(child);
        }
        Some(place)
    }

    /// Returns the supervisor of a service, if it has one.
    pub(crate) fn of_service(&self, service: &str) -> Option<&str> {
        self.of_services.get(service).map(|name| &**name)
    }

    pub(crate) fn lifetime(&self, service: &str) -> Lifetime {
        self.setting(service).lifetime.unwrap_or_default()
    }

    /// Returns how long a run may take until it has started.
    pub(crate) fn start_deadline(&self, service: &str) -> Option<Duration> {
        self.setting(service).start_deadline
    }

    /// Returns the pauses and the limit of a service. A service with a supervisor has its own limit
    /// only if the program or the topology sets one; otherwise the supervisor's limit counts.
    pub(crate) fn restart(&self, service: &str) -> Restart {
        let is_supervised = self.of_services.contains_key(service);
        let limit = if is_supervised { u32::MAX } else { Restart::default().limit };
        self.setting(service).restart.with_limit(limit)
    }

    fn setting(&self, service: &str) -> ServiceSetting {
        self.settings.get(service).copied().unwrap_or_default()
    }
}

/// All supervisors of the program and the topology, by name.
struct Supervisors {
    /// The names, in the order of the program. Names that only the topology has come last.
    names: Vec<String>,
    settings: BTreeMap<String, SupervisorSetting>,
    /// The supervisor above each child.
    parents: BTreeMap<String, String>,
}

impl Supervisors {
    fn new(
        topology: &Topology,
        coded: Vec<SupervisorSetting>,
        known: &BTreeSet<&str>,
    ) -> Result<Supervisors, BuildError> {
        let mut all =
            Supervisors { names: Vec::new(), settings: BTreeMap::new(), parents: BTreeMap::new() };
        for setting in coded {
            let name = setting.name.clone();
            all.names.push(name.clone());
            if all.settings.insert(name.clone(), setting).is_some() {
                let text =
                    format!("two supervisors are called `{name}`: give one of them another name");
                return Err(BuildError::new(Code::SUPERVISOR_TWICE, text));
            }
        }
        for setting in topology.supervisors() {
            let name = setting.name.clone();
            let setting = match all.settings.remove(&name) {
                Some(coded) => setting.or(coded),
                None => {
                    all.names.push(name.clone());
                    setting
                }
            };
            all.settings.insert(name, setting);
        }
        for name in &all.names {
            let wrong = |code, text| {
                Err(BuildError::at(topology.place_of(Setting::Supervisor(name)), code, text))
            };
            let is_bad = |c: char| c.is_control() || " =".contains(c);
            if name.is_empty() || name.contains(is_bad) {
                let text = format!(
                    "invalid supervisor name `{}`: expected at least one character, and no space, \
                     `=` or control character",
                    name.escape_debug()
                );
                return wrong(Code::SUPERVISOR_NAME, text);
            }
            if known.contains(name.as_str()) {
                let text =
                    format!("supervisor `{name}` has the name of a service: give it another name");
                return wrong(Code::SUPERVISOR_OF_SERVICE_NAME, text);
            }
            let mut children = all.settings[name].children.iter().flatten().peekable();
            if children.peek().is_none() {
                let text = format!(
                    "supervisor `{name}` has no children: list services or other supervisors in \
                     its `children`, or remove it"
                );
                return wrong(Code::SUPERVISOR_EMPTY, text);
            }
            for child in children {
                let place = || topology.place_of(Setting::SupervisedChild(name, child));
                if !known.contains(child.as_str()) && !all.settings.contains_key(child) {
                    let names = all.settings.keys().map(String::as_str);
                    let known: Vec<&str> = known.iter().copied().chain(names).collect();
                    let text = format!(
                        "supervisor `{name}` has an unknown child `{child}`: {}; a child is a \
                         service or another supervisor",
                        expected_instead_of(child, &known)
                    );
                    return Err(BuildError::at(place(), Code::SUPERVISOR_CHILD, text));
                }
                if let Some(first) = all.parents.insert(child.clone(), name.clone()) {
                    let text = format!(
                        "`{child}` is supervised twice, by `{first}` and by `{name}`: remove it \
                         from the children of one of them"
                    );
                    return Err(BuildError::at(place(), Code::SUPERVISED_TWICE, text));
                }
            }
        }
        Ok(all)
    }

    /// Checks that no supervisor is above itself, and that all services below a supervisor are in
    /// the same node.
    fn check(&self, topology: &Topology) -> Result<(), BuildError> {
        let nodes: BTreeMap<&str, &str> = topology
            .placements()
            .flat_map(|(node, services)| services.into_iter().map(move |service| (service, node)))
            .collect();
        for name in &self.names {
            let mut path = vec![name.clone()];
            let mut above = self.parents.get(name);
            while let Some(parent) = above {
                path.insert(0, parent.clone());
                if parent == name {
                    let place = topology.place_of(Setting::Supervisor(name));
                    let text = format!(
                        "supervisors supervise each other: {}; remove one of them from the children \
                         of the one before it",
                        path.join(" -> ")
                    );
                    return Err(BuildError::at(place, Code::SUPERVISOR_CIRCLE, text));
                }
                // Stops at a cycle further up, which is found when a supervisor on that cycle is
                // checked.
                above =
                    self.parents.get(parent).filter(|next| !path.contains(next) || *next == name);
            }
        }
        for name in &self.names {
            let mut placed = self
                .services_below(name)
                .filter_map(|service| Some((service, *nodes.get(service)?)));
            let Some((first, first_node)) = placed.next() else { continue };
            let other = placed.find(|(_, node)| *node != first_node);
            let Some((second, second_node)) = other else { continue };
            let place = topology.place_of(Setting::Supervisor(name));
            let text = format!(
                "supervisor `{name}` has services of two nodes, `{first}` of `{first_node}` and \
                 `{second}` of `{second_node}`: a supervisor is in one process, so make one for \
                 each node"
            );
            return Err(BuildError::at(place, Code::SUPERVISOR_OF_TWO_NODES, text));
        }
        Ok(())
    }

    /// Returns the services below a supervisor, and below its child supervisors.
    fn services_below<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        let children =
            self.settings.get(name).into_iter().flat_map(|it| it.children.iter().flatten());
        Box::new(children.flat_map(move |child| -> Box<dyn Iterator<Item = &'a str> + 'a> {
            match self.settings.contains_key(child) {
                true => self.services_below(child),
                false => Box::new([child.as_str()].into_iter()),
            }
        }))
    }
}
