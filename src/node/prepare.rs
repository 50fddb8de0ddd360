//! The steps of a service before it runs. It is *registered* with its factory, *resolved* to an
//! executor, and *prepared* with its subscriptions and publishers.

use std::sync::{Arc, OnceLock, Weak};

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::ServiceValue;

use super::service_task::PollHooks;
use crate::error::{BuildError, Result};
use crate::inbox::AnyInbox;
use crate::inbox::ending::Ending;
use crate::links::Links;
use crate::observe::report::Outcome;
use crate::plan::{BoundPorts, Ports};
use crate::service::exit::ExitGuard;
use crate::service::wiring::Wiring;
use crate::service::{Context, Life, Service};
use crate::shared::Shared;
use crate::supervise::execution::Execution;
use crate::supervise::member::Member;
use crate::task::launch::Task;

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
            is_local: !S::is_send(),
            execution: Execution::default(),
            prepare: Box::new(move |shared, links, service, member| {
                prepare(shared, links, service, member, Box::new(factory))
            }),
        }
    }

    /// Registers a service of another process: it is planned, and never prepared.
    #[cfg(feature = "describe")]
    pub(super) fn described(name: &str, ports: Ports, is_local: bool) -> Registered {
        Registered {
            name: name.to_owned(),
            ports,
            is_local,
            execution: Execution::default(),
            prepare: Box::new(|_, _, service, _| {
                Err(BuildError::Described { service: service.name })
            }),
        }
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
            &Arc<Shared>,
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
    pub(super) is_send: bool,
    pub(super) launch: LaunchTask,
    pub(super) poll_hooks: PollHooks,
    pub(super) inboxes: Vec<Weak<dyn AnyInbox>>,
    pub(super) endings: Vec<(Arc<str>, Ending)>,
}

/// Makes the service's task for an executor, on the thread where it will run.
pub(super) type LaunchTask = Box<dyn FnOnce(Arc<dyn Executor>) -> Task + Send>;

impl Prepared {
    pub(super) fn into_parts(self) -> (LaunchTask, PollHooks) {
        (self.launch, self.poll_hooks)
    }
}

/// Makes the subscriptions and publishers of a service.
pub(super) fn prepare<S: Service>(
    shared: &Arc<Shared>,
    links: &Arc<OnceLock<Links>>,
    service: Resolved,
    member: Member,
    factory: Box<dyn FnMut() -> S + Send>,
) -> Result<Prepared, BuildError> {
    let Resolved { name, ports, execution, executor } = service;
    let mut wiring = Wiring::new(shared, &name, &ports, &execution);
    let (inputs, outputs) = S::wire(&mut wiring)?;
    let Wiring { budget, mut deferred_wakes, mut inboxes, mut endings, .. } = wiring;
    // Gives back spare memory, because a node may have many services, and each keeps these lists.
    deferred_wakes.shrink_to_fit();
    inboxes.shrink_to_fit();
    endings.shrink_to_fit();
    let watched = inboxes.iter().map(Arc::downgrade).collect();
    let dead_letters = ports.can_give_up().then(|| shared.topics.dead_letters()).transpose()?;
    let mut life = Box::new(Life {
        factory,
        context: Context::<S>::new(
            &name,
            inputs,
            outputs,
            shared.clone(),
            executor.clone(),
            budget.clone(),
        ),
        inboxes,
        dead_letters,
        member,
        exit: ExitGuard {
            shared: shared.clone(),
            links: links.clone(),
            service: name.clone(),
            outcome: Outcome::Abandoned,
            limit: None,
        },
    });
    let spins = match execution.wait {
        WaitStrategy::Park => 0,
        WaitStrategy::SpinThenPark(spins) => spins as u64,
        WaitStrategy::Spin => u64::MAX,
    };
    life.context.waits.line.set(ServiceValue::Spins, spins);
    let traced = budget.trace().is_some().then(|| budget.clone());
    Ok(Prepared {
        name,
        execution,
        executor,
        is_send: S::is_send(),
        launch: Box::new(move |executor| {
            life.context.waits.executor = executor;
            match traced {
                Some(budget) => S::launch(life).traced(budget),
                None => S::launch(life),
            }
        }),
        poll_hooks: PollHooks { budget, deferred_wakes, mark: None },
        inboxes: watched,
        endings,
    })
}
