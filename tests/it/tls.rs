//! Nodes on several hosts, joined by TLS: each proves its name by a certificate. Bad networks are
//! in `tests/it/bad_network.rs`.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "tls"))]

mod descriptors;
mod files;
mod hostile;
mod pair;
mod resumed;
mod topology;

use mycelium::Carrier;
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;

use crate::certificates::Certificates;
use crate::numbers::within;
use crate::tls::pair::{PORT, Pair, two_hosts};

const COUNT: u64 = 500;

/// Numbers arrive over TLS, in order, although their topic has lists of nodes.
async fn arrives(name: &str, executor: impl Executor + Clone) {
    let certificates = Certificates::of(name, &["far", "near"]);
    let lists = "[topic.numbers]\ncapacity = 16\nreaders = [\"near\"]\nwriters = [\"far\"]\n";
    let text = two_hosts(&certificates, &format!("port = {PORT}"), lists);
    let (pair, received) = Pair::new(name, text);
    let near = pair.start("near", COUNT, executor.clone());
    let far = pair.start("far", COUNT, executor);
    for (node, peer) in [(&near, "far"), (&far, "near")] {
        let [link] = &*node.start_report().links else { panic!("{}", node.start_report()) };
        assert_eq!((&*link.peer, link.used), (peer, Carrier::Tls));
    }
    near.join().await.unwrap();
    far.join().await.unwrap();
    assert!(received.try_iter().eq(0..COUNT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_two_hosts_are_joined_by_tls_on_tokio() {
    within(arrives("tokio", Tokio::current().unwrap())).await;
}
