//! What the program adds for requests between nodes, as if the file had it.

use toml::Spanned;

use super::Topology;
use super::error::{Problem, TopologyError};
use super::sections::TopicSection;
use super::values::{Capacity, DeliveryName};

impl Topology {
    /// Checks that a topic of requests has no key that is for other topics.
    pub(crate) fn check_request_topic(&self, topic: &str) -> Result<(), TopologyError> {
        let Some((name, section)) = self.sections.topic.get_key_value(topic) else { return Ok(()) };
        let keys = [
            ("backpressure_threshold", section.backpressure_threshold.is_some()),
            ("dead_letter_after", section.dead_letter_after.is_some()),
            ("delivery", section.delivery.is_some()),
            ("on_stall", section.on_stall.is_some()),
        ];
        match keys.into_iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => {
                let problem = Problem::NotOfRequests { topic: topic.to_owned(), key };
                Err(self.file.error(name.span(), problem))
            }
            None => Ok(()),
        }
    }

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
