//! The values of keys that a topology does not have.

use std::time::Duration;

/// Default of `capacity`: the number of slots of each publisher's ring.
pub(crate) const CAPACITY: usize = 1024;
/// Default of `memory`: the most bytes of all rings of a node.
pub(crate) const MEMORY: usize = 256 << 20;
/// Default of `shutdown`: how long a node waits for its services.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(10);
