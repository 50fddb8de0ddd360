//! Nodes and services on executors: the cost of a message to a handler on one thread, of a wake of
//! another thread, of a request and its reply, and of an idle node; the start of a node.

pub(crate) mod handler;
pub(crate) mod host;
pub(crate) mod idle;
pub(crate) mod jitter;
pub(crate) mod request;
pub(crate) mod services;
pub(crate) mod start;
pub(crate) mod wake;
