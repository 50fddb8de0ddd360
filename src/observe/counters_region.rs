//! Regions of counters that other processes of this user can read.

use std::sync::{Arc, Once};

use mycelium_transports::counters::Region;

use crate::support::log;

/// Makes a region with room for this many lines at first. If it cannot be shared, only this process
/// can read its counters; the log has the first such region.
pub(crate) fn shared(lines: usize) -> Arc<Region> {
    static LOGGED: Once = Once::new();

    Region::shared(lines).unwrap_or_else(|error| {
        if cfg!(feature = "metrics") {
            LOGGED.call_once(|| log::debug!(%error, "other processes cannot read the counters"));
        }
        Region::new(lines)
    })
}
