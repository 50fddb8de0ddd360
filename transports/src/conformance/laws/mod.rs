//! The laws, one module for each subject. Each law is a function of a pair of executors.

mod batch;
mod ends;
mod faults;
mod latency;
mod order;
mod pressure;
mod retained;
mod selection;
mod stall;
mod traces;
mod waking;

pub use batch::*;
pub use ends::*;
pub use faults::*;
pub use latency::*;
pub use order::*;
pub use pressure::*;
pub use retained::*;
pub use selection::*;
pub use stall::*;
pub use traces::*;
pub use waking::*;
