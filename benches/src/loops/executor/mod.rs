//! Whole nodes, with services as a user writes them, on each executor, beside the runtimes' own
//! channels and the system's means to wake a thread.

pub(crate) mod handler;
pub(crate) mod host;
pub(crate) mod idle;
pub(crate) mod request;
pub(crate) mod services;
pub(crate) mod wake;
