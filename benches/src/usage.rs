//! What the threads of a process have spent, as the system counts it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;

/// Each thread of a process, with its processor time in nanoseconds and the number of its sleeps.
pub(crate) struct Usage(BTreeMap<PathBuf, (u64, u64)>);

impl Usage {
    /// Of a process: its number, or `self`.
    pub(crate) fn of(process: impl Display) -> Usage {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let each = tasks.map(|task| {
            let path = task.path();
            let ran = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            let ran: u64 = ran.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let switches = status.lines().find_map(|line| {
                line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()
            });
            (path, (ran, switches.unwrap_or(0)))
        });
        Usage(each.collect())
    }

    /// Without the calling thread.
    pub(crate) fn of_other_threads() -> Usage {
        let here = rustix::thread::gettid().as_raw_nonzero().to_string();
        let mut usage = Usage::of("self");
        usage.0.retain(|path, _| !path.ends_with(&here));
        usage
    }

    /// The processor time and the sleeps of all threads since then.
    pub(crate) fn since(&self, before: &Usage) -> (u64, u64) {
        let (mut time, mut sleeps) = (0, 0);
        for (thread, spent) in &self.0 {
            // A thread that is new has no earlier counts.
            let earlier = before.0.get(thread).copied().unwrap_or_default();
            time += spent.0 - earlier.0;
            sleeps += spent.1 - earlier.1;
        }
        (time, sleeps)
    }
}
