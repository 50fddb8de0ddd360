//! The tests of the package. The collector is a real server over HTTP, which decodes spans and
//! metrics by the official definitions. The allocator of `recording` counts for each thread.

mod collector;
#[allow(dead_code, reason = "other tests count bytes, too")]
#[path = "../../../tests/counting/mod.rs"]
mod counting;
mod documents;
mod endpoint;
mod families;
mod names;
mod push;
mod recording;
mod spans;

use std::collections::BTreeMap;

use mycelium_telemetry::Snapshot;
use mycelium_transports::counters::Region;

/// A node of which this region is all.
fn snapshot(region: &Region) -> Snapshot {
    let (node, readings, unseen) = ("main".to_owned(), region.read(), region.unseen());
    Snapshot { node, readings, unseen, ..Snapshot::default() }
}

/// The attributes that a test expects.
fn attributes<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    BTreeMap::from(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())))
}
