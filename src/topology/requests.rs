//! What the program adds for requests between nodes, as if the file had it.

use toml::Spanned;

use super::Topology;
use super::sections::TopicSection;
use super::values::{Capacity, DeliveryName};

impl Topology {
    /// Places one more service in a node.
    pub(crate) fn place_service(&mut self, node: &str, service: &str) {
        if let Some(services) = self.sections.node.get_mut(node).and_then(|it| it.services.as_mut())
        {
            services.push(Spanned::new(0..0, service.to_owned()));
        }
    }

    /// Adds a topic that carries the requests of another one, or their answers, to `reader` alone.
    pub(crate) fn add_request_topic(&mut self, topic: &str, of: &str, reader: &str) {
        let section = TopicSection {
            capacity: Some(Capacity(self.capacity(of))),
            delivery: Some(DeliveryName { is_at_most_once: true }),
            carries_requests: true,
            readers: Some(vec![Spanned::new(0..0, reader.to_owned())]),
            ..TopicSection::default()
        };
        self.sections.topic.insert(Spanned::new(0..0, topic.to_owned()), section);
    }

    /// Whether a topic was added by [`add_request_topic`](Topology::add_request_topic).
    pub(crate) fn carries_requests(&self, topic: &str) -> bool {
        self.sections.topic.get(topic).is_some_and(|section| section.carries_requests)
    }
}
