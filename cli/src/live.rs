//! Nodes that run, as their counters describe them, and the verbs that print what they say.
//!
//! To read: `find` (which processes), `model` (what lines of counters mean), `sample` (what changes
//! between two reads), `pace` (how often), then the verbs: `ls`, `counters`, `hz`, `verdict`
//! (`check --live`).

pub mod counters;
pub mod find;
pub mod hz;
pub mod ls;
pub mod model;
pub mod pace;
pub mod sample;
pub mod verdict;
