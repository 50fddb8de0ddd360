//! The rows that goals are grouped by.

pub(super) const EMIT: &str = "emit to one subscriber";
pub(super) const EMIT_TRACES: &str = "emit with a trace";
pub(super) const EMIT_THREADS: &str = "emit to a subscriber on another core";
pub(super) const CODEC: &str = "encode and view";
pub(super) const SPSC_NUMBERS: &str = "spsc, numbers: one by one, batches of 64";
pub(super) const SPSC_MESSAGES: &str = "spsc, messages of 56 and 64 bytes";
pub(super) const TRIP: &str = "spsc round trip";
pub(super) const MPMC: &str = "mpmc: one by one, batches of 16, fairness";
pub(super) const BROADCAST: &str = "broadcast: publish, publish and read";
pub(super) const LINK: &str = "link over a Unix socket";
pub(super) const LINK_TCP: &str = "link over TCP";
pub(super) const LINK_TLS: &str = "link over TLS";
pub(super) const SHM_TRIP: &str = "round trip through shared memory";
pub(super) const SHM_ONE_WAY: &str = "one way through shared memory";
pub(super) const SHM_SERVICES: &str = "services through shared memory";
pub(super) const SHM_ASLEEP: &str = "wakes through shared memory";
pub(super) const SHM_FAN_OUT: &str = "readers in several processes";
pub(super) const HANDLER: &str = "to a service's handler";
pub(super) const REQUEST: &str = "request and reply";
pub(super) const WAKES: &str = "wake of a service on another executor";
pub(super) const PINNED: &str = "round trip of pinned services";
pub(super) const SCALE: &str = "emit and start in a node of many services";
pub(super) const NODES: &str = "start of a topology";
pub(super) const IDLE: &str = "idle node";
pub(super) const SCRAPE: &str = "scrape for Prometheus";
pub(super) const TASKS: &str = "to a parked task and back";
