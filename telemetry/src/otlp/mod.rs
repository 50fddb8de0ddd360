//! OTLP over HTTP: where a collector is, the client that sends requests to it, and what the
//! requests of all signals have. `spans` and `push` use it.
//!
//! To read: `endpoint.rs`, `destination.rs` (settings of all signals), `http.rs` (one request) with
//! `date.rs`, `answer.rs` (its answer), `port.rs` (time and the collector, as exporters see them),
//! `notice.rs` (when the owner of an exporter gets a notice), `protobuf.rs`, `common.rs` and
//! `resource.rs` (parts of messages).

mod answer;
pub(crate) mod common;
mod date;
pub(crate) mod destination;
mod endpoint;
pub(crate) mod http;
pub(crate) mod notice;
pub(crate) mod port;
pub(crate) mod protobuf;
mod resource;

pub(crate) use answer::Answer;
pub use endpoint::{Endpoint, EndpointError, HeaderError, Headers};
pub use resource::Resource;
