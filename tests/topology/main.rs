//! The topology file: each mistake that it can hold has a test of its exact message, with file,
//! line and column. `mistakes` and `values` are found when the file is read, `nodes` when a node is
//! built from it or starts. `environment` has the variables in its values, `include` files that
//! include others.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod environment;
mod include;
mod mistakes;
mod nodes;
mod values;

use mycelium::Topology;

/// Each file has the message behind it, without the place; the place is line and column.
fn check(mistakes: &[(&str, &str, &str)]) {
    for (text, place, message) in mistakes {
        let error = Topology::parse("t.toml", text).expect_err(text).to_string();
        assert_eq!(error, format!("t.toml:{place}: {message}"), "{text}");
    }
}
