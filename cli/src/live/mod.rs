//! Nodes that run, as their counters describe them: for the commands that print what these say.
//!
//! To read: `find` (which processes), `model` (what lines of counters mean), `sample` (what changes
//! between two reads), `pace` (how often a command prints). It uses `shared` alone.

pub mod find;
pub mod model;
pub mod pace;
pub mod sample;
