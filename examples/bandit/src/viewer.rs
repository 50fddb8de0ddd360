//! A viewer of traces, so that a first run needs no collector: it receives spans by OTLP over HTTP
//! as Jaeger does, keeps some of the traces, and shows each as a waterfall, in a browser and as
//! text.
//!
//! ```text
//! POST /v1/traces ─▶ http ─▶ otlp ─▶ store ─▶ trace ─┬─▶ svg ─▶ page ─▶ GET /
//!                                                    └─▶ text
//! ```
//!
//! Everything from outside is hostile here. A request that breaks a rule is refused with a status
//! of the 4xx. Requests, connections, spans of a trace and traces are limited in number and size,
//! texts are cut and lose all letters that a terminal or a browser could obey ([`trace::label`]),
//! and pages and pictures escape them. Nothing is stored on disk. Production uses Jaeger or Tempo.

pub mod http;
pub mod otlp;
pub mod page;
pub mod server;
pub mod store;
pub mod svg;
pub mod text;
pub mod trace;
