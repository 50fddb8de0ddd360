//! Running nodes, as their counters describe them, for the commands that print the counters.
//!
//! Read `find` (the processes), `model` (the meaning of lines of counters), `pairs` (readers that
//! two processes count), `sample` (the changes between two reads), `pace` (how often a command
//! prints). This module uses only `shared`.

pub mod find;
pub mod model;
pub mod pace;
pub mod pairs;
pub mod sample;
