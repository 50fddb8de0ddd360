//! Nodes on several hosts, joined by TLS: each proves its name with a certificate.
//! `tests/it/bad_network.rs` tests TLS on bad networks.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "tls"))]

mod descriptors;
mod files;
mod hostile;
mod pair;
mod resumed;
mod topology;

use mycelium::observe::Carrier;

use crate::certificates::Certificates;
use crate::network::arrives;
use crate::tls::pair::two_hosts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_two_hosts_are_joined_by_tls_although_their_topic_has_lists() {
    let certificates = Certificates::of("lists", &["far", "near"]);
    let text = two_hosts(&certificates, "")
        .replace("capacity = 16", "readers = [\"near\"]\nwriters = [\"far\"]");
    arrives("lists", text, Carrier::Tls).await;
}
