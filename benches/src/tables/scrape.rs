//! Scrapes for Prometheus: what a line costs, and whether publishers notice.

use std::time::Duration;

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Contest, Sweep};
use crate::loops::one_thread::BATCH;
use crate::loops::scraped::{Beside, emits, scrapes};
use crate::options::Options;
use crate::tables::rows;

const FEW: &str = "scrape of 100 lines";
const SOME: &str = "scrape of 1,000 lines";
const MANY: &str = "scrape of 10,000 lines";
const ALONE: &str = "emit, nothing beside it";
const BESIDE_WORK: &str = "emit, other work beside it";
const SELDOM: &str = "emit, a scrape each 100 ms";
const ALWAYS: &str = "emit, scrapes without a pause";

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    if !options.wants("scrape") {
        return Vec::new();
    }
    let lines = Contest {
        timed: "the counters and rings of all topics are read, and written as OpenMetrics",
        operations: options.operations(10_000, 10_000),
        columns: vec![scrapes(FEW, 100), scrapes(SOME, 1_000), scrapes(MANY, 10_000)],
        pairs: vec![
            Pair::new(SOME, FEW).within_at_median(1.5),
            Pair::new(MANY, FEW).within_at_median(1.5),
        ],
        ..Contest::new("scrape", rows::SCRAPE, "one thread, a line of counters")
    };
    let pause = Duration::from_millis(100);
    let besides = [
        (ALONE, Beside::Nothing),
        (BESIDE_WORK, Beside::OtherWork),
        (SELDOM, Beside::Scraper(pause)),
        (ALWAYS, Beside::Scraper(Duration::ZERO)),
    ];
    let columns = besides.map(|(name, beside)| emits(name, beside, cores.clone()));
    let emits = Contest {
        timed: "each emit to one of 500 topics, with the clock; the slowest hundredth counts",
        operations: options.operations(2048 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns: columns.into(),
        pairs: vec![
            Pair::new(SELDOM, ALONE).within_at_median(1.1),
            Pair::new(ALWAYS, ALONE).within_at_median(1.1),
            Pair::new(ALWAYS, BESIDE_WORK),
        ],
        ..Contest::new("scrape", rows::SCRAPE, "a publisher on one core, a scraper on another")
    };
    vec![lines.into(), emits.into()]
}
