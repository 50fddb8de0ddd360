//! The cost of a node that has nothing to do: processor time, and wakes of its threads.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::host::{Host, inside};
use super::services::waiting;
use crate::harness::{Column, Count, Mismatch, Round};
use crate::report::Limit;

/// The time after which the start of a node has settled.
const SETTLED: Duration = Duration::from_millis(50);

/// A node on an executor, with services that wait for each other. An operation is a millisecond.
pub(crate) fn idle<H: Host>(name: &'static str) -> Column {
    Column::new(name, move |milliseconds| {
        let failed = || Mismatch::new(name, "the node failed");
        let (give, given) = mpsc::channel();
        let host = thread::Builder::new().name("idle-node".into()).spawn(move || {
            inside::<H, _>(async move |executor| {
                let running = waiting().start(executor).expect("the node has all it needs");
                let (end, ended) = tokio::sync::oneshot::channel::<()>();
                let _ = give.send(end);
                let _ = ended.await;
                running.shutdown();
                running.join().await.is_ok()
            })
        });
        let host = host.expect("the process may start a thread");
        let end = given.recv().map_err(|_| failed())?;
        thread::sleep(SETTLED);
        let before = spent();
        thread::sleep(Duration::from_millis(milliseconds as u64));
        let after = spent();
        let _ = end.send(());
        if !matches!(host.join(), Ok(Some(true))) {
            return Err(failed());
        }
        let (mut time, mut wakes) = (0, 0);
        for (thread, spent) in after {
            // A thread that is new has no earlier counts.
            let earlier = before.get(&thread).copied().unwrap_or_default();
            time += spent.0 - earlier.0;
            wakes += spent.1 - earlier.1;
        }
        let none = |what, value| Count { what, value, limit: Some(Limit::AtMost(0.0)) };
        let microseconds = none("microseconds of the processor", time as f64 / 1e3);
        Ok(Round::Counts(vec![microseconds, none("wakes", wakes as f64)]))
    })
}

/// The processor time in nanoseconds and the number of sleeps of each thread but the calling one.
fn spent() -> BTreeMap<PathBuf, (u64, u64)> {
    let here = rustix::thread::gettid().as_raw_nonzero().to_string();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let others = tasks.map(|task| task.path()).filter(|path| !path.ends_with(&here));
    let each = others.map(|path| {
        let ran = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let ran: u64 = ran.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let switches = status.lines().find_map(|line| {
            line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()
        });
        (path, (ran, switches.unwrap_or(0)))
    });
    each.collect()
}
