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

use std::io::IoSlice;
use std::os::unix::net::UnixStream;

use futures_util::future::join;
use futures_util::io::AsyncWriteExt;
use mycelium::observe::Carrier;
use mycelium_transports::endpoint::Gate;

use crate::certificates::Certificates;
use crate::network::arrives;
use crate::tls::hostile::{executor, load};
use crate::tls::pair::two_hosts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_two_hosts_are_joined_by_tls_although_their_topic_has_lists() {
    let certificates = Certificates::of("lists", &["far", "near"]);
    let text = two_hosts(&certificates, "")
        .replace("capacity = 16", "readers = [\"near\"]\nwriters = [\"far\"]");
    arrives("lists", text, Carrier::Tls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_batch_and_its_header_take_one_write() {
    let certificates = Certificates::of("batch", &["far", "near"]);
    let [far, near] = ["far", "near"].map(|name| load(&certificates, name));
    let executor = executor();
    let (left, right) = UnixStream::pair().unwrap();
    let [left, right] = [left, right].map(|socket| executor.unix_stream(socket).unwrap());
    let (connected, accepted) = join(near.connect(left, "far"), far.secure(right)).await;
    let (header, messages) = ([1; 40], vec![2; 64 << 10]);
    // Neither is closed before the other has written.
    let mut streams = [connected.unwrap(), accepted.unwrap().stream];
    for stream in &mut streams {
        let parts = [IoSlice::new(&header), IoSlice::new(&messages)];
        assert_eq!(stream.write_vectored(&parts).await.unwrap(), header.len() + messages.len());
    }
}
