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
#[cfg(target_os = "linux")]
mod shm;
mod spsc;

use crate::harness::Sweep;
use crate::machine::affinity::Cores;
use crate::options::Options;
use crate::sample::{Sample, Wide};

/// Makes the contests of a key. Their queues are made when it is their turn.
type Sweeps = fn(&Options, &Cores) -> Vec<Sweep>;

/// The tables, in the order of a full run.
const TABLES: &[(&str, Sweeps)] = &[
    ("emit", emit::emit),
    ("emit-batch", emit::emit_batch),
    ("emit-traces", emit::emit_traces),
    ("scale", emit::among_many),
    ("threads", emit::threads),
    ("encode", codec::encode),
    ("view", codec::view),
    ("spsc", spsc::numbers),
    ("spsc-batches", spsc::batches),
    ("spsc-56", spsc::messages::<Sample>),
    ("spsc-64", spsc::messages::<Wide>),
    ("trip", spsc::trips),
    ("mpmc", mpmc::throughput),
    ("fairness", mpmc::fairness),
    ("publish", broadcast::publish),
    ("publish-read", broadcast::publish_and_read),
];

/// The tables that follow if the system is Linux.
#[cfg(target_os = "linux")]
const ON_LINUX: &[(&str, Sweeps)] = &[
    ("tasks", executor::tasks),
    ("link", link::unix),
    ("tcp", link::tcp),
    ("tls", link::tls),
    ("shm", shm::sweeps),
    ("handler", executor::handler),
    ("request", executor::request),
    ("wake", executor::wake),
    ("pinned", executor::pinned),
    ("idle", executor::idle),
    ("actors", actors::sweeps),
];
#[cfg(not(target_os = "linux"))]
const ON_LINUX: &[(&str, Sweeps)] = &[];

/// Returns the names that `--only` accepts.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().chain(ON_LINUX).map(|(key, _)| *key)
}

/// The tables that `options` select, in order.
pub(crate) fn sweeps(options: &Options, cores: &Cores) -> impl Iterator<Item = Sweep> {
    let wanted = TABLES.iter().chain(ON_LINUX).filter(|(key, _)| options.wants(key));
    wanted.flat_map(|(_, sweeps)| sweeps(options, cores))
}
