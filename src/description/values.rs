//! The settings in a description: how services are executed and supervised, and how subscriptions
//! read.

use std::num::NonZeroU32;
use std::time::Duration;

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback, TaskQueue};
use mycelium_transports::local::{LatestByKey, OnStall, Policy, Schema, Start, SubscribeOptions};
use serde::{Deserialize, Serialize};

use crate::execution::{Execution, Run};
use crate::supervision::{
    Lifetime, RestartSetting, ServiceSetting, Strategy, Supervisor, SupervisorSetting,
};

/// How a subscription reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OptionsForm {
    policy: PolicyForm,
    start: StartForm,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PolicyForm {
    Block,
    Reject,
    DropNewest,
    DropOldest,
    Latest,
    /// Of a field of the message.
    LatestByKey {
        field: String,
        keys: NonZeroU32,
    },
    Sample(NonZeroU32),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StartForm {
    Next,
    OldestRetained,
}

impl OptionsForm {
    /// `schema` is that of the subscription, if the program declares it.
    pub(crate) fn of(options: SubscribeOptions, schema: Option<&Schema>) -> OptionsForm {
        let policy = match options.policy {
            Policy::Block => PolicyForm::Block,
            Policy::Reject => PolicyForm::Reject,
            Policy::DropNewest => PolicyForm::DropNewest,
            Policy::DropOldest => PolicyForm::DropOldest,
            Policy::LatestByKey(by_key) => {
                let field = schema.and_then(|schema| by_key.field(schema));
                field.map_or(PolicyForm::Latest, |field| PolicyForm::LatestByKey {
                    field,
                    keys: by_key.keys(),
                })
            }
            Policy::Sample(every) => PolicyForm::Sample(every),
            // `latest`; the enum is open for other crates.
            _ => PolicyForm::Latest,
        };
        let start = match options.start {
            Start::OldestRetained => StartForm::OldestRetained,
            _ => StartForm::Next,
        };
        OptionsForm { policy, start }
    }

    pub(crate) fn options(&self, schema: Option<&Schema>) -> Result<SubscribeOptions, String> {
        let policy = match &self.policy {
            PolicyForm::Block => Policy::Block,
            PolicyForm::Reject => Policy::Reject,
            PolicyForm::DropNewest => Policy::DropNewest,
            PolicyForm::DropOldest => Policy::DropOldest,
            PolicyForm::Latest => Policy::Latest,
            PolicyForm::LatestByKey { field, keys } => match schema {
                Some(schema) => Policy::LatestByKey(
                    LatestByKey::in_schema(schema, field, *keys).map_err(|it| it.to_string())?,
                ),
                None => Policy::Latest,
            },
            PolicyForm::Sample(every) => Policy::Sample(*every),
        };
        let start = match self.start {
            StartForm::Next => Start::Next,
            StartForm::OldestRetained => Start::OldestRetained,
        };
        Ok(SubscribeOptions::new(policy, start))
    }
}

/// How a service is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecutionForm {
    run: RunForm,
    wait: WaitForm,
    thread: Option<String>,
    class: ClassForm,
    warns_if_refused: bool,
    budget: u32,
    executor: Option<String>,
    shares: Option<u32>,
    latency: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RunForm {
    Shared,
    Dedicated,
    Pinned(Vec<usize>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WaitForm {
    Spin,
    SpinThenPark(usize),
    Park,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClassForm {
    Normal,
    Fifo(u8),
}

impl ExecutionForm {
    pub(crate) fn of(execution: &Execution) -> ExecutionForm {
        ExecutionForm {
            run: match &execution.run {
                Run::Shared => RunForm::Shared,
                Run::Dedicated => RunForm::Dedicated,
                Run::Pinned(cores) => RunForm::Pinned(cores.clone()),
            },
            wait: match execution.wait {
                WaitStrategy::Spin => WaitForm::Spin,
                WaitStrategy::SpinThenPark(spins) => WaitForm::SpinThenPark(spins),
                WaitStrategy::Park => WaitForm::Park,
            },
            thread: execution.thread.clone(),
            class: match execution.class {
                Class::Normal => ClassForm::Normal,
                Class::Fifo(priority) => ClassForm::Fifo(priority),
            },
            warns_if_refused: execution.if_refused == PlacementFallback::Warn,
            budget: execution.budget,
            executor: execution.executor.clone(),
            shares: execution.queue.shares,
            latency: execution.queue.latency,
        }
    }

    pub(crate) fn execution(&self) -> Execution {
        Execution {
            run: match &self.run {
                RunForm::Shared => Run::Shared,
                RunForm::Dedicated => Run::Dedicated,
                RunForm::Pinned(cores) => Run::Pinned(cores.clone()),
            },
            wait: match self.wait {
                WaitForm::Spin => WaitStrategy::Spin,
                WaitForm::SpinThenPark(spins) => WaitStrategy::SpinThenPark(spins),
                WaitForm::Park => WaitStrategy::Park,
            },
            thread: self.thread.clone(),
            class: match self.class {
                ClassForm::Normal => Class::Normal,
                ClassForm::Fifo(priority) => Class::Fifo(priority),
            },
            if_refused: match self.warns_if_refused {
                true => PlacementFallback::Warn,
                false => PlacementFallback::Fail,
            },
            budget: self.budget,
            executor: self.executor.clone(),
            queue: TaskQueue { shares: self.shares, latency: self.latency },
        }
    }
}

/// What happens to readers that stall: `null` is nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StallForm {
    evict_after: Option<Duration>,
}

impl StallForm {
    pub(crate) fn of(on_stall: OnStall) -> StallForm {
        let evict_after = match on_stall {
            OnStall::Block => None,
            OnStall::EvictAfter(time) => Some(time),
        };
        StallForm { evict_after }
    }

    pub(crate) fn on_stall(&self) -> OnStall {
        self.evict_after.map_or(OnStall::Block, OnStall::EvictAfter)
    }
}

/// When and how often something is restarted, as far as the program says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestartForm {
    limit: Option<u32>,
    window: Option<Duration>,
    backoff: Option<Duration>,
    longest: Option<Duration>,
}

impl RestartForm {
    fn of(setting: &RestartSetting) -> RestartForm {
        let RestartSetting { limit, window, backoff, longest } = *setting;
        RestartForm { limit, window, backoff, longest }
    }

    fn setting(&self) -> RestartSetting {
        let RestartForm { limit, window, backoff, longest } = *self;
        RestartSetting { limit, window, backoff, longest }
    }
}

/// What the program says of the supervision of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SupervisedForm {
    lifetime: Option<String>,
    start_deadline: Option<Duration>,
    restart: RestartForm,
}

impl SupervisedForm {
    pub(crate) fn of(setting: &ServiceSetting) -> SupervisedForm {
        SupervisedForm {
            lifetime: setting.lifetime.map(|lifetime| lifetime.name().to_owned()),
            start_deadline: setting.start_deadline,
            restart: RestartForm::of(&setting.restart),
        }
    }

    pub(crate) fn setting(&self) -> Result<ServiceSetting, String> {
        let lifetime = self.lifetime.as_ref().map(|name| name.parse::<Lifetime>());
        Ok(ServiceSetting {
            lifetime: lifetime.transpose().map_err(|error| error.to_string())?,
            start_deadline: self.start_deadline,
            restart: self.restart.setting(),
        })
    }
}

/// A supervisor of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SupervisorForm {
    name: String,
    strategy: Option<String>,
    restart: RestartForm,
    children: Vec<String>,
}

impl SupervisorForm {
    /// One, and those below it.
    pub(crate) fn of(supervisor: &Supervisor) -> Vec<SupervisorForm> {
        let settings = supervisor.clone().settings().into_iter();
        let forms = settings.map(|setting| SupervisorForm {
            name: setting.name,
            strategy: setting.strategy.map(|strategy| strategy.name().to_owned()),
            restart: RestartForm::of(&setting.restart),
            children: setting.children.unwrap_or_default(),
        });
        forms.collect()
    }

    pub(crate) fn supervisor(&self) -> Result<Supervisor, String> {
        let strategy = self.strategy.as_ref().map(|name| name.parse::<Strategy>());
        Ok(Supervisor::from_setting(SupervisorSetting {
            name: self.name.clone(),
            strategy: strategy.transpose().map_err(|error| error.to_string())?,
            restart: self.restart.setting(),
            children: Some(self.children.clone()),
        }))
    }
}
