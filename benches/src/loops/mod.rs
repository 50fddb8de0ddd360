//! The callers' loops: each is written once and compiled for every column that runs it.

pub(crate) mod crowd;
pub(crate) mod latency;
pub(crate) mod one_thread;
pub(crate) mod one_way;
pub(crate) mod shares;
pub(crate) mod tasks;
pub(crate) mod trip;
