//! Messages between two processes through memory that both map.
//!
//! The process of the run is one side; the other one is a job ([`processes`]).
//! `exchange` has the loops, which are the same for all ends of a `Duplex`: `ring`, `bare` and
//! `iceoryx`. `nodes` has the columns of whole nodes.

pub(crate) mod asleep;
mod bare;
mod directory;
mod duplex;
pub(crate) mod exchange;
pub(crate) mod fan_out;
#[cfg(feature = "iceoryx2")]
mod iceoryx;
pub(crate) mod nodes;
pub(crate) mod places;
mod ring;
mod services;

use std::process::ExitCode;

use crate::affinity::{Cores, Side};
use crate::processes::{self, Parent};

/// Does the job of this process, if it was started for one.
pub(crate) fn serve_job() -> Option<ExitCode> {
    let (cores, job) = processes::job()?;
    cores.pin_to(Side::Reader);
    serve(&job.split_whitespace().collect::<Vec<_>>(), &cores, &mut Parent);
    Some(ExitCode::SUCCESS)
}

fn serve(job: &[&str], cores: &Cores, parent: &mut Parent) {
    match job {
        ["exchange", kind, words] => exchange::serve(kind, words, parent),
        ["fan-out"] => fan_out::serve(parent),
        ["eventfd"] => asleep::answer_eventfd(),
        ["futex"] => asleep::answer_futex(parent),
        ["services", directory, place, wait] => {
            nodes::serve(directory, place, wait, cores, parent);
        }
        _ => panic!("there is no job `{}`", job.join(" ")),
    }
}
