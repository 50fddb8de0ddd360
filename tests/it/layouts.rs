//! Two nodes of one topology whose programs disagree about a message.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "topology"))]

use mycelium::error::{LayoutMismatch, StartError};
use mycelium::{Context, Message, Node, Result, Running, Topology, message, service};

use crate::running::{of_links, start, within};
use crate::support::{Directory, idle_services};

mod old {
    use super::*;

    #[message(topic = "orders", id = 1)]
    pub(crate) struct Order {
        id: u64,
        price: u64,
        size: u64,
    }

    idle_services! { Counter(emits(Order)); Taker(reads(Order)); }
}

mod new {
    use super::*;

    #[message(topic = "orders", id = 1)]
    pub(crate) struct Order {
        id: u64,
        price: u64,
        venue: u64,
        size: u64,
        flags: u64,
    }

    idle_services! { Counter(emits(Order)); Taker(reads(Order)); }
}

const TOPOLOGY: &str = r#"
[node.far]
services = ["Counter"]
shutdown = "200ms"
[node.near]
services = ["Taker"]
[link.default]
retry = "1ms"
max_retry = "20ms"
"#;

/// Returns a node of the old program, or of the new one.
fn node(directory: &Directory, name: &str, is_new: bool) -> Running {
    let topology = Topology::parse("layouts.toml", TOPOLOGY).unwrap();
    let builder = Node::builder(name).topology(topology.in_directory(&directory.0));
    start(match is_new {
        true => builder.service(|| new::Counter).service(|| new::Taker),
        false => builder.service(|| old::Counter).service(|| old::Taker),
    })
}

/// Checks that the reader's node fails, and that its error names the difference of the layouts.
async fn fails(near: Running, field: &str, sizes: [usize; 2]) {
    let error = within(near.join()).await.unwrap_err();
    let StartError::Layout { node, peer, topic, services, mismatch } = &error else {
        panic!("{error}")
    };
    let named = (&**node, &**peer, &**topic, &**services);
    assert_eq!(named, ("near", "far", "orders", &["Taker".to_owned()][..]));
    let LayoutMismatch { size, peer_size, digest, peer_digest, first, .. } = &**mismatch;
    assert_eq!((*size, *peer_size), (sizes[0], Some(sizes[1] as u64)));
    let mut digests = [*digest, *peer_digest];
    digests.sort();
    let mut expected = [old::Order::DIGEST, new::Order::DIGEST];
    expected.sort();
    assert_eq!(digests, expected);
    assert_eq!(first.as_ref().map(|first| &*first.field), Some(field), "{error}");
    assert!(error.is_permanent());
    let text = error.to_string();
    for said in ["near", "far", "orders", "Taker", field, &old::Order::DIGEST.to_string()] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[tokio::test]
async fn a_layout_that_differs_fails_the_reader_whichever_side_is_older() {
    for (near_is_new, field, sizes) in [(true, "venue", [40, 24]), (false, "size", [24, 40])] {
        let directory = Directory::new("layouts");
        let far = node(&directory, "far", !near_is_new);
        fails(node(&directory, "near", near_is_new), field, sizes).await;
        // The publisher's node runs until its shutdown, and counts one rejection, of its only link.
        assert_eq!(of_links(&far, "refused"), 1);
        far.shutdown();
        let left = within(far.join()).await;
        assert!(left.is_ok() || matches!(left, Err(StartError::Undelivered { .. })), "{left:?}");
    }
}
