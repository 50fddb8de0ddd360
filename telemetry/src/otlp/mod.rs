//! OTLP over HTTP: the URL of a collector, the client that sends requests to it, and the common
//! parts of the requests. `spans` and `push` use it; it uses `runtime` alone.
//!
//! Read `endpoint.rs`, `settings.rs` (of all signals), `client.rs` (one request), `answer.rs` (its
//! answer), `bell.rs`, `port.rs` (time and the collector, as a trait for exporters), `notice.rs`
//! (when the owner of an exporter gets a notice), `common.rs` and `resource.rs` (parts of messages,
//! whose types are in `opentelemetry-proto`).

mod answer;
pub(crate) mod bell;
pub(crate) mod client;
pub(crate) mod common;
mod endpoint;
pub(crate) mod notice;
pub(crate) mod port;
mod resource;
mod settings;

pub(crate) use answer::Answer;
pub use endpoint::{Endpoint, EndpointError, HeaderError, Headers};
pub use port::Stopper;
pub use resource::Resource;
pub use settings::{Otlp, OtlpError};
