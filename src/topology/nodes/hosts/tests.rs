//! Tests of hosts, with addresses that no name server resolves.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::{LOOKUPS, hosts_of};

/// The number of running address checks, and the largest number so far.
#[derive(Default)]
struct Checks {
    now: usize,
    most: usize,
}

/// Each check waits until the maximum number of checks run at the same time.
#[test]
fn addresses_are_checked_side_by_side_within_a_limit() {
    let hosts: Vec<String> = (0..2 * LOOKUPS).map(|host| format!("host-{host}")).collect();
    let addresses: Vec<(&str, &str)> = hosts.iter().map(|host| (&**host, &**host)).collect();
    let (checks, changed) = (Mutex::new(Checks::default()), Condvar::new());
    let found = hosts_of(&addresses, |address| {
        let mut state = checks.lock().unwrap();
        state.now += 1;
        state.most = state.most.max(state.now);
        changed.notify_all();
        let all = |state: &mut Checks| state.most < LOOKUPS;
        let (mut state, waited) =
            changed.wait_timeout_while(state, Duration::from_secs(60), all).unwrap();
        state.now -= 1;
        drop(state);
        assert!(!waited.timed_out(), "one after the other");
        ["host-3", "host-20"].contains(&address)
    });
    assert_eq!(found, ["host-3", "host-20"]);
    assert_eq!(checks.into_inner().unwrap().most, LOOKUPS);
}

#[test]
fn a_host_is_found_once() {
    let addresses = [("one", "a"), ("one", "b"), ("two", "c"), ("three", "d"), ("three", "e")];
    assert_eq!(hosts_of(&addresses, |address| address != "c"), ["one", "three"]);
    assert!(hosts_of(&[], |_| true).is_empty());
}
