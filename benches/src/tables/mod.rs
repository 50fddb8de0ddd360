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

use crate::Failure;
use crate::affinity::Cores;
use crate::harness::{Contest, Sweep};
use crate::loops::counts::Counts;
use crate::loops::latency::Latencies;
use crate::loops::load::Loads;
use crate::options::Options;
use crate::report::Section;

/// A table to be measured, or the tables of a sweep.
pub(crate) enum Job {
    Contest(Contest),
    Sweep(Sweep),
    Latencies(Latencies),
    Loads(Loads),
    Counts(Counts),
    Fairness(mpmc::Fairness),
}

impl Job {
    /// Measures, and hands each table to `done` once it is there.
    pub(crate) fn measure(
        self,
        options: &Options,
        done: &mut dyn FnMut(Section) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let section = match self {
            Job::Contest(mut contest) => Section::Table(contest.measure(options)?.0),
            Job::Sweep(sweep) => return sweep.measure(options, done),
            Job::Latencies(latencies) => Section::Latency(latencies.measure(options)?),
            Job::Loads(loads) => Section::Load(loads.measure(options)?),
            Job::Counts(counts) => Section::Count(counts.measure(options)?),
            Job::Fairness(fairness) => Section::Fairness(fairness.measure(options)?),
        };
        done(section)
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
