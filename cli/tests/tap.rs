//! `mycelium tap` as a process, with nodes that are processes.
#![cfg(target_os = "linux")]

#[path = "tap/forms.rs"]
mod forms;
#[path = "tap/liar.rs"]
mod liar;
#[path = "tap/liars.rs"]
mod liars;
#[path = "../../tests/loopback/mod.rs"]
mod loopback;
#[path = "tap/mistakes.rs"]
mod mistakes;
#[path = "tap/node.rs"]
mod node;
#[path = "tap/process.rs"]
mod process;
#[path = "tap/slow.rs"]
mod slow;
#[path = "tap/ways.rs"]
mod ways;

/// Runs in a child: does nothing in the test itself.
#[test]
fn node_process() {
    node::enter();
}
