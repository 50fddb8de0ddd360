//! Messages between two processes through shared memory. The process of the run is one side; the
//! other one is a job ([`processes`]).
//!
//! `exchange` has the loops of bare ends: `ring`, `bare` and `rivals`. `nodes` has the columns of
//! services, `asleep` the columns beside them for processes that sleep.

pub(crate) mod asleep;
pub(crate) mod bare;
mod duplex;
pub(crate) mod exchange;
pub(crate) mod nodes;
pub(crate) mod ring;
#[cfg(feature = "rivals")]
pub(crate) mod rivals;
mod services;

use std::process::ExitCode;

use crate::machine::affinity::Side;
use crate::machine::processes::{self, Talk};

/// Does the job of this process, if it was started for one.
pub(crate) fn serve_job() -> Option<ExitCode> {
    let (cores, job) = processes::job()?;
    cores.pin_to(Side::Reader);
    // The directory, which comes last, may contain spaces.
    match job.splitn(3, ' ').collect::<Vec<_>>()[..] {
        ["exchange", kind, words] => exchange::serve(kind, words, &mut Talk::parent()),
        ["services", place, directory] => nodes::serve(place, directory, &cores),
        ["eventfd", place] => asleep::answer(place),
        _ => panic!("there is no job `{job}`"),
    }
    Some(ExitCode::SUCCESS)
}
