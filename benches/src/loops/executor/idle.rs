//! The cost of a node that has nothing to do: processor time.

use std::time::Duration;
use std::{fs, thread};

use tokio::sync::oneshot;

use super::host::Runtime;
use super::services::waiting;
use crate::harness::{Column, Mismatch, Round};
use crate::report::Limit;

/// The time after which the start of a node has settled: after 5 seconds it warns once of
/// subscriptions that no service has taken. A quick run waits only as long as it measures.
const SETTLED: Duration = Duration::from_secs(6);

/// Creates a column of the processor time of a node whose services wait. An operation is a
/// millisecond.
pub(crate) fn idle(name: &'static str, on: Runtime) -> Column {
    Column::new(name, move |milliseconds| {
        let spent = on.run(async move |executor| {
            let running = waiting().start(executor).ok()?;
            let (give, given) = oneshot::channel();
            thread::spawn(move || {
                let measured = Duration::from_millis(milliseconds as u64);
                thread::sleep(SETTLED.min(measured));
                let before = spent();
                thread::sleep(measured);
                give.send(spent().saturating_sub(before))
            });
            let spent = given.await.ok()?;
            running.shutdown();
            running.join().await.is_ok().then_some(spent)
        });
        let spent = spent.ok_or_else(|| Mismatch::new(name, "the node failed"))?;
        let (what, limit) = ("microseconds of the processor", Limit::AtMost(0.0));
        Ok(Round::Count(what, spent as f64 / 1e3, Some(limit)))
    })
}

/// The processor time of all threads but this one, in nanoseconds.
fn spent() -> u64 {
    let here = rustix::thread::gettid().as_raw_nonzero().to_string();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let others = tasks.filter(|task| task.file_name() != here.as_str());
    let spent = others.filter_map(|task| {
        let ran = fs::read_to_string(task.path().join("schedstat")).ok()?;
        ran.split(' ').next()?.parse::<u64>().ok()
    });
    spent.sum()
}
