//! The steps of a service before it runs. It is *registered* with its factory, *resolved* to an
//! executor, and *prepared* with its subscriptions and publishers.

use std::sync::{Arc, OnceLock, Weak};

use mycelium_core::Code;
use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::ServiceValue;
use mycelium_transports::local::with_traced;

use crate::error::{BuildError, Result};
use crate::inbox::AnyInbox;
use crate::inbox::ending::Ending;
use crate::links::Links;
use crate::observe::report::Outcome;
use crate::plan::{BoundPorts, Ports};
use crate::service::course::Course;
use crate::service::emit::Waits;
use crate::service::exit::ExitGuard;
#[cfg(feature = "describe")]
use crate::service::stand_in::{StandIn, StandInService};
use crate::service::wiring::{Wired, Wiring};
use crate::service::{Context, Life, Service, Supervised};
use crate::shared::ServiceNode;
use crate::shared::task_hooks::{Placed, PollHooks};
use crate::supervise::execution::Execution;
use crate::supervise::member::Member;
use crate::task::launch::Launch;

/// A function that runs after all services have ended.
pub(crate) type StopHook = Box<dyn FnOnce() -> SendFuture<()> + Send>;

pub(super) struct Registered {
    pub(super) name: String,
    pub(super) ports: Ports,
    /// Whether the service must stay on one thread.
    pub(super) is_local: bool,
    pub(super) execution: Execution,
    pub(super) prepare: Prepare,
}

impl Registered {
    /// Registers a service with the default execution.
    pub(super) fn new<S: Service>(
        name: &str,
        ports: Ports,
        factory: impl FnMut() -> S + Send + 'static,
    ) -> Registered {
        Registered {
            name: name.to_owned(),
            ports,
            is_local: matches!(S::launch(), Launch::Local(_)),
            execution: Execution::default(),
            prepare: Box::new(move |node, links, service, member| {
                prepare(node, links, service, member, Box::new(factory))
            }),
        }
    }

    /// Registers a service of another process, which is planned and never prepared.
    pub(super) fn described(name: &str, ports: Ports, is_local: bool) -> Registered {
        Registered {
            name: name.to_owned(),
            ports,
            is_local,
            execution: Execution::default(),
            prepare: Box::new(|_, _, service, _| {
                let problem = format!(
                    "service `{}` is only described: expected a program that has it",
                    service.name
                );
                Err(BuildError::new(Code::SERVICE_ONLY_DESCRIBED, problem))
            }),
        }
    }

    /// Registers what runs in place of a service with these ports.
    #[cfg(feature = "describe")]
    pub(super) fn stand_in(name: &str, ports: Ports, stand_in: Box<dyn StandIn>) -> Registered {
        let mut stand_in = Some(stand_in);
        Registered::new(name, ports, move || StandInService(stand_in.take()))
    }

    /// Registers a service that carries requests between nodes.
    pub(super) fn carrying_requests<S: Service>(
        name: &str,
        factory: impl FnMut() -> S + Send + 'static,
    ) -> Registered {
        Registered::new(name, S::ports().carrying_requests(), factory)
    }
}

type Prepare = Box<
    dyn FnOnce(
            &Arc<ServiceNode>,
            &Arc<OnceLock<Links>>,
            Resolved,
            Member,
        ) -> Result<Prepared, BuildError>
        + Send,
>;

/// A service whose execution and executor are known.
pub(super) struct Resolved {
    pub(super) name: String,
    pub(super) ports: BoundPorts,
    pub(super) execution: Execution,
    pub(super) executor: Arc<dyn Executor>,
}

/// A service with its subscriptions and publishers, ready to be placed.
pub(super) struct Prepared {
    pub(super) name: String,
    pub(super) execution: Execution,
    pub(super) executor: Arc<dyn Executor>,
    /// Creates the service's task for an executor, on the thread where it will run.
    pub(super) launch: Launch<Placed>,
    pub(super) poll_hooks: PollHooks,
    pub(super) inboxes: Vec<Weak<dyn AnyInbox>>,
    pub(super) endings: Vec<(Arc<str>, Ending)>,
}

/// Creates the subscriptions and publishers of a service. The functions below do not depend on the
/// type of the service, so they are compiled once.
pub(super) fn prepare<S: Service>(
    node: &Arc<ServiceNode>,
    links: &Arc<OnceLock<Links>>,
    service: Resolved,
    member: Member,
    factory: Box<dyn FnMut() -> S + Send>,
) -> Result<Prepared, BuildError> {
    let mut wiring = Wiring::new(node, &service.name, &service.ports, &service.execution);
    let (inputs, outputs) = S::wire(&mut wiring)?;
    let wired = wiring.wired;
    let course = course(node, links, &service, member, &wired)?;
    let mut context = Context::new(inputs, outputs, waits(node, &service, &wired, S::IS_SOURCE));
    let launch = S::launch().after(|Placed { executor, hooks }| {
        context.waits.executor = executor;
        Box::new(Life { hooks, supervised: Supervised { factory, context, course } })
    });
    Ok(prepared(service, wired, launch))
}

fn course(
    node: &Arc<ServiceNode>,
    links: &Arc<OnceLock<Links>>,
    service: &Resolved,
    member: Member,
    wired: &Wired,
) -> Result<Course, BuildError> {
    let can_give_up = service.ports.can_give_up();
    Ok(Course {
        inboxes: wired.inboxes.clone(),
        dead_letters: can_give_up.then(|| node.topics.dead_letters()).transpose()?,
        member,
        cause: None,
        exit: ExitGuard {
            plan: node.plan.clone(),
            lifecycle: node.lifecycle.clone(),
            services: node.services.clone(),
            links: links.clone(),
            service: service.name.clone(),
            outcome: Outcome::Abandoned,
            limit: None,
        },
    })
}

fn waits(node: &Arc<ServiceNode>, service: &Resolved, wired: &Wired, is_source: bool) -> Waits {
    let Resolved { name, execution, executor, .. } = service;
    let waits = Waits::new(name, node.clone(), executor.clone(), wired.budget.clone(), is_source);
    let spins = match execution.wait {
        WaitStrategy::Park => 0,
        WaitStrategy::SpinThenPark(spins) => spins as u64,
        WaitStrategy::Spin => u64::MAX,
    };
    waits.line.set(ServiceValue::Spins, spins);
    waits
}

fn prepared(service: Resolved, wired: Wired, launch: Launch<Placed>) -> Prepared {
    let Resolved { name, execution, executor, .. } = service;
    let Wired { budget, mut deferred_wakes, inboxes, mut endings } = wired;
    // Frees spare memory: a node may have many services, and each keeps these lists.
    deferred_wakes.shrink_to_fit();
    endings.shrink_to_fit();
    Prepared {
        name,
        execution,
        executor,
        launch: match budget.trace() {
            Some(_) => launch.traced(budget.clone(), |budget, poll| with_traced(budget, poll)),
            None => launch,
        },
        poll_hooks: PollHooks { budget, deferred_wakes, mark: None },
        inboxes: inboxes.iter().map(Arc::downgrade).collect(),
        endings,
    }
}
