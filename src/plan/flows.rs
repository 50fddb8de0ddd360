//! The flow of messages between services, and the circles in it.

use std::sync::Arc;

use super::ports::BoundPorts;
use crate::error::BuildError;
use crate::topology::Topology;

/// Messages of `topic` flow from one service to another.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) from: String,
    pub(super) topic: Arc<str>,
    pub(super) to: String,
    /// The key of the subscription.
    key: &'static str,
}

pub(super) fn flows(services: &[(String, BoundPorts)]) -> Vec<Flow> {
    let mut flows = Vec::new();
    for (from, emitter) in services {
        for port in &emitter.emits {
            for (to, reader) in services {
                for read in reader.reads.iter().filter(|read| read.topic == port.topic) {
                    let (from, topic, to) = (from.clone(), port.topic.clone(), to.clone());
                    flows.push(Flow { from, topic, to, key: read.key });
                }
            }
        }
    }
    flows
}

/// Refuses circles of gating subscriptions: their services could deadlock. One subscription that
/// drops messages breaks the circle.
pub(super) fn refuse_blocking_cycles(
    topology: &Topology,
    flows: &[Flow],
) -> Result<(), BuildError> {
    let gating = |flow: &&Flow| topology.policy(&flow.to, flow.key).is_gating();
    let blocking: Vec<&Flow> = flows.iter().filter(gating).collect();
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
