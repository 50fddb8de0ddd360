//! The order in which members end: each after the members that feed it.

use std::collections::BTreeMap;

use crate::member::Member;
use crate::report::BundleError;

/// For each member, the members that must exit before it gets SIGTERM: all that feed it, directly
/// or through others, except those that it feeds in turn. So members in a circle never wait for
/// each other.
pub(crate) fn stop_order(members: &[Member]) -> Result<Vec<Vec<usize>>, BundleError> {
    let mut places = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        if places.insert(member.name.as_str(), place).is_some() {
            return Err(BundleError::Duplicate { member: member.name.clone() });
        }
    }
    let mut feeds = vec![vec![false; members.len()]; members.len()];
    for (place, member) in members.iter().enumerate() {
        for feeder in &member.feeders {
            let Some(&from) = places.get(feeder.as_str()) else {
                return Err(BundleError::Unknown {
                    member: member.name.clone(),
                    feeder: feeder.clone(),
                    known: members.iter().map(|member| member.name.clone()).collect(),
                });
            };
            feeds[from][place] = true;
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
    Ok(all.clone().map(waits_for).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, feeders: &[&str]) -> Member {
        let member = Member::new(name, || unreachable!("no process is started"));
        feeders.iter().fold(member, |member, feeder| member.ends_after(feeder))
    }

    #[test]
    fn a_member_waits_for_all_before_it_but_not_within_a_circle() {
        let members = [
            member("sink", &["risk"]),
            member("risk", &["orders", "source"]),
            member("orders", &["risk"]),
            member("source", &[]),
        ];
        let order = stop_order(&members).expect("members that fit together");
        assert_eq!(order, [vec![1, 2, 3], vec![3], vec![3], vec![]]);
    }
}
