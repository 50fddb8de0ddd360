//! Spans at a collector.

mod encoding;
mod faults;
