//! Runs a law: starts the executors, each on its own thread, and judges the outcome.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use mycelium_executor::conformance::Subject;
use mycelium_executor::{Executor, LocalFuture, MakeDedicated};

use super::Pair;
use super::spans::Spans;
use crate::local::panic_text;

/// How long a law waits for an event before it is broken.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// One property that users of a transport rely on.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    /// The law's name.
    pub name: &'static str,
    /// The test: panics if the law is broken.
    pub run: fn(Pair) -> LocalFuture<()>,
    /// Whether the law's topic is traced and measured: half of its messages have a trace, and half
    /// a send time, so that each slot has a trace area.
    pub is_traced: bool,
    /// The promise that the law needs and the transport does not give, such as "hold up
    /// publishers": such a law cannot be checked.
    pub lacks: Option<&'static str>,
}

/// An executor that runs laws, chosen at run time.
#[derive(Clone, Copy)]
pub struct TestExecutor {
    /// The executor's name in reports.
    pub name: &'static str,
    run: fn(MakeDedicated),
}

impl TestExecutor {
    /// Returns the executor of a test subject.
    #[must_use]
    pub fn of<S: Subject>() -> TestExecutor {
        TestExecutor { name: S::NAME, run: S::run }
    }

    /// Runs `body` on the executor. Laws of other crates use it.
    pub fn run(&self, body: impl FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send + 'static) {
        (self.run)(Box::new(body));
    }
}

impl fmt::Debug for TestExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestExecutor").field(&self.name).finish()
    }
}

/// Runs a law with its publishers on one executor and its readers on another, or on the same one.
///
/// # Errors
/// If the law is broken: its panic message. If an executor makes no progress, or does not end after
/// the law. If the transport lacks what the law needs.
pub fn check(
    law: &Law,
    publishers: &TestExecutor,
    readers: &TestExecutor,
    time_limit: Duration,
) -> Result<(), String> {
    let Law { run, name, is_traced, lacks } = *law;
    if let Some(what) = lacks {
        return Err(format!("{name}: the transport cannot {what}"));
    }
    let (reports, reported) = mpsc::channel();
    let (finish, finished) = oneshot::channel::<()>();
    let mut threads = 1;
    let elsewhere = (publishers.name != readers.name).then(|| {
        threads += 1;
        let (give, given) = mpsc::channel();
        start(publishers, reports.clone(), move |executor| {
            Box::pin(async move {
                _ = give.send(executor);
                // Keeps the executor running until the law has ended.
                _ = finished.await;
            })
        });
        given
    });
    let outcome = reports.clone();
    start(readers, reports, move |readers| {
        Box::pin(async move {
            let publishers = match elsewhere.map(|given| given.recv_timeout(time_limit)) {
                None => readers.clone(),
                Some(Ok(publishers)) => publishers,
                Some(Err(_)) => return,
            };
            let tracer = is_traced.then(|| Spans::half().0);
            tracer.iter().for_each(|tracer| tracer.set_executor(publishers.clone()));
            let latency_sample = is_traced.then_some(0.5);
            let pair =
                Pair { publishers, readers, time_limit, tracer, latency_sample, clock: None };
            let law = run(pair);
            let held = AssertUnwindSafe(law).catch_unwind().await;
            _ = outcome.send(Report::Law(held.map_err(|panic| panic_text(&*panic).to_owned())));
            drop(finish);
        })
    });
    judge(&reported, threads, time_limit).map_err(|what| format!("{name}: {what}"))
}

/// An event of one run.
enum Report {
    /// Whether the law holds.
    Law(Result<(), String>),
    /// An executor has ended, with its panic message if it panicked.
    Ended(Result<(), String>),
}

fn start(
    executor: &TestExecutor,
    reports: Sender<Report>,
    body: impl FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send + 'static,
) {
    let run = executor.run;
    thread::spawn(move || {
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run(Box::new(body))));
        _ = reports.send(Report::Ended(ended.map_err(|panic| panic_text(&*panic).to_owned())));
    });
}

fn judge(
    reported: &Receiver<Report>,
    mut threads: usize,
    time_limit: Duration,
) -> Result<(), String> {
    let mut held = false;
    while threads > 0 {
        match reported.recv_timeout(3 * time_limit) {
            // Ignores the `Ended` reports after this: a broken law leaves tasks running.
            Ok(Report::Law(Err(broken))) => return Err(broken),
            Ok(Report::Law(Ok(()))) => held = true,
            Ok(Report::Ended(Ok(()))) => threads -= 1,
            Ok(Report::Ended(Err(panic))) => return Err(format!("the executor panicked: {panic}")),
            Err(_) if held => return Err("the executor does not end".to_owned()),
            Err(_) => return Err("the executor makes no progress".to_owned()),
        }
    }
    if held { Ok(()) } else { Err("the executor ended before the law had".to_owned()) }
}
