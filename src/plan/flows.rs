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
        if let Some(mut path) = path(&blocking, &flow.to, &flow.from) {
            let mut round = vec![flow.from.clone(), flow.topic.to_string()];
            round.append(&mut path);
            return Err(BuildError::Cycle { path: round });
        }
    }
    Ok(())
}

pub(super) fn reaches(flows: &[Flow], from: &str, to: &str) -> bool {
    path(&flows.iter().collect::<Vec<_>>(), from, to).is_some()
}

/// A path along the flows: service, topic, service, and so on.
fn path(flows: &[&Flow], from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = vec![from.to_owned()];
    while let Some(way) = ways.pop() {
        let here = way.last()?;
        if here == to {
            return Some(way);
        }
        for flow in flows.iter().filter(|flow| flow.from == *here) {
            if !seen.contains(&flow.to) {
                seen.push(flow.to.clone());
                let mut longer = way.clone();
                longer.extend([flow.topic.to_string(), flow.to.clone()]);
                ways.push(longer);
            }
        }
    }
    None
}
