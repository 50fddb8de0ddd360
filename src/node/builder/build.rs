//! The last step of a builder: it checks that services and settings fit together, and plans the
//! node.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::Code;

#[cfg(feature = "topology")]
use super::legacy_services::LegacyService;
use super::request_links::AddedService;
use super::{Builder, Supervisor};
use crate::error::BuildError;
use crate::node::prepare::Registered;
use crate::node::{Node, wrong_execution};
use crate::observe::report::StartWarning;
use crate::plan::{Bindings, BoundPorts, Plan, Port, Ports, SupervisionPlan};
use crate::shared::Topics;
use crate::support::names::expected_instead_of;
use crate::topology::RECORDER;

/// The default limit of the watchdog.
const WATCHDOG: Duration = Duration::from_millis(250);

impl Builder {
    /// Checks that the services fit together. If the topology places services on this node, the
    /// node has exactly these, in the order of the topology. Otherwise it has all services.
    ///
    /// # Errors
    /// [`BuildError`]: names or ids collide, the topology does not fit the program, services would
    /// deadlock, or the rings would need more memory than the node may use.
    pub fn build(mut self) -> Result<Node, BuildError> {
        #[cfg(feature = "describe")]
        self.add_services_of_others()?;
        if self.topology.recorder().is_some() {
            self.services.push(Registered::described(RECORDER, Ports::default(), false));
        }
        self.check_services()?;
        let all = self.add_generated_services()?;
        let mut warnings = self.warnings();
        let known: BTreeSet<String> = all.iter().map(|(name, _)| name.clone()).collect();
        let services = self.take_placed_services()?;
        let supervision = self.supervision(&known, &services)?;
        let asked = self.topology.watchdog(&self.name).or(self.watchdog);
        let limit = asked.unwrap_or(WATCHDOG);
        let watchdog = (!limit.is_zero()).then_some((limit, asked.is_some()));
        if let Some(share) = self.topology.sample() {
            self.traces.set_share(share);
        }
        let exporter = self.telemetry.span_queue(&self.topology)?;
        let tracer = self.traces.tracer(exporter)?;
        let ports: BTreeMap<&str, &BoundPorts> =
            all.iter().map(|(name, ports)| (name.as_str(), ports)).collect();
        let own = services.iter().filter_map(|service| {
            let ports = *ports.get(service.name.as_str())?;
            Some((service.name.clone(), ports.clone()))
        });
        let own: Vec<_> = own.collect();
        let mut plan = Plan::new(&self.name, &self.topology, &all, &own, tracer, &self.topics)?;
        plan.supervision = supervision;
        warnings.extend(plan.warnings());
        warnings.extend(self.fast_handlers.check(&all)?);
        self.attached.extend(self.engines.attach(&plan)?);
        self.attached.iter().try_for_each(|attached| attached.check(&own))?;
        self.engines.check_starts(&self.attached, &own)?;
        let plan = Arc::new(plan);
        let topics = Topics::new(plan.clone(), self.fast_handlers)?;
        for attached in &self.attached {
            topics.add_transport(&attached.sends, &attached.receives);
        }
        let Builder { executors, attached, hooks, observers, telemetry, .. } = self;
        Ok(Node {
            plan,
            topics,
            peers: self.request_links.peers,
            warnings,
            services,
            executors,
            attached,
            hooks,
            observers,
            watchdog,
            telemetry,
            #[cfg(feature = "topology")]
            legacy: self.listeners,
            #[cfg(feature = "testing")]
            probe: None,
        })
    }

    /// Adds the services that carry requests or serve clients of the original system, and returns
    /// the ports of all services.
    fn add_generated_services(&mut self) -> Result<Vec<(String, BoundPorts)>, BuildError> {
        let bound = self.bind_recorder()?;
        let added = self.request_links.services(&mut self.topology, &bound)?;
        let all = if added.is_empty() { bound } else { self.add_services(added)? };
        #[cfg(feature = "topology")]
        let all = self.add_listeners(all)?;
        Ok(all)
    }

    /// Returns the ports of all services. The recorder reads its topics if a service of this program
    /// has them.
    fn bind_recorder(&mut self) -> Result<Vec<(String, BoundPorts)>, BuildError> {
        let bound = self.bind_ports()?;
        let Some((_, topics)) = self.topology.recorder() else { return Ok(bound) };
        let ports = || bound.iter().flat_map(|(_, ports)| ports.all());
        let reads = topics.into_iter().filter_map(|topic| {
            let port = ports().find(|port| *port.topic == *topic)?;
            let key = if port.has_own_topic { port.key } else { topic.to_owned().leak() };
            Some(Port::described(key, true, false, port.schema))
        });
        let ports = Ports { reads: reads.collect(), ..Ports::default() };
        let recorder = self.services.iter_mut().find(|service| service.name == RECORDER);
        if let Some(recorder) = recorder {
            recorder.ports = ports;
        }
        self.bind_ports()
    }

    fn warnings(&self) -> Vec<StartWarning> {
        let warnings = self.unplaced().map(|service| StartWarning::UnplacedService { service });
        let aborts = cfg!(panic = "abort").then_some(StartWarning::PanicsAbort);
        warnings.chain(aborts).collect()
    }

    /// Takes the services that the topology places on this node, in the order of the topology, and
    /// sets their executions.
    fn take_placed_services(&mut self) -> Result<Vec<Registered>, BuildError> {
        let known: Vec<&str> = self.services.iter().map(|service| &*service.name).collect();
        let placed = self.topology.place(&self.name, &known)?;
        let mut services = mem::take(&mut self.services);
        if let Some(placed) = placed {
            let order: BTreeMap<&String, usize> =
                placed.iter().enumerate().map(|(place, name)| (name, place)).collect();
            services.retain(|service| order.contains_key(&service.name));
            services.sort_by_key(|service| order.get(&service.name).copied());
        }
        for service in &mut services {
            let coded = self.executions.get(&service.name).cloned().unwrap_or_default();
            service.execution = self.topology.execution(&service.name, coded)?;
        }
        Ok(services)
    }

    fn supervision(
        &mut self,
        known: &BTreeSet<String>,
        services: &[Registered],
    ) -> Result<SupervisionPlan, BuildError> {
        let supervisors = mem::take(&mut self.supervisors);
        let coded = supervisors.into_iter().flat_map(Supervisor::settings).collect();
        let known = known.iter().map(String::as_str).collect();
        let own = services.iter().map(|service| &*service.name).collect();
        let settings = mem::take(&mut self.supervised);
        SupervisionPlan::new(&self.topology, coded, settings, &known, &own)
    }

    /// Adds services that carry requests, and returns the ports of all services.
    fn add_services(
        &mut self,
        added: Vec<AddedService>,
    ) -> Result<Vec<(String, BoundPorts)>, BuildError> {
        for AddedService { service, bindings } in added {
            for (port, topic) in bindings {
                self.bindings.insert((service.name.clone(), port.to_owned()), topic);
            }
            self.services.push(service);
        }
        self.bind_ports()
    }

    /// Adds the services of listeners for clients of the original system, and returns the ports of
    /// all services.
    #[cfg(feature = "topology")]
    fn add_listeners(
        &mut self,
        bound: Vec<(String, BoundPorts)>,
    ) -> Result<Vec<(String, BoundPorts)>, BuildError> {
        let (services, own) = self.legacy.services(&self.name, &mut self.topology, &bound)?;
        self.listeners = own;
        if services.is_empty() {
            return Ok(bound);
        }
        for LegacyService { service, topic } in services {
            if self.services.iter().any(|other| other.name == service.name) {
                return Err(BuildError::service_twice(&service.name));
            }
            let port = (service.name.clone(), "topic".to_owned());
            self.bindings.extend(topic.map(|topic| (port, topic)));
            self.services.push(service);
        }
        self.bind_ports()
    }

    /// Checks the names of the services, the executions, and the services that the topology names.
    fn check_services(&self) -> Result<(), BuildError> {
        let mut names = BTreeSet::new();
        for service in &self.services {
            // Restricts the characters of names: counter labels and log lines contain names.
            if service.name.is_empty()
                || service.name.contains(|c: char| c.is_control() || " =".contains(c))
            {
                let problem = format!(
                    "invalid service name `{}`: expected at least one character, and no space, \
                     `=` or control character",
                    service.name.escape_debug()
                );
                return Err(BuildError::new(Code::SERVICE_NAME, problem));
            }
            if !names.insert(service.name.as_str()) {
                return Err(BuildError::service_twice(&service.name));
            }
        }
        let known: Vec<&str> = names.into_iter().collect();
        self.check_executions(&known)?;
        self.topology.place(&self.name, &known)?;
        Ok(())
    }

    /// Returns the services that the topology places on no node. Empty unless each node has a list
    /// of services.
    fn unplaced(&self) -> impl Iterator<Item = String> {
        // Checks this only if each node has a list: a node without a list runs all services.
        let lists_all = self.topology.placements().count() == self.topology.nodes().count();
        let places = self.topology.placements().filter(|_| lists_all);
        let places: Vec<Vec<&str>> = places.map(|(_, services)| services).collect();
        let placed: BTreeSet<&str> = places.iter().flatten().copied().collect();
        let names = self.services.iter().map(|service| &service.name);
        let unplaced = names.filter(|name| !places.is_empty() && !placed.contains(name.as_str()));
        unplaced.cloned().collect::<Vec<_>>().into_iter()
    }

    /// Returns the ports of all services, with their topics.
    fn bind_ports(&self) -> Result<Vec<(String, BoundPorts)>, BuildError> {
        let (topology, coded, options) = (&self.topology, &self.bindings, &self.subscriptions);
        let bindings = Bindings { topology, coded, options };
        let services = self.services.iter().map(|service| (&*service.name, &service.ports));
        bindings.check(&services.collect::<Vec<_>>())?;
        let unplaced: BTreeSet<String> = self.unplaced().collect();
        let bound = self.services.iter().map(|service| {
            let is_placed = !unplaced.contains(&service.name);
            let ports = bindings.bind(&service.name, &service.ports, is_placed)?;
            Ok((service.name.clone(), ports))
        });
        bound.collect()
    }

    /// Checks the executions, executors and lifetimes that the program sets.
    fn check_executions(&self, known: &[&str]) -> Result<(), BuildError> {
        let check = |service: &String, method: &str, code| match known.contains(&&**service) {
            true => Ok(()),
            false => {
                let expected = expected_instead_of(service, known);
                let problem =
                    format!("`Builder::{method}` names an unknown service `{service}`: {expected}");
                Err(BuildError::new(code, problem))
            }
        };
        for (service, execution) in &self.executions {
            check(service, "execution", Code::EXECUTION_OF_UNKNOWN)?;
            if let Some(problem) = execution.problem() {
                return Err(wrong_execution(service, &problem));
            }
        }
        for (service, method) in &self.supervised_by {
            check(service, method, Code::SUPERVISION_OF_UNKNOWN)?;
        }
        let mut names = BTreeSet::new();
        match self.executors.iter().find(|(name, _)| !names.insert(name)) {
            Some((name, _)) => {
                let problem = format!(
                    "two executors are called `{name}`: give one of them another name \
                     (`Builder::executor`)"
                );
                Err(BuildError::new(Code::EXECUTOR_TWICE, problem))
            }
            None => Ok(()),
        }
    }
}

/// Builds a node and runs it in a new runtime of tokio, with a thread for each processor, until its
/// services have ended: [`Node::run`](crate::Node::run) on [`tokio::run`](crate::execution::tokio::run). Needs the features
/// `tokio` and `signals`.
///
/// ```
/// use mycelium::{Context, Node, Result, message, service};
///
/// #[message(topic = "greetings")]
/// struct Greeting {
///     text: String,
/// }
///
/// struct Hello;
///
/// #[service(emits(Greeting))]
/// impl Hello {
///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
///         ctx.emit(Greeting { text: "hello".to_owned() }).await?;
///         Ok(())
///     }
/// }
///
/// fn main() -> Result<()> {
///     mycelium::run(Node::builder("main").service(|| Hello))
/// }
/// ```
///
/// # Errors
/// If the services do not fit together, the runtime or the node does not start, a service failed
/// permanently, or services were abandoned at the shutdown's deadline.
///
/// # Panics
/// If the caller is in a runtime of tokio.
#[cfg(all(feature = "signals", feature = "tokio"))]
pub fn run(node: Builder) -> crate::Result<()> {
    let node = node.build()?;
    mycelium_tokio::run(|executor| node.run(executor))??;
    Ok(())
}
