//! Metrics at a collector: a real server over HTTP, which decodes them by the official definitions.

#[allow(dead_code, reason = "the tests of spans use all of it")]
#[path = "spans/collector.rs"]
mod collector;
#[path = "push/encoding.rs"]
mod encoding;
#[path = "push/faults.rs"]
mod faults;
#[path = "spans/python.rs"]
mod python;
