//! The JSON format of a description. Unknown keys are ignored: a program of a later version may
//! write more keys.

use std::collections::BTreeMap;
use std::time::Duration;

use mycelium_transports::local::Schema;
use serde::{Deserialize, Serialize};

use super::message::{MessageForm, check_name, kept};
use super::values::{ExecutionForm, OptionsForm, StallForm};
use crate::plan::{Port, Ports};
use crate::supervise::{ServiceSetting, SupervisorSetting};

/// The version number only, without the other keys.
#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) mycelium_description: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DescriptionForm {
    pub(crate) mycelium_description: u32,
    /// The version of the library.
    pub(crate) library: String,
    /// The name of the node that the program would run.
    pub(crate) node: String,
    /// The features of the library that the program has, among those that a topology may need.
    pub(crate) features: Vec<String>,
    /// Whether a panic ends the process of the program.
    pub(crate) panics_abort: bool,
    /// The message types. Ports refer to them by their index in this list.
    pub(crate) messages: Vec<MessageForm>,
    pub(crate) services: Vec<ServiceForm>,
    pub(crate) requests: Vec<RequestForm>,
    pub(crate) bindings: Vec<BindingForm>,
    pub(crate) subscriptions: Vec<SubscriptionForm>,
    pub(crate) executions: BTreeMap<String, ExecutionForm>,
    pub(crate) executors: Vec<ExecutorForm>,
    pub(crate) supervisors: Vec<SupervisorSetting>,
    pub(crate) supervised: BTreeMap<String, ServiceSetting>,
    /// The builder methods that named services, each with the service.
    pub(crate) supervised_by: Vec<(String, String)>,
    pub(crate) thresholds: BTreeMap<String, u32>,
    pub(crate) on_stall: BTreeMap<String, StallForm>,
    pub(crate) latency_samples: BTreeMap<String, f64>,
    pub(crate) traces: TracesForm,
    pub(crate) fast_handlers: Vec<HandlerForm>,
    /// The indices of the messages with a codec of the original system.
    pub(crate) legacy: Vec<usize>,
    pub(crate) watchdog: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceForm {
    pub(crate) name: String,
    /// Whether the service must stay on one thread.
    pub(crate) is_local: bool,
    pub(crate) reads: Vec<PortForm>,
    pub(crate) emits: Vec<PortForm>,
    pub(crate) requests: Vec<PortForm>,
    pub(crate) answers: Vec<PortForm>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortForm {
    /// The name of the port, or the topic of its message type.
    pub(crate) key: String,
    /// Whether the port is a named port.
    pub(crate) is_named: bool,
    pub(crate) message: usize,
}

/// A request type, with the messages that carry it over links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestForm {
    pub(crate) topic: String,
    pub(crate) request: usize,
    pub(crate) call: usize,
    pub(crate) answer: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BindingForm {
    pub(crate) service: String,
    pub(crate) port: String,
    pub(crate) topic: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriptionForm {
    pub(crate) service: String,
    pub(crate) key: String,
    pub(crate) options: OptionsForm,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecutorForm {
    pub(crate) name: String,
    /// The kind of the executor, such as `tokio`.
    pub(crate) kind: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TracesForm {
    pub(crate) share: Option<f64>,
    /// Whether the program has a sink for spans, or sends them to a collector.
    pub(crate) are_recorded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandlerForm {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) message: usize,
}

impl DescriptionForm {
    /// Checks everything that a builder from this description relies on. Returns the messages of
    /// the description.
    pub(super) fn check(&self) -> Result<Vec<Schema>, String> {
        let schemas = self.messages.iter().map(MessageForm::schema);
        let schemas = schemas.collect::<Result<Vec<_>, _>>()?;
        for service in &self.services {
            check_name(&service.name)?;
            service.ports(&schemas)?;
        }
        let requests = self.requests.iter().flat_map(|it| [it.request, it.call, it.answer]);
        let handlers = self.fast_handlers.iter().map(|handler| handler.message);
        for message in requests.chain(handlers).chain(self.legacy.iter().copied()) {
            schema(&schemas, message)?;
        }
        self.requests.iter().try_for_each(|request| check_name(&request.topic))?;
        for subscription in &self.subscriptions {
            let schema = self.schema_of(&schemas, &subscription.service, &subscription.key);
            let of = |problem| {
                let (service, key) = (&subscription.service, &subscription.key);
                format!("subscription `{service}.{key}`: {problem}")
            };
            subscription.options.options(schema).map_err(of)?;
        }
        Ok(schemas)
    }

    /// Returns the message of a subscription.
    pub(crate) fn schema_of<'a>(
        &self,
        schemas: &'a [Schema],
        service: &str,
        key: &str,
    ) -> Option<&'a Schema> {
        let service = self.services.iter().find(|it| it.name == service)?;
        let port = service.reads.iter().chain(&service.answers).find(|port| port.key == key)?;
        schemas.get(port.message)
    }
}

impl ServiceForm {
    /// Returns the ports of the service; `schemas` has their messages.
    pub(crate) fn ports(&self, schemas: &[Schema]) -> Result<Ports, String> {
        let of = |problem| format!("service `{}`: {problem}", self.name.escape_debug());
        let ports = |forms: &[PortForm], is_request: bool| {
            let ports = forms.iter().map(|form| {
                let key = kept(&form.key)?;
                let schema = *schema(schemas, form.message)?;
                Ok(Port::described(key, !form.is_named, is_request, schema))
            });
            ports.collect::<Result<Vec<_>, String>>().map_err(of)
        };
        Ok(Ports {
            reads: ports(&self.reads, false)?,
            emits: ports(&self.emits, false)?,
            requests: ports(&self.requests, true)?,
            answers: ports(&self.answers, true)?,
        })
    }
}

/// Returns the message at this index.
pub(crate) fn schema(schemas: &[Schema], place: usize) -> Result<&Schema, String> {
    schemas.get(place).ok_or_else(|| {
        format!("no message has number {place}: expected less than {}", schemas.len())
    })
}
