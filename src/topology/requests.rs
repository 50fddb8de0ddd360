//! The topics and services that the program adds for requests between nodes, in the same form as
//! the topics and services of the file.

use mycelium_core::Code;
use serde_spanned::Spanned;

use super::Topology;
use super::error::{Problem, TopologyError};
use crate::topology::keys::sections::TopicSection;
use crate::topology::keys::values::{Capacity, Delivery, Text};

impl Topology {
    /// Checks that a topic of requests has no key that has an effect only on messages.
    pub(crate) fn check_request_topic(&self, topic: &str) -> Result<(), TopologyError> {
        let Some(section) = self.sections.topic.get(topic) else { return Ok(()) };
        let keys = [
            ("arena", section.arena.as_ref().map(Spanned::span)),
            ("backpressure_threshold", section.backpressure_threshold.as_ref().map(Spanned::span)),
            ("dead_letter_after", section.dead_letter_after.as_ref().map(Spanned::span)),
            ("delivery", section.delivery.as_ref().map(Spanned::span)),
            ("latency_sample", section.latency_sample.as_ref().map(Spanned::span)),
            ("on_stall", section.on_stall.as_ref().map(Spanned::span)),
            ("retain", section.retain.as_ref().map(Spanned::span)),
            ("work_queue", section.work_queue.as_ref().map(Spanned::span)),
        ];
        match keys.into_iter().find_map(|(key, place)| Some((key, place?))) {
            Some((key, place)) => {
                let text = format!(
                    "topic `{topic}` carries requests, on which `{key}` has no effect: remove the \
                     key"
                );
                Err(self.file.error(place, Problem::new(Code::NOT_OF_REQUESTS, text)))
            }
            None => Ok(()),
        }
    }

    /// Places an additional service in a node.
    pub(crate) fn place_service(&mut self, node: &str, service: &str) {
        if let Some(services) = self.sections.node.get_mut(node).and_then(|it| it.services.as_mut())
        {
            services.push(Spanned::new(0..0, service.to_owned()));
        }
    }

    /// Adds a topic that carries the requests of another topic, or their answers, to `reader` only.
    pub(crate) fn add_request_topic(
        &mut self,
        topic: &str,
        of: &str,
        reader: &str,
        is_of_actors: bool,
    ) {
        let section = TopicSection {
            capacity: Some(Spanned::new(0..0, Capacity(self.capacity(of)))),
            delivery: Some(Spanned::new(0..0, Text(Delivery { is_at_most_once: true }))),
            carries_requests: true,
            transport: self.sections.topic.get(of).and_then(|section| section.transport.clone()),
            readers: Some(vec![Spanned::new(0..0, reader.to_owned())]),
            is_of_actors,
            ..TopicSection::default()
        };
        self.sections.topic.insert(Spanned::new(0..0, topic.to_owned()), section);
    }

    /// Returns whether a topic was added by [`add_request_topic`](Topology::add_request_topic).
    pub(crate) fn carries_requests(&self, topic: &str) -> bool {
        self.sections.topic.get(topic).is_some_and(|section| section.carries_requests)
    }
}
