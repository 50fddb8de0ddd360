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
mod shapes;
#[cfg(target_os = "linux")]
mod shm;
mod spsc;

use crate::harness::Sweep;
use crate::machine::affinity::Cores;
use crate::options::Options;
use crate::sample::{Sample, Wide};

/// Makes the contests of a key. Their queues are made when it is their turn.
type Sweeps = fn(&Options, &Cores) -> Vec<Sweep>;

fn all(contests: impl IntoIterator<Item = impl Into<Sweep>>) -> Vec<Sweep> {
    contests.into_iter().map(Into::into).collect()
}

/// The tables, in the order of a full run.
const TABLES: &[(&str, Sweeps)] = &[
    ("emit", |options, _| all([emit::emit(options)])),
    ("emit-batch", |options, _| all([emit::emit_batch(options)])),
    ("emit-traces", |options, _| all([emit::emit_traces(options)])),
    ("scale", |options, _| all([emit::among_many(options)])),
    ("threads", |options, cores| all([emit::threads(options, cores)])),
    ("encode", |options, _| all([codec::encode(options)])),
    ("view", |options, _| all([codec::view(options)])),
    ("shapes", |options, cores| shapes::contests(options, cores).into()),
    ("spsc", |options, cores| all([spsc::numbers(options, cores)])),
    ("spsc-batches", |options, cores| all([spsc::batches(options, cores)])),
    ("spsc-56", |options, cores| all([spsc::messages::<Sample>(options, cores)])),
    ("spsc-64", |options, cores| all([spsc::messages::<Wide>(options, cores)])),
    ("trip", |options, cores| all([spsc::trips(options, cores)])),
    ("mpmc", |options, cores| all(mpmc::throughput(options, cores))),
    ("fairness", |options, cores| all(mpmc::fairness(options, cores))),
    ("publish", |options, _| all([broadcast::publish(options)])),
    ("publish-read", |options, _| all([broadcast::publish_and_read(options)])),
];

/// The tables that follow if the system is Linux.
#[cfg(target_os = "linux")]
const ON_LINUX: &[(&str, Sweeps)] = &[
    ("tasks", |options, _| all([executor::tasks(options)])),
    ("link", |options, cores| all(link::unix(options, cores))),
    ("tcp", |options, cores| all(link::tcp(options, cores))),
    ("tls", |options, cores| all(link::tls(options, cores))),
    ("shm", |options, cores| all(shm::contests(options, cores))),
    ("handler", |options, _| all(executor::handler(options))),
    ("request", |options, _| all(executor::request(options))),
    ("wake", |options, cores| all(executor::wake(options, cores))),
    ("pinned", |options, cores| all([executor::pinned(options, cores)])),
    ("idle", |options, _| all([executor::idle(options)])),
    ("actors", |options, cores| all(actors::contests(options, cores))),
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
