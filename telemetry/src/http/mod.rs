//! The endpoint of a node for Prometheus and for those who supervise processes: `/metrics`,
//! `/live` and `/ready` over HTTP/1.1.
//!
//! One thread serves all connections. `endpoint` waits for them, `connection` is one of them, with
//! no clock of its own, `response` what a request gets. A request has a limit in bytes and in time,
//! a response one in time, and there is a limit on connections: when it is reached, the oldest one
//! that has not sent its request makes room. So clients that are slow or silent keep nobody out.

mod connection;
mod endpoint;
mod response;

pub use endpoint::{Endpoint, Stopper};
