//! The default values of keys.

use std::time::Duration;

/// Default of `capacity`: the number of slots of each publisher's ring.
pub(crate) const CAPACITY: usize = 1024;
/// Default of `memory`: the maximum size of all rings of a node, in bytes.
pub(crate) const MEMORY: usize = 256 << 20;
/// Default of `shutdown`: how long a node waits for its services.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(10);
