//! Nodes that share topics over Zenoh, each with a session of its own, on loopback.

mod faults;
mod laws;
mod nodes;
mod processes;
mod support;
mod ticks;
