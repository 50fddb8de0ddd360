//! The settings in a description: how services are executed and supervised, and how subscriptions
//! read.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback, TaskQueue};
use mycelium_transports::local::{LatestByKey, OnStall, Policy, Schema, Start, SubscribeOptions};
use serde::{Deserialize, Serialize};

use crate::supervise::execution::{Execution, Run};

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
    /// `latest` by a field of the message.
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
    Oldest,
    Since(SystemTime),
    Position(u64),
}

impl OptionsForm {
    /// Creates the form. `schema` is the message of the subscription, if the program declares it.
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
            // Only `latest` is left; the enum is `non_exhaustive`.
            _ => PolicyForm::Latest,
        };
        let start = match options.start {
            Start::Oldest => StartForm::Oldest,
            Start::Since(time) => StartForm::Since(time),
            Start::Position(position) => StartForm::Position(position),
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
            StartForm::Oldest => Start::Oldest,
            StartForm::Since(time) => Start::Since(time),
            StartForm::Position(position) => Start::Position(position),
        };
        Ok(SubscribeOptions::new(policy, start))
    }
}

/// How a service is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecutionForm(#[serde(with = "Fields")] pub(crate) Execution);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Execution")]
struct Fields {
    #[serde(with = "RunForm")]
    run: Run,
    #[serde(with = "WaitForm")]
    wait: WaitStrategy,
    thread: Option<String>,
    #[serde(with = "ClassForm")]
    class: Class,
    #[serde(with = "FallbackForm")]
    if_refused: PlacementFallback,
    budget: u32,
    executor: Option<String>,
    #[serde(with = "QueueForm")]
    queue: TaskQueue,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Run", rename_all = "kebab-case")]
enum RunForm {
    Shared,
    Dedicated,
    Pinned(Vec<usize>),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "WaitStrategy", rename_all = "kebab-case")]
enum WaitForm {
    Spin,
    SpinThenPark(usize),
    Park,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Class", rename_all = "kebab-case")]
enum ClassForm {
    Normal,
    Fifo(u8),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PlacementFallback", rename_all = "kebab-case")]
enum FallbackForm {
    Fail,
    Warn,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TaskQueue")]
struct QueueForm {
    shares: Option<u32>,
    latency: Option<Duration>,
}

/// What happens to readers that stall; `null` for no action.
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
