//! Nodes that share topics over a real server, which the variable `NATS_SERVER` names. Without it,
//! these tests pass without a check, and say so.

mod faults;
mod laws;
mod nodes;
mod processes;
mod queues;
mod server;
mod stored;
#[path = "../../../zenoh/tests/it/ticks.rs"]
mod ticks;
