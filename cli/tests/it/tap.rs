//! `mycelium tap` as a process, with nodes in processes.

mod forms;
mod liar;
mod liars;
mod mistakes;
pub(crate) mod process;
mod slow;
mod ways;
