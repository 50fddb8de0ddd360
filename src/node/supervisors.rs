//! The supervision tree of a node: its supervisors, with a place for each of its services.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mycelium_bundle::Restart;

use crate::plan::{PlannedChild, SupervisionPlan};
use crate::supervise::member::{Member, Supervision};
use crate::supervise::tree::{ChildSpec, SupervisorId, SupervisorSpec};

/// Adds the supervisors and services to the tree, and returns the place of each service. Services
/// of a supervisor start in order, services without a supervisor immediately.
pub(super) fn members(
    supervision: &Arc<Supervision>,
    plan: &SupervisionPlan,
    services: &[&str],
    now: Duration,
) -> HashMap<String, Member> {
    let root = supervision.tree(|tree| tree.root());
    let usual = Arc::<Restart>::default();
    let mut members = HashMap::new();
    supervision.reserve(services.len() + plan.supervisors.len());
    let mut add = |service: &str, parent: SupervisorId| {
        let lifetime = plan.lifetime(service);
        let restart = plan.restart(service);
        let restart = if restart == *usual { usual.clone() } else { Arc::new(restart) };
        let member = supervision.add(parent, ChildSpec { lifetime, restart }, now);
        members.extend(member.map(|member| (service.to_owned(), member)));
    };
    // A child gets its place among its siblings when it is added. No child starts before all are
    // added.
    let mut ids: Vec<Option<SupervisorId>> = plan.supervisors.iter().map(|_| None).collect();
    for (place, supervisor) in plan.supervisors.iter().enumerate() {
        if supervisor.parent.is_none() {
            let spec = spec_of(plan, place);
            ids[place] = supervision.tree(|tree| tree.add_supervisor(root, spec));
        }
        let Some(id) = ids[place] else { continue };
        for child in &supervisor.children {
            match child {
                PlannedChild::Service(service) => add(service, id),
                PlannedChild::Supervisor(below) => {
                    let spec = spec_of(plan, *below);
                    ids[*below] = supervision.tree(|tree| tree.add_supervisor(id, spec));
                }
            }
        }
    }
    for service in services.iter().filter(|service| plan.of_service(service).is_none()) {
        add(service, root);
    }
    let tops = plan.supervisors.iter().zip(ids).filter(|(it, _)| it.parent.is_none());
    tops.filter_map(|(_, id)| id).for_each(|id| supervision.tree(|tree| tree.start(id, now)));
    members
}

fn spec_of(plan: &SupervisionPlan, place: usize) -> SupervisorSpec {
    let supervisor = &plan.supervisors[place];
    let (name, strategy, restart) =
        (supervisor.name.clone(), supervisor.strategy, supervisor.restart);
    SupervisorSpec { name, strategy, restart }
}
