//! The flow of messages between services, and the circles in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ports::BoundPorts;
use crate::error::BuildError;

/// Messages of `topic` flow from one service to another.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) from: String,
    pub(super) topic: Arc<str>,
    pub(super) to: String,
    /// The key of the subscription.
    key: &'static str,
    is_gating: bool,
}

pub(super) fn flows(services: &[(String, BoundPorts)]) -> Vec<Flow> {
    let mut flows = Vec::new();
    for (from, emitter) in services {
        for port in &emitter.emits {
            for (to, reader) in services {
                for read in reader.reads.iter().filter(|read| read.topic == port.topic) {
                    let (from, topic, to) = (from.clone(), port.topic.clone(), to.clone());
                    let is_gating = read.options.policy.is_gating();
                    flows.push(Flow { from, topic, to, key: read.key, is_gating });
                }
            }
        }
    }
    flows
}

/// Refuses circles of gating subscriptions: their services could deadlock. One subscription that
/// drops messages breaks the circle.
pub(super) fn refuse_blocking_cycles(flows: &[Flow]) -> Result<(), BuildError> {
    let blocking: Vec<&Flow> = flows.iter().filter(|flow| flow.is_gating).collect();
    for flow in &blocking {
        if let Some(back) = path(&blocking, &flow.to, &flow.from) {
            let mut round = vec![flow.from.clone()];
            let mut subscriptions = Vec::new();
            for Flow { topic, to, key, .. } in [*flow].into_iter().chain(back) {
                round.extend([topic.to_string(), to.clone()]);
                subscriptions.push(format!("{to}.{key}"));
            }
            return Err(BuildError::Cycle { path: round, subscriptions });
        }
    }
    Ok(())
}

/// A subscription that closes a circle: its service gets messages that its own messages caused. In
/// such a circle no service is the first to end.
#[derive(Debug)]
pub(crate) struct Feedback {
    service: String,
    topic: Arc<str>,
    /// The services outside the circle that send to it, on any topic.
    pub(crate) before: BTreeSet<String>,
}

impl Feedback {
    /// Those of all circles of these flows.
    pub(super) fn all(flows: &[Flow]) -> Vec<Feedback> {
        let senders: BTreeSet<&str> = flows.iter().map(|flow| &*flow.from).collect();
        let after: BTreeMap<&str, BTreeSet<&str>> =
            senders.into_iter().map(|service| (service, all_after(flows, service))).collect();
        let is_after =
            |from: &str, to: &str| after.get(from).is_some_and(|to_all| to_all.contains(to));
        let share_circle = |one: &str, other: &str| is_after(one, other) && is_after(other, one);
        let mut all: Vec<Feedback> = Vec::new();
        for Flow { from, topic, to, .. } in flows {
            if !share_circle(from, to) || all.iter().any(|known| known.is_of(to, topic)) {
                continue;
            }
            let before = flows
                .iter()
                .filter(|flow| share_circle(&flow.to, to) && !share_circle(&flow.from, to))
                .map(|flow| flow.from.clone());
            let (service, topic, before) = (to.clone(), topic.clone(), before.collect());
            all.push(Feedback { service, topic, before });
        }
        all
    }

    pub(super) fn is_of(&self, service: &str, topic: &str) -> bool {
        self.service == service && *self.topic == *topic
    }
}

/// The services that get messages from `service`, directly or through others.
fn all_after<'a>(flows: &'a [Flow], service: &'a str) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    let mut new: Vec<&str> = vec![service];
    while let Some(from) = new.pop() {
        let next = flows.iter().filter(|flow| *flow.from == *from);
        new.extend(next.map(|flow| &*flow.to).filter(|to| all.insert(*to)));
    }
    all
}

pub(super) fn reaches(flows: &[Flow], from: &str, to: &str) -> bool {
    path(&flows.iter().collect::<Vec<_>>(), from, to).is_some()
}

/// The flows on a way from one service to another.
fn path<'a>(flows: &[&'a Flow], from: &'a str, to: &str) -> Option<Vec<&'a Flow>> {
    let mut ways = vec![Vec::<&Flow>::new()];
    let mut seen = vec![from];
    while let Some(way) = ways.pop() {
        let here = way.last().map_or(from, |flow| &*flow.to);
        if here == to {
            return Some(way);
        }
        for flow in flows.iter().filter(|flow| flow.from == *here) {
            if !seen.contains(&&*flow.to) {
                seen.push(&flow.to);
                let mut longer = way.clone();
                longer.push(flow);
                ways.push(longer);
            }
        }
    }
    None
}
