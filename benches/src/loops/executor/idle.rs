//! The cost of a node that has nothing to do: processor time, and wakes of its threads.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::host::{Host, inside};
use super::services::waiting;
use crate::harness::{Column, Count, Mismatch, Round};
use crate::report::Limit;
use crate::usage::Usage;

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
        let before = Usage::of_other_threads();
        thread::sleep(Duration::from_millis(milliseconds as u64));
        let after = Usage::of_other_threads();
        let _ = end.send(());
        if !matches!(host.join(), Ok(Some(true))) {
            return Err(failed());
        }
        let (time, wakes) = after.since(&before);
        let none = |what, value| Count { what, value, limit: Some(Limit::AtMost(0.0)) };
        let microseconds = none("microseconds of the processor", time as f64 / 1e3);
        Ok(Round::Counts(vec![microseconds, none("wakes", wakes as f64)]))
    })
}
