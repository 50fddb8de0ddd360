//! The health of nodes and services: the fold of events is compared with the definitions of
//! `docs/guarantees.md`, and nodes have services that fail, are slow, hang, or lose their peers.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod model;
mod nodes;
