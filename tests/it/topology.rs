//! The topology file: each mistake that it can hold has a test of its exact message, with file,
//! line and column. `mistakes` and `values` are found when the file is read, `nodes` when a node is
//! built from it or starts. `environment` has the variables in its values, `include` files that
//! include others, `files` files whose texts were read before. `queues` runs services in the task
//! queues that it sets. `schema` has the schema for editors, and writes the tables of
//! docs/topology.md.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod environment;
mod files;
mod include;
mod mistakes;
mod nodes;
mod queues;
mod schema;
mod values;

use std::fmt::Display;

use mycelium::{Code, Topology};

/// Each file has the message behind it, without the place; the place is line and column.
fn check(mistakes: &[(&str, &str, &str)]) {
    for (text, place, message) in mistakes {
        let error = without_code(Topology::parse("t.toml", text).expect_err(text));
        assert_eq!(error, format!("t.toml:{place}: {message}"), "{text}");
    }
}

/// The text of an error before its code.
fn without_code(error: impl Display) -> String {
    let text = error.to_string();
    let (text, code) = Code::split(&text);
    assert!(code.is_some(), "{text} has a code");
    text.to_owned()
}

/// As `check`. Editors find these mistakes, too: the schema refuses each of the files.
fn check_with_schema(mistakes: &[(&str, &str, &str)]) {
    check(mistakes);
    for (text, ..) in mistakes {
        assert!(!schema::accepts(text), "the schema accepts:\n{text}");
    }
}
