//! OTLP over HTTP: where a collector is, the client that sends requests to it, and the encoding of
//! what it gets. `spans` uses it.
//!
//! To read: `endpoint.rs`, `http.rs` (one request), `answer.rs` (its answer), `protobuf.rs`.

mod answer;
mod endpoint;
pub(crate) mod http;
pub(crate) mod protobuf;

pub(crate) use answer::Answer;
pub use endpoint::{Endpoint, EndpointError, HeaderError, Headers};
