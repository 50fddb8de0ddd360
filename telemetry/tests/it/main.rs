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

use mycelium_telemetry::{Snapshot, Source};
use mycelium_transports::counters::Region;

/// A node of which only snapshots are taken.
struct Snapshots<F>(F);

impl<F: Fn() -> Snapshot + Send> Source for Snapshots<F> {
    fn snapshot(&self) -> Option<Snapshot> {
        Some((self.0)())
    }

    fn live(&self) -> Result<String, String> {
        unreachable!("snapshots only")
    }

    fn ready(&self) -> Result<String, String> {
        unreachable!("snapshots only")
    }
}

/// A node of which this region is all.
fn snapshot(region: &Region) -> Snapshot {
    let (node, readings, unseen) = ("main".to_owned(), region.read(), region.unseen());
    Snapshot { node, readings, unseen, ..Snapshot::default() }
}
