//! Regions of counters that other processes of this user can read.

use std::sync::{Arc, Once};

use mycelium_transports::counters::Region;

use crate::support::log;

/// Creates a region with initial room for this many lines. If it cannot be shared, only this
/// process can read its counters; the first such region is logged.
pub(crate) fn shared(lines: usize) -> Arc<Region> {
    static LOGGED: Once = Once::new();

    Region::shared(lines).unwrap_or_else(|error| {
        if cfg!(feature = "metrics") {
            LOGGED.call_once(|| log::debug!(%error, "other processes cannot read the counters"));
        }
        Region::new(lines)
    })
}
