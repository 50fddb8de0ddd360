//! OTLP over HTTP: where a collector is, the client that sends requests to it, and what the
//! requests of all signals have. `spans` and `push` use it; it uses `runtime` alone.
//!
//! To read: `endpoint.rs`, `destination.rs` (settings of all signals), `client.rs` (one request),
//! `answer.rs` (its answer), `bell.rs`, `port.rs` (time and the collector, as exporters see them),
//! `notice.rs` (when the owner of an exporter gets a notice), `common.rs` and `resource.rs` (parts
//! of messages, which are those of `opentelemetry-proto`).

mod answer;
pub(crate) mod bell;
pub(crate) mod client;
pub(crate) mod common;
pub(crate) mod destination;
mod endpoint;
pub(crate) mod notice;
pub(crate) mod port;
mod resource;

pub(crate) use answer::Answer;
pub use endpoint::{Endpoint, EndpointError, HeaderError, Headers};
pub use resource::Resource;
