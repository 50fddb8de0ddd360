use mycelium_executor::Credentials;

use super::*;
use crate::counters::Region;

fn admission(connections: usize, handshakes: usize, per_process: usize) -> Admission {
    let config = LinkConfig { connections, handshakes, per_process, ..LinkConfig::default() };
    Admission::new(&config, Region::new(1).line("role=server"))
}

fn peer(process: u32) -> Peer {
    Peer::Unix(Credentials { process: Some(process), user: 0, group: 0 })
}

fn evicted(tickets: &[Arc<AdmissionTicket>]) -> Vec<bool> {
    tickets.iter().map(|ticket| ticket.is_evicted()).collect()
}

#[test]
fn the_oldest_of_the_process_with_most_is_evicted() {
    let admission = admission(8, 4, 8);
    let tickets = [1, 2, 2, 1, 3, 3].map(|process| admission.enter(&peer(process)));
    // The fifth connection evicts the oldest connection of the two processes that have two. After
    // that only process 2 has two.
    assert_eq!(evicted(&tickets), [true, true, false, false, false, false]);
    // Many connections of one process evict only each other.
    let crowd: Vec<_> = (0..100).map(|_| admission.enter(&peer(4))).collect();
    assert_eq!(evicted(&crowd).iter().filter(|gone| !**gone).count(), 1);
    assert!(!crowd[99].is_evicted());
    assert_eq!(evicted(&tickets), [true, true, false, false, true, false]);
}

#[test]
fn pending_connections_of_a_process_are_limited() {
    let admission = admission(8, 8, 2);
    let other = admission.enter(&peer(1));
    let tickets = [2, 2, 2, 2].map(|process| admission.enter(&peer(process)));
    assert_eq!(evicted(&tickets), [true, true, false, false]);
    assert!(!other.is_evicted());
}

#[test]
fn an_evicted_connection_is_not_admitted() {
    let admission = admission(8, 1, 8);
    let tickets = [1, 1].map(|process| admission.enter(&peer(process)));
    assert!(tickets[0].is_evicted());
    assert!(!admission.name(&tickets[0], true, 1));
    assert!(admission.name(&tickets[1], true, 1));
}
