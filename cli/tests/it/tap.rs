//! `mycelium tap` as a process, with nodes that are processes.

mod forms;
mod liar;
mod liars;
mod mistakes;
mod node;
mod process;
mod slow;
mod ways;

/// Runs in a child: does nothing in the test itself.
#[test]
fn node_process() {
    node::enter();
}
