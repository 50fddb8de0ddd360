//! The rows that goals are grouped by. Some are measured on Linux only.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "not measured"))]

pub(super) const EMIT: &str = "emit to one subscriber";
pub(super) const EMIT_TRACES: &str = "emit with a trace";
pub(super) const EMIT_THREADS: &str = "emit to a subscriber on another core";
pub(super) const SCALE: &str = "emit in a node of many topics, and to many subscribers";
pub(super) const CODEC: &str = "encode and view";
pub(super) const SPSC_NUMBERS: &str = "spsc, numbers: one by one, batches of 64";
pub(super) const SPSC_MESSAGES: &str = "spsc, messages of 56 and 64 bytes";
pub(super) const TRIP: &str = "spsc round trip";
pub(super) const MPMC: &str = "mpmc: one by one, batches of 16, fairness";
pub(super) const BROADCAST: &str = "broadcast: publish, publish and read";
pub(super) const TASKS: &str = "to a parked task and back";
pub(super) const LINK: &str = "link over a Unix socket";
pub(super) const LINK_TCP: &str = "link over TCP";
pub(super) const LINK_TLS: &str = "link over TLS";
pub(super) const SHM_TRIP: &str = "round trip through shared memory";
pub(super) const SHM_ONE_WAY: &str = "one way through shared memory";
pub(super) const SHM: &str = "services through shared memory";
pub(super) const SHM_ASLEEP: &str = "wakes through shared memory";
pub(super) const HANDLER: &str = "to a service's handler";
pub(super) const REQUEST: &str = "request and reply";
pub(super) const WAKES: &str = "wake of a service on another executor";
pub(super) const PINNED: &str = "round trip of pinned services";
pub(super) const IDLE: &str = "idle node";
pub(super) const ACTOR_TELL: &str = "tell to an actor";
pub(super) const ACTOR_ASK: &str = "request of an actor";
pub(super) const ACTOR_START: &str = "start and end of an actor";
pub(super) const ACTOR_RING: &str = "ring of actors";
