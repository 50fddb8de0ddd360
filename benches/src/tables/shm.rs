//! Services of two processes that share memory, beside the same services in one process.

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Contest, Sweep};
use crate::loops::shm::nodes::{self, in_one_process, two_processes};
use crate::options::Options;
use crate::tables::rows;

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    const TWO: &str = "two processes";
    const ONE: &str = "one process";
    if !options.wants("shm") {
        return Vec::new();
    }
    let contest = |pair, title| Contest {
        columns: vec![two_processes(TWO, pair, cores), in_one_process(ONE, pair, cores)],
        ..Contest::new("shm", rows::SHM, title)
    };
    let trip = Contest {
        timed: "each trip; the figure of a round is the median of its trips",
        operations: options.operations(5_000, 200),
        pairs: vec![Pair::new(TWO, ONE)],
        ..contest(nodes::Pair::Trip, "48 bytes to a service of another process and back")
    };
    let flow = Contest {
        timed: "from the first emit until the answer to the last message",
        operations: options.operations(300_000, 600),
        pairs: vec![Pair::new(TWO, ONE).at_least(0.8)],
        ..contest(nodes::Pair::Flow, "56 bytes from emit to receive of services")
    };
    vec![trip.at("trip").into(), flow.at("services").into()]
}
