//! The services of listeners for clients of the original system. They are added when a node is
//! built, from the `legacy` sections of the topology.

use std::collections::BTreeMap;
use std::sync::Arc;

use mycelium_core::Message;
use mycelium_transports::local::Schema;

use crate::error::BuildError;
use crate::node::legacy::LegacyCodec;
use crate::node::legacy::hub::{Hub, ListenerGuard, OutgoingGuard};
use crate::node::legacy::intake;
use crate::node::legacy::listener::Listener;
use crate::node::legacy::services::{Incoming, Origins, Outgoing};
use crate::node::prepare::Registered;
use crate::plan::BoundPorts;
#[cfg(feature = "describe")]
use crate::plan::{Port, Ports};
use crate::service::port::HasPorts;
use crate::topology::{LegacyType, ListenerConfig, Topology};

/// The codecs (payloads in the original system) of the program's message types.
#[derive(Default)]
pub(crate) struct LegacyCodecs(Vec<Box<dyn AnyCodec>>);

/// A codec of any message type.
trait AnyCodec: Send {
    fn schema(&self) -> Schema;

    /// Adds to the hub an intake for the messages of clients, and returns the factory of the
    /// service that publishes these messages.
    fn incoming(
        &self,
        hub: &mut Hub,
        of: &LegacyType,
        origins: &Option<Arc<Origins>>,
    ) -> MakeService;

    fn outgoing(&self, of: &LegacyType, origins: &Option<Arc<Origins>>) -> MakeService;
}

/// Stands in for a codec of another process: its services are planned and never run.
#[cfg(feature = "describe")]
struct DescribedCodec(Schema);

#[cfg(feature = "describe")]
impl DescribedCodec {
    /// Creates a service with these ports.
    fn service(ports: Ports) -> MakeService {
        Box::new(|name, _| Registered::described(name, ports, false))
    }

    fn port(&self) -> Vec<Port> {
        vec![Port::described("topic", false, false, self.0)]
    }
}

#[cfg(feature = "describe")]
impl AnyCodec for DescribedCodec {
    fn schema(&self) -> Schema {
        self.0
    }

    fn incoming(&self, _: &mut Hub, _: &LegacyType, _: &Option<Arc<Origins>>) -> MakeService {
        DescribedCodec::service(Ports { emits: self.port(), ..Ports::default() })
    }

    fn outgoing(&self, _: &LegacyType, _: &Option<Arc<Origins>>) -> MakeService {
        DescribedCodec::service(Ports { reads: self.port(), ..Ports::default() })
    }
}

/// Creates a service with this name for a hub.
type MakeService = Box<dyn FnOnce(&str, &Arc<Hub>) -> Registered>;

impl<M: Message> AnyCodec for Arc<LegacyCodec<M>> {
    fn schema(&self) -> Schema {
        Schema::of::<M>()
    }

    fn incoming(
        &self,
        hub: &mut Hub,
        of: &LegacyType,
        origins: &Option<Arc<Origins>>,
    ) -> MakeService {
        let (intakes, receiver) = intake::channel(self);
        hub.add_intake(of.id, intakes);
        let origins = origins.clone();
        Box::new(move |name, hub| {
            let hub = hub.clone();
            Registered::new(name, Incoming::<M>::ports(), move || Incoming {
                hub: hub.clone(),
                receiver: receiver.try_clone().expect("the list of receivers grows"),
                origins: origins.clone(),
            })
        })
    }

    fn outgoing(&self, of: &LegacyType, origins: &Option<Arc<Origins>>) -> MakeService {
        let (codec, origins, type_id) = (self.clone(), origins.clone(), of.id);
        Box::new(move |name, hub| {
            // The factory keeps the guard, so that it is dropped after the last run of the service.
            let guard = OutgoingGuard(hub.clone());
            Registered::new(name, Outgoing::<M>::ports(), move || Outgoing {
                hub: guard.0.clone(),
                type_id,
                codec: codec.clone(),
                origins: origins.clone(),
            })
        })
    }
}

/// A service to add, and the topic of its port, if it has a port.
pub(crate) struct LegacyService {
    pub(crate) service: Registered,
    pub(crate) topic: Option<String>,
}

impl LegacyCodecs {
    /// Adds the codec of one type. It replaces an earlier one.
    pub(crate) fn add<M: Message>(&mut self, codec: LegacyCodec<M>) {
        self.0.retain(|other| other.schema() != Schema::of::<M>());
        self.0.push(Box::new(Arc::new(codec)));
    }

    /// Adds the codec of a message type of another process, which is planned and never runs.
    #[cfg(feature = "describe")]
    pub(crate) fn add_described(&mut self, schema: Schema) {
        self.0.push(Box::new(DescribedCodec(schema)));
    }

    /// Returns the messages that have a codec.
    #[cfg(feature = "describe")]
    pub(crate) fn schemas(&self) -> impl Iterator<Item = Schema> {
        self.0.iter().map(|codec| codec.schema())
    }

    /// Creates the services of all listeners, and returns them with the hubs of the listeners of
    /// `node`. Places the services in the topology. `bound` are the ports of all services of the
    /// program.
    pub(crate) fn services(
        &self,
        node: &str,
        topology: &mut Topology,
        bound: &[(String, BoundPorts)],
    ) -> Result<(Vec<LegacyService>, Vec<Arc<Hub>>), BuildError> {
        let ports = bound.iter().flat_map(|(_, ports)| ports.all());
        let topics: BTreeMap<&str, Schema> =
            ports.map(|port| (&*port.topic, port.schema)).collect();
        let (mut services, mut hubs) = (Vec::new(), Vec::new());
        topology.check_legacy_addresses(node)?;
        for config in topology.legacy_listeners() {
            let is_own = config.node.as_deref().is_none_or(|there| there == node);
            let there = config.node.clone().unwrap_or_else(|| node.to_owned());
            // A node without a list runs all services of the program itself, including the services
            // of its listeners, so this node does not add them.
            if !is_own && !topology.lists_services(&there) {
                continue;
            }
            let (hub, added) = self.listener(config, topology, &topics)?;
            for added in &added {
                topology.place_service(&there, &added.service.name);
            }
            services.extend(added);
            hubs.extend(is_own.then_some(hub));
        }
        Ok((services, hubs))
    }

    /// Creates the services of one listener.
    fn listener(
        &self,
        config: ListenerConfig,
        topology: &Topology,
        topics: &BTreeMap<&str, Schema>,
    ) -> Result<(Arc<Hub>, Vec<LegacyService>), BuildError> {
        let listener = config.name.clone();
        let mut hub = Hub::new(config.clone());
        let mut made = Vec::new();
        for of in &config.types {
            let Some(schema) = topics.get(&*of.topic) else {
                let known: Vec<&str> = topics.keys().copied().collect();
                return Err(topology.unknown_legacy_topic(&listener, of, &known).into());
            };
            let Some(codec) = self.0.iter().find(|codec| codec.schema() == *schema) else {
                return Err(topology.no_legacy_codec(&listener, of, schema.name()).into());
            };
            let origins = match is_returned(&config, &of.topic) {
                true => Some(origins_of(&made, &of.topic)),
                false => None,
            };
            if of.from_clients {
                let make = codec.incoming(&mut hub, of, &origins);
                let topic = of.topic.clone();
                made.push(Made { kind: "in", topic, make, origins: origins.clone() });
            }
            if of.to_clients {
                let make = codec.outgoing(of, &origins);
                made.push(Made { kind: "out", topic: of.topic.clone(), make, origins });
            }
        }
        let hub = Arc::new(hub);
        let services = made.into_iter().map(|Made { kind, topic, make, .. }| {
            let service = make(&format!("legacy:{listener}:{kind}:{topic}"), &hub);
            LegacyService { service, topic: Some(topic) }
        });
        let mut services: Vec<LegacyService> = services.collect();
        let guard = ListenerGuard(hub.clone());
        let name = format!("legacy:{listener}");
        let service =
            Registered::new(&name, Listener::ports(), move || Listener { hub: guard.0.clone() });
        services.push(LegacyService { service, topic: None });
        Ok((hub, services))
    }
}

/// A service to create for one type, before the hub is shared.
struct Made {
    kind: &'static str,
    topic: String,
    make: MakeService,
    origins: Option<Arc<Origins>>,
}

/// Returns whether clients both send and receive a topic. If so, the services of both directions
/// share the table of which client sent each message.
fn is_returned(config: &ListenerConfig, topic: &str) -> bool {
    let mut types = config.types.iter().filter(|of| of.topic == topic);
    types.clone().any(|of| of.from_clients) && types.any(|of| of.to_clients)
}

/// Returns the origins of a topic's messages: the table of the service in `made` that has this
/// topic, or a new table. Both services of a topic share one table.
fn origins_of(made: &[Made], topic: &str) -> Arc<Origins> {
    let other = made.iter().find(|made| made.topic == topic);
    other.and_then(|made| made.origins.clone()).unwrap_or_default()
}
