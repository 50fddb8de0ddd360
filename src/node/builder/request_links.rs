//! The services that carry requests between nodes. They are added when a node is built, from the
//! services' declarations and their places in the topology.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mycelium_core::{Code, Request};
#[cfg(feature = "describe")]
use mycelium_transports::local::Schema;

#[cfg(feature = "actors")]
use crate::actor::{ActorCall, WatchCall, calls_topic, watches_topic};
use crate::error::BuildError;
use crate::links::Peers;
use crate::node::prepare::Registered;
#[cfg(feature = "actors")]
use crate::node::remote::ActorDesk;
use crate::node::remote::{Client, OtherNode, Server, services, topics};
use crate::plan::BoundPorts;
#[cfg(feature = "describe")]
use crate::plan::{Port, Ports};
use crate::service::port::RequestVisitor;
use crate::topology::{Setting, Topology, check_topic};

/// The two services that carry the requests of one type, with their factories.
#[derive(Clone, Copy)]
struct RequestLink {
    /// The topic of the request type. If a service carries requests of another topic, its ports are
    /// bound to that topic.
    own_topic: &'static str,
    services: LinkServices,
}

#[derive(Clone, Copy)]
enum LinkServices {
    Typed {
        /// Creates the client from its name and the answering node.
        client: fn(&str, OtherNode) -> Registered,
        /// Creates the server from its name and the requesting node.
        server: fn(&str, OtherNode) -> Registered,
    },
    /// The messages of a request type of another process: its services are planned and never run.
    #[cfg(feature = "describe")]
    Described(RequestMessages),
}

/// A request type, and the messages that carry it.
#[cfg(feature = "describe")]
#[derive(Clone, Copy)]
pub(crate) struct RequestMessages {
    pub(crate) request: Schema,
    pub(crate) call: Schema,
    pub(crate) answer: Schema,
}

#[cfg(feature = "describe")]
impl RequestMessages {
    /// Returns the ports of calls, of answers, and of the requests of this topic.
    fn ports(&self, topic: &'static str) -> [Vec<Port>; 3] {
        let carrier = |name, message| vec![Port::described(name, false, true, message)];
        let requests = vec![Port::described(topic, true, true, self.request)];
        [carrier("calls", self.call), carrier("answers", self.answer), requests]
    }
}

/// The request links of all declared request types.
#[derive(Default)]
pub(crate) struct RequestLinks {
    by_topic: BTreeMap<&'static str, RequestLink>,
    /// The connections of the node with other nodes.
    pub(super) peers: Arc<Peers>,
}

impl RequestVisitor for RequestLinks {
    fn visit<Q: Request>(&mut self) {
        self.by_topic.entry(Q::TOPIC).or_insert(RequestLink::of::<Q>());
    }
}

/// A service to add, and the topics of its ports.
pub(crate) struct AddedService {
    pub(crate) service: Registered,
    pub(crate) bindings: Vec<(&'static str, String)>,
}

#[cfg(feature = "describe")]
impl RequestLinks {
    /// Adds a request type of another process.
    pub(crate) fn add_described(&mut self, topic: &'static str, messages: RequestMessages) {
        let services = LinkServices::Described(messages);
        self.by_topic.entry(topic).or_insert(RequestLink { own_topic: topic, services });
    }

    /// Returns the topic and the messages of each request type.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, RequestMessages)> {
        self.by_topic.iter().filter_map(|(topic, link)| {
            let other = OtherNode {
                name: String::new(),
                topic: String::new(),
                capacity: 2,
                peers: self.peers.clone(),
            };
            let client = link.client("client", other).ports;
            let schema = |ports: &[Port]| Some(ports.first()?.schema());
            let request = schema(&client.answers)?;
            let (call, answer) = (schema(&client.emits)?, schema(&client.reads)?);
            Some((*topic, RequestMessages { request, call, answer }))
        })
    }
}

impl RequestLinks {
    /// Creates the services for all requests that one node makes and another node answers, also to
    /// actors, and places them in the topology. `bound` are the ports of all services.
    pub(crate) fn services(
        &self,
        topology: &mut Topology,
        bound: &[(String, BoundPorts)],
    ) -> Result<Vec<AddedService>, BuildError> {
        let ports: BTreeMap<&str, &BoundPorts> =
            bound.iter().map(|(name, ports)| (name.as_str(), ports)).collect();
        let places: Vec<(String, Vec<String>)> = topology.placements().map(owned).collect();
        let mut added = Vec::new();
        for (&topic, link) in &self.by_topic {
            let nodes_with = |has: fn(&BoundPorts, &str) -> bool| -> BTreeSet<&str> {
                let has = |name: &String| ports.get(name.as_str()).is_some_and(|it| has(it, topic));
                let nodes = places.iter().filter(|(_, services)| services.iter().any(has));
                nodes.map(|(node, _)| node.as_str()).collect()
            };
            let answering =
                nodes_with(|ports, topic| ports.answers.iter().any(|port| *port.topic == *topic));
            let requesting =
                nodes_with(|ports, topic| ports.requests.iter().any(|port| *port.topic == *topic));
            let mut answering = answering.into_iter();
            let Some(there) = answering.next() else { continue };
            if let Some(second) = answering.next() {
                let answers = |name: &&String| {
                    let ports = ports.get(name.as_str());
                    ports.is_some_and(|it| it.answers.iter().any(|port| *port.topic == *topic))
                };
                let listed = places.iter().filter(|(node, _)| node == second);
                let service = listed.flat_map(|(_, services)| services).find(answers);
                let place = service.and_then(|it| topology.place_of(Setting::Service(it)));
                let problem = format!(
                    "requests of topic `{topic}` are answered in node `{there}` and in node \
                     `{second}`: place all services with `answers(..)` of this topic in one node"
                );
                return Err(BuildError::at(place, Code::RESPONDERS, problem));
            }
            topology.check_access(there, "reads", topic)?;
            for node in requesting.into_iter().filter(|node| *node != there) {
                topology.check_access(node, "writes", topic)?;
                added.extend(self.pair(link, topology, topic, [node, there], false)?);
            }
        }
        #[cfg(feature = "actors")]
        added.extend(self.actor_services(topology)?);
        Ok(added)
    }

    /// Creates the services that carry requests to actors of other nodes, as the topology requests,
    /// and places these services in the topology.
    #[cfg(feature = "actors")]
    fn actor_services(&self, topology: &mut Topology) -> Result<Vec<AddedService>, BuildError> {
        let askers = topology.actor_askers().map(owned).collect::<Vec<_>>();
        let links = [RequestLink::of::<ActorCall>(), RequestLink::of::<WatchCall>()];
        let mut added = Vec::new();
        for (there, nodes) in askers.iter().filter(|(_, nodes)| !nodes.is_empty()) {
            let topics = [calls_topic(there), watches_topic(there)];
            for (link, topic) in links.iter().zip(&topics) {
                topology.check_access(there, "reads", topic)?;
                for node in nodes {
                    topology.check_access(node, "writes", topic)?;
                    added.extend(self.pair(link, topology, topic, [node, there], true)?);
                }
            }
            let name = format!("actors:{there}");
            let mut service = Registered::carrying_requests(&name, ActorDesk::default);
            service.ports = service.ports.bound_requests();
            topology.place_service(there, &name);
            let bindings = links.iter().map(|link| link.own_topic).zip(topics).collect();
            added.push(AddedService { service, bindings });
        }
        Ok(added)
    }

    /// Creates the services for the requests of `topic` that `node` makes and `there` answers.
    fn pair(
        &self,
        link: &RequestLink,
        topology: &mut Topology,
        topic: &str,
        [node, there]: [&str; 2],
        is_of_actors: bool,
    ) -> Result<[AddedService; 2], BuildError> {
        let (calls, answers) = topics(topic, node);
        for topic in [&calls, &answers] {
            check_topic(topic)?;
        }
        let ((client, server), capacity) = (services(topic, node), topology.capacity(topic));
        topology.place_service(node, &client);
        topology.place_service(there, &server);
        topology.add_request_topic(&calls, topic, there, is_of_actors);
        topology.add_request_topic(&answers, topic, node, is_of_actors);
        let other = |name: &str, topic: &String| {
            let (name, topic, peers) = (name.to_owned(), topic.clone(), self.peers.clone());
            OtherNode { name, topic, capacity, peers }
        };
        let services = [
            link.client(&client, other(there, &answers)),
            link.server(&server, other(node, &calls)),
        ];
        Ok(services.map(|mut service| {
            let mut bindings = vec![("calls", calls.clone()), ("answers", answers.clone())];
            if topic != link.own_topic {
                service.ports = service.ports.bound_requests();
                bindings.push((link.own_topic, topic.to_owned()));
            }
            AddedService { service, bindings }
        }))
    }
}

impl RequestLink {
    fn of<Q: Request>() -> RequestLink {
        RequestLink {
            own_topic: Q::TOPIC,
            services: LinkServices::Typed {
                client: |name, other| {
                    Registered::carrying_requests(name, move || Client::<Q>::new(other.clone()))
                },
                server: |name, other| {
                    Registered::carrying_requests(name, move || Server::<Q>::new(other.clone()))
                },
            },
        }
    }

    /// Creates the client with this name; `other` is the answering node.
    fn client(&self, name: &str, other: OtherNode) -> Registered {
        match self.services {
            LinkServices::Typed { client, .. } => client(name, other),
            #[cfg(feature = "describe")]
            LinkServices::Described(messages) => {
                let [calls, answers, answers_own] = messages.ports(self.own_topic);
                let ports = Ports {
                    reads: answers,
                    emits: calls,
                    answers: answers_own,
                    ..Ports::default()
                };
                Registered::described(name, ports, false)
            }
        }
    }

    /// Creates the server with this name; `other` is the requesting node.
    fn server(&self, name: &str, other: OtherNode) -> Registered {
        match self.services {
            LinkServices::Typed { server, .. } => server(name, other),
            #[cfg(feature = "describe")]
            LinkServices::Described(messages) => {
                let [calls, answers, requests] = messages.ports(self.own_topic);
                let ports = Ports { reads: calls, emits: answers, requests, ..Ports::default() };
                Registered::described(name, ports, false)
            }
        }
    }
}

fn owned((node, services): (&str, Vec<&str>)) -> (String, Vec<String>) {
    (node.to_owned(), services.into_iter().map(str::to_owned).collect())
}
