//! Services on executors: what a message to a handler costs on one thread, what a wake costs between two, and what a node
//! costs that has nothing to do.

pub(crate) mod handler;
pub(crate) mod host;
pub(crate) mod idle;
pub(crate) mod jitter;
pub(crate) mod services;
pub(crate) mod wake;
