//! Errors as people see them, and which of them end a service at once.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology", feature = "tracing"))]

mod permanent;
mod stderr;
