//! The file of two nodes on two hosts, `far` and `near`, and what their counters say.

use std::time::Duration;

use mycelium::Running;
use mycelium_transports::counters::Kind;

use crate::certificates::Certificates;
use crate::loopback::host;
pub(crate) use crate::network::{NONE, PORT, Pair};
use crate::numbers::within;

/// Two hosts with a node each. `far` has more keys, and so has the file.
pub(crate) fn two_hosts(certificates: &Certificates, far: &str, more: &str) -> String {
    format!(
        r#"
{}
[host.here]
address = "{}"
[host.there]
address = "{}"
[node.far]
host = "there"
services = ["Counter"]
{far}
[node.near]
host = "here"
services = ["Taker"]
[link.default]
retry = "1ms"
max_retry = "20ms"
{more}
"#,
        certificates.section(),
        host(),
        host()
    )
}

/// Ready once this is so.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
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
