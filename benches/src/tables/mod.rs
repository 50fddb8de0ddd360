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
#[cfg(target_os = "linux")]
mod load;
mod mpmc;
#[cfg(target_os = "linux")]
pub(crate) mod routes;
mod rows;
#[cfg(feature = "metrics")]
mod scrape;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
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
    #[cfg(feature = "metrics")]
    let sweeps = sweeps.chain(scrape::sweeps(options, cores));
    #[cfg(target_os = "linux")]
    let sweeps = sweeps.chain(link::sweeps(options, cores));
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    let sweeps = sweeps.chain(shm::sweeps(options, cores));
    #[cfg(target_os = "linux")]
    let sweeps = sweeps.chain(executor::sweeps(options, cores));
    #[cfg(target_os = "linux")]
    let sweeps = sweeps.chain(routes::sweeps(options, cores));
    #[cfg(target_os = "linux")]
    let sweeps = sweeps.chain(actors::sweeps(options, cores));
    sweeps
}
