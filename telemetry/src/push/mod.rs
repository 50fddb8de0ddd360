//! Metrics for an OpenTelemetry collector, pushed by OTLP over HTTP from a thread of their own.
//!
//! ```text
//! snapshot ─▶ Collector (families) ─▶ Pusher, on its thread ─▶ collector
//! ```
//!
//! After each interval, and once more at the end of the node, the [`Pusher`] makes the families of
//! a snapshot and sends them, in requests of at most 1,000 data points. Values are cumulative, so
//! points that a collector did not take are not kept: the next push has newer values, and only the
//! points between are missing. Memory is limited: the families of one snapshot, and one request.
//!
//! Each push is counted by its outcome in a line of the node's counters, and at most once a minute
//! the owner of the pusher gets a notice of errors. A collector that is away, slow or broken costs
//! services nothing. It costs the end of a node at most [`OtlpMetrics::flush`].
//!
//! To read: `settings.rs`, `pusher.rs` (when, retries, counts), `notice.rs`, `encode.rs` (the
//! bytes). It uses `metrics` and `otlp`.

mod encode;
mod notice;
mod pusher;
mod settings;

pub use notice::PushNotice;
pub use pusher::{PushedNode, Pusher};
pub use settings::{OfMetrics, OtlpMetrics};
