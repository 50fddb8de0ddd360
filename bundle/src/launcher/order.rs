//! The order in which members end: each after its *feeders*, the members that send to it.

use std::collections::BTreeMap;

use super::member::Member;
use super::report::BundleError;
use crate::protocol;

/// Checks that names are valid and unique, and that each feeder is a member. `members` has the name
/// and the feeders of each member.
pub(crate) fn check(members: &[(&str, Vec<&str>)]) -> Result<(), BundleError> {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    if let Some(name) = names.iter().find(|name| !protocol::is_name(name)) {
        return Err(BundleError::Name { member: (*name).to_owned() });
    }
    let is_twice = |(place, name): &(usize, &&str)| names[..*place].contains(name);
    if let Some((_, name)) = names.iter().enumerate().find(is_twice) {
        return Err(BundleError::Duplicate { member: (*name).to_owned() });
    }
    for (member, feeders) in members {
        if let Some(feeder) = feeders.iter().find(|feeder| !names.contains(feeder)) {
            let (member, feeder) = ((*member).to_owned(), (*feeder).to_owned());
            let known = names.iter().map(|name| (*name).to_owned()).collect();
            return Err(BundleError::Unknown { member, feeder, known });
        }
    }
    Ok(())
}

/// Returns for each member the members that must exit before it gets SIGTERM: all that feed it,
/// directly or through others, except those that it feeds itself. So members in a cycle never wait
/// for each other. Feeders that are not in `members` are ignored.
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
