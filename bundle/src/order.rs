//! The order in which members end: each after the members that feed it.

use std::collections::BTreeMap;

use crate::member::Member;
use crate::protocol;
use crate::report::BundleError;

/// Checks that each member has a valid name of its own, and ends after members that exist.
pub(crate) fn check(members: &[&Member]) -> Result<(), BundleError> {
    if let Some(member) = members.iter().find(|member| !protocol::is_name(&member.name)) {
        return Err(BundleError::Name { member: member.name.clone() });
    }
    let mut known = BTreeMap::new();
    for member in members {
        if known.insert(member.name.as_str(), ()).is_some() {
            return Err(BundleError::Duplicate { member: member.name.clone() });
        }
    }
    for member in members {
        if let Some(feeder) = member.feeders.iter().find(|it| !known.contains_key(it.as_str())) {
            return Err(BundleError::Unknown {
                member: member.name.clone(),
                feeder: feeder.clone(),
                known: members.iter().map(|member| member.name.clone()).collect(),
            });
        }
    }
    Ok(())
}

/// For each member, the members that must exit before it gets SIGTERM: all that feed it, directly
/// or through others, except those that it feeds in turn. So members in a circle never wait for
/// each other. Feeders that are not here are left out.
pub(crate) fn stop_order(members: &[&Member]) -> Vec<Vec<usize>> {
    let places: BTreeMap<_, _> =
        members.iter().enumerate().map(|(place, member)| (member.name.as_str(), place)).collect();
    let mut feeds = vec![vec![false; members.len()]; members.len()];
    for (place, member) in members.iter().enumerate() {
        for from in member.feeders.iter().filter_map(|feeder| places.get(feeder.as_str())) {
            feeds[*from][place] = true;
        }
    }
    let all = 0..members.len();
    for between in all.clone() {
        for from in all.clone() {
            for to in all.clone() {
                feeds[from][to] |= feeds[from][between] && feeds[between][to];
            }
        }
    }
    let waits_for = |member: usize| {
        all.clone().filter(|&from| feeds[from][member] && !feeds[member][from]).collect()
    };
    all.clone().map(waits_for).collect()
}
