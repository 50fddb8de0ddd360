//! The ports of a service, as the service declares them, and the topic of each port.
//!
//! `reads(Swap)` is a port on the topic of the message type. `reads(Swap as left)` is a named port:
//! the topology or the program binds it to a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mycelium_core::{Code, Message, Request};
use mycelium_transports::local::{Schema, Start, SubscribeOptions};

use crate::error::BuildError;
use crate::plan::dead_letter::DeadLetter;
use crate::support::names::expected_instead_of;
use crate::topology::{Topology, check_topic};

/// A declared subscription or publisher.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// The name of the port, or the topic of its message type.
    key: &'static str,
    has_own_topic: bool,
    is_request: bool,
    schema: Schema,
}

impl Port {
    /// Creates the port of the topic of `M`.
    #[must_use]
    pub fn of<M: Message>() -> Port {
        Port { key: M::TOPIC, has_own_topic: true, is_request: false, schema: Schema::of::<M>() }
    }

    /// Creates a port of the requests `Q`.
    #[must_use]
    pub fn of_request<Q: Request>() -> Port {
        Port { is_request: true, ..Port::of::<Q>() }
    }

    /// Creates a named port of messages `M`.
    #[must_use]
    pub fn named<M: Message>(name: &'static str) -> Port {
        Port { key: name, has_own_topic: false, is_request: false, schema: Schema::of::<M>() }
    }
}

impl Ports {
    /// Marks the ports as ports of a service that carries requests over its topics.
    pub(crate) fn carrying_requests(mut self) -> Ports {
        self.reads.iter_mut().chain(&mut self.emits).for_each(|port| port.is_request = true);
        self
    }

    /// Marks the ports of requests and answers as named ports, so that bindings set their topics.
    /// In these bindings, the name of a port is the topic of its request type.
    pub(crate) fn bound_requests(mut self) -> Ports {
        self.requests.iter_mut().chain(&mut self.answers).for_each(|port| {
            port.has_own_topic = false;
        });
        self
    }
}

impl Port {
    /// Creates a port of a service whose code this program does not have.
    pub(crate) fn described(
        key: &'static str,
        has_own_topic: bool,
        is_request: bool,
        schema: Schema,
    ) -> Port {
        Port { key, has_own_topic, is_request, schema }
    }
}

#[cfg(feature = "describe")]
impl Port {
    /// Returns the key of the port, and whether this key is the topic of its message type:
    /// otherwise it is the name of a named port.
    pub(crate) fn key(&self) -> (&'static str, bool) {
        (self.key, self.has_own_topic)
    }

    pub(crate) fn schema(&self) -> Schema {
        self.schema
    }
}

#[cfg(feature = "testing")]
impl Port {
    /// Returns the name of a named port; `None` for another port.
    pub(crate) fn name(&self) -> Option<&'static str> {
        (!self.has_own_topic).then_some(self.key)
    }
}

/// All ports of a service.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// The subscriptions of the service.
    pub reads: Vec<Port>,
    /// The publishers of the service.
    pub emits: Vec<Port>,
    /// The requests that the service makes.
    pub requests: Vec<Port>,
    /// The requests that the service answers.
    pub answers: Vec<Port>,
}

/// A port and its topic.
#[derive(Clone, Debug)]
pub(crate) struct BoundPort {
    /// The name of the port, or the topic. Unique among the subscriptions or the publishers of the
    /// service.
    pub(crate) key: &'static str,
    pub(crate) has_own_topic: bool,
    /// Whether the port carries requests or replies. Such ports are ignored in cycles of waiting
    /// services.
    pub(crate) is_request: bool,
    pub(crate) topic: Arc<str>,
    pub(crate) schema: Schema,
    /// The options of the subscription.
    pub(crate) options: SubscribeOptions,
}

impl BoundPort {
    /// Returns the port's name in counters, logs and gaps: `Service`, or `Service.port` for a named
    /// port.
    pub(crate) fn member_name(&self, service: &str) -> String {
        if self.has_own_topic { service.to_owned() } else { format!("{service}.{}", self.key) }
    }
}

/// All ports of a service and their topics.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoundPorts {
    pub(crate) reads: Box<[BoundPort]>,
    pub(crate) emits: Box<[BoundPort]>,
    pub(crate) requests: Box<[BoundPort]>,
    pub(crate) answers: Box<[BoundPort]>,
}

impl BoundPorts {
    /// Returns the ports of messages, without the ports of requests.
    pub(crate) fn all(&self) -> impl Iterator<Item = &BoundPort> {
        self.reads.iter().chain(&self.emits)
    }

    /// Returns whether the service carries requests over its topics.
    pub(crate) fn carries_requests(&self) -> bool {
        self.emits.iter().any(|port| port.is_request)
    }

    /// Returns the ports through which the service gets messages or requests.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &BoundPort> {
        self.reads.iter().chain(&self.answers)
    }

    /// Returns the ports through which the service sends messages or requests.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &BoundPort> {
        self.emits.iter().chain(&self.requests)
    }

    pub(crate) fn read(&self, topic: &str) -> bool {
        self.reads.iter().any(|port| *port.topic == *topic)
    }

    /// Returns whether messages of the service can become dead letters. False if the service reads
    /// dead letters, because it would receive its own.
    pub(crate) fn can_give_up(&self) -> bool {
        !self.reads.is_empty() && !self.read(DeadLetter::TOPIC)
    }
}

/// The bindings of named ports, and the options of subscriptions. The topology takes precedence
/// over the program.
pub(crate) struct Bindings<'a> {
    pub(crate) topology: &'a Topology,
    /// The topics that the program sets, by service and port.
    pub(crate) coded: &'a BTreeMap<(String, String), String>,
    /// Options of subscriptions, by service and port or topic.
    pub(crate) options: &'a BTreeMap<(String, String), SubscribeOptions>,
}

impl Bindings<'_> {
    /// Checks that all bindings name ports of services, and valid topics.
    pub(crate) fn check(&self, services: &[(&str, &Ports)]) -> Result<(), BuildError> {
        for (service, ports) in services {
            self.topology.check_ports(service, &names(ports))?;
        }
        let by_name: BTreeMap<&str, &Ports> = services.iter().copied().collect();
        let named = self.coded.keys().chain(self.options.keys());
        for (service, port) in named {
            if !by_name.contains_key(service.as_str()) {
                let known: Vec<&str> = services.iter().map(|(name, _)| *name).collect();
                let expected = expected_instead_of(service, &known);
                return Err(invalid(service, port, &format!("unknown service: {expected}")));
            }
        }
        for (service, port) in self.options.keys() {
            let ports = by_name.get(service.as_str());
            let reads =
                ports.into_iter().flat_map(|ports| ports.reads.iter().chain(&ports.answers));
            let reads = reads.map(|port| port.key);
            let known: Vec<&str> = reads.collect();
            if !known.contains(&port.as_str()) {
                let expected = expected_instead_of(port, &known);
                return Err(invalid(service, port, &format!("unknown subscription: {expected}")));
            }
        }
        for ((service, port), topic) in self.coded {
            let invalid = |problem: &str| Err(invalid(service, port, problem));
            let ports = by_name.get(service.as_str());
            let known: Vec<&str> = ports.into_iter().flat_map(|ports| names(ports)).collect();
            if !known.contains(&port.as_str()) {
                return match known.is_empty() {
                    true => {
                        invalid("the service declares no named port, such as `reads(Tick as port)`")
                    }
                    false => {
                        invalid(&format!("unknown port: {}", expected_instead_of(port, &known)))
                    }
                };
            }
            if let Err(problem) = check_topic(topic) {
                return invalid(&problem.text);
            }
        }
        Ok(())
    }

    /// Returns the ports of a service with their topics. Ports without a topic are left out; only a
    /// service that no node runs may have such ports.
    pub(crate) fn bind(
        &self,
        service: &str,
        ports: &Ports,
        is_placed: bool,
    ) -> Result<BoundPorts, BuildError> {
        for port in &ports.answers {
            let options = self.options(service, port)?;
            if !options.policy.is_gating() || options.start != Start::Next {
                let problem = "requests wait in a mailbox, which has a policy, `block` or `reject`, and no \
                               other key";
                return Err(invalid(service, port.key, problem));
            }
        }
        let bind = |ports: &[Port], reads: bool| {
            let mut bound: Vec<BoundPort> = Vec::with_capacity(ports.len());
            for port in ports {
                if port.has_own_topic && port.key != DeadLetter::TOPIC {
                    check_topic(port.key)?;
                }
                let options = if reads { self.options(service, port)? } else { <_>::default() };
                match self.topic(service, port) {
                    Some(topic) => bound.push(BoundPort {
                        key: port.key,
                        has_own_topic: port.has_own_topic,
                        is_request: port.is_request,
                        topic,
                        schema: port.schema,
                        options,
                    }),
                    None if is_placed => {
                        let port = port.key;
                        let problem = format!(
                            "port `{service}.{port}` is bound to no topic: write `{port} = \
                             \"topic\"` in `[service.{service}.ports]` of the topology, or call \
                             `.bind(\"{service}\", \"{port}\", \"topic\")` on the builder"
                        );
                        return Err(BuildError::new(Code::PORT_UNBOUND, problem));
                    }
                    None => {}
                }
            }
            let mut keys = BTreeSet::new();
            match bound.iter().find(|port| !keys.insert(port.key)) {
                Some(port) => {
                    let problem = "a port cannot have the name of a topic that the service \
                                   declares too: rename the port";
                    Err(invalid(service, port.key, problem))
                }
                None => Ok(bound.into_boxed_slice()),
            }
        };
        Ok(BoundPorts {
            reads: bind(&ports.reads, true)?,
            emits: bind(&ports.emits, false)?,
            requests: bind(&ports.requests, false)?,
            answers: bind(&ports.answers, true)?,
        })
    }

    fn options(&self, service: &str, port: &Port) -> Result<SubscribeOptions, BuildError> {
        let coded = self.options.get(&(service.to_owned(), port.key.to_owned()));
        let coded = coded.copied().unwrap_or_default();
        Ok(self.topology.subscription(service, port.key, &port.schema, coded)?)
    }

    fn topic(&self, service: &str, port: &Port) -> Option<Arc<str>> {
        if port.has_own_topic {
            return Some(port.key.into());
        }
        let coded = || self.coded.get(&(service.to_owned(), port.key.to_owned()));
        let topic = self.topology.port(service, port.key).or_else(|| coded().map(String::as_str));
        topic.map(Arc::from)
    }
}

fn invalid(service: &str, port: &str, problem: &str) -> BuildError {
    let (service, port) = (service.escape_debug(), port.escape_debug());
    BuildError::new(Code::PORT_BINDING, format!("port `{service}.{port}`: {problem}"))
}

/// Returns the names of the named ports.
fn names(ports: &Ports) -> Vec<&'static str> {
    let topics = ports.reads.iter().chain(&ports.emits);
    let all = topics.chain(&ports.requests).chain(&ports.answers);
    all.filter(|port| !port.has_own_topic).map(|port| port.key).collect()
}
