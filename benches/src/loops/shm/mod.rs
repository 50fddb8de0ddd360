//! Messages between two processes through memory that both map.
//!
//! The process of the run is one side; the other one is a job
//! ([`processes`](crate::processes)).
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

use crate::affinity::Cores;
use crate::processes::Parent;

/// Does a job of this process.
pub(super) fn serve(job: &[&str], cores: &Cores, parent: &mut Parent) {
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
