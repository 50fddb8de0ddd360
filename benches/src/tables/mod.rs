//! What is measured: the tables with their columns and goals, and what each takes to run.

mod broadcast;
mod codec;
mod emit;
#[cfg(target_os = "linux")]
mod executor;
#[cfg(unix)]
mod link;
mod mpmc;
mod spsc;
mod tasks;
mod trip;

use crate::affinity::Cores;
use crate::harness::{Contest, Mismatch};
use crate::loops::counts::Counts;
use crate::loops::latency::Latencies;
use crate::loops::load::Loads;
use crate::options::Options;
use crate::report::Section;

/// A table to be measured.
pub(crate) enum Job {
    Contest(Contest),
    Latencies(Latencies),
    Loads(Loads),
    Counts(Counts),
    Fairness(mpmc::Fairness),
}

impl Job {
    pub(crate) fn measure(self, options: &Options) -> Result<Section, Mismatch> {
        match self {
            Job::Contest(contest) => contest.measure(options).map(Section::Table),
            Job::Latencies(latencies) => latencies.measure(options).map(Section::Latency),
            Job::Loads(loads) => loads.measure(options).map(Section::Load),
            Job::Counts(counts) => counts.measure(options).map(Section::Count),
            Job::Fairness(fairness) => fairness.measure(options).map(Section::Fairness),
        }
    }
}

/// What `options` select, in order. The rings of a table are made when it is its turn.
pub(crate) fn jobs(options: &Options, cores: &Cores) -> impl Iterator<Item = Job> {
    let rooms: [fn(&Options, &Cores) -> Vec<Job>; 7] =
        [emit::jobs, codec::jobs, spsc::jobs, trip::jobs, mpmc::jobs, broadcast::jobs, tasks::jobs];
    let rooms = rooms.into_iter().flat_map(|room| room(options, cores));
    #[cfg(unix)]
    let rooms = rooms.chain(link::jobs(options, cores));
    #[cfg(target_os = "linux")]
    let rooms = rooms.chain(executor::jobs(options, cores));
    rooms
}
