//! The file of two nodes on two hosts, `far` and `near`, and a counter of theirs.

use mycelium::Running;

use crate::certificates::Certificates;
use crate::network;
pub(crate) use crate::network::{PORT, there};
pub(crate) use crate::numbers::{NONE, Pair};
use crate::running::of_links;
pub(crate) use crate::running::until;

/// Returns [two hosts](network::two_hosts) with certificates.
pub(crate) fn two_hosts(certificates: &Certificates, more: &str) -> String {
    let far = format!("port = {PORT}");
    format!("\n{}{}", certificates.section(), network::two_hosts(&far, more))
}

/// Returns how many peers this node has rejected.
pub(crate) fn rejected(running: &Running) -> u64 {
    of_links(running, "rejected_peers")
}
