//! Spans for an OpenTelemetry collector, sent by OTLP over HTTP from a separate thread.
//!
//! ```text
//! task of a service ─▶ SpanQueue ─▶ Exporter, on its thread ─▶ collector
//! ```
//!
//! [`SpanQueue`] takes spans from tasks: it never waits, and drops spans when it is full. The
//! [`Exporter`] takes the spans in batches, encodes a batch once, and sends it until the collector
//! has accepted or refused it, or the time for it is over. Memory is limited to the queue, one
//! batch, and its bytes. Each recorded span is counted, as exported or as dropped with the reason,
//! in a line of the node's counters. At most once a minute the owner of the exporter gets a notice
//! of drops and errors.
//!
//! A collector that is down, slow or broken does not affect services. It delays the end of a node
//! by at most [`OtlpTraces::flush`].
//!
//! Read `settings.rs`, `queue.rs`, `exporter.rs` (batches, retries, counts), `notice.rs`,
//! `encode.rs` (the bytes). This module uses `otlp`.

mod encode;
mod exporter;
mod notice;
mod queue;
mod settings;

pub use exporter::Exporter;
pub use notice::Notice;
pub use queue::SpanQueue;
pub use settings::{OfTraces, OtlpTraces};
