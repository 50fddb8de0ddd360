//! Metrics at a collector.

mod encoding;
mod faults;
