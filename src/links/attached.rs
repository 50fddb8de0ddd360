//! Transports that the program attaches to a node, in addition to the links of the topology: for
//! topics that it names, or as an engine, for those that the topology names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use mycelium_core::Code;
use mycelium_transports::seam::{Engine, Transport};

use crate::error::BuildError;
use crate::plan::{BoundPorts, EngineTopics, Plan};
use crate::support::names::expected_instead_of;
use crate::topology::{EngineName, Setting};

/// Creates an engine with its configuration file.
type Configure = fn(Option<&Path>) -> Box<dyn Transport>;

/// The engines that a program brings along, by their names in the topology; `None` for a program
/// that is only described.
pub(crate) struct Engines(Option<BTreeMap<&'static str, Configure>>);

impl Default for Engines {
    fn default() -> Engines {
        Engines(Some(BTreeMap::new()))
    }
}

impl Engines {
    /// Returns the engines of a program whose node is not started.
    #[cfg(feature = "describe")]
    pub(crate) fn of_others() -> Engines {
        Engines(None)
    }

    pub(crate) fn add<E: Engine>(&mut self) {
        let engines = self.0.get_or_insert_default();
        engines.insert(E::NAME, |config| Box::new(E::configured(config)));
    }

    /// Creates the engines that carry topics of a node.
    pub(crate) fn attach(&self, plan: &Plan) -> Result<Vec<Attached>, BuildError> {
        let Some(engines) = &self.0 else { return Ok(Vec::new()) };
        let attach = |(engine, topics): (&EngineName, &EngineTopics)| {
            let Some(configure) = engines.get(engine.key()) else {
                let topic = topics.sends.iter().chain(&topics.receives).next();
                let topic = topic.map(String::as_str).unwrap_or_default();
                let (key, node) = (engine.key(), &plan.node);
                let (package, name) = (engine.package(), engine.type_name());
                let problem = format!(
                    "topic `{topic}` has `transport = \"{key}\"`, but the program of node `{node}` \
                     has no {engine}: add `.engine::<mycelium_{package}::{name}>()` to its builder \
                     (package `mycelium-bus-{package}`)"
                );
                let place = plan.places.of(Setting::Transport(topic));
                return Err(BuildError::at(place, Code::TOPIC_TRANSPORT, problem));
            };
            let transport = configure(topics.config.as_deref());
            let [sends, receives] =
                [&topics.sends, &topics.receives].map(|topics| topics.iter().cloned().collect());
            Ok(Attached { transport, sends, receives })
        };
        plan.engines.iter().map(attach).collect()
    }

    /// Checks that a transport stores the topics of subscriptions that start at a time, or at a
    /// position of a stream.
    pub(crate) fn check_starts(
        &self,
        attached: &[Attached],
        services: &[(String, BoundPorts)],
    ) -> Result<(), BuildError> {
        if self.0.is_none() {
            // A program that is only described.
            return Ok(());
        }
        let is_stored = |topic: &str| {
            let mut stores = attached.iter().filter(|it| it.transport.capabilities().stores);
            stores.any(|it| it.receives.iter().any(|received| received == topic))
        };
        for (service, ports) in services {
            let mut reads = ports.reads.iter().filter(|port| port.options.start.is_of_stream());
            if let Some(port) = reads.find(|port| !is_stored(&port.topic)) {
                let problem = format!(
                    "topic `{}` is not stored, and `{service}.{}` starts at a place of a stream: let \
                     a stream store it (`transport = \"jetstream\"`)",
                    port.topic, port.key
                );
                return Err(BuildError::new(Code::TRANSPORT, problem));
            }
        }
        Ok(())
    }
}

/// A transport with its topics.
pub(crate) struct Attached {
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) sends: Vec<String>,
    pub(crate) receives: Vec<String>,
}

impl Attached {
    /// Checks that services of the node emit and read the transport's topics, and that the
    /// transport can fulfil the policies of these subscriptions.
    pub(crate) fn check(&self, services: &[(String, BoundPorts)]) -> Result<(), BuildError> {
        let emits = services.iter().flat_map(|(_, ports)| &ports.emits);
        let emits = emits.filter(|port| !port.is_request);
        self.check_topics(&self.sends, emits.map(|port| &port.topic), "emits")?;
        let reads = services.iter().flat_map(|(_, ports)| &ports.reads);
        let reads = reads.filter(|port| !port.is_request);
        self.check_topics(&self.receives, reads.map(|port| &port.topic), "reads")?;
        let capabilities = self.transport.capabilities();
        for (service, ports) in services {
            for port in
                ports.reads.iter().filter(|port| self.receives.iter().any(|it| **it == *port.topic))
            {
                let policy = port.options.policy;
                let Some(what) = capabilities.lacks(policy) else { continue };
                let key = format!("{service}.{}", port.key);
                return Err(self.refused(
                    &port.topic,
                    &format!(
                        "it cannot {what}, which the policy `{policy}` of `{key}` needs: let that \
                     subscription drop messages (`policy = \"drop-oldest\"` or `\"latest\"` in \
                     `[subscription.\"{key}\"]`), or join the nodes by a link"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Checks that each topic is in `known`, the topics of this node's services. `does` is the verb
    /// of the error text: "emits" or "reads".
    fn check_topics<'p>(
        &self,
        topics: &[String],
        known: impl Iterator<Item = &'p Arc<str>>,
        does: &str,
    ) -> Result<(), BuildError> {
        let known: BTreeSet<&str> = known.map(|topic| &**topic).collect();
        match topics.iter().find(|topic| !known.contains(topic.as_str())) {
            None => Ok(()),
            Some(topic) => {
                let known: Vec<&str> = known.into_iter().collect();
                let expected = expected_instead_of(topic, &known);
                Err(self.refused(topic, &format!("no service of this node {does} it: {expected}")))
            }
        }
    }

    fn refused(&self, topic: &str, problem: &str) -> BuildError {
        let (transport, topic) = (self.transport.name(), topic.escape_debug());
        let problem = format!(
            "topic `{topic}` over transport `{transport}` (`Builder::transport`): {problem}"
        );
        BuildError::new(Code::TRANSPORT, problem)
    }
}
