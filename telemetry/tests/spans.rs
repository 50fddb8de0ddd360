//! Spans at a collector: a real server over HTTP, which decodes them by the official definitions.

#[allow(dead_code, reason = "the tests of metrics use all of it")]
#[path = "spans/collector.rs"]
mod collector;
#[path = "spans/encoding.rs"]
mod encoding;
#[path = "spans/faults.rs"]
mod faults;
#[path = "spans/python.rs"]
mod python;
