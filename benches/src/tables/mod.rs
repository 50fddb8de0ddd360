//! The tables: their columns, what is timed, and their goals.

#[cfg(target_os = "linux")]
mod actors;
mod broadcast;
mod codec;
mod emit;
#[cfg(target_os = "linux")]
mod executor;
#[cfg(target_os = "linux")]
mod link;
mod mpmc;
mod rows;
#[cfg(target_os = "linux")]
mod shm;
mod spsc;

use crate::affinity::Cores;
use crate::harness::Sweep;
use crate::options::Options;

/// The tables that `options` select, in order. The queues of a group are made when it is its turn.
pub(crate) fn sweeps(options: &Options, cores: &Cores) -> impl Iterator<Item = Sweep> {
    let groups: [fn(&Options, &Cores) -> Vec<Sweep>; 5] =
        [emit::sweeps, codec::sweeps, spsc::sweeps, mpmc::sweeps, broadcast::sweeps];
    let sweeps = groups.into_iter().flat_map(|group| group(options, cores));
    let sweeps = sweeps.chain([spsc::tasks].into_iter().filter_map(|table| table(options)));
    #[cfg(target_os = "linux")]
    let sweeps = {
        let groups: [fn(&Options, &Cores) -> Vec<Sweep>; 4] =
            [link::sweeps, shm::sweeps, executor::sweeps, actors::sweeps];
        sweeps.chain(groups.into_iter().flat_map(|group| group(options, cores)))
    };
    sweeps
}
