//! The file of two nodes on two hosts, `far` and `near`, and what their counters say.

use mycelium::Running;
use mycelium_transports::counters::Kind;

use crate::certificates::Certificates;
use crate::network;
pub(crate) use crate::network::{NONE, PORT, Pair, there};
pub(crate) use crate::running::until;

/// [Two hosts](network::two_hosts) with certificates.
pub(crate) fn two_hosts(certificates: &Certificates, more: &str) -> String {
    let far = format!("port = {PORT}");
    format!("\n{}{}", certificates.section(), network::two_hosts(&far, more))
}

/// How many connections this node has had.
pub(crate) fn connections(running: &Running) -> u64 {
    of_links(running, "connections")
}

/// How many peers this node has rejected.
pub(crate) fn rejected(running: &Running) -> u64 {
    of_links(running, "rejected_peers")
}

fn of_links(running: &Running, value: &str) -> u64 {
    let lines = running.counters().into_iter().filter(|line| line.kind == Kind::Link);
    lines.map(|line| line.value(value)).sum()
}
