//! The services that carry requests between nodes. They are added when a node is built, from what
//! the services declare and where the topology places them.

use std::collections::{BTreeMap, BTreeSet};

use mycelium_core::Request;

use super::builder::Builder;
use crate::error::BuildError;
use crate::plan::BoundPorts;
use crate::port::RequestVisitor;
use crate::remote::{Client, Server, services, topics};
use crate::topology::check_topic;

/// Makes the two services of one request type.
#[derive(Clone, Copy)]
pub(super) struct RequestLink {
    /// Name, node that answers, capacity of the topic.
    client: fn(Builder, &str, &str, usize) -> Builder,
    /// Name, capacity of the topic.
    server: fn(Builder, &str, usize) -> Builder,
}

/// Those of all request types that services declare, by topic.
#[derive(Default)]
pub(super) struct RequestLinks(BTreeMap<&'static str, RequestLink>);

impl RequestVisitor for RequestLinks {
    fn visit<Q: Request>(&mut self) {
        self.0.entry(Q::TOPIC).or_insert(RequestLink {
            client: |builder, name, peer, capacity| {
                let peer = peer.to_owned();
                builder.request_service(name, move || Client::<Q>::new(&peer, capacity))
            },
            server: |builder, name, capacity| {
                builder.request_service(name, move || Server::<Q>::new(capacity))
            },
        });
    }
}

impl Builder {
    /// Adds the services for all requests that are answered in another node than they are made in.
    /// `bound` are the ports of all services.
    pub(super) fn link_requests(
        mut self,
        bound: &[(String, BoundPorts)],
    ) -> Result<Builder, BuildError> {
        let ports: BTreeMap<&str, &BoundPorts> =
            bound.iter().map(|(name, ports)| (name.as_str(), ports)).collect();
        let places: Vec<(String, Vec<String>)> = self.topology.places().map(owned).collect();
        for (topic, link) in std::mem::take(&mut self.request_links.0) {
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
                let (first, second) = (there.to_owned(), second.to_owned());
                return Err(BuildError::Responders { topic: topic.to_owned(), first, second });
            }
            self.topology.check_access(there, "reads", topic)?;
            let capacity = self.topology.capacity(topic);
            for node in requesting.into_iter().filter(|node| *node != there) {
                self.topology.check_access(node, "writes", topic)?;
                self = self.link_requests_of(topic, node, there, capacity, link)?;
            }
        }
        Ok(self)
    }

    /// Adds the services for the requests of `topic` that are made in `node` and answered in
    /// `there`.
    fn link_requests_of(
        mut self,
        topic: &str,
        node: &str,
        there: &str,
        capacity: usize,
        link: RequestLink,
    ) -> Result<Builder, BuildError> {
        let (calls, answers) = topics(topic, node);
        for topic in [&calls, &answers] {
            check_topic(topic).map_err(|problem| BuildError::TopicName { problem })?;
        }
        let (client, server) = services(topic, node);
        self.topology.place_service(node, &client);
        self.topology.place_service(there, &server);
        self.topology.add_request_topic(&calls, topic, there);
        self.topology.add_request_topic(&answers, topic, node);
        let builder = (link.client)(self, &client, there, capacity)
            .bind(&client, "calls", &calls)
            .bind(&client, "answers", &answers);
        let builder = (link.server)(builder, &server, capacity)
            .bind(&server, "calls", &calls)
            .bind(&server, "answers", &answers);
        Ok(builder)
    }
}

fn owned((node, services): (&str, Vec<&str>)) -> (String, Vec<String>) {
    (node.to_owned(), services.into_iter().map(str::to_owned).collect())
}
