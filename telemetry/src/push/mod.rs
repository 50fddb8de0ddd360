//! Metrics for an OpenTelemetry collector, pushed by OTLP over HTTP from a separate thread.
//!
//! ```text
//! snapshot ─▶ Collector (families) ─▶ Pusher, on its thread ─▶ collector
//! ```
//!
//! After each interval, and once more at the end of the node, the [`Pusher`] makes the families of
//! a snapshot and sends them, in requests of at most 1,000 data points. Values are cumulative, so
//! points that a collector did not accept are not kept: the next push has newer values, and only
//! the points between are missing. Memory is limited to the families of one snapshot and one
//! request.
//!
//! The outcome of each push is counted in a line of the node's counters, and at most once a minute
//! the owner of the pusher gets a notice of errors. A collector that is down, slow or broken does
//! not affect services. It delays the end of a node by at most [`OtlpMetrics::flush`].
//!
//! Read `settings.rs`, `pusher.rs` (times, retries, counts), `notice.rs`, `encode.rs` (the bytes).
//! This module uses `metrics` and `otlp`.

mod encode;
mod notice;
mod pusher;
mod settings;

pub use notice::PushNotice;
pub use pusher::{PushedNode, Pusher};
pub use settings::{OfMetrics, OtlpMetrics};
