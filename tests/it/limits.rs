//! Limits follow from the topology, or `build` fails with an error that names them.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use std::sync::mpsc::channel;

use mycelium::error::{BuildError, Code};
use mycelium::{Node, Topology};
use mycelium_transports::stream::STREAMS;

use crate::numbers::{Source, taker};
use crate::running::Says;

/// Builds one of two nodes, where one reads from `publishers` services of the other.
fn crowd(node: &str, publishers: usize) -> Result<Node, BuildError> {
    let names: Vec<_> = (0..publishers).map(|number| format!("Counter-{number}")).collect();
    let text = format!("[node.far]\nservices = {names:?}\n[node.near]\nservices = [\"Taker\"]\n");
    let mut builder = Node::builder(node).topology(Topology::parse("crowd.toml", &text)?);
    for name in &names {
        builder = builder.named_service(name, || Source { count: 1, stays: false });
    }
    builder.service(|| taker(&channel().0)).build()
}

#[test]
fn more_publishers_than_a_link_has_room_for_are_an_error_of_build() {
    for node in ["far", "near"] {
        assert!(crowd(node, STREAMS).is_ok());
        let error = crowd(node, STREAMS + 1).unwrap_err();
        assert_eq!((error.code(), STREAMS), (Code::LINK_LIMIT, 128));
        error.begins(
            "crowd.toml:3:7: node `near` reads 129 publishers of node `far`, but a link carries \
             at most 128: ",
        );
    }
}
