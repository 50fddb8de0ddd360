//! The tables: their columns, what is timed, and their goals.

mod broadcast;
mod codec;
mod emit;
#[cfg(target_os = "linux")]
mod executor;
#[cfg(unix)]
mod link;
mod mpmc;
mod spsc;

use crate::affinity::Cores;
use crate::harness::Sweep;
use crate::options::Options;

/// The rows that goals are grouped by.
mod rows {
    pub(super) const EMIT: &str = "emit to one subscriber";
    pub(super) const EMIT_THREADS: &str = "emit to a subscriber on another core";
    pub(super) const CODEC: &str = "encode and view";
    pub(super) const SPSC_NUMBERS: &str = "spsc, numbers: one by one, batches of 64";
    pub(super) const SPSC_MESSAGES: &str = "spsc, messages of 56 and 64 bytes";
    pub(super) const TRIP: &str = "spsc round trip";
    pub(super) const MPMC: &str = "mpmc: one by one, batches of 16, fairness";
    pub(super) const BROADCAST: &str = "broadcast: publish, publish and read";
    pub(super) const LINK: &str = "link over a Unix socket";
    pub(super) const HANDLER: &str = "to a service's handler";
    pub(super) const WAKES: &str = "wake of a service on another executor";
    pub(super) const PINNED: &str = "round trip of pinned services";
    pub(super) const IDLE: &str = "idle node";
    pub(super) const TASKS: &str = "to a parked task and back";
}

/// The tables that `options` select, in order. The queues of a group are made when it is its turn.
pub(crate) fn sweeps(options: &Options, cores: &Cores) -> impl Iterator<Item = Sweep> {
    let groups: [fn(&Options, &Cores) -> Vec<Sweep>; 5] =
        [emit::sweeps, codec::sweeps, spsc::sweeps, mpmc::sweeps, broadcast::sweeps];
    let sweeps = groups.into_iter().flat_map(|group| group(options, cores));
    let sweeps = sweeps.chain([spsc::tasks].into_iter().filter_map(|table| table(options)));
    #[cfg(unix)]
    let sweeps = sweeps.chain(link::sweeps(options, cores));
    #[cfg(target_os = "linux")]
    let sweeps = sweeps.chain(executor::sweeps(options, cores));
    sweeps
}
