//! Spans for an OpenTelemetry collector, sent by OTLP over HTTP from a thread of their own.
//!
//! ```text
//! task of a service ─▶ SpanQueue ─▶ Exporter, on its thread ─▶ collector
//! ```
//!
//! [`SpanQueue`] takes spans from tasks: it never waits, and drops a span that finds no room. The
//! [`Exporter`] takes the spans in batches, encodes a batch once, and sends it until the collector
//! has taken or refused it, or the time for it is over. So memory is limited: the queue, one batch,
//! and its bytes. Nothing is lost without a count: each span that was recorded is counted as
//! exported or as dropped, with the reason, in a line of the node's counters. At most once a minute
//! the owner of the exporter gets a notice of drops and errors.
//!
//! A collector that is away, slow or broken costs services nothing. It costs the end of a node at
//! most [`OtlpTraces::flush`].
//!
//! To read: `settings.rs`, `queue.rs`, `exporter.rs` (batches, retries, counts), `notice.rs`,
//! `encode.rs` (the bytes). It uses `otlp`.

mod encode;
mod exporter;
mod notice;
mod queue;
mod settings;

pub use exporter::Exporter;
pub use notice::Notice;
pub use queue::SpanQueue;
pub use settings::{OfTraces, OtlpTraces};
