//! Defects of an earlier system that this one must not have, each under the name it goes by there: what peers, links and
//! the order of start can do. `core/tests/defects.rs` has those of messages; docs/testing.md lists where the others are.

mod links;
mod peers;
