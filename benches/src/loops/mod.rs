//! The callers' loops: each is written once and compiled for every column that runs it.

#[cfg(target_os = "linux")]
pub(crate) mod actors;
pub(crate) mod crowd;
#[cfg(target_os = "linux")]
pub(crate) mod executor;
#[cfg(target_os = "linux")]
pub(crate) mod link;
#[cfg(target_os = "linux")]
pub(crate) mod many_nodes;
pub(crate) mod one_thread;
pub(crate) mod one_way;
#[cfg(feature = "metrics")]
pub(crate) mod scraped;
#[cfg(target_os = "linux")]
pub(crate) mod shm;
pub(crate) mod tasks;
pub(crate) mod trip;

#[cfg(target_os = "linux")]
use std::process::ExitCode;

#[cfg(target_os = "linux")]
use crate::affinity::Side;
#[cfg(target_os = "linux")]
use crate::processes::{self, Parent};

/// Does the job of this process, if it was started for one.
#[cfg(target_os = "linux")]
pub(crate) fn serve_job() -> Option<ExitCode> {
    let (cores, job) = processes::job()?;
    cores.pin_to(Side::Reader);
    match job.split_whitespace().collect::<Vec<_>>()[..] {
        ["many-nodes", network, node] => many_nodes::serve_node(network, node),
        [actors::memory::JOB, count, ref library @ ..] => actors::memory::serve(count, library),
        ["many-sockets"] => many_nodes::serve_socket(&mut Parent),
        ref job => shm::serve(job, &cores, &mut Parent),
    }
    Some(ExitCode::SUCCESS)
}
