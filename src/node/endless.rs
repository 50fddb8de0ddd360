//! The subscriptions that the node itself must end at a shutdown, because they may not see the end
//! of their publishers.
//!
//! Most subscriptions end when all their publishers have ended. The node ends two kinds itself:
//!
//! 1. A subscription that drops messages and closes a cycle of services. It ends after the messages
//!    that were sent before the services outside the cycle had ended. Then the other services of
//!    the cycle see the end of their publishers, one after the other.
//! 2. A subscription without a publisher, or with one outside the services. It ends when the
//!    services that emit to its topic have ended and it is empty.
//!
//! Each ended service is handled once, so the time of a shutdown is linear in the number of
//! services.

use std::collections::{BTreeMap, BTreeSet};

use mycelium_core::Message;
use mycelium_transports::local::Finisher;

use crate::inbox::ending::Ending;
use crate::plan::dead_letter::DeadLetter;
use crate::shared::ServiceNode;

/// The subscriptions of a node that the node must end.
pub(super) struct Endless<'a> {
    node: &'a ServiceNode,
    /// The subscriptions of each topic, and how many of its publishing services have not ended.
    topics: BTreeMap<&'a str, (Vec<&'a Ending>, usize)>,
    /// For each cycle of services: the subscriptions that lie on it, and how many services outside
    /// the cycle that send into it have not ended.
    circles: Vec<(Vec<&'a Ending>, usize)>,
    /// The indices of the cycles that come after each service.
    circles_after: BTreeMap<&'a str, Vec<usize>>,
    /// How many ended services were handled.
    ended: usize,
    /// How many topics had a publisher outside the services at the last check. `None` before the
    /// first check.
    from_outside: Option<usize>,
}

impl<'a> Endless<'a> {
    /// Creates the set. `subscriptions` are all subscriptions of the node: service, topic, and the
    /// handle that ends it.
    pub(super) fn new(
        node: &'a ServiceNode,
        subscriptions: impl Iterator<Item = (&'a str, &'a str, &'a Ending)>,
    ) -> Endless<'a> {
        let feedback = &node.plan.feedback;
        let before = feedback.before();
        let mut circles: Vec<_> =
            before.iter().map(|services| (Vec::new(), services.len())).collect();
        let mut circles_after = BTreeMap::<&str, Vec<usize>>::new();
        for (circle, services) in before.iter().enumerate() {
            for service in services {
                circles_after.entry(service).or_default().push(circle);
            }
        }
        let mut topics = BTreeMap::new();
        // Leaves out the subscriptions to dead letters, which `end_dead_letters` ends.
        for (service, topic, ending) in subscriptions.filter(|it| *it.1 != *DeadLetter::TOPIC) {
            match feedback.circle(service, topic) {
                Some(circle) if ending.can_end_first() => circles[circle].0.push(ending),
                _ => {
                    let publishers = || (Vec::new(), node.plan.publishers(topic).count());
                    topics.entry(topic).or_insert_with(publishers).0.push(ending);
                }
            }
        }
        Endless { node, topics, circles, circles_after, ended: 0, from_outside: None }
    }

    /// Ends the subscriptions for which all services that send to their topic, or into their cycle,
    /// have ended.
    pub(super) fn finish(&mut self) {
        let is_first = self.from_outside.is_none();
        if is_first {
            self.circles.iter().filter(|circle| circle.1 == 0).for_each(finish_circle);
        }
        let ended = self.node.services.ended_from(self.ended);
        self.ended += ended.len();
        let mut due = BTreeSet::new();
        for service in &ended {
            for topic in self.node.plan.emitted_by(service) {
                let Some((_, left)) = self.topics.get_mut(topic) else { continue };
                *left -= 1;
                due.extend((*left == 0).then_some(topic));
            }
            for circle in self.circles_after.get(&**service).into_iter().flatten() {
                self.circles[*circle].1 -= 1;
                if self.circles[*circle].1 == 0 {
                    finish_circle(&self.circles[*circle]);
                }
            }
        }
        // A publisher outside the services may have joined a topic whose services have ended.
        let from_outside = self.node.topics.outside_publishers();
        if self.from_outside.replace(from_outside) != Some(from_outside) {
            let all_ended = self.topics.iter().filter(|(_, (_, left))| *left == 0);
            due.extend(all_ended.map(|(topic, _)| *topic));
        }
        for topic in due.into_iter().filter(|topic| self.has_no_end(topic)) {
            self.topics[topic]
                .0
                .iter()
                .for_each(|ending| ending.finish(Finisher::finish_when_empty));
        }
    }

    /// Returns whether the subscriptions of a topic do not end by themselves when the services that
    /// emit to the topic have ended.
    fn has_no_end(&self, topic: &str) -> bool {
        let plan = &self.node.plan;
        plan.topics.get(topic).is_none_or(|planned| planned.publishers == 0)
            || plan.peer_topics.writes(topic)
            || self.node.topics.has_outside_publisher(topic)
    }
}

fn finish_circle((endings, _): &(Vec<&Ending>, usize)) {
    endings.iter().for_each(|ending| ending.finish(Finisher::finish_after_sent));
}
