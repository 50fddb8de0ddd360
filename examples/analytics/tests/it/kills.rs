//! Stages that are killed while events come.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use crate::{PATIENCE, Program, free_port, items, kill};

/// What a browser has seen.
#[derive(Default)]
struct Seen {
    reports: BTreeMap<String, Value>,
    /// Counts and last numbers of windows, by second and pool.
    windows: BTreeMap<(u64, String), (u64, u64)>,
}

impl Seen {
    fn take(&mut self, item: &Value) {
        if let Some(report) = item.get("report") {
            self.reports.insert(report["stage"].as_str().unwrap().to_owned(), report.clone());
        } else if let Some(window) = item.get("window") {
            let key = (window["start"].as_u64().unwrap(), window["pool"].to_string());
            let numbers = window["last"].as_u64().unwrap();
            let content = (window["count"].as_u64().unwrap(), numbers);
            // A process that dies after it has sent a window, and before it has saved that, sends
            // the same one again.
            assert_eq!(*self.windows.entry(key).or_insert(content), content);
        }
    }

    fn count(&self, stage: &str, name: &str) -> u64 {
        let report = self.reports.get(stage);
        report.map_or(0, |report| report["counts"][name].as_u64().unwrap())
    }

    fn pid(&self, stage: &str) -> u64 {
        self.reports[stage]["pid"].as_u64().unwrap()
    }
}

#[test]
fn events_are_counted_once_or_reported_as_missed_when_stages_are_killed() {
    let port = free_port();
    let program = Program::start(&["bundled", "--rate", "20000"], port);
    let (mut seen, mut items) = (Seen::default(), items(port));
    let mut until = |seen: &mut Seen, what: &str, is_so: &dyn Fn(&Seen) -> bool| {
        let begin = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        while !is_so(seen) {
            let passed = SystemTime::UNIX_EPOCH.elapsed().unwrap() - begin;
            assert!(passed < PATIENCE, "{what}: {:?}", seen.reports);
            seen.take(&items.next().expect("the page goes on"));
        }
    };
    until(&mut seen, "all stages run", &|seen| {
        seen.reports.len() == 4 && seen.count("Windows", "taken") > 20_000
    });

    // One stage after the other: nothing is lost, and what comes again is not counted twice.
    for (stage, run) in [("Ingest", 2), ("Transform", 2), ("Windows", 2), ("Outliers", 2)] {
        kill("-KILL", seen.pid(stage));
        until(&mut seen, stage, &|seen| seen.count(stage, "runs") == run);
        let after = seen.count("Windows", "taken") + 100_000;
        until(&mut seen, "events come again", &|seen| seen.count("Windows", "taken") > after);
        let missed = ["Transform", "Windows"].map(|stage| seen.count(stage, "missed"));
        assert_eq!(missed, [0, 0], "after the death of {stage}: {:?}", seen.reports);
    }

    // Both sides of a topic at once: what was between them is lost, and known by its numbers. When
    // one side stands still, the rings are full as soon as `Ingest` has sent nothing for a second.
    kill("-STOP", seen.pid("Windows"));
    let last = Cell::new((0, 0));
    until(&mut seen, "the rings are full", &|seen| {
        let (at, next) = (seen.reports["Ingest"]["at"].as_u64(), seen.count("Ingest", "next"));
        let (before, sent) = last.replace((at.unwrap(), next));
        before < at.unwrap() && sent == next
    });
    for stage in ["Transform", "Windows"] {
        kill("-KILL", seen.pid(stage));
    }
    until(&mut seen, "both are back", &|seen| {
        ["Transform", "Windows"].iter().all(|stage| seen.count(stage, "runs") == 3)
    });
    let after = seen.count("Windows", "taken") + 150_000;
    until(&mut seen, "events come again", &|seen| seen.count("Windows", "taken") > after);
    let missed = seen.count("Windows", "missed");
    assert!(missed > 0, "{:?}", seen.reports);

    // The rest: the windows have each event once, but those that were reported.
    assert!(program.end(), "the bundle ends in order");
    items.for_each(|item| seen.take(&item));
    let counted: u64 = seen.windows.values().map(|window| window.0).sum();
    let last = seen.windows.values().map(|window| window.1).max().unwrap();
    assert_eq!(counted + missed, last + 1);
    println!("{counted} events counted, {missed} missed");
}
