//! `mycelium tap` as a process, with nodes in processes.

mod forms;
mod liar;
mod liars;
mod mistakes;
mod node;
mod process;
mod slow;
mod ways;

/// Runs a node in a child process; returns at once in the test run itself.
#[test]
fn node_process() {
    node::enter();
}
