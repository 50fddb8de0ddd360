//! Running nodes, as their counters describe them, for the commands that print the counters.
//!
//! To read: `find` (the processes), `model` (the meaning of lines of counters), `sample` (the
//! changes between two reads), `pace` (how often a command prints). It uses `shared` alone.

pub mod find;
pub mod model;
pub mod pace;
pub mod sample;
