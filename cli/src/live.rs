//! Nodes that run, as their counters describe them.
//!
//! To read: `line` (names and numbers), `model` (what they mean), `sample` (what changes).

pub mod line;
pub mod model;
pub mod sample;
